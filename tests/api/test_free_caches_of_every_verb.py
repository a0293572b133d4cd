"""Caches left free, and llama.cpp's own defaults, in every verb: F16, a slot for each request."""

import json
from typing import Any

import pytest
from click.testing import CliRunner

import planner
from planner.cli.main import cli
from planner.memory.answer import MemoryAnswer

MODEL, DEVICE = "llama-3.1-8b", "rtx-4090"
SHORT = ("--isl", "1024", "--osl", "128")
COMMANDS: dict[str, tuple[str, ...]] = {
    "plan": (MODEL, DEVICE, *SHORT),
    "estimate": (MODEL, DEVICE, *SHORT),
    "serve": (MODEL, DEVICE, *SHORT, "--concurrency", "2"),
    "memory": (MODEL, DEVICE, *SHORT),
    "capacity": (MODEL, DEVICE, *SHORT, "--rate", "0.5", "--ttft-ms", "5000"),
    "compare": (MODEL, f"{DEVICE},rtx-3090", *SHORT),
    "explain": (MODEL, DEVICE, *SHORT),
    "frontier": (MODEL, DEVICE, *SHORT),
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_verb_takes_caches_that_are_left_free(verb: str) -> None:
    words = [verb, *COMMANDS[verb], "--engine", "llama.cpp", "--kv", "auto", "--quiet"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "BF16 KV" not in done.output


@pytest.mark.parametrize("engine", ["llama.cpp", "vllm", "any"])
def test_a_row_of_a_sweep_takes_caches_that_are_left_free(engine: str) -> None:
    asked = {"model": MODEL, "device": DEVICE, "verb": "estimate", "kv": "auto", "engine": engine}
    frame = planner.sweep([{**asked, "isl": 1024, "osl": 128}])
    assert list(frame["status"]) == ["ok"]


def caches(plan: planner.Plan) -> set[str]:
    return {unit.kv_layout for unit in plan.units if unit.kv_layout}


def test_free_caches_of_llama_cpp_are_the_type_that_it_keeps_by_itself() -> None:
    """-ctk and -ctv are f16 unless they are given: BF16, as large, is not tried in its place."""
    asked: dict[str, Any] = {"isl": 1024, "osl": 128, "engine": "llama.cpp"}
    assert caches(planner.plan(MODEL, DEVICE, **asked)) == {"fp16"}
    assert caches(planner.estimate(MODEL, DEVICE, kv="auto", **asked)) == {"fp16"}
    assert caches(planner.estimate(MODEL, DEVICE, kv="bf16", **asked)) == {"bf16"}
    on_vllm = planner.estimate(MODEL, DEVICE, kv="auto", isl=1024, osl=128, engine="vllm")
    assert "fp16" not in caches(on_vllm)


def flags(answer: MemoryAnswer) -> dict[str, str]:
    assert answer.engine is not None
    return {name: str(value) for name, value in answer.engine.settings}


@pytest.mark.parametrize(
    ("asked", "keys", "values"),
    [
        ({}, "f16", "f16"),
        ({"kv": "bf16"}, "bf16", "bf16"),
        ({"kv": "q8_0/q4_0"}, "q8_0", "q4_0"),
        ({"cache_type_k": "q8_0"}, "q8_0", "f16"),
    ],
)
def test_memory_counts_the_caches_that_llama_server_is_started_with(
    asked: dict[str, str], keys: str, values: str
) -> None:
    found = planner.memory_use(MODEL, DEVICE, engine="llama.cpp", **asked)
    said = flags(found)
    assert (said["cache-type-k"], said["cache-type-v"]) == (keys, values)
    layers_heads = 32 * 8
    bytes_of = {"f16": 256, "bf16": 256, "q8_0": 136, "q4_0": 72}  # of 128 elements
    assert found.parts.token_bytes == layers_heads * (bytes_of[keys] + bytes_of[values])


def test_memory_refuses_two_words_for_the_types_and_foreign_ones() -> None:
    with pytest.raises(planner.PlannerError, match="one setting"):
        planner.memory_use(MODEL, DEVICE, engine="llama.cpp", kv="q8_0", cache_type_v="q4_0")
    with pytest.raises(planner.PlannerError, match="no cache type fp8"):
        planner.memory_use(MODEL, DEVICE, engine="llama.cpp", kv="fp8")


def test_memory_has_a_slot_and_the_cells_of_a_context_for_each_sequence() -> None:
    said = flags(planner.memory_use(MODEL, DEVICE, engine="llama.cpp", batch=4, context=4096))
    assert (said["parallel"], said["ctx-size"]) == ("4", str(4 * 4096))
    own = planner.memory_use(MODEL, DEVICE, engine="llama.cpp", batch=4, parallel=2, ctx_size=6000)
    assert (flags(own)["parallel"], flags(own)["ctx-size"]) == ("2", "6000")


def test_memory_of_a_plan_is_counted_with_the_plan_s_caches(tmp_path: Any) -> None:
    plan = planner.plan(MODEL, DEVICE, isl=1024, osl=128, engine="llama.cpp")
    said = flags(planner.memory_use(plan=plan, engine="llama.cpp"))
    assert said["cache-type-k"] == "f16"
    assert int(said["parallel"]) == plan.workload.batch
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan.to_dict()))
    done = CliRunner().invoke(cli, ["memory", "--plan", str(file), "--engine", "llama.cpp"])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    ("device", "engine"), [("strix-halo", "llama.cpp"), ("rtx-4090", "vllm"), ("h100", "sglang")]
)
def test_one_sequence_is_told_the_same_by_estimate_and_by_serve(device: str, engine: str) -> None:
    """The prompt of its only user is not counted between the user's own tokens."""
    asked: dict[str, Any] = {"engine": engine, "isl": 32000, "osl": 200, "scheme": "bf16"}
    asked |= {"kv": "fp16" if engine == "llama.cpp" else "bf16", "devices": 1}
    alone = planner.estimate("qwen3-4b", device, batch=1, tpot_seconds="none", **asked)
    served = planner.serve("qwen3-4b", device, concurrency=1, **asked)
    assert served.tpot_seconds is not None
    assert served.tpot_seconds.value == pytest.approx(
        alone.performance.tpot_seconds.value, rel=0.01
    )
