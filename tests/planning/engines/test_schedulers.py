"""What engines run at most by default."""

from __future__ import annotations

import pytest

from planner.hardware.catalog import resolve_device
from planner.memory.engines.catalog import parse_engine
from planner.planning.engines.schedulers import COMMON, scheduler_defaults


@pytest.mark.parametrize(
    ("engine", "device", "sequences"),
    [
        ("vllm@0.15.1", "h100-sxm", 1024),
        ("vllm@0.15.1", "l40s", 256),
        ("vllm@0.15.1", "a100-sxm", 256),
        ("vllm@0.7.3", "h100-sxm", 256),
        ("tensorrt-llm", "h100-sxm", 2048),
        ("llama.cpp", "rtx-4090", 4),
        ("pytorch", "h100-sxm", COMMON.sequences),
    ],
)
def test_most_requests(engine: str, device: str, sequences: int) -> None:
    parsed = parse_engine(engine)
    defaults = scheduler_defaults(parsed.name, parsed.version, resolve_device(device))
    assert defaults.sequences_of(400_000, 8192) == sequences


def test_sglang_runs_more_where_the_cache_is_large() -> None:
    defaults = scheduler_defaults(
        "sglang", parse_engine("sglang").version, resolve_device("h100-sxm")
    )
    assert [defaults.sequences_of(tokens, 1000) for tokens in (1000, 6000, 9_000_000)] == [
        2048,
        3072,
        4096,
    ]


def test_memory_and_schedulers_agree_on_vllm() -> None:
    """What the memory of its profile counts are the sequences of its scheduler."""
    engine = parse_engine("vllm@0.15.1")
    for device, key in (("h100-sxm", "max_seqs_large"), ("l40s", "max_seqs")):
        defaults = scheduler_defaults("vllm", engine.version, resolve_device(device))
        assert defaults.sequences == engine.integer(key)
