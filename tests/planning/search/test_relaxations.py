"""The default limit on TPOT is dropped where nothing keeps it, and the answer says so."""

import pytest

import planner
from planner.base.errors import InfeasibleError
from planner.planning.question.given_values import DROPPED_KEY, TPOT_KEY
from tests.support import theory

SLOW = ("llama-3.1-8b", "jetson-agx-orin-64gb")


def test_a_limit_that_is_kept_is_told() -> None:
    found = planner.plan("qwen2.5-0.5b", "h100-sxm", devices=1, context=2048)
    assert found.performance.tpot_seconds.value <= 0.05 * (1 + 1e-9)
    assert {a.key: a.value for a in found.assumptions}[TPOT_KEY] == "50 ms"


def test_a_limit_that_nothing_keeps_is_dropped_with_the_fastest() -> None:
    asked = {"devices": 1, "context": 4096, "max_loss": "bf16", "engine": "vllm", "exact": True}
    found = planner.plan(*SLOW, objective="throughput", **asked)
    told = {a.key: a.value for a in found.assumptions}
    assert TPOT_KEY not in told
    assert told[DROPPED_KEY].startswith("fastest TPOT ")
    free = theory.plan(*SLOW, objective="throughput", **asked)
    assert found.units == free.units
    assert found.performance == free.performance
    fastest = planner.plan(*SLOW, objective="latency", **asked)
    assert fastest.performance.tpot_seconds.value > 0.05
    assert (
        told[DROPPED_KEY] == f"fastest TPOT {fastest.performance.tpot_seconds.value * 1e3:.3g} ms"
    )


@pytest.mark.exhaustive
def test_a_plan_file_tells_whether_the_default_held() -> None:
    """Asked again from its file, a plan is the same with and without the default."""
    for pace in (None, "none"):
        made = planner.plan(
            "qwen2.5-0.5b", "l40s", devices=1, context=2048, tpot_seconds=pace, exact=True
        )
        told = planner.explain(plan=made, exact=True, solves=0)
        assert told.plan == made
        limits = {price.name for price in told.limits}
        assert ("tpot" in limits) == (pace is None)


@pytest.mark.exhaustive
def test_a_refusal_never_names_the_default() -> None:
    with pytest.raises(InfeasibleError) as caught:
        planner.plan("llama-3.1-8b", "jetson-orin-nano-8gb", objective="throughput")
    assert "tpot" not in str(caught.value)
    with pytest.raises(InfeasibleError, match="tpot"):
        planner.plan(
            "llama-3.1-8b",
            "jetson-orin-nano-8gb",
            objective="throughput",
            drop_policies=["embedding", "head"],
            max_loss="int4-w4a16",
            context=2048,
            tpot_seconds=0.001,
        )


@pytest.mark.exhaustive
def test_no_engine_serves_a_better_plan_inside_the_band_than_the_one_that_is_taken() -> None:
    """FP8 a tensor loses a little more than the limit, inside its band: the engine that serves it
    has no good plan below the limit."""
    asked = {"devices": 2, "isl": 7168, "osl": 1024}
    taken = planner.plan("llama-3.1-70b", "h100-sxm", **asked)
    named = planner.plan("llama-3.1-70b", "h100-sxm", engine="tensorrt-llm", **asked)
    assert taken.recommendation is not None
    assert named.recommendation is not None
    assert named.recommendation.formats == taken.recommendation.formats == 1
    assert (
        taken.performance.output_tokens_per_second.value
        >= named.performance.output_tokens_per_second.value * 0.99
    )
