"""Plans of every engine and kind, and what is written of each."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import planner
from planner.planning.plan.record import Plan

SMALL = "llama-3.2-1b"
ONE: dict[str, Any] = {"devices": 1, "batch": 4, "context": 2048}
REPORTED = ("vllm", "pools", "prefixes", "drafts on sglang", "host of llama.cpp")
"""Plans whose reports are written too: every part that a report may have."""
DEPLOYS = ("compose", "kubernetes", "llm-d", "dynamo")
Export = tuple[str, str, str]
"""What ``plan export`` is given: format, engine, deployment."""


def _estimate(model: str, device: str, engine: str, **more: Any) -> Callable[[], Plan]:
    return partial(planner.estimate, model, device, engine=engine, **{**ONE, **more})


MADE: dict[str, tuple[Callable[[], Plan], tuple[Export, ...]]] = {
    "vllm": (
        partial(planner.plan, "qwen3-8b", "l40s", engine="vllm", isl=1000, osl=100),
        tuple(("", "vllm", deploy) for deploy in DEPLOYS),
    ),
    "pools": (
        partial(
            planner.plan,
            SMALL,
            "h100-sxm",
            engine="vllm",
            mode="disaggregated",
            **{**ONE, "devices": 2},
        ),
        tuple(("", "vllm", deploy) for deploy in ("compose", "kubernetes", "dynamo")),
    ),
    "prefixes": (
        _estimate(
            "qwen2.5-0.5b",
            "l40s",
            "vllm",
            reuse="chat",
            kv_offload="host",
            kv_offload_bytes=64 << 30,
        ),
        (("", "vllm", "compose"),),
    ),
    "drafts on vllm": (
        _estimate("llama-3.1-8b", "h100-sxm", "vllm", speculation="eagle", draft_tokens=3),
        (("", "vllm", "kubernetes"),),
    ),
    "drafts on sglang": (
        _estimate(
            "llama-3.1-8b", "h100-sxm", "sglang", speculation=SMALL, acceptance=0.7, draft_tokens=3
        ),
        (("", "sglang", "compose"),),
    ),
    "drafts on tensorrt-llm": (
        _estimate("llama-3.1-8b", "h100-sxm", "tensorrt-llm", speculation="eagle", draft_tokens=3),
        (
            ("", "tensorrt-llm", "dynamo"),
            ("", "tensorrt-llm", "compose"),
        ),
    ),
    "host of vllm": (
        _estimate("qwen3-32b", "rtx-4090", "vllm", host="xeon-platinum-8480", batch=1),
        (("", "vllm", "kubernetes"),),
    ),
    "host of llama.cpp": (
        _estimate(
            "deepseek-v2-lite",
            "rtx-4090",
            "llama.cpp",
            host="xeon-6980p",
            host_memory_bytes=64 << 30,
            batch=1,
        ),
        (("", "llama.cpp", "compose"),),
    ),
    "engine chosen": (
        partial(planner.plan, SMALL, "rtx-4090", **ONE),
        (("", "", ""),),
    ),
    "mlx": (
        _estimate("qwen2.5-0.5b", "m4-max", "mlx"),
        (("", "mlx", ""),),
    ),
    "modelopt": (
        _estimate("llama-3.1-8b", "b200-sxm", "tensorrt-llm", scheme="nvfp4"),
        (("modelopt", "tensorrt-llm", ""),),
    ),
    "fp8": (
        _estimate("llama-3.1-8b", "h100-sxm", "vllm", scheme="fp8-block"),
        (("fp8", "vllm", ""),),
    ),
    "gptq": (
        _estimate("llama-3.1-8b", "h100-sxm", "vllm", scheme="int4-w4a16"),
        (("gptq", "vllm", ""), ("compressed-tensors", "vllm", "")),
    ),
    "torchao": (
        _estimate("llama-3.1-8b", "h100-sxm", "pytorch", scheme="int8-w8a16"),
        (("torchao", "pytorch", ""),),
    ),
    "ggml": (
        _estimate("llama-3.1-8b", "rtx-4090", "llama.cpp", scheme="ggml-q4_k"),
        (("llama.cpp", "llama.cpp", "kubernetes"),),
    ),
}


@cache
def sample(name: str) -> Plan:
    """The plan of a name."""
    return MADE[name][0]()


@cache
def data_of(name: str) -> dict[str, Any]:
    """Its plan file."""
    return sample(name).to_dict()


def exports(name: str) -> tuple[Export, ...]:
    """What is exported of it."""
    return MADE[name][1]
