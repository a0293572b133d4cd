"""Lines of an answer on the prefixes that the plan keeps, where that was asked for."""

from __future__ import annotations

from planner.planning.plan.prefix_cache import OffloadedPrefixes, PrefixCache
from planner.units import format_bytes, format_rate, format_seconds

MOST_FORMATS = 3
TIERS = {"host": "host memory", "nvme": "a drive"}


def prefix_lines(found: PrefixCache) -> list[str]:
    """What is found and why, what each cache format is worth, what is loaded from beyond."""
    stays = format_seconds(found.lifetime_seconds)
    lines = [
        f"prefixes: {_percent(found.hit_rate)} of a prompt is found ({found.reuse.workload}: "
        f"{_percent(found.reuse.ideal_hit_rate)} comes back); room for "
        f"{found.capacity_tokens:,} tokens, which stay {stays}"
    ]
    if len(found.by_cache) > 1:
        told = [
            f"{row.kv} {_percent(row.hit_rate)}, TTFT {format_seconds(row.ttft_seconds)}, "
            f"{format_rate(row.output_tokens_per_second)} tokens/s"
            for row in found.by_cache[:MOST_FORMATS]
        ]
        lines.append(f"by cache: {'; '.join(told)}")
    if found.offload is not None:
        lines.append(_beyond(found.offload))
    return lines


def _beyond(tier: OffloadedPrefixes) -> str:
    """What the tier beyond the devices adds, or why it does not."""
    name = f"{TIERS.get(tier.tier, tier.tier)} ({format_bytes(tier.bytes_per_device)} a device)"
    if not tier.loads:
        return f"{name}: nothing is loaded: {tier.why}"
    return (
        f"{name}: +{_percent(tier.hit_rate)}, loaded in {format_seconds(tier.load_seconds)} "
        f"over {tier.link} (computing takes {format_seconds(tier.compute_seconds)}), busy "
        f"{_percent(tier.link_busy)}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
