"""Commands of servers read as data."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from planner.lab.validation.parallelism import Shape
from planner.lab.validation.records import REASONS, NotCoveredError
from planner.lab.validation.served_commands import (
    engine_version,
    serve_command,
    weights_label,
)

LIST = "- vLLM: v0.11.0 - SGLang: v0.5.5.post1 - TensorRT-LLM: v1.2.0rc1"


@pytest.mark.parametrize(
    ("text", "engine", "model", "shape"),
    [
        ("vllm serve owner/M -tp 4", "vllm", "owner/M", Shape(4, 1, 1, 0, 1)),
        (
            "vllm serve owner/M --tensor-parallel-size=2 --pipeline-parallel-size 2",
            "vllm",
            "owner/M",
            Shape(2, 2, 1, 0, 1),
        ),
        (
            "vllm serve M -tp 2 --data-parallel-size 4 --enable-expert-parallel",
            "vllm",
            "M",
            Shape(2, 1, 4, 0, 8),
        ),
        (
            "python3 -m sglang.launch_server --model-path M --tp-size 4 --ep-size 4",
            "sglang",
            "M",
            Shape(4, 1, 1, 0, 4),
        ),
        (
            "python3 -m sglang.launch_server --model M --tp 8 --dp 8 --enable-dp-attention",
            "sglang",
            "M",
            Shape(1, 1, 8, 0, 1),
        ),
        ("trtllm-serve M --tp_size 8 --ep_size 8", "tensorrt-llm", "M", Shape(8, 1, 1, 0, 8)),
        (
            "python3 -m sglang.launch_server --model M --pp-size 4",
            "sglang",
            "M",
            Shape(1, 4, 1, 0, 1),
        ),
    ],
)
def test_engine_model_and_ranks(text: str, engine: str, model: str, shape: Shape) -> None:
    command = serve_command(text)
    assert (command.engine, command.model, command.shape) == (engine, model, shape)
    assert command.replicas == 1


def test_data_parallel_sglang_without_shared_attention_is_replicas() -> None:
    command = serve_command("python3 -m sglang.launch_server --model M --tp 2 --dp 4")
    assert (command.shape, command.replicas) == (Shape(2, 1, 1, 0, 1), 4)


def test_shared_attention_of_one_rank_is_none() -> None:
    """SGLang switches it off where --dp-size is left at 1."""
    command = serve_command(
        "python3 -m sglang.launch_server --model M --tp 8 --enable-dp-attention"
    )
    assert command.shape == Shape(8, 1, 1, 0, 1)


def test_limits_and_formats() -> None:
    command = serve_command(
        "vllm serve M \\\n --max-num-batched-tokens 16384 --max-num-seqs=512 "
        "--gpu-memory-utilization 0.85 --kv-cache-dtype fp8 --max-model-len 32768 "
        '--speculative-config={"method":"mtp","num_speculative_tokens":4} --quantization fp8 '
        "--decode-context-parallel-size 2"
    )
    assert (command.chunk, command.slots, command.fraction) == (16384, 512, 0.85)
    assert (command.kv, command.context, command.drafts) == ("fp8", 32768, 4)
    assert (command.quantization, command.context_parallel) == ("fp8", 2)
    sglang = serve_command(
        "python3 -m sglang.launch_server --model M --speculative-algorithm EAGLE "
        "--speculative-num-steps 3 --chunked-prefill-size 4096 --mem-fraction-static 0.8"
    )
    assert (sglang.drafts, sglang.chunk, sglang.fraction) == (3, 4096, 0.8)


@pytest.mark.parametrize(
    ("text", "said", "engine"),
    [
        ("--reasoning-parser=qwen3 --max-model-len=32768", "Choosing > SGLang", "sglang"),
        ("--reasoning-parser=qwen3 --max-model-len=32768", "Max Num Seqs", "vllm"),
        ("--reasoning-parser=qwen3 --context-length=32768", "", "sglang"),
    ],
)
def test_flags_and_headings_name_an_engine(text: str, said: str, engine: str) -> None:
    assert serve_command(text, said=said).engine == engine


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mindie serve M", "unknown engine"),
        ("", "unknown engine"),
        ("ls; rm -rf /", "unknown engine"),
        ("vllm serve M -tp nan", "malformed row"),
        ("vllm serve M -tp -1", "malformed row"),
        ("vllm serve M -tp 0", "malformed row"),
        ("vllm serve M -tp " + "9" * 5000, "malformed row"),
        ("vllm serve M --gpu-memory-utilization 7", "malformed row"),
        ("python3 -m sglang.launch_server --tp 8 --dp 3 --enable-dp-attention", "not legal"),
    ],
)
def test_commands_that_are_not_read(text: str, reason: str) -> None:
    with pytest.raises(NotCoveredError) as caught:
        serve_command(text)
    assert caught.value.reason == reason


@settings(max_examples=examples(60), deadline=None)
@given(st.text(max_size=60), st.sampled_from(("vllm serve M ", "trtllm-serve ", "", "sglang ")))
def test_any_text_is_read_or_has_a_reason(text: str, head: str) -> None:
    reason = ""
    try:
        assert serve_command(head + text).shape.ranks >= 1
    except NotCoveredError as error:
        reason = error.reason
    assert reason in {"", *REASONS}


@pytest.mark.parametrize(
    ("engine", "version"),
    [("vllm", "0.11.0"), ("sglang", "0.5.5.post1"), ("tensorrt-llm", "1.2.0rc1")],
)
def test_versions_of_a_list(engine: str, version: str) -> None:
    assert engine_version(engine, LIST) == version


def test_a_fork_is_not_the_engine() -> None:
    with pytest.raises(NotCoveredError):
        engine_version("vllm", "- vLLM-Ascend: v0.9.1 - MindIE: 2.1RC1")


@pytest.mark.parametrize(
    ("model", "flag", "label"),
    [
        ("Qwen/Qwen3-14B", "", ""),
        ("Qwen/Qwen3-14B-FP8", "", "fp8"),
        ("Qwen/Qwen3-14B-AWQ", "", "AWQ"),
        ("owner/M-GPTQ-Int4", "", "GPTQ"),
        ("owner/M-W8A8", "", "int8"),
        ("nvidia/M-NVFP4", "", "nvfp4"),
        ("owner/M", "fp8", "fp8"),
    ],
)
def test_formats_of_names_and_flags(model: str, flag: str, label: str) -> None:
    assert weights_label(model, flag) == label
