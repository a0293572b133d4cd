"""Room for caches beside what servers had: laboratories' runs and logs of one card."""

import pytest

import planner
from planner.memory.engines.catalog import parse_engine
from planner.memory.engines.records import Case, Settings
from planner.memory.engines.run import engine_size
from planner.memory.resident import as_released
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout

GIB = 2**30
LAB = 157
"""Sequences of 217 + 202 tokens that ran at once on one H100: gpt-oss-120b under vLLM 0.10.2."""


def test_every_verb_has_the_requests_that_ran_at_once() -> None:
    asked = {"engine": "vllm@0.10.2", "isl": 217, "osl": 202, "kv": "bf16"}
    free = {"devices": 1, "tpot_seconds": "none"}
    plan = planner.plan("gpt-oss-120b", "h100-sxm", **asked, **free)
    estimate = planner.estimate("gpt-oss-120b", "h100-sxm", **asked, **free)
    memory = planner.memory_use("gpt-oss-120b", "h100-sxm", **asked)
    assert plan.workload.batch == estimate.workload.batch == memory.at_requests
    assert memory.at_requests == pytest.approx(LAB, rel=0.06)
    assert memory.engine is not None
    assert memory.engine.grouped


def test_a_prompt_of_32_000_tokens_has_room_where_it_was_served() -> None:
    """Qwen3-32B on one H100, vLLM 0.11.0, answers of 77 tokens; with the sort of 0.11.1 to 0.16 the
    sampling of 1,024 sequences leaves no room for it."""
    served, sorting = (
        planner.memory_use("qwen3-32b", "h100-sxm", engine=f"vllm@{v}", context=32_077, kv="bf16")
        for v in ("0.11.0", "0.12.0")
    )
    assert served.sequences == 1
    assert sorting.sequences == 0


@pytest.mark.parametrize(
    ("backend", "capability", "logged"), [("marlin", 9, 65.9651), ("triton", 9, 64.38)]
)
def test_experts_of_gpt_oss_take_what_is_logged(
    backend: str, capability: int, logged: float
) -> None:
    """vllm-project/vllm#23278 and #33155: "Model loading took 65.9651 GiB", "64.38 GiB"."""
    case = Case(
        resolve_model("gpt-oss-120b"), Layout(), 80 * GIB, as_released, capability=capability
    )
    settings = Settings(context=131_072, moe_backend=backend)
    rank = engine_size(case, parse_engine("vllm@0.14.1"), settings).rank
    assert rank.weights_bytes / GIB == pytest.approx(logged, rel=0.0015)


def test_what_was_served_on_an_a100_is_priced() -> None:
    """GPUStack's laboratory: gpt-oss-20b under SGLang 0.5.4.post2."""
    plan = planner.estimate("gpt-oss-20b", "a100-sxm", devices=1, engine="sglang@0.5.4.post2")
    assert {u.scheme for u in plan.units if u.kind == "experts-down"} == {"mxfp4-w4a16"}
    with pytest.raises(planner.PlannerError):
        planner.estimate("gpt-oss-20b", "a100-sxm", devices=1, engine="sglang@0.5.1")
