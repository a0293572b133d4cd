"""Weights that llama.cpp interleaves on a CPU: counted once, and said."""

import pytest

import planner


def note(model: str, device: str, scheme: str) -> str:
    answer = planner.memory_use(model, device, scheme=scheme, engine="llama.cpp")
    assert answer.engine is not None
    return next((n for n in answer.engine.notes if "CPU_REPACK" in n), "")


def test_all_but_rows_that_are_looked_up_lie_in_a_buffer_of_their_own() -> None:
    answer = planner.memory_use(
        "llama-3.1-8b", "xeon-6980p", scheme="ggml-q4_k", engine="llama.cpp"
    )
    assert answer.engine is not None
    inside = ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down")
    size = sum(line.bytes for line in answer.engine.rank.weights if line.name in inside)
    assert note("llama-3.1-8b", "xeon-6980p", "ggml-q4_k").startswith(f"{size:,} bytes")
    total = sum(line.bytes for line in answer.engine.rank.weights)
    assert total == answer.parts.fullest.weights_bytes  # once, whatever is mapped


@pytest.mark.parametrize(
    ("device", "scheme"),
    [("xeon-6980p", "bf16"), ("xeon-6980p", "ggml-q6_k"), ("rtx-4090", "ggml-q4_k")],
)
def test_types_without_such_rows_and_gpus_have_none(device: str, scheme: str) -> None:
    assert note("llama-3.1-8b", device, scheme) == ""
