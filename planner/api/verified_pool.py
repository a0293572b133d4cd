"""What an engine with a pool of its own makes of the bytes that a verification gives it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planner.api.memory import memory_use
from planner.hardware.profile import DeviceProfile
from planner.verifying.records import Forecast, Task

POOL_BYTES = "pool_bytes"
"""The fact that says how many bytes an engine's caches were given."""


def pool(task: Task, device: DeviceProfile, facts: Mapping[str, Any]) -> dict[str, Forecast]:
    """Tokens and bytes of the engine's cache as `plan memory` counts them, exact; {} where the
    engine was given no pool."""
    if POOL_BYTES not in facts:
        return {}
    s = task.setting
    version = ".".join(task.engine.version.split("+")[0].split(".")[:2])
    found = memory_use(task.spec, device, kv=s.cache, engine=f"{task.engine.name}@{version}",
                       context=s.prompt_tokens + s.output_tokens,
                       kv_cache_memory_bytes=int(facts[POOL_BYTES])).engine
    assert found is not None
    held, taken = float(found.tokens), float(found.blocks * found.block_bytes)
    basis = f"counted: {found.blocks} blocks of {found.block_tokens} tokens"
    return {"cache_tokens": Forecast(held, held, held, basis),
            "cache_bytes": Forecast(taken, taken, taken, basis)}
