"""Batches between those of the grid: new ones only, that fit, beside the best of each layout."""

import numpy as np
from support.questions import model_of

from planner.planning.search.formulate import bounds
from planner.planning.search.refine_batches import Tried
from planner.planning.search.requery import whole_space
from planner.planning.space.candidates import Space
from planner.planning.space.memory import budget


def tried() -> tuple[Space, np.ndarray, Tried]:
    space = whole_space(model_of(batch=None, context=32768))
    assert space is not None
    lower = bounds(space)
    return space, lower, Tried([space], [lower])


def test_rounds_end_and_try_nothing_twice() -> None:
    space, lower, known = tried()
    best = int(np.argmin(lower))
    winner = (0, int(space.pts.layout[best]), int(space.pts.slot[best]))
    seen = set(zip(space.pts.layout.tolist(), space.pts.slot.tolist(), strict=True))
    added, rounds = 0, 0
    while found := list(known.finer(float(lower[best]), winner)):
        rounds += 1
        assert rounds < 12
        for i, finer in found:
            pairs = set(zip(finer.pts.layout.tolist(), finer.pts.slot.tolist(), strict=True))
            assert i == 0
            assert not pairs & seen
            assert (finer.extra <= budget(finer.model.question)).all()
            seen |= pairs
            added += len(pairs)
            known.add(0, finer, bounds(finer))
    assert added > 10


def test_nothing_is_tried_far_from_the_best() -> None:
    space, lower, known = tried()
    best = int(np.argmin(lower))
    winner = (0, int(space.pts.layout[best]), int(space.pts.slot[best]))
    assert list(known.finer(float(lower[best]) / 10, winner)) == []
