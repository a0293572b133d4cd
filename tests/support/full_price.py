"""Assignments that no solver chose, summed in full: what there is, what it costs, what it breaks.

Nothing here looks at the optimiser: candidates are built one by one, every unit's choices are those
that are legal, and limits are compared with all seconds and bytes. Seconds are those that a search
adds up, scaled to the closed loop of each layout as it scales them; what is proved of an optimum is
proved of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.formats.schemes import scheme as scheme_by_id
from planner.placement.layout import Layout
from planner.placement.modules import Module
from planner.placement.shards import module_bytes
from planner.planning.price.price import Priced, price
from planner.planning.question.question import TIMED, Question
from planner.planning.search.spaces import grid_space
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import Space, build_space
from planner.planning.space.file_bytes import unchosen_bytes
from planner.planning.space.layouts import possible_layouts
from planner.planning.space.losses import uniform_loss
from planner.planning.space.memory import stage_table
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.tables import LayoutPaces, layout_tables, legality
from planner.quality.prior import load_prior
from support.search_sums import SearchSums, search_sums

ROUNDING = 1e-9
TOGETHER = ("experts-gate-up", "experts-down")
"""Kinds that one kernel serves in one scheme, in every engine."""
Part = tuple[tuple[int, tuple[int, ...]], ...]
"""(unit, layers) that take one choice together."""


@dataclass(frozen=True)
class Setting:
    """What does not depend on a candidate."""

    model: CostModel
    layouts: tuple[Layout, ...]
    loss_limit: float | None

    @classmethod
    def of(cls, question: Question) -> Setting:
        model = build_model(question, load_prior())
        limit = (
            question.loss_limit
            if question.loss_scheme is None
            else uniform_loss(model, question.loss_scheme)
        )
        return cls(model, tuple(possible_layouts(question)), limit)

    @property
    def question(self) -> Question:
        return self.model.question

    @cached_property
    def host(self) -> NDArray[np.int64]:
        """Bytes of one layer in the memory of a host, [module, scheme], tensor by tensor."""
        names = self.question.schemes
        return np.array(
            [
                [module_bytes(m, scheme_by_id(s)) if self._is_there(m) else 0 for s in names]
                for m in self.model.planned
            ],
            dtype=np.int64,
        )

    def _is_there(self, module: Module) -> bool:
        """Whether a module is in the memory of the host."""
        table = module.kind == "embedding" and self.question.looks_up_on_host
        return bool(module.place) or table

    @cached_property
    def paces(self) -> dict[Layout, LayoutPaces]:
        """Each layout's closed loop over its sums."""
        space = grid_space(self.model)
        if space is None or space.tables.paces is None:
            return {}
        paces = space.tables.paces
        return {layout: paces.of(i) for i, layout in enumerate(space.tables.layouts)}

    def place(self, layout: Layout, slot: int) -> Place:
        """The candidate of ``slot`` sequences a rank and micro-batch in ``layout``."""
        tables = replace(layout_tables(self.model, [layout]), paces=self.paces.get(layout))
        stages = stage_table(self.model, tables)
        return Place(
            self,
            build_space(self.model, tables, stages, [(0, slot)]),
            legality(self.model, tables, [0])[0],
            layout,
            slot,
        )


@dataclass(frozen=True)
class Place:
    """One candidate: a layout and a batch. ``legal`` [unit, choice] is what units may take."""

    setting: Setting
    space: Space
    legal: NDArray[np.bool_]
    layout: Layout
    slot: int

    def able(self, part: Part) -> list[int]:
        """The choices that every unit of ``part`` may take here."""
        legal = np.logical_and.reduce([self.legal[unit] for unit, _ in part])
        return [int(i) for i in np.flatnonzero(legal)]

    def priced(self, segments: Sequence[Segment]) -> Priced:
        return price(self.space, 0, segments)

    def sums(self, segments: Sequence[Segment]) -> SearchSums:
        return search_sums(self.space, 0, segments)

    def segments(self, parts: Iterable[Part], taken: Iterable[int]) -> tuple[Segment, ...]:
        """``taken`` choices of ``parts``, beside what stays as released."""
        own = [
            Segment(unit, layers, choice)
            for part, choice in zip(parts, taken, strict=True)
            for unit, layers in part
        ]
        kept = [
            Segment(i, unit.layers, -1)
            for i, unit in enumerate(self.setting.model.units)
            if unit.role == "released"
        ]
        return (*own, *kept)


def parts_of(model: CostModel, *, by_layer: bool) -> list[Part]:
    """What is decided: every planned unit by itself, keys apart from values, but for what an
    engine or a kernel makes one; every layer of it by itself where layers are untied."""
    fused = [*model.question.fused, TOGETHER]
    if model.question.spec.tied_embeddings:
        fused.append(("embedding", "head"))
    groups: dict[tuple[object, ...], list[tuple[int, tuple[int, ...]]]] = {}
    for i, unit in enumerate(model.units):
        if unit.role == "released":
            continue
        name = next(("+".join(kinds) for kinds in fused if unit.kind in kinds), unit.kind)
        for layers in ((n,) for n in unit.layers) if by_layer and unit.layers else (unit.layers,):
            groups.setdefault((name, unit.bucket, layers, unit.place), []).append((i, layers))
    return [tuple(group) for group in groups.values()]


def value_of(question: Question, priced: Priced, sums: SearchSums) -> float:
    """The objective in full, as a search minimises it."""
    if question.objective in TIMED:
        return sums.score
    if question.objective == "quality":
        return priced.loss
    layout = priced.layout
    return float(
        sum(stage.total for stage in priced.stages)
        * layout.tp
        * layout.dp
        * question.replicas(layout.ranks)
    )


def broken(setting: Setting, priced: Priced, sums: SearchSums) -> list[str]:
    """The limits that an assignment breaks."""
    question = setting.question
    room = min(question.usable_bytes, question.memory_bytes or question.usable_bytes)
    there = sum(
        int(setting.host[model_row(setting, cost.segment), cost.segment.choice])
        * cost.segment.count
        for cost in priced.costs
        if setting.model.units[cost.segment.unit].role == "module" and cost.segment.choice >= 0
    )
    host = question.offload.memory_bytes if question.offload is not None else None
    stored = unchosen_bytes(setting.model) + sum(
        module_bytes(
            setting.model.planned[model_row(setting, cost.segment)],
            scheme_by_id(question.schemes[cost.segment.choice]),
        )
        * cost.segment.count
        for cost in priced.costs
        if setting.model.units[cost.segment.unit].role == "module" and cost.segment.choice >= 0
    )
    pairs = (
        ("memory", priced.fullest.total, room),
        ("loss", priced.loss, setting.loss_limit),
        ("host memory", there, host),
        ("file", stored, question.file_bytes),
        ("tpot", sums.tpot, question.tpot_seconds),
        ("ttft", sums.ttft, question.ttft_seconds),
    )
    return [
        name
        for name, value, limit in pairs
        if limit is not None and value > limit * (1 + ROUNDING) + 1e-15
    ]


def model_row(setting: Setting, segment: Segment) -> int:
    """The planned module of a segment."""
    return setting.model.units[segment.unit].row


def slots_of(setting: Setting, layout: Layout) -> Iterator[int]:
    """Sequences a rank and micro-batch: those of the given batch, else 1, 2, 3 …"""
    batch = setting.question.batch
    if batch is not None:
        each, rest = divmod(batch, layout.dp * layout.pp)
        if each and not rest:
            yield each
        return
    slot = 0
    while True:
        slot += 1
        yield slot
