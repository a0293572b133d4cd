"""Pools of prefill and decode workers in the answer: a line for each, and the cache between."""

from __future__ import annotations

from planner.base.units import format_bytes, format_rate, format_seconds
from planner.planning.plan.deployment import DecodePool, PoolLayout, PrefillPool
from planner.planning.plan.record import Plan


def pools_name(plan: Plan) -> str:
    """``2 prefill + 3 decode workers``; empty of a plan without pools."""
    pools = plan.deployment
    if pools is None:
        return ""
    return f"{pools.prefill.workers} prefill + {pools.decode.workers} decode workers"


def devices_name(plan: Plan) -> str:
    """``32 × h200-sxm``; the decode workers' and the prefill workers' devices where they differ."""
    pools = plan.deployment
    if pools is None or pools.prefill.device == plan.device.id:
        return f"{plan.device.count:,} × {plan.device.id}"
    pool, two = pools.prefill, pools.decode
    return (
        f"{two.workers * two.devices_per_worker:,} × {plan.device.id} + "
        f"{pool.workers * pool.devices_per_worker:,} × {pool.device}"
    )


def pool_lines(plan: Plan) -> list[str]:
    """What each pool is, and what goes from one to the other; nothing of a plan without."""
    pools = plan.deployment
    if pools is None:
        return []
    pool, two, over = pools.prefill, pools.decode, pools.transfer
    sets = {
        name: " (sets the rate)" if name == pools.limit else ""
        for name in ("prefill", "decode", "transfer")
    }
    return [
        f"prefill: {_workers(plan, pool)}, {pool.utilisation:.0%} busy{sets['prefill']}, "
        f"{format_rate(pool.prompt_tokens_per_second)} prompt tokens/s; TTFT = "
        f"{format_seconds(pool.queue_seconds)} wait + "
        f"{format_seconds(pool.read_seconds)} reading + "
        f"{format_seconds(over.seconds)} cache + a step",
        f"decode: {_workers(plan, two)}, {two.utilisation:.0%} of its rate{sets['decode']}",
        f"cache: {pools.kv}, {format_bytes(over.bytes)} a prompt over the {_link(over.link)}, "
        f"{over.bytes_per_second / 1e9:.3g} GB/s a device{sets['transfer']}",
    ]


def _link(name: str) -> str:
    """A link in words: network link, scale-up link."""
    return name if name.endswith("link") else f"{name} link"


def _workers(plan: Plan, pool: PrefillPool | DecodePool) -> str:
    where = "" if pool.device == plan.device.id else f" of {pool.device}"
    return f"{pool.workers} × {layout_words(pool.layout)}{where}, {' + '.join(pool.schemes)}"


def layout_words(layout: PoolLayout) -> str:
    """Degrees above one; ``one device`` without any."""
    shape = " ".join(
        f"{name}{value}"
        for name, value in (
            ("tp", layout.tp),
            ("dp", layout.dp),
            ("pp", layout.pp),
            ("ep", layout.ep),
        )
        if value > 1
    )
    return shape or "one device"
