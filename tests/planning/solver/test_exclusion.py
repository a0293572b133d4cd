"""Limits that exclude each other, choices that others undercut: against every assignment."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np

from planner.planning.solver.exclusion import has_excluding_pair
from planner.planning.solver.problem import (
    Problem,
    Row,
    objective_of,
    violation,
    without_dominated,
)


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


def _assignments(problem: Problem) -> Iterator[np.ndarray]:
    for choice in product(*(np.nonzero(row)[0] for row in problem.legal)):
        counts = np.zeros(problem.legal.shape, dtype=np.int64)
        counts[np.arange(len(choice)), list(choice)] = 1
        if violation(problem, counts) is None:
            yield counts


def _feasible(problem: Problem) -> bool:
    return next(_assignments(problem), None) is not None


def test_what_is_called_apart_has_no_assignment() -> None:
    rng = np.random.default_rng(7)
    proved = excluded = 0
    for tightness in np.linspace(0.3, 0.9, 120):
        problem = _problem(rng, float(tightness))
        feasible = _feasible(problem)
        excluded += not feasible
        if has_excluding_pair(problem):
            proved += 1
            assert not feasible
    assert 10 <= proved <= excluded < 120
    assert proved >= excluded // 2


def test_layers_that_are_counted_weigh_their_number() -> None:
    legal = np.ones((1, 2), dtype=bool)
    rows = (
        Row("memory", np.array([[1.0, 3.0]]), 12.0),
        Row("max-loss", np.array([[2.0, 1.0]]), 8.0),
    )
    alone = Problem(np.zeros((1, 2)), 0.0, legal, np.array([5]), rows)
    # 5 layers: n of the small one use 15 - 2n <= 12 and 5 + n <= 8, so n is 2 or 3.
    assert not has_excluding_pair(alone)
    tight = (rows[0], Row("max-loss", rows[1].coefficients, 6.0))
    assert has_excluding_pair(Problem(np.zeros((1, 2)), 0.0, legal, np.array([5]), tight))


def test_without_dominated_choices_the_optimum_is_the_same() -> None:
    rng = np.random.default_rng(11)
    fewer = 0
    for tightness in np.linspace(0.4, 0.95, 20):
        problem = _problem(rng, float(tightness))
        loss = np.round(rng.random((5, 4)), 1) * problem.legal
        lossy = Row("max-loss", loss, float(loss.max(axis=1).sum() * tightness))
        problem = replace(
            problem, objective=np.round(problem.objective, 1), rows=(problem.rows[0], lossy)
        )
        kept = without_dominated(problem, loss)
        assert kept.legal.any(axis=1).all()
        assert not (kept.legal & ~problem.legal).any()
        fewer += int(problem.legal.sum() - kept.legal.sum())
        best, after = (
            min((objective_of(p, c) for c in _assignments(p)), default=None)
            for p in (problem, kept)
        )
        assert best == after
    assert fewer > 20


def test_of_equal_choices_the_first_legal_stays() -> None:
    same = np.ones((1, 3))
    problem = Problem(same, 0.0, np.array([[False, True, True]]), np.array([1]), ())
    assert without_dominated(problem, same).legal.tolist() == [[False, True, False]]
    less = np.array([[1.0, 1.0, 0.5]])
    assert without_dominated(problem, less).legal.tolist() == [[False, False, True]]
    either = replace(problem, objective=np.array([[0.0, 1.0, 2.0]]))
    assert without_dominated(either, less).legal.tolist() == [[False, True, True]]
