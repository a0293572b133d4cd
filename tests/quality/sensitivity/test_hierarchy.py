"""The hierarchical regression on data whose coefficients are known."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.quality.sensitivity.prior_fit import (
    Doubles,
    Fit,
    Observed,
    fit,
    joined,
    of_kinds,
    said,
)

SPREAD = 0.1


def observed(
    family: str,
    beta: Sequence[float],
    seed: int,
    *,
    points: int = 60,
    per_point: int = 1,
    level: float = 0.0,
    kinds: tuple[str, ...] = (),
) -> Observed:
    """Points of a model that follow ``beta`` without noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((points * per_point, len(beta)))
    first = np.arange(0, len(x), per_point)
    return Observed(
        family, kinds, x, first, joined(x, first, np.array(beta)) + level, np.full(points, 1e-4)
    )


def variances(
    shared: float = 100.0, kind: float = 1e-6, family: float = 1e-6, model: float = 1e-6
) -> list[Doubles]:
    return [np.full(2, v) for v in (shared, kind, family, model)]


def learned(models: dict[str, Observed], **given: float) -> Fit:
    return fit({name: said(m, SPREAD) for name, m in models.items()}, variances(**given))


@pytest.mark.parametrize("per_point", [1, 3])
def test_known_coefficients_are_found(per_point: int) -> None:
    """Whether matrices were cut alone or three at a time, whatever the level of a model."""
    models = {
        str(n): observed(f"f{n}", (1.5, -0.7), n, per_point=per_point, level=n - 5.0)
        for n in range(3)
    }
    assert learned(models).shared == pytest.approx([1.5, -0.7], abs=0.05)


def test_each_part_gets_what_belongs_to_it() -> None:
    """Families deviate in the first coefficient, models of one family in the second."""
    models = {
        "a1": observed("a", (1.0, 0.5), 1),
        "a2": observed("a", (1.0, -0.5), 2),
        "b1": observed("b", (-1.0, 0.5), 3),
        "b2": observed("b", (-1.0, -0.5), 4),
    }
    found = learned(models, family=10.0, model=0.3)
    assert found.shared == pytest.approx([0.0, 0.0], abs=0.05)
    assert found.families["a"] == pytest.approx([1.0, 0.0], abs=0.1)
    assert found.families["b"] == pytest.approx([-1.0, 0.0], abs=0.1)
    a, b = found.shared + found.families["a"], found.shared + found.families["b"]
    assert a + found.models["a1"] == pytest.approx([1.0, 0.5], abs=0.05)
    assert b + found.models["b2"] == pytest.approx([-1.0, -0.5], abs=0.05)


def test_what_is_common_to_a_kind_of_network_goes_to_it() -> None:
    """Two kinds that contradict each other, each with two families: a third family of a kind is
    predicted by it."""
    models = {
        "a": observed("a", (1.0, 0.5), 1, kinds=("experts",)),
        "b": observed("b", (1.0, 0.5), 2, kinds=("experts", "led")),
        "c": observed("c", (-1.0, 0.5), 3, kinds=("dense",)),
        "d": observed("d", (-1.0, 0.5), 4, kinds=("dense",)),
    }
    found = learned(models, kind=10.0, family=0.1)
    assert of_kinds(found, ("dense",)) == pytest.approx([-1.0, 0.5], abs=0.1)
    assert of_kinds(found, ("experts",))[0] == pytest.approx(1.0, abs=0.2)
    assert of_kinds(found, ("never seen",)) == pytest.approx(found.shared)
    assert abs(found.shared[0]) < 0.6


def test_what_one_model_says_does_not_depend_on_others() -> None:
    one = observed("a", (1.0, 0.0), 1)
    rows = said(one, SPREAD)
    assert rows.rows.shape == (len(rows.values), 2)
    assert np.linalg.lstsq(rows.rows, rows.values)[0] == pytest.approx([1.0, 0.0], abs=0.02)


def test_a_family_counts_once_however_many_matrices_it_has() -> None:
    beta = {"a": (1.0, 0.0), "b": (0.0, 0.0), "c": (0.5, 0.0)}
    small = {name: observed(name, of, n) for n, (name, of) in enumerate(beta.items())}
    large = {**small, "a": observed("a", beta["a"], 0, points=3000)}
    even, uneven = (learned(models, family=1.0).shared for models in (small, large))
    assert even == pytest.approx([0.5, 0.0], abs=0.05)
    assert uneven == pytest.approx(even, abs=0.02)


def test_a_family_without_a_say_of_its_own_counts_by_its_points() -> None:
    """The opposite of the test above: it is the family's variance that makes families count."""
    models = {"a": observed("a", (1.0, 0.0), 0, points=3000), "b": observed("b", (0.0, 0.0), 1)}
    assert learned(models).shared[0] > 0.9


def test_single_points_that_are_far_off_hardly_count() -> None:
    one = observed("a", (1.0, 0.0), 1)
    one.y[7] += 12.0
    assert learned({"a": one}).shared == pytest.approx([1.0, 0.0], abs=0.1)


def test_a_noisy_point_weighs_less() -> None:
    one = observed("a", (1.0, 0.0), 1)
    one.y[::2] += 0.5 * one.x[::2, 0]
    one.variance[::2] = 25.0
    assert learned({"a": one}).shared[0] == pytest.approx(1.0, abs=0.03)


@given(level=st.floats(-20, 20))
def test_the_level_of_a_model_changes_no_coefficient(level: float) -> None:
    models = {name: observed(name, (0.8, -0.3), n) for n, name in enumerate("ab")}
    moved = {**models, "a": observed("a", (0.8, -0.3), 0, level=level)}
    assert learned(moved).shared == pytest.approx(learned(models).shared, abs=1e-6)


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=6))
def test_matrices_of_a_point_add_up(values: list[float]) -> None:
    x, first = np.array(values)[:, None], np.array([0, 1])
    total = joined(x, first, np.ones(1))
    assert total[0] == values[0]
    assert np.exp(total[1] - max(values)) == pytest.approx(
        sum(np.exp(v - max(values)) for v in values[1:])
    )
