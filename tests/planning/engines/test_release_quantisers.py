"""What public releases were made with, by repository and scheme."""

import pytest

from planner.planning.engines.published import published_weights
from planner.planning.engines.release_quantisers import (
    made_with,
    release_in,
    release_quantisers,
)
from planner.planning.engines.repositories import GGUF
from planner.quality.quantisers import ROUNDING


@pytest.mark.parametrize(
    ("repository", "scheme", "quantiser"),
    [
        ("Qwen/Qwen3-32B-AWQ", "int4-w4a16", "AWQ"),
        ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "int4-w4a16", "GPTQ"),
        ("hugging-quants/Meta-Llama-3.1-8B-Instruct-AWQ-INT4", "int4-w4a16", "AWQ"),
        ("Intel/Qwen3-8B-int4-AutoRound", "int4-w4a16", "AutoRound"),
        ("RedHatAI/phi-4-quantized.w4a16", "int4-w4a16", "GPTQ"),
        ("RedHatAI/phi-4-quantized.w8a8", "int8-w8a8", "SmoothQuant and GPTQ"),
        ("RedHatAI/phi-4-FP8-dynamic", "fp8-channel", ROUNDING),
        ("nvidia/Qwen3-8B-NVFP4", "nvfp4", ROUNDING),
        ("Qwen/Qwen3-8B-FP8", "fp8-block", ROUNDING),
    ],
)
def test_a_release_was_made_with(repository: str, scheme: str, quantiser: str) -> None:
    found = made_with(repository, scheme)
    assert found is not None
    assert found.quantiser == quantiser


def test_what_nobody_states_is_not_known() -> None:
    assert made_with("amd/Kimi-K2.5-MXFP4", "mxfp4") is None
    assert made_with("somebody/My-Model", "int4-w4a16") is None


def test_the_first_release_in_a_scheme_is_taken_and_files_of_llama_cpp_are_not() -> None:
    rows = published_weights("qwen2.5-7b")
    found = release_in(rows, "mlp-down", "int4-w4a16")
    assert found is not None
    first = next(r for r in rows if r.dense == "int4-w4a16" and GGUF not in r.container)
    assert found.repository == first.repository
    assert release_in(rows, "mlp-down", "mxfp4") is None
    assert release_in((), "mlp-down", "int4-w4a16") is None


def test_only_the_kinds_that_a_release_quantises_are_its_own() -> None:
    """GPTQ of the experts alone says nothing of attention in four bits."""
    rows = published_weights("qwen3.5-122b-a10b")
    assert release_in(rows, "experts-down", "int4-w4a16") is not None
    assert release_in(rows, "attention-out", "int4-w4a16") is None


def test_every_pattern_has_a_source() -> None:
    assert all(row.source and row.quantiser for row in release_quantisers())
