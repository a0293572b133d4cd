"""What a serving command says of a plan: caches, data type and schemes, from its units alone."""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.records import record
from planner.formats.kv import KV_LAYOUTS
from planner.messages.message import Message, Text, message
from planner.placement.layout import Layout
from planner.placement.modules import PLANNED_KINDS
from planner.planning.engines.prefill_chunks import COMMON
from planner.planning.engines.rules import PLAIN
from planner.planning.plan.record import Plan


@record
class ServingFacts:
    """``caches`` are (kind, layers, layout); ``schemes`` those of decided linears that are not
    plain; ``plain`` the plain type of most others, else that of embedding and head."""

    caches: tuple[tuple[str, tuple[int, ...], str], ...]
    schemes: tuple[str, ...]
    plain: str

    def layouts(self) -> tuple[str, ...]:
        """The cache layouts in use, in the order of the catalogue."""
        used = {layout for _, _, layout in self.caches}
        return tuple(name for name in KV_LAYOUTS if name in used)

    def packed(self) -> list[str]:
        """Those of them that are not a plain type."""
        return [name for name in self.layouts() if name not in PLAIN]

    def layers_in(self, *layouts: str) -> set[int]:
        """Layers with a cache in one of ``layouts``."""
        return {layer for _, layers, name in self.caches if name in layouts for layer in layers}


def serving_facts_of(plan: Plan) -> ServingFacts:
    """The facts of ``plan`` that commands need."""
    counts: dict[str, int] = {}
    schemes: dict[str, None] = {}
    for unit in plan.units:
        if unit.kv_layout is None and unit.kind in PLANNED_KINDS:
            if unit.scheme in PLAIN:
                counts[unit.scheme] = counts.get(unit.scheme, 0) + max(1, len(unit.layers))
            else:
                schemes[unit.scheme] = None
    ends = [u.scheme for u in plan.units if u.kind in ("embedding", "head") and u.scheme in PLAIN]
    plain = (
        max(sorted(counts), key=lambda name: counts[name]) if counts else next(iter(ends), PLAIN[0])
    )
    caches = tuple((u.kind, u.layers, u.kv_layout) for u in plan.units if u.kv_layout is not None)
    return ServingFacts(caches, tuple(schemes), plain)


def layout_of(plan: Plan) -> Layout:
    """The layout of one replica of ``plan``."""
    return Layout(plan.layout.tp, plan.layout.dp, plan.layout.pp, plan.layout.ep)


def per_rank(plan: Plan) -> int:
    """Sequences of one data-parallel rank."""
    return -(-plan.workload.batch // plan.layout.dp)


def prefill_chunk(plan: Plan) -> int:
    """Tokens of a step that prompts may take [tokens], as the plan's times assume them; a step
    holds no fewer than a token of every sequence."""
    said = next((str(a.value) for a in plan.assumptions if a.key == "prefill chunk"), "")
    number = said.partition(" ")[0]
    return max(int(number) if number.isdecimal() and len(number) < 10 else COMMON, per_rank(plan))


def sized(*flags: tuple[str, int]) -> list[str]:
    """Flags of axes above 1: every server takes 1 where none is given."""
    return [word for flag, size in flags if size > 1 for word in (flag, str(size))]


def one_type(served: ServingFacts) -> list[Text]:
    """That a server has one cache type, where the plan has several."""
    used = served.layouts()
    if len(used) < 2:
        return []
    return [message("engines.caches_in_one_type_server", used=linked(used))]


def linked(names: Sequence[str]) -> Message:
    """Names joined as a sentence joins them."""
    return message("structure.linked", parts=tuple(names))
