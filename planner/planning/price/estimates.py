"""Many estimates of one assignment on one device at once: workloads, batches and layouts as arrays.

The times are those of :func:`planner.estimate` with the layout and the batch given, bit by bit;
nothing is searched and no text is made. A scheme or cache layout makes
a model of its own::

    given = GivenValues(kv="fp8")
    question = build_question(spec, device, given, None, uniform="fp8-block", given=None)
    model = build_model(question, load_prior())
    found = estimate_batched(model, Asks.grid(tp=[8], dp=[1], pp=[1], ep=[8], batch=[1, 8, 64],
                                              isl=[1024, 8192], osl=[256]))
    found.tpot_seconds[found.fits]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import fsum

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError
from planner.placement.layout import Layout
from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.estimate_batch import EstimateBatch, distinct_layouts
from planner.planning.price.intervals import Spreads, certainty, served_sigmas, spreads
from planner.planning.price.physical_limits import PhysicalLimits, least_work, limits_of_question
from planner.planning.price.plan_kinds import kinds_of
from planner.planning.price.rank_bytes import rank_bytes
from planner.planning.price.served import ServedLoop, served_loop, serving_of, tabulate
from planner.planning.price.served_sigmas import Sigmas, ends_of, shares_of
from planner.planning.price.step import Assignment
from planner.planning.price.step_prices import segment_parts
from planner.planning.solver.problem import TOLERANCE
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.kernel_times import CandidateTimes, candidate_times
from planner.planning.space.losses import length_factor
from planner.planning.space.memory import budget, tables_and_stages
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
from planner.planning.space.times import Lengths
from planner.throughput.energy import activity_arrays
from planner.throughput.moe_choice import layout_codes
from planner.throughput.points import Points, points
from planner.throughput.roofline import MECHANISMS

Array = NDArray[np.float64]
Int = NDArray[np.int64]
Mask = NDArray[np.bool_]
REASONS = ("", "layout", "workload", "batch", "choice", "memory", "ttft", "tpot", "e2e")
"""Why an estimate is no plan, in the order in which it is asked; the first is a plan.

``layout``: the model or the links do not allow it; ``workload``: isl + osl exceed the context, or
the context the model; ``batch``: dp·pp does not divide it; ``choice``: a unit cannot take the
scheme or cache layout (under this layout); ``memory``, ``ttft``, ``tpot``, ``e2e``: over the limit.
"""
LAYOUT, WORKLOAD, BATCH, CHOICE, MEMORY, TTFT, TPOT, E2E = range(1, len(REASONS))
OVER_TIME = (TTFT, TPOT, E2E)


@dataclass(frozen=True, slots=True)
class Estimates:
    """Answers in the order of the asks, [N] each.

    ``reason`` int8 indexes REASONS (0: a plan). Seconds and rates are NaN and bytes 0 where a
    reason before memory holds; an estimate over a limit keeps its numbers. Bytes int64 are of the
    fullest device, rates of the whole deployment; ``loss`` is summed over the context, with that of
    caches. ``ends`` [2, N] are of the 80 % intervals, ``throughput_ends`` of the whole deployment;
    a basis is the place in ``intervals.BASES`` (-1: no time; that of a rate is TPOT's).
    ``activity`` is that of a device over a token (:mod:`planner.throughput.energy`).
    """

    reason: NDArray[np.int8]
    tpot_seconds: Array
    ttft_seconds: Array
    interruption_seconds: Array
    output_tokens_per_second: Array
    output_tokens_per_second_per_device: Array
    weights_bytes: Int
    kv_cache_bytes: Int
    activation_bytes: Int
    runtime_bytes: Int
    total_bytes: Int
    loss: Array
    cached_loss: Array
    tpot_ends: Array
    ttft_ends: Array
    throughput_ends: Array
    tpot_basis: NDArray[np.int8]
    ttft_basis: NDArray[np.int8]
    activity: Array

    @property
    def fits(self) -> Mask:
        """Where the estimate is a plan [N]."""
        return np.asarray(self.reason == 0)


def estimate_batched(model: CostModel, asks: EstimateBatch) -> Estimates:
    """Prices and bytes of ``asks`` under the only assignment of ``model``: its question names one
    scheme (or is as released) and one cache layout. The question's limits on TTFT, TPOT and memory
    count; its own workload, layout and batch do not.

    Raises:
        InputError: the question leaves a unit more than one choice.
    """
    choice = only_choice(model)
    layouts, index, allowed = distinct_layouts(model.question, asks)
    reason = np.zeros(len(asks), dtype=np.int8)
    _mark(reason, ~allowed, LAYOUT)
    _mark(
        reason,
        (asks.isl + asks.osl > asks.context) | (asks.context > model.question.spec.max_context),
        WORKLOAD,
    )
    _mark(reason, asks.batch % (asks.dp * asks.pp) != 0, BATCH)
    out = _Columns(len(asks))
    if choice is None:
        _mark(reason, np.ones(len(asks), dtype=bool), CHOICE)
    else:
        _fill(out, model, asks, layouts, index, reason, choice)
    ranks = asks.tp * asks.dp * asks.pp
    rate = asks.replicas * out.rate
    kept, cached = _losses(model, asks, choice or ())
    weights, cache, activation, runtime = out.bytes
    tpot_ends, ttft_ends, throughput_ends = out.ends
    step_basis, prompt_basis = out.bases
    return Estimates(
        reason,
        out.tpot,
        out.ttft,
        out.interruption,
        rate,
        rate / (asks.replicas * ranks),
        weights,
        cache,
        activation,
        runtime,
        out.bytes.sum(axis=0),
        kept + cached,
        cached,
        tpot_ends,
        ttft_ends,
        asks.replicas * throughput_ends,
        step_basis,
        prompt_basis,
        out.activity,
    )


def _losses(model: CostModel, asks: EstimateBatch, choice: tuple[int, ...]) -> tuple[float, Array]:
    """What the modules lose, and the caches over each ask's context [N]."""
    modules: list[float] = []
    cached = np.zeros(len(asks))
    for i, (unit, c) in enumerate(zip(model.units, choice, strict=False)):
        loss = float(model.layer_loss[i, c]) * unit.count if c >= 0 else 0.0
        if unit.role != "cache":
            modules.append(loss)
        elif loss:
            own = length_factor(model, unit, model.question.workload.context)
            factors = {n: length_factor(model, unit, n) / own for n in set(asks.context.tolist())}
            cached += loss * np.array([factors[n] for n in asks.context.tolist()])
    return fsum(modules), cached


def only_choice(model: CostModel) -> tuple[int, ...] | None:
    """The choice of each unit (-1: as released), or None where a unit has none.

    Raises:
        InputError: a unit has several.
    """
    choice: list[int] = []
    for unit, row in zip(model.units, model.possible, strict=True):
        if unit.decision < 0:
            choice.append(-1)
            continue
        able = np.flatnonzero(row)
        if len(able) > 1:
            raise InputError(
                f"{unit.id} may take " + ", ".join(model.choices[i] for i in able),
                hint="name one scheme and one cache layout",
            )
        if not len(able):
            return None
        choice.append(int(able[0]))
    return tuple(choice)


class _Columns:
    """Answers while they are filled: seconds [N], bytes [4, N]."""

    def __init__(self, count: int) -> None:
        self.tpot, self.ttft, self.rate, self.interruption, self.activity = (
            np.full(count, np.nan) for _ in range(5)
        )
        self.bytes = np.zeros((4, count), dtype=np.int64)
        self.ends = np.full((3, 2, count), np.nan)
        self.bases = np.full((2, count), -1, dtype=np.int8)

    def put(self, where: Int, loops: Sequence[ServedLoop], resident: Int) -> None:
        """The times and bytes at ``where``."""
        states = [loop.state for loop in loops]
        self.tpot[where] = [state.tpot for state in states]
        self.ttft[where] = [state.ttft for state in states]
        self.rate[where] = [loop.rate for loop in loops]
        self.interruption[where] = [state.interruption for state in states]
        self.bytes[:, where] = resident

    def put_sure(
        self,
        where: Int,
        sigmas: Sequence[Sigmas],
        limits: Sequence[PhysicalLimits],
        sure: Sequence[Spreads],
    ) -> None:
        """How sure TPOT, TTFT and throughput are at ``where``, and what the first two rest on."""
        values = (column[where].tolist() for column in (self.tpot, self.ttft, self.rate))
        ends = [ends_of(*one) for one in zip(*values, sigmas, limits, strict=True)]
        self.ends[:, :, where] = np.array(ends).transpose(1, 2, 0)
        self.bases[:, where] = [spread.basis for spread in sure]


def _fill(
    out: _Columns,
    model: CostModel,
    asks: EstimateBatch,
    layouts: list[Layout],
    index: Int,
    reason: NDArray[np.int8],
    choice: tuple[int, ...],
) -> None:
    """Answers of all asks without a reason; ``reason`` is completed."""
    if not layouts:
        return
    tables, stages = tables_and_stages(model, layouts)
    _mark(reason, ~_blocks(model, tables, choice)[index], CHOICE)
    where = np.flatnonzero(reason == 0)
    if not len(where):
        return
    some = asks.take(where)
    slots = some.batch // (some.dp * some.pp)
    pts = points(tables.layouts, list(zip(index[where].tolist(), slots.tolist(), strict=True)))
    work = model.question.workload
    cached = np.minimum((some.isl * work.prefix_hit_rate).astype(np.int64), some.isl - 1)
    lengths = Lengths(
        some.isl + some.osl / 2, some.isl, cached=cached, chunk=model.question.chunk_tokens
    )
    times = candidate_times(model, tables, pts, lengths, some.osl)
    segments = tied_segments(model, choice)
    loops = _loops(model, tables, some, index[where], segments)
    ends = some.context if work.reserved else some.isl + some.osl
    resident = rank_bytes(model, tables, stages, pts, some.context, ends, some.isl, segments)
    out.put(where, loops, resident)
    share = out.interruption[where] / out.tpot[where]
    busy, sure = [], []
    for phase, metric in (("decode", "tpot"), ("mixed", "ttft")):
        spent = _segment_seconds(model, times, segments, phase)
        sure.append(_spreads(model, segments, spent, pts, metric))
        busy.append(activity_arrays([(mechanisms, n) for mechanisms, n in spent]))
    ways = [layouts[i] for i in index[where].tolist()]
    kinds = kinds_of(model, choice, ways, some.batch.tolist())
    sigmas = [
        served_sigmas(model, kind, step, prompt, shares_of(loop.state, osl))
        for kind, step, prompt, loop, osl in zip(
            kinds,
            *(spread.sigma.tolist() for spread in sure),
            loops,
            some.osl.tolist(),
            strict=True,
        )
    ]
    least = least_work(model, segments)
    columns = (column.tolist() for column in (some.batch, some.isl, some.osl))
    limits = [
        limits_of_question(least, model.question, *one) for one in zip(ways, *columns, strict=True)
    ]
    out.put_sure(where, sigmas, limits, sure)
    out.activity[where] = (1.0 - share) * busy[0] + share * busy[1]
    _limits(reason, where, model, out, resident)


def _loops(
    model: CostModel,
    tables: LayoutTables,
    asks: EstimateBatch,
    index: Int,
    segments: Sequence[Segment],
) -> list[ServedLoop]:
    """The closed loop of each of ``asks``, whose layouts are ``index`` [C] of ``tables``."""
    work = model.question.workload
    plans = [Assignment(model, tables, i, tuple(segments)) for i in range(len(tables.layouts))]
    columns = (index, asks.batch, asks.isl, asks.osl, asks.context)
    keys = list(zip(*(column.tolist() for column in columns), strict=True))
    works = {
        (isl, osl, context): replace(work, isl=isl, osl=osl, context=context)
        for _, _, isl, osl, context in keys
    }
    wanted = [
        (i, serving_of(model.question, tables.layouts[i], float(batch), works[tuple(lengths)]))
        for i, batch, *lengths in dict.fromkeys(keys)
    ]
    tabulate(plans[0], wanted)
    known = {
        key: served_loop(plans[key[0]], float(key[1]), works[key[2:]])
        for key in dict.fromkeys(keys)
    }
    return [known[key] for key in keys]


Spent = tuple[dict[str, Array], float]
"""Seconds by mechanism, and in total, of one layer of a segment [C], and its layers."""


def _segment_seconds(
    model: CostModel, times: CandidateTimes, segments: Sequence[Segment], phase: str
) -> list[Spent]:
    """What the layers of each segment take in ``phase``."""
    at = np.arange(len(times.weight))
    known: dict[tuple[str, int, int], dict[str, Array]] = {}
    out = []
    for segment in segments:
        unit = model.units[segment.unit]
        key = unit.role, unit.row, segment.choice
        if key not in known:
            parts, rows = segment_parts(model, times, segment, phase, at)
            assert rows is not None
            known[key] = {name: getattr(parts, name)[:, 0][rows] for name in MECHANISMS}
            known[key]["total"] = parts.total()[:, 0][rows]
        out.append((known[key], float(segment.count)))
    return out


def _spreads(
    model: CostModel, segments: Sequence[Segment], spent: Sequence[Spent], pts: Points, metric: str
) -> Spreads:
    """How sure TPOT or TTFT (``metric``) is [C]; kernels of experts are told apart by layout."""
    codes = layout_codes(pts.tp, pts.dp, pts.ep)
    items = []
    for segment, (mechanisms, count) in zip(segments, spent, strict=True):
        unit = model.units[segment.unit]
        talk = mechanisms["communication"]
        own = (mechanisms["total"] - talk) * count
        shares = (
            {code: np.where(codes == code, own, 0.0) for code in np.unique(codes).tolist()}
            if unit.kind in EXPERT_KINDS
            else {0: own}
        )
        for code, share in shares.items():
            name, how = certainty(model, unit, segment.choice, decode=metric == "tpot", code=code)
            items.append((name, how, share))
        items.append(("collective", model.machine.net.certainty, talk * count))
    return spreads(items)


def _limits(
    reason: NDArray[np.int8], where: Int, model: CostModel, out: _Columns, resident: Int
) -> None:
    question = model.question
    _mark_at(reason, where, resident.sum(axis=0) > budget(question), MEMORY)
    limits = question.time_limits
    times = question.limited_times(out.ttft[where], out.tpot[where])
    for code in OVER_TIME:
        name = REASONS[code]
        if name in limits:
            _mark_at(reason, where, times[name] > limits[name] * (1 + TOLERANCE), code)


def _blocks(model: CostModel, tables: LayoutTables, choice: tuple[int, ...]) -> Mask:
    """Layouts whose shards keep whole scale blocks under ``choice``, bool [L]."""
    legal = np.ones(len(tables.layouts), dtype=bool)
    for unit, c in zip(model.units, choice, strict=True):
        if unit.role == "module":
            legal &= tables.blocks[:, unit.row, c]
    return legal


def _mark(reason: NDArray[np.int8], where: Mask, value: int) -> None:
    """``value`` where ``where`` [N] holds and no reason stands yet."""
    reason[where & (reason == 0)] = value


def _mark_at(reason: NDArray[np.int8], index: Int, where: Mask, value: int) -> None:
    """The same for the estimates at ``index``."""
    hit = index[where]
    reason[hit[reason[hit] == 0]] = value
