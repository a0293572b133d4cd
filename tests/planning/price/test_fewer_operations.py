"""Short cuts of the search give what the long way gives, and are taken."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from planner.planning.answer import capacity
from planner.planning.search.uniform import _pick
from planner.planning.solver.problem import Problem, Row, row_minimum, violation
from tests.support import theory

NUMBERS = st.one_of(st.floats(-1e9, 1e9), st.just(np.inf))


@given(arrays(np.float64, array_shapes(min_dims=3, max_dims=3, max_side=5), elements=NUMBERS))
def test_the_cheapest_is_the_least_of_the_last_axis(values: np.ndarray) -> None:
    assert np.array_equal(row_minimum(values), values.min(axis=-1))
    assert row_minimum(values[:0]).shape == values[:0].min(axis=-1).shape


@given(st.integers(0, 2**32 - 1))
def test_limits_in_whole_bytes_are_checked_as_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(4):
        size = rng.integers(0, 2**50, (3, 5))
        limit = int(rng.integers(2**50, 2**53))
        exact = n != 1
        rows.append(
            Row(
                f"row {n}",
                size.astype(float),
                float(limit),
                size if exact else None,
                limit if exact else None,
            )
        )
    problem = Problem(
        rng.random((3, 5)),
        0.0,
        np.ones((3, 5), dtype=bool),
        np.ones(3, dtype=np.int64),
        tuple(rows),
    )
    counts = rng.integers(0, 3, (3, 5))
    alone = (violation(replace(problem, rows=(row,)), counts) for row in rows)
    assert violation(problem, counts) is next((row for row in alone if row is not None), None)
    used = [
        sum(int(a) * int(b) for a, b in zip(row.exact.ravel(), counts.ravel(), strict=True))
        for row in rows
        if row.exact is not None
    ]
    assert problem.exact_use(counts) == used


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1.0, 1.0 + 1e-11, 1.0 + 4e-10, 1.0 + 6e-10, 1.0 + 1e-8, 2.0, np.inf]),
            st.integers(1, 4),
        ),
        min_size=1,
    )
)
def test_of_equal_scores_the_fewest_devices_are_picked(drawn: list[tuple[float, int]]) -> None:
    scores = np.array([score for score, _ in drawn])
    layouts = [SimpleNamespace(ranks=ranks) for _, ranks in drawn]
    space = SimpleNamespace(
        tables=SimpleNamespace(layouts=layouts), pts=SimpleNamespace(layout=np.arange(len(drawn)))
    )
    found = _pick(space, scores, range(len(drawn)))  # type: ignore[arg-type]
    assert found == min(
        range(len(drawn)), key=lambda c: (float(f"{scores[c]:.9e}"), drawn[c][1], c)
    )


def test_stages_that_cache_alike_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    longest = capacity.largest_context

    def counted(*arguments: object, **named: object) -> int:
        asked.append(arguments)
        return longest(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(capacity, "largest_context", counted)
    plan = theory.plan(
        "deepseek-v3", "h100-sxm", context=131_072, tp=1, pp=16, devices=16, batch=80
    )
    assert plan.layout.pp == 16
    assert len(asked) <= 4, "layers of a stage: 3 or 4, of one or two cache layouts"
