"""Candidates of a search: layouts × sequences per rank, with the times of every unit."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import Layout, replica_layouts
from planner.planning.question.question import PREFILL_CHUNK, Question
from planner.planning.solver.problem import cheapest
from planner.planning.space.memory import StageBytes, budget, overheads, smallest
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables, legality
from planner.planning.space.times import Key, Lengths, Timed, timed_units
from planner.records import cached_record
from planner.throughput.arrivals import prompts_a_step
from planner.throughput.fixed import pipeline_seconds
from planner.throughput.points import Phase, Points, decode_phase, mixed_phase, points

Array = NDArray[np.float64]
Int = NDArray[np.int64]
SLOTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Sequences per rank and micro-batch that are tried; the best is refined between its neighbours."""


def possible_layouts(question: Question) -> list[Layout]:
    """Single-replica layouts whose device count divides one of the sizes to try."""
    largest = max(question.sizes)
    reach = question.net.reach()
    wanted = []
    for layout in replica_layouts(question.spec, max_ranks=largest, node=question.node_devices,
                                  fixed=question.fixed):
        fits = any(size % layout.ranks == 0 for size in question.sizes) \
            if question.devices_given else layout.ranks in question.sizes
        if fits and layout.ranks <= reach:
            wanted.append(layout)
    return wanted


def slots_to_try(question: Question, layout: Layout) -> list[int]:
    """Slots for one layout: the one that the given batch implies, or the grid."""
    if question.batch is not None:
        each, rest = divmod(question.batch, layout.dp * layout.pp)
        return [each] if each >= 1 and rest == 0 else []
    return list(SLOTS)


@cached_record
class Space:
    """All candidates that could fit, with unit times [C, U, S] of one layer and legality.

    ``decode`` is what a unit adds to a step on average: its own time, and its share of the prompts
    that are read in between. ``prefill`` is a prompt's way through, the decoding batch beside it.
    """

    model: CostModel
    tables: LayoutTables
    stages: list[StageBytes]
    pts: Points
    decode: Array
    prefill: Array
    decode_constant: Array
    prefill_constant: Array
    legal: NDArray[np.bool_]
    extra: Int
    """Activations, runtime, indexer keys and states of one rank [C]."""
    floor: Array
    """The least seconds of a step without prompts [C]."""
    times: CandidateTimes
    rows: Int
    """The candidates' places in ``times`` [C]."""

    def __len__(self) -> int:
        return len(self.pts)

    def take(self, where: Int) -> Space:
        """The candidates at ``where``."""
        return Space(self.model, self.tables, self.stages, self.pts.take(where),
                     self.decode[where], self.prefill[where], self.decode_constant[where],
                     self.prefill_constant[where], self.legal[where], self.extra[where],
                     self.floor[where], self.times, self.rows[where])

    @cached_property
    def padded(self) -> tuple[Int, Int]:
        """(fixed [L, P], counts [L, P, U]) of all layouts, padded with empty stages."""
        most = max(len(s.fixed) for s in self.stages)
        fixed = np.zeros((len(self.stages), most), dtype=np.int64)
        counts = np.zeros((len(self.stages), most, len(self.model.units)), dtype=np.int64)
        for i, stage in enumerate(self.stages):
            fixed[i, :len(stage.fixed)] = stage.fixed
            counts[i, :len(stage.fixed)] = stage.counts
        return fixed, counts

    @cached_property
    def released_stages(self) -> tuple[Array, Array]:
        """(seconds of the as-released units in each stage [C, P], hops between stages [C])."""
        fixed = np.array([u.role == "released" for u in self.model.units])
        stages = by_stage(self, np.where(fixed, self.decode[:, :, 0], 0.0))
        return stages, np.asarray(self.decode_constant - stages.sum(axis=1))

    @cached_property
    def pacing(self) -> Int:
        """The pipeline stage that is slowest at the fastest choices [C]."""
        return np.asarray(self.fast_stages.argmax(axis=1))

    @cached_property
    def fast_stages(self) -> Array:
        """Seconds of each pipeline stage where every unit takes its fastest choice [C, P]."""
        fixed = np.array([u.role == "released" for u in self.model.units])
        own = cheapest(np.where(self.legal & np.isfinite(self.decode), self.decode, np.inf))
        seconds = np.where(fixed, self.decode[:, :, 0], np.where(np.isfinite(own), own, 0.0))
        return by_stage(self, seconds)

    @cached_property
    def prompt_limit(self) -> Array:
        """Seconds that a prompt's way through may take so that TTFT, its queue included, keeps the
        question's limit [C]; inf without one.

        The queue is that of the fastest possible step: a slower one has a shorter queue.
        """
        limit = self.model.question.ttft_seconds
        if limit is None:
            return np.full(len(self), np.inf)
        tpot = fastest(self.decode, self.legal, self.model) + self.decode_constant
        low, high = np.zeros(len(self)), np.full(len(self), limit)
        for _ in range(40):
            middle = 0.5 * (low + high)
            over = middle + self.wait(tpot, middle) > limit
            low, high = np.where(over, low, middle), np.where(over, middle, high)
        return low

    def wait(self, tpot: Array, prompt: Array) -> Array:
        """An upper bound of the queue before a ``prompt`` seconds long at ``tpot`` [C]: the step
        that it interrupts is taken for the fastest possible one."""
        sequences, pp = self.pts.slot * self.pts.pp, self.pts.pp
        added = np.maximum(prompt - self.times.passes * self.floor, 0.0) / pp
        busy = sequences * added / (self.model.question.workload.osl * tpot)
        return queue(busy, prompt / pp, sequences)

    @cached_property
    def held(self) -> Int:
        """Sequences whose caches a rank holds [C]."""
        return np.asarray(self.pts.slot.astype(np.int64) * self.pts.pp.astype(np.int64))


def fitting_pairs(model: CostModel, tables: LayoutTables, stages: list[StageBytes],
                  ) -> list[tuple[int, int]]:
    """(layout, slot) pairs whose smallest assignment fits; a layout's slots stop at the first
    that does not."""
    limit = budget(model.question)
    pairs = []
    smallest_of = smallest(model, tables, stages, range(len(tables.layouts)))
    for i, layout in enumerate(tables.layouts):
        slots = np.array(slots_to_try(model.question, layout), dtype=np.int64)
        used = smallest_of[i].at_slots(layout.pp, slots,
                                   overheads(model, tables, np.full(len(slots), i), slots))
        over = np.flatnonzero(used > limit)
        fitting = slots[:over[0]] if len(over) else slots
        pairs += [(i, slot) for slot in fitting.tolist()]
    return pairs


def build_space(model: CostModel, tables: LayoutTables, stages: list[StageBytes],
                pairs: list[tuple[int, int]]) -> Space:
    """Times and legality of ``pairs``."""
    pts = points(tables.layouts, pairs)
    times = step_times(model, tables, pts)
    pure, prefill, decode = _unit_times(model, times, len(pts))
    fixed = np.array([u.role == "released" for u in model.units])
    layers = np.array([u.count for u in model.units], dtype=np.float64)
    legal = legality(model, tables, pts.layout)
    return Space(
        model, tables, stages, pts, decode, prefill,
        decode_constant=(decode[:, fixed, 0] * layers[fixed]).sum(axis=1)
        + with_prompts(times.hop, times.hop_mixed, times.weight, times.passes),
        prefill_constant=(prefill[:, fixed, 0] * layers[fixed]).sum(axis=1) + times.hop_mixed,
        legal=legal,
        extra=overheads(model, tables, pts.layout, pts.slot.astype(np.int64)),
        floor=fastest(pure, legal, model) + (pure[:, fixed, 0] * layers[fixed]).sum(axis=1),
        times=times, rows=np.arange(len(pts)))


@cached_record
class CandidateTimes:
    """Mechanisms of every unit on C candidates, and seconds between pipeline stages [C].

    ``weight`` is how many prompts the average step reads [C], ``passes`` the passes of one.
    ``model`` is whose times they are."""

    model: CostModel
    units: dict[Key, Timed]
    hop: Array
    hop_mixed: Array
    weight: Array
    passes: float


def step_times(model: CostModel, tables: LayoutTables, pts: Points) -> CandidateTimes:
    """Times of all units on ``pts``."""
    work = model.question.workload
    step = decode_phase(pts, work.decode_length)
    mixed = mixed_phase(pts, step.kv_len, work.isl, PREFILL_CHUNK)
    assert isinstance(mixed.passes, float)
    return CandidateTimes(
        model, timed_units(model, tables, pts, Lengths(work.decode_length, work.isl)),
        hops(model, pts, step), hops(model, pts, mixed), prompt_weight(model.question, pts),
        mixed.passes)


def retimed(space: Space) -> Space:
    """``space`` with the mechanisms of its units anew: for a change of its model, tables or points.
    Sums of the solver stay as they were."""
    return replace(space, times=step_times(space.model, space.tables, space.pts),
                   rows=np.arange(len(space.pts)))


def _unit_times(model: CostModel, times: CandidateTimes, count: int) -> tuple[Array, Array, Array]:
    """Seconds of one layer [C, unit, choice]: of a step without prompts, of a mixed pass, of a step
    with its prompts; inf where the choice does not apply."""
    schemes = len(model.question.schemes)
    columns = {"module": slice(0, schemes), "cache": slice(schemes, None), "released": slice(None)}
    out = tuple(np.full((count, len(model.units), len(model.choices)), np.inf) for _ in range(3))
    known: dict[Key, tuple[Array, Array, Array]] = {}
    for i, unit in enumerate(model.units):
        key = (unit.role, unit.row)
        if key not in known:
            one = times.units[key]
            step, mixed = (seconds[one.at] for seconds in one.seconds)
            known[key] = (step, mixed, with_prompts(step, mixed, times.weight[:, None],
                                                    times.passes))
        for table, seconds in zip(out, known[key], strict=True):
            table[:, i, columns[unit.role]] = seconds
    return out[0], out[1], out[2]


def hops(model: CostModel, pts: Points, phase: Phase) -> Array:
    """Seconds between pipeline stages in one pass [C]."""
    return pipeline_seconds(model.question.spec, model.machine, pts, phase)


def prompt_weight(question: Question, pts: Points) -> Array:
    """Prompts that the average step of a micro-batch reads [C].

    batch / osl answers end a step and as many prompts follow, spread over dp ranks that step
    together; with a pipeline, the round of its pp micro-batches shares them.
    """
    rate = pts.batch / question.workload.osl
    busiest = [prompts_a_step(float(r), int(d)) for r, d in zip(rate, pts.dp, strict=True)]
    return np.array(busiest) / pts.pp


def queue(busy: Array, service: Array, sequences: Array) -> Array:
    """Mean wait before a prompt is read [s]: M/D/1, within what a closed loop can queue.

    ``busy`` is the share of time that prompts take, ``service`` a prompt's time in one stage [s];
    at most the other sequences of the rank wait before it.
    """
    share = np.minimum(busy, 0.99)
    return np.asarray(np.minimum(share / (2 * (1 - share)), np.maximum(sequences - 1, 0) / 2)
                      * service)


def fastest(seconds: Array, legal: NDArray[np.bool_], model: CostModel) -> Array:
    """Sum over the decided units of the least legal time [C], all layers; impossible units 0."""
    best = cheapest(np.where(legal & np.isfinite(seconds), seconds, np.inf))
    layers = np.array([u.count if u.decision >= 0 else 0 for u in model.units])
    return np.asarray((np.where(np.isfinite(best), best, 0.0) * layers).sum(axis=1))


def with_prompts(step: Array, mixed: Array, weight: Array, passes: float) -> Array:
    """A step's seconds with what ``weight`` prompts add to it: a mixed pass takes the place of
    each of ``passes`` steps. Infinite times stay infinite."""
    added = np.maximum(np.where(np.isfinite(mixed), mixed, 0.0)
                       - passes * np.where(np.isfinite(step), step, 0.0), 0.0)
    return np.asarray(step + weight * added)


def by_stage(space: Space, seconds: Array) -> Array:
    """Decode seconds of each pipeline stage [C, P] from those of one layer of each unit [C, U];
    stages that a layout lacks are 0. What is outside the stack runs in the first or last stage."""
    _, counts = space.padded
    layers = counts[space.pts.layout].astype(np.float64)
    every = np.arange(len(space))
    last = space.pts.pp.astype(np.int64) - 1
    for i, unit in enumerate(space.model.units):
        if not unit.layers:
            layers[every, 0 if unit.kind == "embedding" else last, i] = 1.0
    return np.asarray((layers * seconds[:, None, :]).sum(axis=2))
