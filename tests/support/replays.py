"""Replays that pages are made of."""

from __future__ import annotations

from functools import cache

import planner
from planner.planning.replay.record import ReplayAnswer


@cache
def in_stages() -> ReplayAnswer:
    """One pool in two stages of rates, the second of which makes a queue."""
    return planner.replay(
        "qwen2.5-0.5b",
        "l40s",
        devices=1,
        engine="vllm",
        stages="20s@2/s,20s@60/s",
        isl=400,
        osl=120,
        slots_max=8,
        ttft_seconds=1.0,
    )


@cache
def in_pools() -> ReplayAnswer:
    """Two prefill workers before one decode worker."""
    return planner.replay(
        "llama-3.1-8b",
        "h100-sxm",
        engine="vllm",
        tp=1,
        prefill_workers=2,
        decode_workers=1,
        rate=8.0,
        count=200,
        isl=2000,
        osl=100,
    )
