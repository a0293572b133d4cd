"""What a measurement decides: the mean movement of a chance when one error is known."""

import math

import pytest

from planner.planning.choose.chances import COUNT, quantiles
from planner.planning.choose.error_classes import ErrorClass
from planner.planning.choose.measure_next import LEAST, LEVELS, MOST, _levels, decisive_errors
from planner.planning.choose.uncertainty import CommonError, TimePart, UncertainObjective

GEMM, MOE, SHARED, TALK = (
    ErrorClass(name, "x") for name in ("gemm", "moe", "attention decode", "collective")
)


def plan(*parts: tuple[ErrorClass, float, float], whole: float = 0.0) -> UncertainObjective:
    return UncertainObjective(
        math.fsum(p[2] for p in parts),
        tuple(TimePart(((error, sigma),), seconds) for error, sigma, seconds in parts),
        (CommonError(ErrorClass("layout", "a"), whole),) if whole else (),
    )


def test_the_only_error_decides_all() -> None:
    """An even choice whose only error is known is no longer even: the chance moves by one half."""
    found = decisive_errors("throughput", plan((GEMM, 0.0, 1.0)), plan((MOE, 0.2, 1.0)))
    assert [one.error for one in found] == [MOE]
    assert found[0].swing == pytest.approx(0.5, abs=0.01)


def test_what_is_shared_decides_nothing() -> None:
    ours = plan((SHARED, 0.3, 1.0), (GEMM, 0.1, 1.0))
    theirs = plan((SHARED, 0.3, 1.0), (MOE, 0.1, 1.0))
    found = {one.error: one.swing for one in decisive_errors("throughput", ours, theirs)}
    assert set(found) == {GEMM, MOE}
    assert found[GEMM] == pytest.approx(found[MOE], abs=0.05)


def test_the_larger_error_is_the_one_to_measure() -> None:
    ours = plan((GEMM, 0.05, 1.0), (TALK, 0.2, 0.2))
    found = decisive_errors("latency", ours, plan((MOE, 0.4, 1.2)))
    assert found[0].error == MOE
    assert [one.swing for one in found] == sorted((one.swing for one in found), reverse=True)
    assert len(found) <= MOST
    assert all(one.swing >= LEAST for one in found)


def test_an_error_of_the_layout_is_no_operator() -> None:
    found = decisive_errors("throughput", plan((GEMM, 0.1, 1.0), whole=0.5), plan((MOE, 0.1, 1.0)))
    assert {one.error.operator for one in found} <= {"gemm", "moe"}


def test_a_sure_choice_needs_no_measurement() -> None:
    assert decisive_errors("throughput", plan((GEMM, 0.05, 1.0)), plan((MOE, 0.05, 3.0))) == ()
    one = plan((GEMM, 0.3, 1.0))
    assert decisive_errors("throughput", one, one) == ()


def test_each_level_stands_in_the_middle_of_an_equal_share_of_errors() -> None:
    levels, errors = _levels(), quantiles()
    assert len(levels) == LEVELS
    for i, level in enumerate(levels):
        assert abs((errors < level).mean() - (i + 0.5) / LEVELS) <= 1 / COUNT
