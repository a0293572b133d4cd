"""Rows of ``trtllm-bench throughput``: how many requests, and what the engine is started with.

The published overviews state neither batch nor token budget; the tool derives both from the cache
(tensorrt_llm/bench/build/tuning.py, ``finetune_setting``), and the number of requests from the
lengths (``data/published.toml``).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

from planner.throughput.offline import PassLimits

_FILE = Path(__file__).resolve().parent / "data" / "published.toml"
MOST_SEQUENCES, MOST_TOKENS = 4096, 32768
LEAST_SEQUENCES, LEAST_TOKENS = 64, 2048


@dataclass(frozen=True, slots=True)
class BenchRun:
    """A run of so many ``requests``; the cache takes ``cache_share`` times the memory that it takes
    by the engine's default."""

    requests: int
    cache_share: float


def bench_run(software: str, load: str, isl: int, osl: int) -> BenchRun | None:
    """The run of a row with this load, None where its table does not describe one."""
    for entry in _runs():
        if re.fullmatch(entry["software"], software.strip(), re.IGNORECASE) and re.fullmatch(
            entry["load"], load.strip(), re.IGNORECASE
        ):
            for asked, answered, requests in entry["requests"]:
                if (asked, answered) == (isl, osl):
                    return BenchRun(requests, entry["cache_share"])
    return None


def bench_limits(cached: float, isl: int, osl: int, pp: int) -> PassLimits:
    """Sequences and tokens of a pass where ``cached`` requests fit into the cache of all stages."""
    each = min(cached, MOST_SEQUENCES) / pp
    tokens = min(each * (1 + isl / osl), MOST_TOKENS)
    if each < 256:
        sequences = max(LEAST_SEQUENCES, _up(each, 32))
    else:
        sequences = _up(each, 128 if each < 1024 else 256)
    if tokens < 4096:
        budget = max(LEAST_TOKENS, _up(tokens, 256))
    else:
        budget = _up(tokens, 512 if tokens < 8192 else 1024)
    return PassLimits(sequences, budget)


def _up(value: float, step: int) -> int:
    return step * ceil(value / step)


@cache
def _runs() -> list[dict[str, Any]]:
    return list(tomllib.loads(_FILE.read_text(encoding="utf-8"))["bench_run"])
