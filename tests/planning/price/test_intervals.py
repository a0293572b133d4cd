"""Intervals of plans: classes in quadrature, a common term, the basis of most of the time."""

import math

import pytest

from planner.planning.price.intervals import spread
from planner.planning.price.measured_errors import Z80, _entries, common_sigma
from planner.throughput.calibration import PRIOR, Certainty
from tests.support.theory import estimate

FIT = Certainty("fitted", 0.05, "a")
COMMON = 0.06
CARRIED = Certainty("transferred", 0.20, "b")


def test_one_class_errs_together() -> None:
    found = spread([("gemm", FIT, 1.0), ("gemm", FIT, 3.0)], COMMON)
    assert found.sigma == pytest.approx(math.hypot(0.05, COMMON))
    assert found.factor == pytest.approx(math.exp(Z80 * found.sigma))


def test_classes_err_independently() -> None:
    found = spread([("gemm", FIT, 1.0), ("attention", FIT, 1.0)], COMMON)
    assert found.sigma == pytest.approx(math.hypot(0.05 / math.sqrt(2), COMMON))


def test_the_basis_is_that_of_most_of_the_time() -> None:
    found = spread(
        [("x", FIT, 2.0), ("y", CARRIED, 3.0), ("z", PRIOR, 2.5), ("u", FIT, 1.5)], COMMON
    )
    assert found.basis == "fitted"  # 3.5 of 9, no other has more
    assert found.shares == pytest.approx((3.5 / 9, 3.0 / 9, 2.5 / 9))
    assert found.origins == ("a", "b")


def test_the_common_term_of_a_model_is_that_of_others() -> None:
    """A model that served rows are of takes the entry without it; others that of their engine."""
    own = common_sigma("tpot", "tensorrt-llm", "deepseek-v3", "moe")
    other = common_sigma("tpot", "tensorrt-llm", "kimi-k2-instruct", "moe")
    assert own != other
    assert common_sigma("tpot", "pytorch", "deepseek-v3", "moe") == common_sigma(
        "tpot", "any", "kimi-k2-instruct", "moe"
    )
    for metric in ("tpot", "ttft"):
        for kind in ("dense", "moe", "pooled"):
            for engine in ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "any"):
                assert 0.02 <= common_sigma(metric, engine, "llama-3.1-8b", kind) < 2


def test_no_time_is_a_prior() -> None:
    assert spread([], COMMON).basis == "prior"


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


def test_every_entry_is_that_of_its_metric_and_kind_of_model() -> None:
    sigmas = {}
    for one in _entries():
        key = one["metric"], one["engine"], one["without"], one["kind"]
        sigmas[key] = common_sigma(*key)
        assert sigmas[key] == one["sigma"]
    assert {kind for *_, kind in sigmas} >= {"dense", "moe"}
    assert (
        len(
            {
                sigmas[metric, "any", "", kind]
                for metric, engine, without, kind in sigmas
                if (engine, without) == ("any", "")
            }
        )
        > 2
    )
