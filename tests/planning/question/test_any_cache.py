"""An assignment that is given with caches left free is priced with one that the engine keeps."""

import pytest

import planner

ENGINES = ("vllm", "sglang", "tensorrt-llm", "llama.cpp", "pytorch", "any")


def rate(plan: planner.Plan) -> float:
    return float(plan.performance.output_tokens_per_second_per_device.value)


@pytest.mark.parametrize("engine", ENGINES)
def test_free_caches_are_priced_as_the_best_that_the_engine_keeps(engine: str) -> None:
    asked = {"devices": 1, "tpot_seconds": "none", "isl": 1024, "osl": 128, "engine": engine}
    free = planner.estimate("llama-3.1-8b", "h100-sxm", kv="auto", **asked)
    kept = {unit.kv_layout for unit in free.units if unit.kv_layout}
    for layout in kept:
        same = planner.estimate("llama-3.1-8b", "h100-sxm", kv=layout, **asked)
        assert rate(free) >= rate(same) * (1 - 1e-9)
    plain = planner.estimate("llama-3.1-8b", "h100-sxm", kv="bf16", **asked)
    assert rate(free) >= rate(plain) * (1 - 1e-9)


def test_a_cache_that_is_named_and_not_kept_is_still_refused() -> None:
    with pytest.raises(planner.PlannerError, match="fp8"):
        planner.estimate("llama-3.1-8b", "h100-sxm", kv="fp8", engine="llama.cpp")
