"""Whole steps of one assignment: T(p, B) for many batches at once, and the tables serving needs.

A pass over p prompt tokens and B decoding sequences reads every weight once for p + B rows; the
attention core runs apart for the sequences that decode and for the prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.placement.modules import EXPERT_KINDS
from planner.planning.price.step_prices import layer_classes, pass_sums
from planner.planning.space.assignment import Segment
from planner.planning.space.kernel_times import CandidateTimes, hops_of_passes
from planner.planning.space.model import CostModel
from planner.planning.space.operators import unit_parts
from planner.planning.space.tables import LayoutTables
from planner.planning.space.times import Lengths, timed_units
from planner.throughput.fixed import pipeline_seconds
from planner.throughput.points import (
    Phase,
    Points,
    decode_phase,
    mixed_phase,
    points,
)
from planner.throughput.roofline import Parts, fused_operators
from planner.throughput.scheduling import Stages, StepTimes

Array = NDArray[np.float64]
IDLE = 1e-9
"""Sequences of a rank that decodes nothing."""
GROUP_LIMIT = 32
"""Prompts of one pass that are tabulated for a burst of arrivals."""


@dataclass(frozen=True)
class Assignment:
    """Layers of every unit with their choices on the layout ``layout`` of ``tables``."""

    model: CostModel
    tables: LayoutTables
    layout: int
    segments: tuple[Segment, ...]

    @property
    def choice(self) -> tuple[int, ...]:
        """The choice of each unit [U] (an index into ``model.choices``; -1: as released), of
        several that of its last layers."""
        by_unit = {segment.unit: segment.choice for segment in self.segments}
        return tuple(by_unit[i] for i in range(len(self.model.units)))


@dataclass(frozen=True, slots=True)
class PassWork:
    """What forward passes do, arrays [N] or numbers that hold for all.

    ``batch`` sequences of a rank decode at ``kv_len`` cached tokens, each with ``verified`` tokens
    (draft length + 1; 1 without speculative decoding). ``prompts`` new requests of ``length``
    tokens, of which the first ``cached`` are in the prefix cache, are read beside them, on
    ``reading`` of the attention ranks at the same time.
    """

    batch: Array
    prompts: Array
    kv_len: float
    length: float
    cached: float = 0.0
    verified: float = 1.0
    reading: float = 1.0


def dense_phase(plan: Assignment, work: PassWork) -> tuple[Points, Phase]:
    """What everything but the attention core sees: one pass over all rows."""
    every = np.maximum(np.asarray(work.batch, dtype=np.float64), 1e-9)
    pts = replace(points(plan.tables.layouts, [(plan.layout, 1)] * len(every)), slot=every)
    new = work.prompts * (work.length - work.cached)
    rows = np.maximum(work.batch * work.verified + new, 1e-9)
    pooled = work.batch * work.verified * pts.dp + new * work.reading
    return pts, Phase(
        "decode",
        tokens=rows,
        pooled=pooled,
        passes=1.0,
        sequences=work.batch + work.prompts,
        kv_len=work.kv_len,
        logit_rows=np.maximum(work.batch * work.verified + work.prompts, 1e-9),
    )


@dataclass(frozen=True, slots=True)
class Serving:
    """What a step table is made for. ``draft``: tokens proposed a step and sequence (0: none), by
    ``draft_layers`` extra layers; ``hit_rate``: share of a prompt that the prefix cache holds;
    ``chunk``: most prompt tokens of one pass; ``most``: the largest batch of one rank;
    ``overlap``: passes run as two micro-batches, the exchange of one behind the
    kernels of the other; ``reading``: ranks
    that read a prompt in the same pass (all of them where prompts have workers of their own);
    ``length``: tokens of a sequence's cache where it decodes (0: the mean over a request's life).
    """

    isl: int
    osl: int
    most: float
    chunk: int
    draft: int = 0
    draft_layers: int = 1
    hit_rate: float = 0.0
    overlap: bool = False
    reading: float = 1.0
    length: float = 0.0


def step_times(plan: Assignment, work: Serving) -> StepTimes:
    """T(0, B), T(I, B) and bursts of prompts for ``plan``, on a ladder of batches that does not
    depend on the largest, so that every caller reads the same times."""
    return step_tables(plan, [(plan.layout, work)])[0]


def step_tables(plan: Assignment, wanted: Sequence[tuple[int, Serving]]) -> list[StepTimes]:
    """:func:`step_times` of the assignment on each (layout of its tables, work) that is wanted, all
    kernels timed together; the works differ in lengths and batches alone."""
    rows = [_rows(plan, layout, work) for layout, work in wanted]
    first, question = wanted[0][1], plan.model.question
    layouts, slots, prompts, reading, decode, isl, cached = (
        np.concatenate([getattr(row, name) for row in rows])
        for name in ("layout", "slot", "prompts", "reading", "decode", "isl", "cached")
    )
    at = replace(
        points(plan.tables.layouts, [(i, 1) for i in layouts.astype(int).tolist()]), slot=slots
    )
    lengths = Lengths(
        decode,
        isl.astype(np.int64),
        prompts,
        reading,
        cached.astype(np.int64),
        first.chunk,
        first.draft + 1.0 if first.draft else question.verified,
    )
    passes = pass_table(plan, at, lengths)
    if first.overlap:
        passes = _overlapped(plan, at, lengths, passes)
    longer = 1.0 + first.draft * first.draft_layers / question.spec.layers
    ends = np.cumsum([len(row.slot) for row in rows])
    return [
        row.table(passes[:, end - len(row.slot) : end], longer)
        for row, end in zip(rows, ends.tolist(), strict=True)
    ]


@record
class _TableRows:
    """The passes that one table is made of: columns [N] of ``batch`` [G] beside a prompt, the same
    with prompts on all ranks (``everywhere``), and groups of prompts on idle ranks, in a pipeline
    of ``stages``."""

    batch: Array
    passes: int
    together: float
    everywhere: bool
    stages: int
    tokens: float
    layout: Array
    slot: Array
    prompts: Array
    reading: Array
    decode: Array
    isl: Array
    cached: Array

    def table(self, seconds: Array, longer: float) -> StepTimes:
        """The table of the seconds of its passes [4, N] (:func:`pass_table`), steps ``longer`` by
        what drafts."""
        all_stages = self._of(seconds[0], seconds[1], longer)
        if self.stages == 1:
            return all_stages
        slowest = self._of(seconds[2], seconds[3], longer)
        stages = Stages(
            self.stages, slowest.decode, slowest.mixed, slowest.group, slowest.everywhere
        )
        return replace(all_stages, stages=stages)

    def _of(self, step: Array, mixed: Array, longer: float) -> StepTimes:
        n = len(self.batch)
        decode = step[:n] * longer
        decode[0] = 0.0
        tables = [
            mixed[n * i : n * (i + 1)] * longer - (self.passes - 1) * decode
            for i in range(1 + self.everywhere)
        ]
        return StepTimes(
            batch=self.batch,
            decode=decode,
            mixed=tables[0],
            group=mixed[n * len(tables) :] if self.passes == 1 else tables[-1][:1],
            chunks=self.passes,
            together=self.together,
            everywhere=tables[1] if self.everywhere else None,
            tokens=self.tokens,
        )


def _rows(plan: Assignment, layout: int, work: Serving) -> _TableRows:
    batch, here = batch_ladder(work.most), plan.tables.layouts[layout]
    cached = min(int(work.isl * work.hit_rate), work.isl - 1)
    passes = -(-(work.isl - cached) // work.chunk)
    everywhere = here.dp > work.reading
    most = max(1, min(GROUP_LIMIT, work.chunk // max(work.isl, 1))) if passes == 1 else 0
    slots = np.concatenate([np.tile(np.maximum(batch, IDLE), 1 + everywhere), np.full(most, IDLE)])
    reading = [np.full(len(batch), work.reading), np.full(len(slots) - len(batch), float(here.dp))]
    every = np.ones(len(slots))
    return _TableRows(
        batch,
        passes,
        work.chunk / max(work.isl - cached, 1.0),
        everywhere,
        here.pp,
        float(min(work.isl - cached, work.chunk)),
        every * layout,
        slots,
        np.concatenate([np.ones(len(slots) - most), np.arange(1.0, 1 + most)]),
        np.concatenate(reading),
        every * (work.length or work.isl + work.osl / 2),
        every * work.isl,
        every * cached,
    )


def pass_table(plan: Assignment, at: Points, lengths: Lengths) -> Array:
    """Seconds [4, N] of a step and of all passes of prompts beside it, through every stage with its
    hops, and of both in the slowest stage."""
    model = plan.model
    units = timed_units(model, plan.tables, at, lengths)
    none, mixed = np.zeros(len(at)), _mixed(at, lengths)
    step = decode_phase(at, lengths.decode, lengths.verified)
    hop, hop_mixed = (none + seconds for seconds in hops_of_passes(model, at, step, mixed))
    times = CandidateTimes(model, units, hop, hop_mixed, none, mixed.passes)
    sums = pass_sums(model, times, at, plan.segments)
    return np.stack(
        [sums.step + hop, sums.mixed + hop_mixed, sums.step_of_stage, sums.mixed_of_stage]
    )


def _mixed(at: Points, lengths: Lengths, share: float = 1.0) -> Phase:
    return mixed_phase(
        at,
        lengths.decode,
        lengths.isl,
        lengths.chunk,
        share * lengths.prompts,
        lengths.reading,
        lengths.cached,
        lengths.verified,
    )


def _overlapped(plan: Assignment, at: Points, lengths: Lengths, passes: Array) -> Array:
    """``passes`` run as two micro-batches [4, N]."""
    step = overlapped_seconds(
        plan, at, lambda pts, share: decode_phase(pts, lengths.decode, lengths.verified)
    )
    mixed = overlapped_seconds(plan, at, lambda pts, share: _mixed(pts, lengths, share))
    shorter = np.stack([step, mixed]) / np.maximum(passes[:2], IDLE * 1e-9)
    return np.asarray(passes * np.concatenate([shorter, shorter]))


def overlapped_seconds(
    plan: Assignment, pts: Points, phase_of: Callable[[Points, float], Phase]
) -> Array:
    """Seconds of passes run as two micro-batches [N], each of half the sequences and a ``share`` of
    half a prompt of ``phase_of(points, share)``: the exchange of one hides behind the other's
    kernels, max(2·(T − X), 2·X) of the halves. One sequence is not split."""
    half = replace(pts, slot=pts.slot / 2)
    split = pass_seconds(plan, half, phase_of(half, 0.5))
    talk = 2.0 * split.exchange
    both = np.maximum(2.0 * split.total - talk, talk)
    unsplit = phase_of(pts, 1.0)
    few = (pts.slot < 2) & (unsplit.name == "decode")
    return np.where(few, pass_seconds(plan, pts, unsplit).total, both)


@record
class PassSeconds:
    """A pass through all layers: seconds by kind of module (``pipeline``: the hops between stages),
    [N] each, and of them those that tokens of experts are on the way between ranks [N]."""

    by_kind: dict[str, Array]
    exchange: Array

    @property
    def total(self) -> Array:
        """Seconds of the pass [N]."""
        return np.asarray(sum(self.by_kind.values()))


def pass_seconds(plan: Assignment, pts: Points, phase: Phase) -> PassSeconds:
    """One pass of ``phase`` over the candidates ``pts`` [N], kernels as
    :mod:`planner.planning.price.step_prices` adds them up. Every stage counts: with pp > 1 it is
    the time of one micro-batch through all of them."""
    model, none = plan.model, np.zeros(len(pts))
    units: dict[tuple[str, int], Parts] = {}
    for unit in model.units:
        key = unit.role, unit.row
        if key not in units:
            units[key] = unit_parts(model, plan.tables, pts, phase, unit)
    groups = layer_classes(model, plan.segments)
    hops = pipeline_seconds(model.question.spec, model.machine, pts, phase)
    seconds, exchange = {"pipeline": np.asarray(hops + none)}, none
    known: dict[tuple[tuple[str, int, int], ...], Parts] = {}
    for kernels, layers in zip(groups.kernels, groups.counts, strict=True):
        for kernel in kernels:
            members = tuple(_member(model, plan.segments[i]) for i in kernel)
            if members not in known:
                columns = [units[role, row].column(column) for role, row, column in members]
                known[members] = columns[0] if len(columns) == 1 else fused_operators(columns)
            kind = model.units[plan.segments[kernel[0]].unit].kind
            parts = known[members]
            seconds[kind] = seconds.get(kind, none) + layers * parts.total()[:, 0]
            if kind in EXPERT_KINDS:
                exchange = exchange + layers * parts.communication[:, 0]
    return PassSeconds(seconds, exchange)


def _member(model: CostModel, segment: Segment) -> tuple[str, int, int]:
    """Role, row and column of times of what a segment runs."""
    unit = model.units[segment.unit]
    first = len(model.question.schemes) if unit.role == "cache" else 0
    return unit.role, unit.row, max(segment.choice - first, 0)


def rank_points(plan: Assignment, slots: Array) -> Points:
    """The layout of ``plan`` with so many sequences on a rank [N]."""
    return replace(points(plan.tables.layouts, [(plan.layout, 1)] * len(slots)), slot=slots)


def batch_ladder(most: float) -> Array:
    """0, 1, 2, 3, 4, 6, 8, 12 … up to the first that is ``most`` or more."""
    out, power = [0.0, 1.0], 2.0
    while out[-1] < most:
        out += [power, 1.5 * power]
        power *= 2
    return np.array(out)
