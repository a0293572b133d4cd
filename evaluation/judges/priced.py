"""What a plan's price assumes of its server: values that the engine computes or is given."""

from __future__ import annotations

from typing import Any

from planner.export.serving_facts import per_rank, prefill_chunk
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.memory.usable import claimed_share
from planner.placement.layout import Layout
from planner.planning.plan.record import Plan

SHARE, SEQUENCES, CHUNK, CONTEXT = "memory share", "sequences", "prompt tokens a step", "context"
REPLAYED = "graph of a full batch"


def priced(plan: Plan, engine: Engine, device: DeviceProfile) -> dict[str, Any]:
    """By name: share of memory, sequences and prompt tokens of a rank's step, context, ranks, and
    the size that a full batch of a pipeline stage is replayed at: a plan's step is replayed,
    without padding."""
    memory, layout = plan.memory_per_device, plan.layout
    batch = per_rank(plan)
    out: dict[str, Any] = {
        SEQUENCES: batch,
        CHUNK: prefill_chunk(plan),
        CONTEXT: plan.workload.context_tokens,
        "tp": layout.tp,
        "dp": layout.dp,
        "pp": layout.pp,
        "ep": layout.ep,
    }
    if engine.name in ("vllm", "sglang") and not device.unified_memory and device.kind != "cpu":
        out[SHARE] = memory.usable_bytes / memory.capacity_bytes
        if engine.name == "sglang":
            out[SHARE] = claimed_share(
                engine,
                memory.capacity_bytes,
                Layout(layout.tp, layout.dp, layout.pp, layout.ep),
                out[CHUNK],
                usable_bytes=memory.usable_bytes,
            )
    if device.kind != "cpu" and engine.name != "llama.cpp":
        out[REPLAYED] = -(-batch // layout.pp)
    return out
