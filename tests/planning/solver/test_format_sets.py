"""Sets of formats against enumeration: bounds, formats that are left out, the best of few."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from planner.planning.solver.format_sets import (
    FormatTable,
    best_of_sets,
    set_bounds,
    useful_formats,
)
from planner.planning.solver.problem import Problem, Row, Solution, reduced_costs
from planner.planning.solver.solve import solve

FORMATS = 3
Case = tuple[Problem, FormatTable]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to four decisions; option s is scheme s, and free in one scheme of each decision."""
    decisions, rows = draw(st.integers(1, 4)), draw(st.integers(1, 2))
    table = st.integers(1, 9)

    def values() -> NDArray[np.float64]:
        return np.array(
            [[draw(table) for _ in range(FORMATS)] for _ in range(decisions)], dtype=np.float64
        )

    legal = np.array(
        [[draw(st.booleans()) or s == 0 for s in range(FORMATS)] for _ in range(decisions)]
    )
    scheme = np.tile(np.arange(FORMATS), (decisions, 1))
    changed = scheme.copy()
    for d in range(decisions):
        changed[d, draw(st.integers(0, FORMATS - 1))] = -1
    limits = tuple(
        Row(
            f"row {r}",
            np.where(legal, values(), 0.0),
            float(draw(st.integers(decisions, 9 * decisions))),
        )
        for r in range(rows)
    )
    problem = Problem(
        np.where(legal, values(), 0.0), 1.0, legal, np.ones(decisions, dtype=np.int64), limits
    )
    return problem, FormatTable(changed, scheme)


def listed(case: Case, most: int) -> float:
    """The least objective of all assignments of at most ``most`` formats within the limits."""
    problem, formats = case
    every = np.arange(len(problem.legal))
    best = np.inf
    for picks in product(range(FORMATS), repeat=len(every)):
        pick = np.array(picks)
        used = set(formats.changed[every, pick].tolist()) - {-1}
        if (
            problem.legal[every, pick].all()
            and len(used) <= most
            and all(row.coefficients[every, pick].sum() <= row.limit for row in problem.rows)
        ):
            best = min(best, float(problem.objective[every, pick].sum()) + problem.constant)
    return best


def solved(problem: Problem, cutoff: float) -> Solution:
    return solve(problem, cutoff=cutoff)


def all_bounds(case: Case, most: int) -> dict[tuple[int, ...], float]:
    problem, formats = case
    costs, beside = reduced_costs(
        problem.objective[None],
        np.array([problem.constant]),
        problem.legal[None],
        [(row.coefficients[None], np.array([row.limit])) for row in problem.rows],
    )
    sets = formats.sets(most)
    return dict(zip(sets, set_bounds(costs, beside, formats, sets)[0].tolist(), strict=True))


@given(cases(), st.integers(1, FORMATS))
def test_the_best_of_few_formats_is_the_least_of_all_assignments(case: Case, most: int) -> None:
    problem, formats = case
    if not formats.names:
        return
    found, left = best_of_sets(problem, formats, all_bounds(case, most), solved, np.inf)
    least = listed(case, most)
    assert (np.inf if found is None else found.value) == least or (
        found is not None and abs(found.value - least) < 1e-7
    )
    assert left <= least + 1e-7
    if found is not None:
        assert len(formats.used(found.counts)) <= most


@given(cases(), st.integers(1, FORMATS))
def test_no_bound_of_a_set_is_above_its_best_assignment(case: Case, most: int) -> None:
    problem, formats = case
    if not formats.names:
        return
    for one, bound in all_bounds(case, most).items():
        legal = problem.legal & formats.within(one)
        fewer = Problem(
            problem.objective, problem.constant, legal, problem.multiplicity, problem.rows
        )
        assert bound <= listed((fewer, formats), FORMATS) + 1e-6


@given(cases(), st.integers(1, FORMATS))
def test_formats_that_another_is_as_good_as_are_not_needed(case: Case, most: int) -> None:
    problem, formats = case
    useful = useful_formats(problem, formats)
    legal = problem.legal & formats.within(useful)
    fewer = Problem(problem.objective, problem.constant, legal, problem.multiplicity, problem.rows)
    assert (
        abs(listed((fewer, formats), most) - listed(case, most)) < 1e-9
        or listed(case, most) == np.inf
    )


@given(cases())
def test_more_formats_are_never_worse(case: Case) -> None:
    values = [listed(case, most) for most in range(FORMATS + 1)]
    assert values == sorted(values, reverse=True)


@given(cases())
def test_without_formats_the_only_set_is_bounded_by_what_is_free(case: Case) -> None:
    problem, formats = case
    none = FormatTable(np.full_like(formats.changed, -1), formats.scheme)
    for one, bound in all_bounds((problem, none), 2).items():
        assert one == ()
        assert bound <= listed((problem, none), 0) + 1e-6
