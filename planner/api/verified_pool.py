"""What engines that are Python packages make of memory: the pool they are given, the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.api.memory import memory_use
from planner.hardware.profile import DeviceProfile
from planner.verifying.records import Forecast, Task

POOL_BYTES = "pool_bytes"
"""The fact that says how many bytes an engine's caches were given."""
LOADED_CODE = 128 << 20
"""Room above counted weights for what is loaded with them: model code and kernels [B]; 64 MB were
seen with vLLM 0.32."""
COUNTED = 1.005


def address(task: Task) -> str:
    """The engine as rules and memory arithmetic read it: vLLM at the version that was found."""
    if task.engine.name != "vllm":
        return task.engine.name
    return "vllm@" + ".".join(task.engine.version.split("+")[0].split(".")[:2])


def pool(task: Task, device: DeviceProfile, facts: Mapping[str, Any],
         weights: float) -> dict[str, Forecast]:
    """Tokens and bytes of the engine's cache as `plan memory` counts them, exact, and the weights
    with what a CPU keeps twice; {} where the engine was given no pool. ``weights`` are the
    subject's [B]."""
    if POOL_BYTES not in facts:
        return {}
    s = task.setting
    found = memory_use(task.spec, device, kv=s.cache, engine=address(task),
                       context=s.prompt_tokens + s.output_tokens,
                       kv_cache_memory_bytes=int(facts[POOL_BYTES])).engine
    assert found is not None
    held, taken = float(found.tokens), float(found.blocks * found.block_bytes)
    basis = f"counted: {found.blocks} blocks of {found.block_tokens} tokens"
    twice = sum(line.bytes for line in found.rank.weights if line.name == "packed-head")
    total = weights + twice
    return {"weight_bytes": Forecast(total + LOADED_CODE / 2, total / COUNTED,
                                      total * COUNTED + LOADED_CODE,
                                      "counted, and code that is loaded with them"),
            "cache_tokens": Forecast(held, held, held, basis),
            "cache_bytes": Forecast(taken, taken, taken, basis)}
