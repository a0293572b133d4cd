"""How far the closed loop of a layout is from what a search adds up for it.

A search adds seconds of kernels up as if every request of a batch decoded all the time, no host
worked and every pipeline stage were busy. The loop knows better, and differs by layout more than by
format or batch: so each layout's sums are scaled to its loop, at the least lossy assignment and at
the batch that is given, or the largest that keeps the limits on time. TTFT, of which formats differ
more, is scaled by the less of the least and the most lossy: it leaves no plan out that keeps its
limit, and what breaks it in its loop is proposed once. What is printed is priced by the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import Layout
from planner.planning.price.served import (
    ServedLoop,
    loop_of,
    serving_of,
    serving_policy,
    tabulate,
)
from planner.planning.price.step import Assignment
from planner.planning.price.step_prices import StepPrices, step_of_request, step_prices
from planner.planning.question.question import Question
from planner.planning.space.assignment import Segment, tied_segments
from planner.planning.space.candidates import Space
from planner.planning.space.kernel_times import step_times
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutPaces, LayoutTables
from planner.throughput.points import points
from planner.throughput.scheduling import StepTimes

Array = NDArray[np.float64]
MOST_KEPT = 64
"""Questions of a model whose paces are kept."""
TYPICAL_TPOT_SECONDS = 0.05
"""What the batch of a layout is looked for at, where no limit is given."""


def with_paces(space: Space) -> Space:
    """``space`` with its layouts' paces in its tables; as it is where nothing reads prompts."""
    if not (space.times.weight > 0).all():
        return space
    paces = layout_paces(space.model, space.tables, most_slots_of([space]), space)
    return replace(space, tables=replace(space.tables, paces=paces))


def limited_step(space: Space, c: int, segments: Sequence[Segment]) -> float:
    """Seconds of a step of ``segments`` on candidate ``c`` as limits on TPOT have them, before the
    pace of the layout (:attr:`Space.for_limits`)."""
    here = space.pts.take(np.array([c]))
    sums = step_prices(space.model, space.times, here, segments, space.rows[[c]])
    requests = space.model.question.requests(space.layout(c), int(space.slots[c]))
    return float(step_of_request(sums, np.array([requests])).item())


def most_slots_of(spaces: Sequence[Space]) -> dict[int, int]:
    """The most sequences of a rank and micro-batch of each layout in any of some spaces."""
    most: dict[int, int] = {}
    for space in spaces:
        for layout, slot in zip(space.pts.layout.tolist(), space.slots.tolist(), strict=True):
            most[layout] = max(most.get(layout, 1), slot)
    return most


def layout_paces(
    model: CostModel, tables: LayoutTables, most: dict[int, int], timed: Space | None = None
) -> LayoutPaces | None:
    """Paces of the layouts that hold ``most`` sequences each; None where a unit has no choice.
    ``timed``: a space of the model whose kernels are timed already."""
    question = model.question
    key = (
        tuple(tables.layouts),
        tuple(most.items()),
        question.workload,
        question.step_limit,
        question.given_chunk_tokens,
        serving_policy(question),
        question.run_requests,
        question.same_lengths,
        question.accepted,
        question.loop_excess,
        (question.batch, question.ttft_seconds, question.e2e_seconds),
        (question.concurrency, question.sizes, question.devices_given),
    )
    known = model.known_paces
    if key not in known:
        if len(known) > MOST_KEPT:
            known.clear()
        known[key] = _paces(model, tables, most, timed)
    paces: LayoutPaces | None = known[key]
    return paces


def _paces(
    model: CostModel, tables: LayoutTables, most: dict[int, int], timed: Space | None
) -> LayoutPaces | None:
    """:func:`layout_paces`, computed."""
    paces = _paces_at(model, tables, most, timed, np.argmin)
    if paces is None:
        return None
    if model.question.limits_prompts:
        other = _paces_at(model, tables, most, timed, np.argmax)
        assert other is not None
        paces = replace(paces, ttft=np.minimum(paces.ttft, other.ttft))
    for excess in model.question.loop_excess:
        if excess.layout in tables.layouts:
            i = tables.layouts.index(excess.layout)
            paces.tpot[i] *= excess.tpot
            paces.step[i] *= excess.tpot
            paces.ttft[i] *= excess.ttft
    return paces


Extreme = Callable[[NDArray[np.float64]], np.intp]


def _paces_at(
    model: CostModel,
    tables: LayoutTables,
    most: dict[int, int],
    timed: Space | None,
    extreme: Extreme,
) -> LayoutPaces | None:
    """Paces where every unit takes the choice of ``extreme`` loss; None where one has none."""
    choice = of_extreme_loss(model, extreme)
    if choice is None:
        return None
    question, layouts = model.question, tables.layouts
    plan = Assignment(model, tables, 0, tied_segments(model, choice))
    works = [
        (i, serving_of(question, layouts[i], float(n * layouts[i].dp), question.workload))
        for i, n in most.items()
    ]
    known = dict(zip(most, tabulate(plan, works), strict=True))
    slots = {i: _typical_slot(question, layouts[i], known[i], n) for i, n in most.items()}
    added = _added(model, tables, slots, timed, plan.segments)
    tpot, step, ttft, rate = (np.ones(len(layouts)) for _ in range(4))
    requests = [question.requests(layouts[i], slot) for i, slot in slots.items()]
    of_request = step_of_request(added, np.array(requests))
    for (i, slot), seconds, mine, read in zip(
        slots.items(), added.tpot.tolist(), of_request.tolist(), added.ttft.tolist(), strict=True
    ):
        loop = _loop(question, layouts[i], known[i], slot)
        if np.isfinite(seconds) and np.isfinite(loop.rate):
            tpot[i] = loop.state.tpot / mine
            step[i] = loop.state.tpot / seconds
            rate[i] = slot * layouts[i].dp * layouts[i].pp / seconds / loop.rate
        if np.isfinite(read) and np.isfinite(loop.state.ttft):
            ttft[i] = loop.state.ttft / read
    return LayoutPaces(tpot, step, ttft, rate)


def _added(
    model: CostModel,
    tables: LayoutTables,
    slots: dict[int, int],
    timed: Space | None,
    segments: Sequence[Segment],
) -> StepPrices:
    """What a search adds up for ``segments`` on each layout with its ``slots``."""
    if timed is not None:
        pairs = zip(timed.pts.layout.tolist(), timed.pts.slot.tolist(), strict=True)
        place = {pair: c for c, pair in enumerate(pairs)}
        if all(pair in place for pair in slots.items()):
            at = np.array([place[pair] for pair in slots.items()])
            return step_prices(model, timed.times, timed.pts.take(at), segments, timed.rows[at])
    pts = points(tables.layouts, list(slots.items()))
    return step_prices(model, step_times(model, tables, pts), pts, segments)


def _loop(question: Question, layout: Layout, times: StepTimes, slot: int) -> ServedLoop:
    """The closed loop of ``slot`` sequences of a rank and micro-batch."""
    return loop_of(question, layout, times, question.requests(layout, slot), question.workload)


def of_extreme_loss(model: CostModel, extreme: Extreme) -> NDArray[np.int64] | None:
    """The choice of ``extreme`` loss of each unit [U] (-1: as released); None where a unit has
    none."""
    choice = np.full(len(model.units), -1, dtype=np.int64)
    for i, unit in enumerate(model.units):
        if unit.decision < 0:
            continue
        able = np.flatnonzero(model.possible[i])
        if not len(able):
            return None
        choice[i] = able[extreme(model.layer_loss[i, able])]
    return choice


def _typical_slot(question: Question, layout: Layout, times: StepTimes, most: int) -> int:
    """Sequences of a rank and micro-batch: those of the given batch, else a power of two up to
    ``most`` that about keeps the limits on time."""
    if question.is_batch_given:
        return most
    limit = question.step_limit
    seconds, slot = TYPICAL_TPOT_SECONDS if limit is None else limit[1], 1
    while 2 * slot <= most and layout.pp * _step(times, 2 * slot, question) <= seconds:
        slot *= 2
    while slot > 1 and question.limits_prompts:
        state = _loop(question, layout, times, slot).state
        held = question.limited_times(state.ttft, state.tpot)
        if all(held[name] <= most for name, most in question.time_limits.items()):
            break
        slot //= 2
    return slot


def _step(times: StepTimes, slot: int, question: Question) -> float:
    """Seconds of a step of ``slot`` sequences a rank in the slowest stage, with its prompts."""
    decode, mixed = times.decode, times.mixed
    if times.stages is not None:
        decode, mixed = times.stages.decode, times.stages.mixed
    alone, both = (float(np.interp(slot, times.batch, column)) for column in (decode, mixed))
    prompts = slot * question.accepted / question.workload.osl
    return (alone + prompts * max(both - alone, 0.0)) / question.accepted
