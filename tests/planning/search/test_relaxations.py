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
        planner.plan("llama-3.1-70b", "jetson-orin-nano-8gb", objective="throughput")
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
def test_what_another_engine_serves_faster_stands_among_the_alternatives() -> None:
    """Its plan is not surely worth leaving a published deployment for, and says so."""
    asked = {"devices": 2, "isl": 7168, "osl": 1024}
    taken = planner.plan("llama-3.1-70b", "h100-sxm", **asked)
    named = planner.plan("llama-3.1-70b", "h100-sxm", engine="tensorrt-llm", **asked)
    assert taken.recommendation is not None
    assert named.recommendation is not None
    assert named.recommendation.formats == taken.recommendation.formats == 1
    assert taken.recommendation.verdict == "recipe"
    (other,) = [a for a in taken.recommendation.alternatives if a.engine == "tensorrt-llm"]
    rate = named.performance.output_tokens_per_second.value
    assert other.output_tokens_per_second == pytest.approx(rate, rel=0.01)
    assert other.why_not
    assert 0.5 < (other.probability_better or 0.0) < 0.9
