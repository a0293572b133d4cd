"""The pool of candidates against every slot of every layout; slots timed together and alone."""

from __future__ import annotations

import numpy as np
import pytest

from planner.planning.question.input import QuestionInput
from planner.planning.search.formulate import bounds
from planner.planning.search.mode_search import finer_batch_grid
from planner.planning.search.question_search import spaces_of
from planner.planning.search.slot_pool import SlotPool
from planner.planning.search.spaces import with_question
from planner.planning.space.candidates import Space, build_space


def questions(**more: object) -> list[Space]:
    return spaces_of(
        QuestionInput(
            model="llama-3.1-8b", device="l40s", engine="vllm", context=8192, **more
        ).questions()
    )  # type: ignore[arg-type]


def every_slot(space: Space) -> Space:
    """All slots of all layouts."""
    most = [
        int(space.slots[space.pts.layout == i].max(initial=0))
        for i in range(len(space.tables.layouts))
    ]
    return build_space(
        space.model,
        space.tables,
        space.stages,
        [(i, slot) for i, last in enumerate(most) for slot in range(1, last + 1)],
    )


def named(space: Space, c: int) -> tuple[tuple[str, ...], int, int]:
    return space.model.question.kv, int(space.pts.layout[c]), int(space.slots[c])


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    "more",
    [
        {"tpot_seconds": 0.05},
        {"objective": "latency"},
        {"tpot_seconds": 0.05, "ttft_seconds": 1.0, "devices": 2},
    ],
)
def test_the_pool_has_every_slot_that_may_be_better(more: dict[str, object]) -> None:
    spaces = questions(**more)
    all_of = [(space, bounds(space)) for space in map(every_slot, spaces)]
    values = np.concatenate([lower for _, lower in all_of])
    least = float(values.min())
    pool = SlotPool(spaces, least * 1.2)
    seen: set[tuple[tuple[str, ...], int, int]] = set()
    for share in (1.02, 1.1, 1.2):
        most = least * share
        found = pool.below(most)
        assert all(bound < most for bound, _, _ in found)
        assert [bound for bound, _, _ in found] == pytest.approx(
            sorted(bound for bound, _, _ in found), rel=1e-8
        )
        seen |= {named(space, c) for _, space, c in found}
        wanted = {
            named(space, int(c))
            for space, lower in all_of
            for c in np.flatnonzero(lower < most * (1 - 1e-9))
        }
        if more.get("objective") == "latency":  # more sequences never help: the fewest stand
            wanted = {one for one in wanted if one[2] == 1}
        assert wanted
        assert wanted <= seen
        assert pool.least_open() >= most * (1 - 1e-9)
    assert pool.least() <= least * (1 + 1e-9)


def test_slots_of_ways_together_are_those_of_each() -> None:
    spaces = questions()
    wanted = [(space, [(0, 3), (0, 5), (0, 7 + i)]) for i, space in enumerate(spaces)]
    assert len({space.model.question.kv for space in spaces}) > 1
    for (space, pairs), found in zip(wanted, finer_batch_grid(wanted), strict=True):
        alone = build_space(space.model, space.tables, space.stages, pairs)
        assert found.model is space.model
        np.testing.assert_allclose(found.decode, alone.decode, rtol=1e-12)
        np.testing.assert_allclose(found.prefill, alone.prefill, rtol=1e-12)
        np.testing.assert_array_equal(found.slots, alone.slots)
        limited = with_question(found, tpot_seconds=0.05)
        np.testing.assert_allclose(bounds(limited), bounds(with_question(alone, tpot_seconds=0.05)))
