"""What engines that are Python packages make of memory: the pool they are given, the weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.hardware.profile import DeviceProfile
from planner.lab.verifying.records import Forecast, Task
from planner.planning.inspect.memory import memory_use

POOL_BYTES = "pool_bytes"
"""The fact that says how many bytes an engine's caches were given."""
LOADED_CODE = 16 << 20
"""Room above counted weights for what is loaded with them: model code and kernels [B]; 4 to 8 MB
were seen with vLLM 0.32."""
COUNTED = 1.005
_BESIDE = ("packed-head", "rope-tables")
"""What lies in memory beside the weights of a file."""


def address(task: Task) -> str:
    """The engine as rules and memory arithmetic read it: vLLM at the version that was found."""
    if task.engine.name != "vllm":
        return task.engine.name
    return "vllm@" + ".".join(task.engine.version.split("+")[0].split(".")[:2])


def pool(
    task: Task, device: DeviceProfile, facts: Mapping[str, Any], weights: float
) -> dict[str, Forecast]:
    """Tokens and bytes of the engine's cache as `plan memory` counts them, exact, and the weights
    with what a CPU keeps twice; {} where the engine was given no pool. ``weights`` are the
    subject's [B]."""
    if POOL_BYTES not in facts:
        return {}
    s = task.setting
    engine_result = memory_use(
        task.spec,
        device,
        kv=s.cache,
        engine=address(task),
        context=s.prompt_tokens + s.output_tokens,
        kv_cache_memory_bytes=int(facts[POOL_BYTES]),
    ).engine
    assert engine_result is not None
    pool_tokens, taken = (
        float(engine_result.tokens),
        float(engine_result.blocks * engine_result.block_bytes),
    )
    basis = f"counted: {engine_result.blocks} blocks of {engine_result.block_tokens} tokens"
    total = weights + sum(line.bytes for line in engine_result.rank.weights if line.name in _BESIDE)
    return {
        "weight_bytes": Forecast(
            total + LOADED_CODE / 2,
            total / COUNTED,
            total * COUNTED + LOADED_CODE,
            "counted, and code that is loaded with them",
        ),
        "cache_tokens": Forecast(pool_tokens, pool_tokens, pool_tokens, basis),
        "cache_bytes": Forecast(taken, taken, taken, basis),
    }
