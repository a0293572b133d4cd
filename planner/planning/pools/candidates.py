"""Candidates of one pool as a space of the search: what a worker reads or decodes in a pass.

A decode worker runs steps without prompts in between; a prefill worker reads up to as many prompts
on each attention rank as a pass of the engine has room for. Both are problems of one kind: the
formats under which the pass is shortest, within the memory of a worker and the limit on loss.
Workers have as many pipeline stages as are given, else one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.planning.engines.rules import cache_group
from planner.planning.question.decisions import DecisionUnit
from planner.planning.question.question import Question
from planner.planning.search.spaces import grid_space
from planner.planning.space.candidates import (
    Space,
    build_space,
    decode_only,
    decode_question,
    possible_layouts,
)
from planner.planning.space.kernel_times import CandidateTimes, kernel_seconds
from planner.planning.space.memory import overheads, tables_and_stages
from planner.planning.space.model import CostModel
from planner.planning.space.operators import unit_parts
from planner.planning.space.residuals import PROMPT, factor_of
from planner.planning.space.smallest import most_slots, smallest
from planner.planning.space.tables import LayoutTables, legality
from planner.planning.space.times import Key, UnitTimes
from planner.throughput.points import Points, points, prompts_phase

Int = NDArray[np.int64]
MOST_PROMPTS_PER_PASS = 32
"""Prompts of one pass that are told apart (as in :mod:`planner.planning.price.step`)."""
CACHES_PER_PROMPT = 2
"""Prompts whose caches a prefill worker holds for each that it reads: those on the way as well. In
a pipeline every stage reads others."""


def prompts_per_pass(question: Question) -> int:
    """Prompts that a rank reads in one pass at most: as many as a pass has tokens for."""
    work = question.workload
    return max(
        1, min(MOST_PROMPTS_PER_PASS, question.chunk_tokens // max(work.isl - work.cached, 1))
    )


def prompt_counts(most: int) -> tuple[int, ...]:
    """Prompts of a pass that are timed, from 1 to ``most``: each up to four, then steps of half."""
    counts, count = [1, 2, 3, 4], 6
    while count < most:
        counts.append(count)
        count += count // 2
    return tuple(sorted({n for n in (*counts, most) if n <= most}))


def decode_space(model: CostModel) -> Space | None:
    """Layouts × sequences of a rank and micro-batch, with steps that no prompt interrupts; None
    where none fits."""
    space = grid_space(model, reads_prompts=False)
    if space is None:
        return None
    keep = np.flatnonzero(np.rint(space.pts.pp) == model.question.worker_stages)
    return without_hops(decode_only(space.take(keep))) if len(keep) else None


def without_hops(space: Space) -> Space:
    """``space`` whose sums leave out what is sent between stages: the slowest of them sets the pace
    of a round, which hides it or adds it
    (:func:`planner.planning.pools.stages.worker_price`)."""
    return replace(space, hop_step=np.zeros(len(space)))


def decode_space_at(space: Space, pairs: list[tuple[int, int]], upper: list[int]) -> Space:
    """Further (layout, slot) candidates of a decoding ``space``, each standing for the slots up to
    its ``upper``."""
    finer = build_space(space.model, space.tables, space.stages, pairs, upper)
    return without_hops(decode_only(finer))


def prefill_space(model: CostModel, counts: tuple[int, ...]) -> Space | None:
    """Layouts × prompts that a rank reads in a pass, every rank as many; None where none fits.
    Candidates are in order of layout, then of ``counts``."""
    layouts = possible_layouts(model.question)
    if not layouts:
        return None
    tables, stages = tables_and_stages(model, layouts)
    room = CACHES_PER_PROMPT * max(counts)
    slots_that_fit = most_slots(
        model, tables, smallest(model, tables, stages, range(len(layouts))), room
    )
    given = model.question.worker_stages
    fits = [i for i, la in enumerate(layouts) if la.pp == given and slots_that_fit[i] >= room]
    if not fits:
        return None
    pts = points(layouts, [(i, room) for i in fits for _ in counts])
    times = prompt_times(model, tables, pts, np.tile(np.array(counts, dtype=np.float64), len(fits)))
    alone, prefill, decode = kernel_seconds(model, times)
    used, place = np.unique(pts.layout, return_inverse=True)
    legal = model.decided.allowed(legality(model, tables, used))[place.reshape(-1)]
    slots, none = pts.slot.astype(np.int64), np.zeros(len(pts))
    return Space(
        model.with_question(replace(decode_question(model.question), tpot_seconds=None)),
        tables,
        stages,
        pts,
        decode,
        alone,
        prefill,
        none,
        none,
        none,
        legal,
        overheads(model, tables, pts.layout, slots),
        times,
        np.arange(len(pts)),
        slots,
    )


def prompt_times(
    model: CostModel, tables: LayoutTables, pts: Points, prompts: NDArray[np.float64]
) -> CandidateTimes:
    """Times of all units in passes that read ``prompts`` [C] prompts on every rank."""
    work = model.question.workload
    phase = prompts_phase(pts, work.isl, model.question.chunk_tokens, prompts, work.cached)
    units: dict[Key, DecisionUnit] = {}
    for unit in model.units:
        units.setdefault((unit.role, unit.row), unit)
    factor, every, none = factor_of(model.question, PROMPT), np.arange(len(pts)), np.zeros(len(pts))
    times = {}
    for key, unit in units.items():
        parts = unit_parts(model, tables, pts, phase, unit).scaled(factor)
        times[key] = UnitTimes(parts, parts, parts, every, every)
    return CandidateTimes(model, times, none, none, none, 1.0, in_loop=False)


def allowed_for(space: Space, way: Question | None, kv: str) -> Space:
    """``space`` with the choices alone that ``way`` carries (None: any of its ways), every cache in
    ``kv``."""
    model = space.model
    question = model.question
    schemes = question.schemes if way is None else way.schemes
    own = [*(s in schemes for s in question.schemes), *(name == kv for name in question.kv)]
    able = model.possible & np.array(own)
    barred = question.barred if way is None else way.barred
    for i, unit in enumerate(model.units):
        if unit.role != "released" and barred:
            word = unit.kind if unit.role == "module" else cache_group(model.caches[unit.row])
            able[i] &= [(word, name) not in barred for name in model.choices]
    return replace(space, legal=space.legal & model.decided.allowed(able[None]))


def with_choice(space: Space, choice: Int) -> Space:
    """``space`` with one choice for every unit [U] (-1: as released)."""
    able = np.zeros(space.model.possible.shape, dtype=bool)
    decided = np.flatnonzero(choice >= 0)
    able[decided, choice[decided]] = True
    return replace(space, legal=space.legal & space.model.decided.allowed(able[None]))
