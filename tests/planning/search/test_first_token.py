"""The limit on TTFT by its full price: against enumeration, and against the price of plans."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.questions import model_of
from support.search_sums import search_sums

from planner.planning.search.candidate_problem import CandidateProblem, candidate_problem
from planner.planning.search.first_token import (
    _with_prompts,
    first_token,
    keeps_ttft,
    solve_relaxed_ttft,
    solve_with_ttft,
)
from planner.planning.search.spaces import grid_space, with_question
from planner.planning.solver.problem import INFEASIBLE, Solution, objective_of, violation
from planner.planning.space.candidates import Space


@cache
def space_of(batch: int) -> Space:
    space = grid_space(
        model_of("smollm2-135m", batch=batch, context=1024, schemes=("bf16", "int8-w8a8"))
    )
    assert space is not None
    return space


def candidate(batch: int = 64, **limits: object) -> CandidateProblem:
    space = with_question(space_of(batch), loss_scheme=None, loss_limit=None, **limits)
    return candidate_problem(space, 0)


def pace(one: CandidateProblem) -> float:
    """TTFT of the loop over what is added up."""
    return float(one.space.ttft_pace[one.c])


def counts_of(one: CandidateProblem, options: np.ndarray) -> np.ndarray:
    return (np.arange(one.problem.legal.shape[1]) == options[:, None]).astype(np.int64)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 2000), st.integers(0, 2**32))
def test_what_is_kept_is_the_ttft_of_the_price(batch: int, seed: int) -> None:
    one = candidate(batch, ttft_seconds=1.0)
    rng = np.random.default_rng(seed)
    options = np.array([rng.choice(np.flatnonzero(row)) for row in one.problem.legal])
    counts = counts_of(one, options)
    token = first_token(one)
    assert token is not None
    prompt, share = token.sums(counts)
    segments = one.segments(Solution("optimal", counts, 0.0, 0.0, 0.0))
    full = search_sums(one.space, one.c, segments)
    assert pace(one) * prompt * token.wait(share) == pytest.approx(full.ttft, rel=1e-9)
    assert share == pytest.approx(full.utilisation, rel=1e-9, abs=1e-12)
    for limit, kept in ((full.ttft * (1 + 1e-6), True), (full.ttft * (1 - 1e-6), False)):
        assert keeps_ttft(candidate(batch, ttft_seconds=limit), counts) == kept


def small(batch: int, seed: int) -> tuple[CandidateProblem, np.ndarray]:
    """A candidate of which every third decision has up to four options, the others one."""
    free, rng = candidate(batch, ttft_seconds=1.0), np.random.default_rng(seed)
    legal = free.problem.legal.copy()
    for d, row in enumerate(legal):
        able = np.flatnonzero(row)
        kept = rng.choice(able, size=min(len(able), 4 if d % 3 == 0 else 1), replace=False)
        legal[d] = np.isin(np.arange(len(row)), kept)
    return free, legal


def enumerated(one: CandidateProblem, legal: np.ndarray) -> list[tuple[float, np.ndarray, float]]:
    """(objective, counts, TTFT) of every assignment."""
    token = first_token(one)
    assert token is not None
    out = []
    for options in product(*(np.flatnonzero(row) for row in legal)):
        counts = counts_of(one, np.array(options))
        if violation(one.problem, counts) is None:
            prompt, share = token.sums(counts)
            late = pace(one) * prompt * token.wait(share)
            out.append((objective_of(one.problem, counts), counts, late))
    return out


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3000), st.integers(0, 2**32), st.floats(0, 1))
def test_the_optimum_under_a_limit_is_that_of_enumeration(
    batch: int,
    seed: int,
    level: float,
) -> None:
    free, legal = small(batch, seed)
    every = enumerated(free, legal)
    ttft = sorted(one[2] for one in every)
    limit = ttft[int(level * (len(ttft) - 1))] * (1 + 1e-7)
    space = with_question(free.space, ttft_seconds=limit)
    one = candidate_problem(space, 0)
    one = replace(one, problem=replace(one.problem, legal=legal))
    found = solve_with_ttft(one)
    best = min(value for value, _, late in every if late <= limit)
    assert found.has_assignment
    assert found.value == pytest.approx(best, rel=1e-7)
    assert found.bound <= best * (1 + 1e-9)
    assert keeps_ttft(one, found.counts)
    token, relaxed = first_token(one), solve_relaxed_ttft(one, cutoff=np.inf)
    assert token is not None
    assert relaxed.value <= best * (1 + 1e-7)
    assert token.sums(relaxed.counts)[0] <= float(space.prompt_limit[0]) * (1 + 1e-7)


def test_a_limit_below_every_assignment_is_infeasible() -> None:
    assert solve_with_ttft(candidate(64, ttft_seconds=1e-6)).status == INFEASIBLE


def test_a_slack_limit_is_not_even_a_row() -> None:
    free = solve_with_ttft(candidate(64))
    bound = solve_with_ttft(candidate(64, ttft_seconds=1e6))
    assert (free.value, free.counts.tolist()) == (bound.value, bound.counts.tolist())


def test_where_nothing_waits_the_row_is_the_limit_itself() -> None:
    one = candidate(1, ttft_seconds=1.0)
    counts = counts_of(one, one.problem.legal.argmax(axis=1))
    segments = one.segments(Solution("optimal", counts, 0.0, 0.0, 0.0))
    late = search_sums(one.space, one.c, segments).ttft
    for limit, kept in ((late * (1 + 1e-6), True), (late * (1 - 1e-6), False)):
        broken = violation(_with_prompts(candidate(1, ttft_seconds=limit)), counts)
        assert (broken is None) == kept
