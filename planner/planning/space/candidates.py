"""Candidates of a search: layouts × sequences per rank, with the times of every kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.placement.layout import Layout
from planner.planning.question.question import Question
from planner.planning.solver.problem import row_minimum
from planner.planning.space.kernel_times import (
    CandidateTimes,
    kernel_seconds,
    step_times,
    with_prompts,
)
from planner.planning.space.layouts import possible_layouts as possible_layouts
from planner.planning.space.memory import StageTable, overheads, stage_table
from planner.planning.space.model import CostModel
from planner.planning.space.smallest import most_slots, smallest
from planner.planning.space.tables import LayoutTables, layout_tables, legality
from planner.throughput.arrivals import share_of_others
from planner.throughput.points import Points, points
from planner.throughput.queueing import ttft_factor

Array = NDArray[np.float64]
Int = NDArray[np.int64]
Slots = Literal["grid", "ends", "fewest"]
"""Which slots of a layout are candidates."""
MOST_SLOTS = 1 << 20
"""Sequences per rank and micro-batch beyond which nothing is looked for: no engine admits them."""
BISECTIONS = 14


def batch_grid(most: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12 … up to ``most``, and ``most``: where intervals of slots begin."""
    if most < 1:
        return []
    slots, power = [1], 2
    while power <= most:
        slots += [power, power + power // 2] if power > 2 or most >= 3 else [power]
        power *= 2
    return sorted({slot for slot in (*slots, most) if slot <= most})


@cached_record
class Space:
    """All candidates that could fit, with kernel times [C, K, O] of one layer and legality.

    ``decode`` is what a kernel adds to a step on average: its own time ``alone``, and its share of
    the prompts that are read in between. ``prefill`` is a prompt's way through, the decoding batch
    beside it. Seconds between pipeline stages [C]: ``hop`` of a step, ``hop_step`` with its share
    of prompts, ``hop_prefill`` of a prompt. A candidate stands for all slots from its own up to
    ``upper`` [C]: bounds hold for all, prices are of the first. ``above`` has ``alone`` at a slot
    that is no lower than ``upper``, where a limit on TTFT needs it. In a block of slots ``decode``
    is what none of them goes below (:mod:`planner.planning.search.batch_intervals`); ``first`` has
    the first slots as they are.
    """

    model: CostModel
    tables: LayoutTables
    stages: StageTable
    pts: Points
    decode: Array
    alone: Array
    prefill: Array
    hop: Array
    hop_step: Array
    hop_prefill: Array
    legal: NDArray[np.bool_]
    extra: Int
    """Activations and runtime of one rank [C]."""
    times: CandidateTimes
    rows: Int
    """The candidates' places in ``times`` [C]."""
    upper: Int
    above: Array | None = None
    first: Space | None = None

    def __len__(self) -> int:
        return len(self.pts)

    def take(self, where: Int) -> Space:
        """The candidates at ``where``."""
        return Space(
            self.model,
            self.tables,
            self.stages,
            self.pts.take(where),
            self.decode[where],
            self.alone[where],
            self.prefill[where],
            self.hop[where],
            self.hop_step[where],
            self.hop_prefill[where],
            self.legal[where],
            self.extra[where],
            self.times,
            self.rows[where],
            self.upper[where],
            None if self.above is None else self.above[where],
            None if self.first is None else self.first.take(where),
        )

    @cached_property
    def for_limits(self) -> Space:
        """The first slots as they are, which keep limits if any slot does; ``decode`` and
        ``hop_step`` are those of one request, whose own prompt delays none of its steps."""
        first = self if self.first is None else self.first
        share = first.share_of_others
        able = np.isfinite(first.decode)
        alone = np.where(able, first.alone, 0.0)
        added = np.where(able, first.decode, 0.0) - alone
        return replace(
            first,
            decode=np.where(able, alone + share[:, None, None] * added, first.decode),
            hop_step=first.hop + share * (first.hop_step - first.hop),
        )

    @cached_property
    def share_of_others(self) -> Array:
        """The part of the prompts between a request's steps that others send [C]."""
        return np.array(
            [
                share_of_others(self.model.question.requests(self.layout(c), slot))
                for c, slot in enumerate(self.slots.tolist())
            ]
        )

    def layout(self, c: int) -> Layout:
        """The layout of candidate ``c``."""
        return self.tables.layouts[int(self.pts.layout[c])]

    @cached_property
    def slots(self) -> Int:
        """Sequences of a rank and micro-batch [C]."""
        return self.pts.slot.astype(np.int64)

    @cached_property
    def tpot_pace(self) -> Array:
        """TPOT of the closed loop over what kernels add up to for limits (:attr:`for_limits`) [C];
        1 where it is not known."""
        paces = self.tables.paces
        return np.ones(len(self)) if paces is None else paces.tpot[self.pts.layout]

    @cached_property
    def step_pace(self) -> Array:
        """TPOT of the closed loop over what kernels add up to with all prompts [C]; 1 where it is
        not known."""
        paces = self.tables.paces
        return np.ones(len(self)) if paces is None else paces.step[self.pts.layout]

    @cached_property
    def ttft_pace(self) -> Array:
        """TTFT of the closed loop over what kernels add up to [C]; 1 where it is not known."""
        paces = self.tables.paces
        return np.ones(len(self)) if paces is None else paces.ttft[self.pts.layout]

    @cached_property
    def rate_pace(self) -> Array:
        """Device-seconds of a token in the closed loop over what kernels add up to [C]."""
        paces = self.tables.paces
        return np.ones(len(self)) if paces is None else paces.rate[self.pts.layout]

    @property
    def padded(self) -> tuple[Int, Int]:
        """Those of all layouts (:attr:`planner.planning.space.memory.StageTable.padded`)."""
        return self.stages.padded

    @cached_property
    def released_stages(self) -> Array:
        """Seconds of what is as released in each pipeline stage [C, P]."""
        return by_stage(self, np.where(self.model.decided.released, self.decode[:, :, 0], 0.0))

    @cached_property
    def pacing(self) -> Int:
        """The pipeline stage that is slowest at the fastest choices [C]."""
        return np.asarray(self.fast_stages.argmax(axis=1))

    @cached_property
    def fast_stages(self) -> Array:
        """Seconds of each pipeline stage where every kernel takes its fastest option [C, P]."""
        own = row_minimum(np.where(self.legal & np.isfinite(self.decode), self.decode, np.inf))
        return by_stage(self, np.where(np.isfinite(own), own, 0.0))

    def constants(self, seconds: Array) -> Array:
        """Sum over all layers of the ``seconds`` [C, K, O] of what is as released [C]."""
        decided = self.model.decided
        return np.asarray(seconds[:, decided.released, 0] @ decided.layers[decided.released])

    @cached_property
    def prompt_limit(self) -> Array:
        """Seconds that a prompt's way through may take at most so that TTFT, its queue included,
        keeps the question's limit [C]; inf without one. Which plans keep it exactly is found by
        :mod:`planner.planning.search.first_token`: here the queue is the shortest that any
        assignment has."""
        limit = self.model.question.read_limits(self.ttft_pace)
        return np.full(len(self), np.inf) if limit is None else limit / self.least_wait

    @cached_property
    def least_wait(self) -> Array:
        """The least multiple of a prompt's way through that TTFT may be, over all assignments and
        slots that a candidate stands for [C]."""
        return ttft_factor(self.least_busy, self.resident.astype(np.float64), self.pts.pp)

    @cached_property
    def least_busy(self) -> Array:
        """A lower bound of the share of time that prompts take, over all assignments and slots that
        a candidate stands for [C]: Σ added / (Σ added + Σ alone) is at most u only where
        Σ (1 − u)·added − u·alone <= 0 for some; more sequences take longer in either pass."""
        decided = self.model.decided
        layers = decided.layers * ~decided.released
        able = self.legal & np.isfinite(self.decode)
        span = (self.upper > self.slots)[:, None, None]
        alone = self.alone if self.above is None else np.where(span, self.above, self.alone)
        alone = np.where(able, alone, 0.0)
        weight = self.times.weight[self.rows][:, None, None]
        added = np.where(
            able,
            weight * np.maximum(np.where(able, self.prefill, 0.0) - self.times.passes * alone, 0.0),
            0.0,
        )
        if self.above is None and span.any():
            added = np.zeros_like(added)
        fixed, beside = (
            x[:, decided.released, 0] @ decided.layers[decided.released] for x in (added, alone)
        )
        fixed = fixed + np.where(span[:, 0, 0], 0.0, self.hop_step - self.hop)
        hop = self.hop * (self.upper / self.slots)  # a latency and bytes: at most in proportion
        low, high = np.zeros(len(self)), np.ones(len(self))
        for _ in range(BISECTIONS):
            middle = 0.5 * (low + high)
            share = middle[:, None, None]
            least = row_minimum(np.where(able, (1 - share) * added - share * alone, np.inf))
            total = (
                np.where(np.isfinite(least), least, 0.0) @ layers
                + (1 - middle) * fixed
                - middle * (beside + hop)
            )
            low, high = np.where(total > 0, middle, low), np.where(total > 0, high, middle)
        return low

    @cached_property
    def resident(self) -> Int:
        """Sequences whose caches a rank holds [C]."""
        return np.asarray(self.slots * self.pts.pp.astype(np.int64))


def first_slot(question: Question, layout: Layout) -> int | None:
    """The fewest slots for one layout: one, or what the given batch implies, None where that is no
    whole number; or what holds the given requests in flight, None where a rank would have none.
    Fewer than the stages of a pipeline pass them one after the other, as one does under llama.cpp's
    ``--split-mode layer``."""
    ranks = layout.dp * layout.pp
    if question.batch is not None:
        each, rest = divmod(question.batch, ranks)
        return each if each >= 1 and rest == 0 else None
    if question.concurrency is not None:
        replicas = question.replicas(layout.ranks)
        if question.concurrency < layout.dp * replicas:
            return None
        return -(-question.concurrency // (ranks * replicas))
    return 1


def fitting_pairs(
    model: CostModel, tables: LayoutTables, stages: StageTable, *, slots: Slots = "grid"
) -> list[tuple[int, int]]:
    """(layout, slot) pairs whose smallest assignment fits: of a grid whose last is the most that
    fits, of its ends, or the fewest alone. Where the batch is given, the one that it implies."""
    question = model.question
    most = most_slots(
        model, tables, smallest(model, tables, stages, range(len(tables.layouts))), MOST_SLOTS
    ).tolist()
    if not question.is_batch_given:
        return [(i, slot) for i, limit in enumerate(most) for slot in _wanted(limit, slots)]
    firsts = [first_slot(question, layout) for layout in tables.layouts]
    return [(i, slot) for i, slot in enumerate(firsts) if slot is not None and slot <= most[i]]


def _wanted(most: int, slots: Slots) -> list[int]:
    if slots == "grid" or most < 1:
        return batch_grid(most)
    return [1] if slots == "fewest" else sorted({1, most})


def build_space(
    model: CostModel,
    tables: LayoutTables,
    stages: StageTable,
    pairs: Sequence[tuple[int, int]],
    upper: Sequence[int] | None = None,
    times: CandidateTimes | None = None,
) -> Space:
    """Times and legality of ``pairs``, each of which stands for the slots up to its ``upper``;
    ``times`` where they are known."""
    pts = points(tables.layouts, pairs)
    times = step_times(model, tables, pts) if times is None else times
    alone, prefill, decode = kernel_seconds(model, times)
    used, place = np.unique(pts.layout, return_inverse=True)
    legal = model.decided.allowed(legality(model, tables, used))[place.reshape(-1)]
    slots = pts.slot.astype(np.int64)
    return Space(
        model,
        tables,
        stages,
        pts,
        decode,
        alone,
        prefill,
        times.hop,
        with_prompts(times.hop, times.hop_mixed, times.weight, times.passes),
        times.hop_mixed,
        legal,
        overheads(model, tables, pts.layout, slots),
        times,
        np.arange(len(pts)),
        slots if upper is None else np.array(upper, dtype=np.int64),
    )


def retimed(space: Space) -> Space:
    """``space`` with the mechanisms of its units anew: for a change of its model, tables or points.
    Sums of the solver stay as they were."""
    return replace(
        space,
        times=step_times(space.model, space.tables, space.pts),
        rows=np.arange(len(space.pts)),
    )


def fastest_sum(space: Space, seconds: Array) -> Array:
    """Sum over all layers of the least legal ``seconds`` [C, K, O] of each kernel [C]."""
    best = row_minimum(np.where(space.legal & np.isfinite(seconds), seconds, np.inf))
    return np.asarray(np.where(np.isfinite(best), best, 0.0) @ space.model.decided.layers)


def by_stage(space: Space, seconds: Array) -> Array:
    """Seconds of each pipeline stage [C, P] from those of one layer of each kernel [C, K]; stages
    that a layout lacks are 0."""
    out = np.zeros((len(space), space.padded[0].shape[1]))
    stages = np.rint(space.pts.pp).astype(np.int64)
    for pp in set(stages.tolist()):
        here = np.flatnonzero(stages == pp)
        counts = space.stages[space.pts.layout[here[0]]].counts.astype(np.float64)
        out[here, :pp] = seconds[here] @ counts.T
    return out


def least_rank(model: CostModel, layouts: list[Layout]) -> tuple[int | None, int]:
    """(bytes of the fullest rank, layout) with the smallest choices and fewest sequences."""
    tables = layout_tables(model, layouts)
    stages = stage_table(model, tables)
    slots = [first_slot(model.question, layout) for layout in layouts]
    index = np.array([i for i, slot in enumerate(slots) if slot is not None], dtype=np.int64)
    if not len(index):
        return None, 0
    sequences = np.array([slots[i] for i in index], dtype=np.int64)
    beside = overheads(model, tables, index, sequences)
    needs = [
        (
            int(
                layout_smallest.at_slots(layouts[i].pp, sequences[n : n + 1], beside[n : n + 1])[0]
            ),
            i,
        )
        for n, (i, layout_smallest) in enumerate(
            zip(index.tolist(), smallest(model, tables, stages, index.tolist()), strict=True)
        )
    ]
    return min(needs)


def decode_question(question: Question) -> Question:
    """The question of a pool's own problem: the shortest pass, without limits on TTFT."""
    return replace(question, objective="latency", ttft_seconds=None, e2e_seconds=None)


def decode_only(space: Space) -> Space:
    """``space`` without prompts between its steps."""
    model = space.model.with_question(decode_question(space.model.question))
    times = replace(space.times, weight=np.zeros(len(space.times.weight)), in_loop=False)
    return replace(
        space,
        model=model,
        tables=replace(space.tables, paces=None),
        decode=space.alone,
        hop_step=space.hop,
        times=times,
        above=None,
    )
