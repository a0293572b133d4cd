"""A grid of questions about one model and device: devices × batch × limit on loss, planned exactly.

One space of layouts and batches is priced for a workload and a set of formats; every point of the
grid searches its part of it as a single question would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from planner.formats.schemes import scheme
from planner.placement.layout import Layout
from planner.placement.shards import module_bytes
from planner.planning.answer.assemble import scheme_of
from planner.planning.answer.capacity import most_at_requests
from planner.planning.answer.measured_anchor import measured_anchor
from planner.planning.infeasible.binding_limit import limited
from planner.planning.infeasible.conflicting_limits import limits_of, without
from planner.planning.infeasible.feasible import ILLEGAL
from planner.planning.plan.record import PerformanceInfo, QualityInfo
from planner.planning.price.intervals import performance
from planner.planning.price.price import Priced, RankBytes, price
from planner.planning.question.question import Question
from planner.planning.search.best_first import Found, searched
from planner.planning.search.formulate import loss_limit
from planner.planning.search.spaces import asked
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import (
    MOST_SLOTS,
    Space,
    build_space,
    grid,
    possible_layouts,
)
from planner.planning.space.losses import quality
from planner.planning.space.memory import budget, stage_table
from planner.planning.space.model import CostModel, build_model
from planner.planning.space.smallest import Least, least, most_slots
from planner.planning.space.tables import LayoutTables, layout_tables
from planner.planning.whatif.grid_axes import Axis
from planner.quality.prior import load_prior

Loss = tuple[str | None, float | None]
"""A limit on loss: (uniform scheme, None) or (None, nats)."""


@dataclass(frozen=True, slots=True)
class Planned:
    """The best plan at a point. ``formats`` are (kind, layers, scheme or cache layout, bytes of the
    weights) by unit, ``room`` the requests that one replica holds."""

    layout: Layout
    replicas: int
    batch: int
    performance: PerformanceInfo
    quality: QualityInfo
    memory: RankBytes
    room: int
    formats: tuple[tuple[str, tuple[int, ...], str, int], ...]
    engine: str = ""

    @property
    def devices(self) -> int:
        return self.layout.ranks * self.replicas


@dataclass(frozen=True, slots=True)
class Infeasible:
    """A point without a plan: ``limit`` is what excludes it.

    ``layout``: no way to divide the model over the devices; ``batch``: no multiple of the ranks
    that share it; ``schemes``: a module has no legal choice; ``memory``: ``need`` bytes of a device
    at least, ``have`` usable; else names of limits that contradict each other, joined by ``+``.
    """

    limit: str
    need: int = 0
    have: int = 0


Point = Planned | Infeasible


@dataclass(frozen=True, slots=True)
class PooledPoint:
    """The best two pools of a context, device count and limit on loss, batches and formats free:
    ``prefill`` and ``decode`` are (workers, layout of one, schemes)."""

    prefill: tuple[int, Layout, tuple[str, ...]]
    decode: tuple[int, Layout, tuple[str, ...]]
    kv: str
    output_tokens_per_second: float
    tpot_seconds: float
    ttft_seconds: float


@dataclass(frozen=True, slots=True)
class Grid:
    """A planned grid: ``points`` in row-major order of ``axes``. ``command`` is what all points
    share, to which the flags of their values are added. Points are of workers that do both;
    ``pools`` are those beside them by context, devices and limit on loss (row-major; None: no pools
    keep the limits), and none of a plan without pools."""

    command: str
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    pools: tuple[PooledPoint | None, ...] = ()

    @property
    def base(self) -> int:
        """The position of the point that the axes' own values meet in."""
        at = 0
        for axis in self.axes:
            at = at * len(axis) + axis.base
        return at


@dataclass(frozen=True, slots=True)
class Inner:
    """The axes inside a block: device counts, batches (None: searched), limits on loss."""

    devices: tuple[int, ...]
    batches: tuple[int | None, ...]
    losses: tuple[Loss, ...]

    def __len__(self) -> int:
        return len(self.devices) * len(self.batches) * len(self.losses)


def block(questions: Sequence[Question], inner: Inner) -> list[Point]:
    """Every point of one workload and set of formats, in the order devices, batch, loss.

    ``questions`` are the ways to serve it; the best answer counts, as in a single question.
    """
    grounds = [_ground(replace(q, sizes=inner.devices, devices_given=True, batch=None), inner)
               for q in questions]
    out: list[Point] = []
    for devices in inner.devices:
        for batch in inner.batches:
            parts = [_part(ground, devices, batch) for ground in grounds]
            found = _answers(parts, inner.losses)
            out += [_point(parts, one, loss)
                    for one, loss in zip(found, inner.losses, strict=True)]
    return out


@dataclass(frozen=True)
class _Ground:
    """What the points of a block share under one way to serve: the model and its priced space
    (None: nothing fits), of which ``free`` (layout, slot) are those of a search for the best batch.
    ``known`` keeps prices by layout, slot and segments."""

    model: CostModel
    layouts: list[Layout]
    tables: LayoutTables | None
    smallest: list[Least]
    space: Space | None
    free: frozenset[tuple[int, int]] = frozenset()
    known: dict[tuple[object, ...], Priced] = field(default_factory=dict)


def _ground(question: Question, inner: Inner) -> _Ground:
    model = build_model(question, load_prior())
    layouts = possible_layouts(question)
    if not layouts:
        return _Ground(model, [], None, [], None)
    tables = layout_tables(model, layouts)
    stages = stage_table(model, tables)
    smallest = [least(model, tables, stages[i], i) for i in range(len(layouts))]
    most = most_slots(model, tables, smallest, MOST_SLOTS).tolist()
    free = [(i, slot) for i, limit in enumerate(most) for slot in grid(limit)] \
        if None in inner.batches else []
    asked_for = [(i, slot) for i, layout in enumerate(layouts)
                 for slot in _slots(layout, inner.batches) if slot <= most[i]]
    pairs = sorted({*free, *asked_for})
    space = build_space(model, tables, stages, pairs) if pairs else None
    return _Ground(model, layouts, tables, smallest, space, frozenset(free))


def _slots(layout: Layout, batches: Sequence[int | None]) -> list[int]:
    """Slots of a layout that some batch of the grid asks for."""
    share = layout.dp * layout.pp
    return [b // share for b in batches if b is not None and b % share == 0]


@dataclass(frozen=True, slots=True)
class _Part:
    """The candidates of one device count and batch; ``space`` is None where none fits."""

    ground: _Ground
    question: Question
    space: Space | None


def _part(ground: _Ground, devices: int, batch: int | None) -> _Part:
    question = replace(ground.model.question, sizes=(devices,), batch=batch)
    space = ground.space
    if space is None:
        return _Part(ground, question, None)
    ranks = np.array([la.ranks for la in ground.layouts])[space.pts.layout]
    places = zip(space.pts.layout.tolist(), space.slots.tolist(), strict=True)
    here = (devices % ranks == 0) & (np.array([place in ground.free for place in places])
                                     if batch is None else space.pts.batch == batch)
    where = np.nonzero(here)[0]
    return _Part(ground, question, asked(space.take(where), sizes=(devices,), batch=batch)
                 if len(where) else None)


def _answers(parts: Sequence[_Part], losses: Sequence[Loss]) -> list[tuple[_Part, Found] | None]:
    """The answer under each limit on loss and the part that it is of; what has no plan under a
    looser limit has none."""
    open_ = [part for part in parts if part.space is not None]
    out: list[tuple[_Part, Found] | None] = [None] * len(losses)
    spaces = [[asked(part.space, loss_scheme=name, loss_limit=nats)
               for part in open_ if part.space is not None] for name, nats in losses]
    limits = [_or_inf(loss_limit(some[0].model)) if some else np.inf for some in spaces]
    for n in sorted(range(len(losses)), key=lambda i: -limits[i]):
        found = searched(spaces[n]) if spaces[n] else None
        if found is None:
            break
        at = next(i for i, space in enumerate(spaces[n]) if space is found.grid)
        out[n] = open_[at], found
    return out


def _or_inf(limit: float | None) -> float:
    return np.inf if limit is None else limit


def _point(parts: Sequence[_Part], found: tuple[_Part, Found] | None, loss: Loss) -> Point:
    return _refused(parts, loss) if found is None else _planned(found[0].ground, found[1])


def _planned(ground: _Ground, found: Found) -> Planned:
    model = found.space.model
    priced = _priced(ground, found)
    replicas = model.question.replicas(priced.layout.ranks)
    return Planned(
        priced.layout, replicas, priced.batch, performance(model, priced, replicas),
        replace(quality(model, priced.loss), measured_anchor=measured_anchor(model, priced)),
        priced.fullest, most_at_requests(model, priced),
        tuple(_format(model, segment) for segment in found.segments))


def _format(model: CostModel, segment: Segment) -> tuple[str, tuple[int, ...], str, int]:
    unit = model.units[segment.unit]
    name = scheme_of(model, unit.role, unit.row, segment.choice)[0]
    size = 0 if unit.role == "cache" else segment.count * (
        model.released[unit.row].stored_bytes if unit.role == "released"
        else module_bytes(model.planned[unit.row], scheme(name)))
    return unit.kind, segment.layers, name, size


def _priced(ground: _Ground, found: Found) -> Priced:
    layout = int(found.space.pts.layout[found.candidate])
    slot = int(found.space.pts.slot[found.candidate])
    key = (layout, slot, found.segments)
    if key not in ground.known:
        ground.known[key] = price(found.space, found.candidate, found.segments)
    return ground.known[key]


def _refused(parts: Sequence[_Part], loss: Loss) -> Infeasible:
    """What excludes every plan in all ways to serve, as
    :mod:`planner.planning.infeasible.diagnose` orders it."""
    question, sizes, placed = parts[0].question, [], False
    for part in parts:
        ground = part.ground
        for i, layout in enumerate(ground.layouts):
            if question.sizes[0] % layout.ranks or ground.tables is None:
                continue
            placed = True
            slots = [1] if question.batch is None else _slots(layout, (question.batch,))
            if slots:
                sizes.append(ground.smallest[i].at(ground.model, ground.tables, i, slots[0]))
    if not sizes:
        return Infeasible("batch" if placed else "layout")
    fewest = min(sizes)
    if fewest >= ILLEGAL:
        return Infeasible("schemes")
    if fewest > budget(question):
        given = limited(question, fewest)
        return Infeasible("memory-bytes" if given else "memory", fewest,
                          budget(question) if given else question.usable_bytes)
    return Infeasible("+".join(_at_odds(parts, loss)) or "memory")


def _at_odds(parts: Sequence[_Part], loss: Loss) -> list[str]:
    """Limits that no plan keeps together: the deletion filter of
    :mod:`planner.planning.infeasible.conflicting_limits` in spaces that are priced already."""
    spaces = [asked(part.space, loss_scheme=loss[0], loss_limit=loss[1])
              for part in parts if part.space is not None]
    names = list(limits_of(spaces[0].model))
    for name in list(names) if len(names) > 1 else []:
        fewer = [replace(space, model=replace(
            space.model, question=without(space.model.question, name))) for space in spaces]
        if searched(fewer) is None:
            spaces = fewer
            names.remove(name)
    return names
