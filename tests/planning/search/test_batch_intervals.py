"""Intervals of slots: what is cut covers what may win, and no bound is above what it bounds."""

from dataclasses import replace
from itertools import pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.questions import model_of

from planner.planning.search import grid_search, question_search
from planner.planning.search.batch_intervals import (
    RUN,
    bounds_block,
    dense_spaces,
    finer_candidates,
    least_of,
    over_intervals,
    split_intervals,
)
from planner.planning.search.formulate import bounds
from planner.planning.search.grid_search import solve_candidate
from planner.planning.search.question_search import search
from planner.planning.search.spaces import grid_space
from planner.planning.solver.problem import EQUAL
from planner.planning.space.candidates import Space, batch_grid, build_space
from tests.support import theory


def whole(**asked: object) -> Space:
    space = grid_space(model_of("smollm2-135m", batch=None, context=1024, **asked))
    assert space is not None
    return space


@given(st.integers(0, 5000))
def test_a_grid_begins_with_one_and_ends_with_the_most(most: int) -> None:
    slots = batch_grid(most)
    assert slots == sorted(set(slots))
    assert (slots[0], slots[-1]) == (1, most) if most else slots == []
    assert all(high <= 2 * low for low, high in pairwise(slots))


def test_a_candidate_stands_for_every_slot_up_to_the_next() -> None:
    space = over_intervals(whole())
    for layout in set(space.pts.layout.tolist()):
        here = space.pts.layout == layout
        covered = [
            s
            for low, high in zip(space.slots[here], space.upper[here], strict=True)
            for s in range(low, high + 1)
        ]
        assert covered == list(range(1, int(space.slots[here].max()) + 1))


@settings(max_examples=30)
@given(st.integers(1, 4000), st.integers(0, 4000), st.floats(0.5, 2.0))
def test_pieces_hold_every_slot_that_may_be_better(low: int, wide: int, ratio: float) -> None:
    """Of an interval with a bound at its first slot: what is left out has no better bound."""
    space = whole()
    one = replace(space.take(np.array([0])), upper=np.array([low + wide]))
    one = replace(one, pts=replace(one.pts, slot=np.array([float(low)])))
    spans, runs = split_intervals(one, np.array([ratio]), 1.0)
    held = {
        s for (_, first), last in (*spans.items(), *runs.items()) for s in range(first, last + 1)
    }
    assert all(last - first <= RUN for (_, first), last in runs.items())
    for slot in range(low + 1, low + wide + 1):
        assert slot in held or ratio * low / slot >= 1.0


def test_bounds_of_intervals_and_blocks_are_below_every_slot_in_them() -> None:
    space = whole(max_loss="int8-w8a8")
    spans = over_intervals(space)
    lower = least_of(spans, bounds(spans))
    chosen = [c for c in range(len(spans)) if spans.upper[c] - spans.slots[c] > 3][::5]
    assert chosen
    for c in chosen:
        low, high = int(spans.slots[c]), int(spans.upper[c])
        some = sorted({low, (low + high) // 2, high})
        layout = int(spans.pts.layout[c])
        slots = build_space(
            space.model, space.tables, space.stages, [(layout, slot) for slot in some]
        )
        values = [solve_candidate(slots, i)[0].value for i in range(len(some))]
        assert lower[c] <= min(values) * (1 + 1e-9)
        run = next(dense_spaces(space, {(layout, low): min(low + 9, high)}))
        whole_run = bounds_block(run, np.array([0]), np.array([len(run) - 1]))
        least = min(solve_candidate(run, i)[0].value for i in range(len(run)))
        assert float(bounds(whole_run)[0]) <= least * (1 + 1e-9)


def test_finer_candidates_are_new_and_fit() -> None:
    space = over_intervals(whole())
    lower = bounds(space)
    most = float(lower.min()) * 1.02
    spans, _ = split_intervals(space, lower, most)
    found = finer_candidates(space, spans)
    assert set(zip(found.pts.layout.tolist(), found.slots.tolist(), strict=True)) == set(spans)
    assert (found.upper >= found.slots).all()


@pytest.mark.parametrize("asked", [{}, {"ttft_seconds": 0.5}])
def test_finer_candidates_hold_every_slot_of_their_pieces_once(asked: dict[str, object]) -> None:
    """With a limit on TTFT the last slot of a piece stands alone: it bounds the others."""
    space = whole(**asked)
    pieces = {(0, 3): 9, (0, 12): 12, (0, 13): 14, (0, 40): 47}
    found = finer_candidates(space, pieces)
    slots = [
        slot
        for low, high in zip(found.slots.tolist(), found.upper.tolist(), strict=True)
        for slot in range(low, high + 1)
    ]
    assert sorted(slots) == [
        slot for (_, first), last in pieces.items() for slot in range(first, last + 1)
    ]
    assert len(found) == (4 if not asked else 7)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"tpot_seconds": 0.02},
        {"max_loss": "bf16"},
        {"objective": "latency"},
        {"ttft_seconds": 0.5},
    ],
)
def test_no_batch_of_the_best_layout_is_better(asked: dict[str, object]) -> None:
    """Every slot of a layout with room for some hundreds, solved one by one."""
    model = model_of(
        "smollm2-135m",
        "jetson-agx-orin-64gb",
        batch=None,
        context=8192,
        memory_bytes=5 << 29,
        **asked,
    )
    best, space = search(model), grid_space(model)
    assert best is not None
    assert space is not None
    most = int(space.slots.max())
    assert 20 < most < 2000
    every = build_space(
        space.model, space.tables, space.stages, [(0, slot) for slot in range(1, most + 1)]
    )
    values = [solve_candidate(every, c, cutoff=best.value)[0].value for c in range(len(every))]
    assert min(values) >= best.value * (1 - 1e-8)


@pytest.mark.exhaustive
def test_batches_too_many_to_be_told_apart_leave_a_gap_that_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = theory.plan("smollm2-135m", "l40s", devices=1, context=512)
    assert exact.solver.proved
    monkeypatch.setattr(question_search, "PATIENCE", ((EQUAL, 10), (grid_search.BATCH_GAP, inf)))
    plan = theory.plan("smollm2-135m", "l40s", devices=1, context=512)
    assert (plan.solver.status, plan.solver.proved) == ("optimal", False)
    assert plan.solver.gap == pytest.approx(grid_search.BATCH_GAP)
    assert plan.solver.candidates < exact.solver.candidates
    assert plan.solver.bound <= exact.solver.bound * (1 + 1e-6)
    (note,) = (a for a in plan.assumptions if a.key == "batches")
    assert "0.1%" in note.value
    assert "within 0.1% of the optimum" in " ".join(str(plan).split())
