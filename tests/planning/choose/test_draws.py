"""Draws: normal, the same in every run, each class in an order of its own."""

import math

import numpy as np

from planner.planning.choose.chances import COUNT, normal_draws, quantiles


def test_quantiles_are_those_of_the_normal_distribution() -> None:
    found = quantiles()
    shares = [0.5 * (1 + math.erf(value / math.sqrt(2))) for value in found]
    assert np.allclose(shares, (np.arange(COUNT) + 0.5) / COUNT, atol=1e-13)
    assert np.array_equal(found, -found[::-1])
    assert 0.98 < float(found.std()) < 1.0


def test_every_class_takes_each_quantile_once() -> None:
    for key in ("gemm", "moe", "attention decode\nx\nfp8"):
        assert np.array_equal(np.sort(normal_draws(key)), quantiles())


def test_classes_are_ordered_apart_and_a_salt_orders_anew() -> None:
    one, other, salted = normal_draws("a"), normal_draws("b"), normal_draws("a", "another")
    limit = 4 / math.sqrt(COUNT)
    assert abs(np.corrcoef(one, other)[0, 1]) < limit
    assert abs(np.corrcoef(one, salted)[0, 1]) < limit
    assert not np.array_equal(one, other)


PINNED = ["-0.187842651225", "1.100762584171", "1.042888362675", "-0.471897433595"]


def test_draws_are_pinned() -> None:
    """Plan files must not differ between machines or versions of numpy."""
    assert [f"{x:.12f}" for x in normal_draws("gemm")[:4]] == PINNED
