"""Which engines can serve a plan, from its units alone: yes and in which format, no, unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine, engine_names, parse_engine
from planner.messages.message import CLAUSES, Message, Note, Text, joined, message, with_name
from planner.models.spec import ModelSpec
from planner.placement.cache_entries import CacheUnit
from planner.placement.layout import Layout
from planner.placement.modules import AS_RELEASED_KINDS, PLANNED_KINDS, attention_of
from planner.planning.engines.cache_rules import mixing_refusal
from planner.planning.engines.layouts import layout_refusal, layout_rules
from planner.planning.engines.model_classes import model_bar
from planner.planning.engines.rules import (
    PLAIN,
    SupportCell,
    cache_group,
    formats_of,
    kind_group,
    rule_names,
    runs_at_all,
    split_problem,
    support_cell,
    types_each_matrix,
)
from planner.planning.engines.writers import writing_refusal
from planner.planning.plan.checkpoint_units import checkpoint_units
from planner.planning.plan.record import LayoutInfo, UnitPlan

SERVES = "structure.serves"
SERVABLE = "servable by "
"""How the notes on engines are named."""


@record
class ServingVerdict:
    """One engine on one plan. ``status`` is yes, no or unknown; ``container`` the checkpoint format
    that carries it (empty: what is not quantised), ``reason`` the note and source against it."""

    engine: str
    version: str
    status: str
    container: str
    reason: Text


def verdicts(
    spec: ModelSpec,
    device: DeviceProfile,
    units: Sequence[UnitPlan],
    layout: LayoutInfo,
    engines: Iterable[str] | None = None,
    *,
    container: str = "",
) -> tuple[ServingVerdict, ...]:
    """Whether each of ``engines`` (``NAME`` or ``NAME@VERSION``; default: all) can serve a plan;
    ``container`` is the checkpoint format that goes first."""
    return _verdicts(
        spec,
        device,
        checkpoint_units(units),
        layout,
        tuple(engines) if engines is not None else engines_on(device),
        container,
    )


def engines_on(device: DeviceProfile) -> tuple[str, ...]:
    """Engines that something is known of on the platform of ``device``."""
    platform_cells = [(name, runs_at_all(parse_engine(name), device)) for name in engine_names()]
    return tuple(name for name, bar in platform_cells if bar is None or bar.status != "unknown")


def _seen(
    spec: ModelSpec,
    device: DeviceProfile,
    units: tuple[UnitPlan, ...],
    layout: LayoutInfo,
    engines: tuple[str, ...],
    container: str,
) -> tuple[object, ...]:
    """What of a plan an engine serves or does not: neither bytes nor times."""
    taken = frozenset(enumerate((u.matrix, u.layers, u.scheme, u.kv_layout) for u in units))
    return (spec, device, taken, layout.tp, layout.dp, layout.pp, layout.ep, engines, container)


@cached_by_identity(64, of=_seen)
def _verdicts(
    spec: ModelSpec,
    device: DeviceProfile,
    units: tuple[UnitPlan, ...],
    layout: LayoutInfo,
    engines: tuple[str, ...],
    container: str,
) -> tuple[ServingVerdict, ...]:
    """:func:`verdicts`, once for plans that engines see alike."""
    return tuple(
        _verdict(parse_engine(name), spec, device, units, layout, container) for name in engines
    )


def servability_notes(verdicts: Sequence[ServingVerdict]) -> list[Note]:
    """The verdicts as assumptions of a plan."""
    return [
        Note(
            SERVABLE + v.engine,
            _status(v),
            v.reason or message("engines.every_choice_has_source_in"),
        )
        for v in verdicts
    ]


def status_of(value: Text) -> tuple[str, str, Text]:
    """(yes, no or unknown; the checkpoint format; version and format) of the value of a note on
    an engine, as :func:`servability_notes` gives it, or as files of text have it."""
    if isinstance(value, Message) and value.id == SERVES:
        held = dict(value.values)
        rest = held["rest"]
        assert isinstance(rest, Message)
        return str(held["status"]), str(dict(rest.values)["c"]), rest
    status, _, rest = value.partition(" ")
    return status.rstrip(","), value.partition(", as ")[2], rest


def _status(verdict: ServingVerdict) -> Text:
    """What an engine does with the plan, its version and the checkpoint's container."""
    status = verdict.status
    if verdict.version and verdict.container:
        rest = message("engines.as", v=verdict.version, c=verdict.container)
        return message(SERVES, status=status, rest=rest)
    if verdict.version:
        return message("structure.remark", text=status, remark=verdict.version)
    if verdict.container:
        container = message("structure.as_container", name=verdict.container)
        return message("structure.clauses", parts=(status, container))
    return status


def _verdict(
    engine: Engine,
    spec: ModelSpec,
    device: DeviceProfile,
    units: Sequence[UnitPlan],
    layout: LayoutInfo,
    first: str,
) -> ServingVerdict:
    linear = [u for u in units if u.kind in PLANNED_KINDS]
    caches = [u for u in units if u.kv_layout is not None]

    def answer(status: str, reason: Text = "", container: str = "") -> ServingVerdict:
        return ServingVerdict(engine.name, engine.version_text, status, container, reason)

    if (bar := model_bar(engine, spec)) is not None:
        return answer(_word(bar), bar.reason)
    laid_out = _layout_against(engine, device, layout)
    if laid_out is not None and laid_out.status == "unknown":
        return answer("unknown", laid_out.reason)
    against: list[Text] = [
        *([] if laid_out is None else [with_name(_axes(layout), laid_out.reason)]),
        *_types_against(engine, device, linear),
        *_alike_against(engine, device, linear),
        *_fused_against(engine, spec, device, linear),
        *_parts_against(engine, device, linear),
        *(
            why
            for why in dict.fromkeys(
                split_problem(engine, device, spec, u.kind, u.scheme) for u in linear
            )
            if why
        ),
        *_mixed_caches(engine, spec, device, caches),
    ]
    if against:
        return answer("no", joined(against))
    for unit in caches:
        for group in _cache_groups(spec, unit):
            cell = support_cell(engine, device, "kv", unit.scheme, group, "")
            if cell.status != "supported":
                why = message("engines.cache", x=unit.scheme, y=cell.verdict)
                return answer(_word(cell), why)
    apart = [u for u in units if u.kind in AS_RELEASED_KINDS and u.scheme not in PLAIN]
    container, worst = _container(engine, spec, device, [*linear, *apart], first)
    if worst is not None:
        return answer(_word(worst[1]), with_name(worst[0], worst[1].verdict))
    return answer("yes", "", container)


def _axes(layout: LayoutInfo) -> Text:
    ranks = (("tp", layout.tp), ("dp", layout.dp), ("pp", layout.pp), ("ep", layout.ep))
    return joined([f"{axis} {size}" for axis, size in ranks], CLAUSES)


def _word(cell: SupportCell) -> str:
    return "unknown" if cell.status == "unknown" else "no"


def _container(
    engine: Engine, spec: ModelSpec, device: DeviceProfile, linear: Sequence[UnitPlan], first: str
) -> tuple[str, tuple[Text, SupportCell] | None]:
    """(the first checkpoint format that carries all, None), or ("", what speaks against the
    best)."""
    uses = tuple(dict.fromkeys((u.scheme, u.kind) for u in linear))
    for scheme, kind in uses:
        cell = support_cell(engine, device, "scheme", scheme, kind_group(kind), "")
        if scheme in PLAIN and cell.status != "supported":
            return "", (scheme, cell)
    packed = [use for use in uses if use[0] not in PLAIN]
    if not packed:
        return "", None
    best: list[tuple[Text, SupportCell]] | None = None
    for container in sorted(formats_of(engine, spec), key=lambda name: name != first):
        failing: list[tuple[Text, SupportCell]] = [
            (s, cell)
            for s, kind in packed
            if (cell := _in_format(engine, spec, device, s, kind, container)).status != "supported"
        ]
        if (
            not failing
            and len({s for s, _ in packed}) > 1
            and not _one_a_group(engine, device, packed, container)
        ):
            failing = [
                (message("engines.several_schemes", x=container), cell)
                for _, kind in packed
                if (
                    cell := support_cell(engine, device, "mixed", "*", kind_group(kind), container)
                ).status
                != "supported"
            ]
        if not failing:
            return container, None
        failing.sort(key=lambda item: item[1].status == "unknown")
        if best is None or len(failing) < len(best):
            best = failing
    unknown = support_cell(engine, device, "scheme", packed[0][0], kind_group(packed[0][1]), "none")
    return "", best[0] if best else (packed[0][0], unknown)


def _one_a_group(
    engine: Engine, device: DeviceProfile, packed: Sequence[tuple[str, str]], container: str
) -> bool:
    """Whether each group of modules has one scheme, and the format one for each group."""
    groups = {kind_group(kind) for _, kind in packed}
    return len({(kind_group(kind), s) for s, kind in packed}) == len(groups) and all(
        support_cell(engine, device, "mixed", "groups", g, container).status == "supported"
        for g in groups
    )


def _in_format(
    engine: Engine, spec: ModelSpec, device: DeviceProfile, scheme: str, kind: str, container: str
) -> SupportCell:
    """What the engine does with a scheme in a checkpoint format that an exporter can write."""
    cell = support_cell(engine, device, "scheme", scheme, kind_group(kind), container)
    why = (
        writing_refusal(spec, kind, scheme, container, engine.name)
        if cell.status == "supported"
        else ""
    )
    return SupportCell("refused", why, None) if why else cell


def _layout_against(
    engine: Engine, device: DeviceProfile, layout: LayoutInfo
) -> SupportCell | None:
    return layout_refusal(
        engine, layout_rules(engine, device), Layout(layout.tp, layout.dp, layout.pp, layout.ep)
    )


def _types_against(engine: Engine, device: DeviceProfile, linear: Sequence[UnitPlan]) -> list[Text]:
    plain = [name for name in PLAIN if any(u.scheme == name for u in linear)]
    if len(plain) > 1 and ("any",) not in rule_names(engine, device, "dtypes"):
        return [
            message(
                "engines.in_one_server_one_data",
                plain=message("structure.linked", parts=tuple(plain)),
            )
        ]
    return []


def _alike_against(engine: Engine, device: DeviceProfile, linear: Sequence[UnitPlan]) -> list[Text]:
    used = {u.scheme for u in linear}
    return [
        message(
            "engines.are_one_scheme_to_it",
            x=message("structure.linked", parts=tuple(sorted(used & set(names)))),
        )
        for names in rule_names(engine, device, "alike")
        if len(used & set(names)) > 1
    ]


def _fused_against(
    engine: Engine, spec: ModelSpec, device: DeviceProfile, linear: Sequence[UnitPlan]
) -> list[Text]:
    for names in rule_names(engine, device, "fused"):
        by_layer: dict[int, set[str]] = {}
        for unit in linear:
            if unit.kind in names:
                for layer in unit.layers:
                    by_layer.setdefault(layer, set()).add(unit.scheme)
        for layer, schemes in sorted(by_layer.items()):
            if len(schemes) > 1 and attention_of(spec, layer).q_lora_rank is not None:
                return [
                    message(
                        "engines.of_layer_are_one_matrix",
                        names=message("structure.linked", parts=tuple(names)),
                        layer=layer,
                        y=message("structure.linked", parts=tuple(sorted(schemes))),
                    )
                ]
    return []


def _parts_against(engine: Engine, device: DeviceProfile, linear: Sequence[UnitPlan]) -> list[Text]:
    """Matrices of one kind that the engine joins, in several schemes."""
    if types_each_matrix(engine, device):
        return []
    taken: dict[tuple[str, int], dict[str, str]] = {}
    for unit in linear:
        for layer in unit.layers if unit.part else ():
            taken.setdefault((unit.kind, layer), {})[unit.part or ""] = unit.scheme
    against: list[Text] = [
        message(
            "engines.of_in_layer_are_one",
            parts=", ".join(parts),
            kind=kind,
            layer=layer,
            y=message("structure.linked", parts=tuple(sorted(set(parts.values())))),
        )
        for (kind, layer), parts in taken.items()
        if len(set(parts.values())) > 1
    ]
    return against[:1]


def _mixed_caches(
    engine: Engine, spec: ModelSpec, device: DeviceProfile, caches: Sequence[UnitPlan]
) -> list[Text]:
    kept = [(unit.kind, layer, unit.scheme) for unit in caches for layer in unit.layers]
    why = mixing_refusal(engine, device, spec, kept)
    return [why] if why else []


def _cache_groups(spec: ModelSpec, unit: UnitPlan) -> tuple[str, ...]:
    return tuple(
        dict.fromkeys(
            cache_group(CacheUnit(unit.kind, attention_of(spec, layer))) for layer in unit.layers
        )
    )
