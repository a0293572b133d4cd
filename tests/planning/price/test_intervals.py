"""Intervals of plans: classes in quadrature, a common term, the basis of most of the time."""

import math

import pytest
from support.questions import found_of

from planner.planning.price.intervals import (
    performance,
    plan_sigmas,
    prompt_spread,
    spread,
    step_spread,
)
from planner.planning.price.measured_errors import Z80, common_sigmas, unmeasured_sigmas
from planner.planning.price.plan_kinds import kind_of
from planner.planning.price.price import price
from planner.throughput.calibration import PRIOR, Certainty
from tests.support.theory import estimate

FIT = Certainty("fitted", 0.05, "a")
CARRIED = Certainty("transferred", 0.20, "b")


def test_one_class_errs_together() -> None:
    found = spread([("gemm", FIT, 1.0), ("gemm", FIT, 3.0)])
    assert found.sigma == pytest.approx(0.05)


def test_classes_err_independently() -> None:
    found = spread([("gemm", FIT, 1.0), ("attention", FIT, 1.0)])
    assert found.sigma == pytest.approx(math.hypot(0.05 / math.sqrt(2)))


def test_the_basis_is_that_of_most_of_the_time() -> None:
    found = spread([("x", FIT, 2.0), ("y", CARRIED, 3.0), ("z", PRIOR, 2.5), ("u", FIT, 1.5)])
    assert found.basis == "fitted"  # 3.5 of 9, no other has more
    assert found.shares == pytest.approx((3.5 / 9, 3.0 / 9, 2.5 / 9))
    assert found.origins == ("a", "b")


def test_no_time_is_a_prior() -> None:
    assert spread([]).basis == "prior"


@pytest.mark.parametrize(
    ("device", "basis"),
    [("h100-sxm", "fitted"), ("h20", "transferred"), ("jetson-agx-orin-64gb", "prior")],
)
def test_a_plan_says_what_its_times_rest_on(device: str, basis: str) -> None:
    plan = estimate("llama-3.1-8b", device, scheme="bf16", devices=1, batch=1, context=2048)
    time = plan.performance.tpot_seconds
    assert time.basis == basis
    assert time.low < time.value < time.high
    note = next(a for a in plan.assumptions if a.key == "time basis")
    assert basis in note.value
    assert ("no measured kernels" in note.reason) == (basis == "prior")


def test_less_is_known_of_a_relative() -> None:
    own, carried = (
        estimate(
            "llama-3.1-8b", device, scheme="bf16", devices=1, batch=1, context=2048
        ).performance.tpot_seconds
        for device in ("h100-sxm", "h800-sxm")
    )
    assert own.high / own.value < carried.high / carried.value < 1.7


def test_the_interval_is_of_operators_and_of_what_kinds_are_off() -> None:
    found = found_of()
    model = found.space.model
    priced = price(found.space, found.candidate, found.segments)
    step, prompt = step_spread(model, priced), prompt_spread(model, priced)
    sigmas = plan_sigmas(model, priced, step, prompt)
    kind = kind_of(model, priced)
    common = common_sigmas(kind, model.question.spec.id).plus(unmeasured_sigmas(kind))
    assert sigmas.ttft == pytest.approx(math.hypot(prompt.sigma, common.ttft))
    assert common.tpot < sigmas.tpot <= math.hypot(max(step.sigma, prompt.sigma), common.tpot)
    perf = performance(model, priced, 1)
    for one, sigma in (
        (perf.tpot_seconds, sigmas.tpot),
        (perf.ttft_seconds, sigmas.ttft),
        (perf.output_tokens_per_second, sigmas.throughput),
    ):
        assert one.high / one.value == pytest.approx(math.exp(Z80 * sigma))
        assert one.value / one.low == pytest.approx(math.exp(Z80 * sigma))
