"""TensorRT-LLM's file of options: what its defaults would do otherwise."""

from dataclasses import replace
from typing import Any

import pytest
import yaml

import planner
from planner.export.trtllm import graph_sizes, micro_batch, options_text
from planner.memory.engines.catalog import parse_engine
from planner.planning.plan.record import Plan


@pytest.fixture(scope="module")
def plan() -> Plan:
    return planner.estimate(
        "llama-3.1-70b", "h100-sxm", scheme="fp8-tensor", kv="fp8", devices=8, tp=2, pp=4,
        batch=52, engine="tensorrt-llm",
    )  # fmt: skip


def options(plan: Plan, engine: str = "tensorrt-llm") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(options_text(plan, parse_engine(engine), None))
    return found


def test_long_prompts_are_taken_in_chunks_and_batches_padded_to_graphs(plan: Plan) -> None:
    said = options(plan)
    assert said["enable_chunked_prefill"] is True
    assert said["cuda_graph_config"]["enable_padding"] is True
    assert said["kv_cache_config"]["dtype"] == "fp8"
    assert said["enable_attention_dp"] is False


def test_a_stage_has_its_share_of_the_batch_in_hand(plan: Plan) -> None:
    """max_batch_size counts for each of pp stages: pp times as many are served."""
    assert micro_batch(plan) == 13
    words = planner.export_plan(plan, "modelopt").files["serve-tensorrt-llm.sh"].split()
    assert words[words.index("--max_batch_size") + 1] == "13"
    assert options(plan)["cuda_graph_config"]["batch_sizes"][-1] == 13
    alone = replace(plan, layout=replace(plan.layout, pp=1))
    assert micro_batch(alone) == plan.workload.batch


@pytest.mark.parametrize("largest", [1, 2, 3, 100, 128, 129, 512, 700])
def test_every_batch_up_to_the_largest_has_a_graph(largest: int) -> None:
    sizes = graph_sizes(parse_engine("tensorrt-llm"), largest)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == largest
    assert {1, 2, 4, 8, 64, 128} & set(range(1, largest + 1)) <= set(sizes)
    assert all(size <= 128 or size == largest or size & (size - 1) == 0 for size in sizes)


def test_older_versions_have_keys_of_their_own(plan: Plan) -> None:
    said = options(plan, "tensorrt-llm@0.20")
    assert said["use_cuda_graph"] is True
    assert said["cuda_graph_padding_enabled"] is True
    assert "cuda_graph_config" not in said


def test_experts_of_fp8_blocks_on_blackwell_name_their_back_end() -> None:
    blackwell, hopper = map(planner.load_device, ("b200-sxm", "h200-sxm"))
    plan = planner.estimate("deepseek-v3.1", blackwell, devices=8, tp=8, engine="tensorrt-llm")
    engine = parse_engine("tensorrt-llm")
    assert yaml.safe_load(options_text(plan, engine, blackwell))["moe_config"] == {
        "backend": "DEEPGEMM"
    }
    assert "moe_config" not in yaml.safe_load(options_text(plan, engine, hopper))
