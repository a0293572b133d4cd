"""What a server's command says of prefixes beyond the device, from the plan's record."""

from __future__ import annotations

from planner.memory.engines.catalog import Engine
from planner.planning.engines.kv_offload import UNITS, PrefixTier, prefix_tier
from planner.planning.plan.record import Plan

OPTION = "host_cache_size"
"""The key of TensorRT-LLM's file of options."""
ENGINE = "engine"


def with_prefix_flags(
    engine: Engine,
    plan: Plan,
    words: list[str],
) -> tuple[list[str], list[str]]:
    """(``words`` with what the tier of the plan needs, what they cannot say)."""
    row = tier_of(engine, plan)
    if row is None:
        return words, []
    more = list(row.more)
    if row.flag and row.flag != OPTION:
        more += (
            [f"{row.flag}={_size(row, plan)}"]
            if row.flag.isupper()
            else [row.flag, _size(row, plan)]
        )
    set_before = [word for word in more if word.partition("=")[0].isupper()]
    unsaid = (
        ["/NVME stands for a folder on the drive"] if any("/NVME" in word for word in more) else []
    )
    if not row.flag:
        unsaid.append("how much of the drive prefixes may take: no flag")
    words = [*words, *(word for word in more if word not in set_before)]
    if set_before:
        words = ["env", *set_before, *(words[1:] if words[0] == "env" else words)]
    return words, unsaid


def prefix_options(engine: Engine, plan: Plan) -> list[str]:
    """Lines of TensorRT-LLM's options under ``kv_cache_config``."""
    row = tier_of(engine, plan)
    return [f"  {OPTION}: {_size(row, plan)}"] if row is not None and row.flag == OPTION else []


def tier_of(engine: Engine, plan: Plan) -> PrefixTier | None:
    """The engine's tier that the plan loads prefixes from; None where it loads none."""
    found = plan.prefix_cache.offload if plan.prefix_cache is not None else None
    if found is None or not found.loads:
        return None
    return prefix_tier(engine.name, engine.version_text, found.tier)


def _size(row: PrefixTier, plan: Plan) -> str:
    """The tier's size as its flag takes it: whole units, rounded down."""
    assert plan.prefix_cache is not None
    assert plan.prefix_cache.offload is not None
    ranks = plan.layout.tp * plan.layout.pp if row.scope == ENGINE else 1
    return str(plan.prefix_cache.offload.bytes_per_device * ranks // UNITS[row.unit])
