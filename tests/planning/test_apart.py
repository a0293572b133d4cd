"""Limits that exclude each other: proofs against every assignment."""

from itertools import product

import numpy as np

from planner.planning.apart import apart
from planner.planning.problem import Problem, Row, violation


def _problem(rng: np.random.Generator, tightness: float) -> Problem:
    """Losses that fall as bytes rise, two stages of them, limits between least and most."""
    legal = rng.random((5, 4)) < 0.8
    legal[:, 0] = True
    bytes_ = np.sort(rng.integers(1, 1000, (2, 5, 4)), axis=2) * legal
    loss = np.sort(rng.random((5, 4)), axis=1)[:, ::-1] * legal
    rows = []
    for size in bytes_:
        limit = int(size.max(axis=1).sum() * tightness)
        rows.append(Row("memory", size.astype(float), float(limit), size, limit))
    rows.append(Row("max-loss", loss, float(loss.max(axis=1).sum() * tightness)))
    return Problem(rng.random((5, 4)), 0.0, legal, np.ones(5, dtype=np.int64), tuple(rows))


def _feasible(problem: Problem) -> bool:
    for choice in product(*(np.nonzero(row)[0] for row in problem.legal)):
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        counts[np.arange(len(choice)), list(choice)] = 1
        if violation(problem, counts) is None:
            return True
    return False


def test_what_is_called_apart_has_no_assignment() -> None:
    rng = np.random.default_rng(7)
    proved = excluded = 0
    for tightness in np.linspace(0.3, 0.9, 120):
        problem = _problem(rng, float(tightness))
        feasible = _feasible(problem)
        excluded += not feasible
        if apart(problem):
            proved += 1
            assert not feasible
    assert 10 <= proved <= excluded < 120
    assert proved >= excluded // 2


def test_layers_that_are_counted_weigh_their_number() -> None:
    legal = np.ones((1, 2), dtype=bool)
    rows = (Row("memory", np.array([[1.0, 3.0]]), 12.0),
            Row("max-loss", np.array([[2.0, 1.0]]), 8.0))
    alone = Problem(np.zeros((1, 2)), 0.0, legal, np.array([5]), rows)
    # 5 layers: n of the small one use 15 - 2n <= 12 and 5 + n <= 8, so n is 2 or 3.
    assert not apart(alone)
    tight = (rows[0], Row("max-loss", rows[1].coefficients, 6.0))
    assert apart(Problem(np.zeros((1, 2)), 0.0, legal, np.array([5]), tight))
