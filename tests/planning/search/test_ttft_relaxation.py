"""Cuts of the limit on TTFT: they hold for all that keeps it, and cut off what was found."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.planning.search import first_token
from planner.planning.search.ttft_relaxation import Box, FirstToken, PromptLimit
from planner.planning.solver.problem import Problem

SHAPE = (3, 4)


def limited(seconds: float) -> tuple[PromptLimit, ...]:
    """A limit on TTFT alone."""
    return (PromptLimit("ttft", seconds),)


def made(seed: int, stages: int, level: float) -> tuple[Problem, FirstToken]:
    """Three decisions whose prompts, steps and shares vary, and a limit between the TTFTs."""
    rng = np.random.default_rng(seed)
    alone, prompt = rng.uniform(0.5, 4, SHAPE), rng.uniform(0.5, 4, SHAPE)
    both = alone + rng.uniform(0.1, 6, SHAPE)
    problem = Problem(both, 1.0, np.ones(SHAPE, dtype=bool), np.ones(3, dtype=np.int64), ())
    free = FirstToken(
        prompt, both, alone, (0.3, 1.6, 0.7), 10_000.0, float(stages), limited(1.0), True
    )
    every = sorted(
        prompt * free.wait(share)
        for prompt, share in (free.sums(counts) for counts in assignments())
    )
    limit = every[int(level * (len(every) - 1))] * (1 + 1e-6)
    return problem, FirstToken(
        prompt, both, alone, free.constants, 10_000.0, float(stages), limited(limit), True
    )


def assignments() -> list[np.ndarray]:
    return [np.eye(4, dtype=np.int64)[list(options)] for options in np.ndindex(*[4] * 3)]


def box_of(token: FirstToken, *, upper: bool) -> Box:
    sums = [
        (token.sums(counts)[0], float((token.both * counts).sum()) + token.constants[1])
        for counts in assignments()
    ]
    prompts, steps = zip(*sums, strict=True)
    return Box(min(prompts), token.limit, min(steps), max(steps), upper)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(1, 4),
    st.floats(0.05, 0.95),
    st.booleans(),
    st.floats(0.05, 0.95),
)
def test_a_tangent_holds_for_all_that_keeps_the_limit(
    seed: int, stages: int, level: float, upper: bool, where: float
) -> None:
    problem, token = made(seed, stages, level)
    box = box_of(token, upper=upper)
    at = box.least_prompt + where * (token.limit - box.least_prompt)
    if at >= token.limit:
        return
    row = token.tangent(problem, at, box)
    for counts in assignments():
        prompt, share = token.sums(counts)
        if prompt > token.limit or share >= 0.99 or not token.keeps_limit(counts):
            continue
        used = float((row.coefficients * counts).sum())
        assert used <= row.limit + 1e-9 * max(1.0, abs(row.limit))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.floats(0.05, 0.95), st.booleans())
def test_a_tangent_cuts_off_what_it_touches_where_the_box_is_a_point(
    seed: int, stages: int, level: float, upper: bool
) -> None:
    problem, token = made(seed, stages, level)
    for counts in assignments():
        prompt, share = token.sums(counts)
        if token.keeps_limit(counts) or prompt >= token.limit or share >= 0.99:
            continue
        step = float((token.both * counts).sum()) + token.constants[1]
        row = token.tangent(problem, prompt, Box(prompt, prompt, step, step, upper))
        assert float((row.coefficients * counts).sum()) > row.limit


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.floats(0.05, 0.95), st.floats(0.05, 0.9))
def test_every_assignment_that_keeps_the_limit_is_on_one_side_of_a_share(
    seed: int, stages: int, level: float, middle: float
) -> None:
    problem, token = made(seed, stages, level)
    sides = [token.rows(problem, 0.0, middle), token.rows(problem, middle, 1.0)]
    for counts in assignments():
        within = [
            all(
                float((row.coefficients * counts).sum())
                <= row.limit + 1e-8 * max(1.0, abs(row.limit))
                for row in rows
            )
            for rows in sides
        ]
        if token.keeps_limit(counts):
            assert any(within)
        _, share = token.sums(counts)
        if abs(share - middle) > 1e-6:
            row = sides[0][-1]
            assert (float((row.coefficients * counts).sum()) <= row.limit) is (share < middle)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.floats(0.05, 0.95))
def test_all_within_the_inner_rows_keep_the_limit(seed: int, stages: int, level: float) -> None:
    problem, token = made(seed, stages, level)
    kept = [counts for counts in assignments() if token.keeps_limit(counts)]
    one: Any = SimpleNamespace(problem=problem)
    for solution in kept[:5]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(first_token, "first_token", lambda _, token=token: token)
            rows = first_token.inner_rows(one, SimpleNamespace(counts=solution))  # type: ignore[arg-type]
        within = [
            counts
            for counts in assignments()
            if all(float((row.coefficients * counts).sum()) <= row.limit + 1e-12 for row in rows)
        ]
        assert all(token.keeps_limit(counts) for counts in within)
        assert any(np.array_equal(counts, solution) for counts in within)


def test_a_busier_rank_makes_a_prompt_wait() -> None:
    _, token = made(1, 1, 0.5)
    assert token.wait(0.0) == 1.0
    assert token.wait(0.5) == pytest.approx(1.5)
