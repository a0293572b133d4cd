"""Tokens of prompts a step, by engine and device: as the engines' own code sets them."""

import pytest

import planner
from planner.planning.engines.prefill_chunks import COMMON, prefill_chunk


@pytest.mark.parametrize(
    ("engine", "device", "tokens"),
    [
        ("vllm", "a100-sxm", 2048),
        ("vllm", "l40s", 2048),
        ("vllm", "jetson-agx-orin-64gb", 2048),
        ("vllm", "h100-sxm", 8192),
        ("vllm", "h200-sxm", 8192),
        ("vllm", "rtx-pro-6000", 8192),
        ("vllm", "jetson-agx-thor", 8192),
        ("vllm", "b200-sxm", 16384),
        ("vllm", "b300-sxm", 16384),
        ("vllm", "xeon-6980p", 2048),
        ("sglang", "l40s", 4096),
        ("sglang", "h100-sxm", 8192),
        ("sglang", "a100-sxm", 8192),
        ("sglang", "b200-sxm", 16384),
        ("tensorrt-llm", "l40s", 8192),
        ("llama.cpp", "h100-sxm", 512),
        ("pytorch", "h100-sxm", COMMON),
        ("any", "l40s", COMMON),
    ],
)
def test_defaults_by_device(engine: str, device: str, tokens: int) -> None:
    found = prefill_chunk(engine, planner.load_device(device))
    assert found.tokens == tokens
    assert (found.source is None) == (found.flag == "") == (engine in ("pytorch", "any"))


@pytest.mark.parametrize(
    ("engine", "device", "flag"),
    [
        ("vllm", "l40s", "--max-num-batched-tokens"),
        ("sglang", "l40s", "--chunked-prefill-size"),
        ("tensorrt-llm", "h100-sxm", "--max_num_tokens"),
        ("llama.cpp", "l40s", "--ubatch-size"),
    ],
)
def test_the_plan_says_it_and_the_command_sets_it(engine: str, device: str, flag: str) -> None:
    plan = planner.estimate("llama-3.1-8b", device, engine=engine, context=8192, batch=4)
    note = next(a for a in plan.assumptions if a.key == "prefill chunk")
    tokens = prefill_chunk(engine, planner.load_device(device)).tokens
    assert note.value == f"{tokens} tokens"
    assert flag in note.reason
    words = planner.export_plan(plan).files[f"serve-{engine}.sh"].split()
    assert words[words.index(flag) + 1] == str(tokens)


def test_a_small_chunk_costs_prompts_more_passes() -> None:
    """Of one kernel set, the engine with smaller chunks reads a prompt in more passes: its first
    token is later, its activations are fewer."""
    small, large = (
        planner.estimate(
            "llama-3.1-8b",
            "l40s",
            engine=name,
            scheme="bf16",
            kv="bf16",
            context=9000,
            isl=8192,
            osl=64,
            batch=1,
            devices=1,
        )
        for name in ("vllm", "tensorrt-llm")
    )
    assert small.memory_per_device.activation_bytes < large.memory_per_device.activation_bytes
