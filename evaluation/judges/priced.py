"""What a plan's price assumes of its server: values that the engine computes or is given."""

from __future__ import annotations

from typing import Any

from planner.export.serving_facts import per_rank, prefill_chunk
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.memory.usable import claimed_share
from planner.placement.layout import Layout
from planner.planning.plan.record import Plan
from planner.throughput.graphs import captured_batches

SHARE, SEQUENCES, CHUNK, CONTEXT = "memory share", "sequences", "prompt tokens a step", "context"
REPLAYED, CACHE = "replayed batch", "cache type"


def priced(plan: Plan, engine: Engine, device: DeviceProfile) -> dict[str, Any]:
    """By name: share of memory, sequences and prompt tokens of a rank's step, context, the size
    that a full batch is replayed at, ranks."""
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
                device.id,
                memory.capacity_bytes,
                Layout(layout.tp, layout.dp, layout.pp, layout.ep),
                out[CHUNK],
                usable_bytes=memory.usable_bytes,
            )
    known = captured_batches(engine.name)
    if known is not None and device.kind != "cpu":
        out[REPLAYED] = {
            str(b): min((n for n in known.sizes if n >= b), default=0) for b in spread(batch)
        }
    return out


def spread(batch: int) -> list[int]:
    """Batches up to ``batch`` whose replayed sizes are compared."""
    return sorted({1, 3, 5, 9, batch // 4, batch // 2, batch * 3 // 4, batch} - {0} - set(
        range(batch + 1, 10)
    ))  # fmt: skip
