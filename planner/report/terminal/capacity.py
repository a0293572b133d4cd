"""``plan capacity`` as text: the answer in a few lines, what is beside it, what less would buy."""

from __future__ import annotations

from planner.base.units import format_rate, format_seconds
from planner.planning.plan.record import Estimate
from planner.report.columns import table_lines, wrapped
from planner.report.terminal.compared import SHORT, rounded_loss
from planner.sizing.capacity_record import Capacity, CapacityOption
from planner.sizing.options import MOST_RELAXED

KV, UNIFORM = ", KV ", "uniform "
LATE = "!"
"""Mark of a row that does not keep the limits."""


def capacity_text(capacity: Capacity) -> str:
    """The whole answer; ends with a newline."""
    lines = [line for part in _head(capacity) for line in wrapped(part, "  ")]
    lines += ["", *_table(capacity)]
    lines += ["", "cheaper with these formats:"]
    texts = [compromise.text for compromise in capacity.compromises] or [
        f"nothing: no fewer devices do within {MOST_RELAXED:g} × the limits"
    ]
    lines += [line for text in texts for line in wrapped(text, "    ", first="  ")]
    return "\n".join(lines) + "\n"


def capacity_assumptions(capacity: Capacity) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for item in capacity.assumptions:
        lines += wrapped(f"  {item.key}: {item.value} — {item.reason}", "    ")
    return "\n".join(lines) + "\n"


def _head(capacity: Capacity) -> list[str]:
    best = capacity.answer
    copies = f"{best.replicas} replica{'s' * (best.replicas > 1)} of {best.layout}"
    hits = f", prefix hit {capacity.prefix_hit_rate:.0%}" if capacity.prefix_hit_rate else ""
    preset = f" ({capacity.preset})" if capacity.preset else ""
    rate = capacity.output_tokens_per_second
    out = [
        f"{capacity.model}: {best.devices} × {capacity.device}, {copies}, {capacity.engine}; "
        + _either_end(capacity),
        f"requests: {capacity.requests_per_second:.4g}/s of {capacity.isl:,} in → "
        f"{capacity.osl:,} out"
        f"{hits}{preset}, {capacity.router}; {best.load:.0%} of the most that these serve, "
        f"{capacity.sequences:.3g} in flight a replica"
        + (f", {capacity.waits:.0%} wait for a slot" if capacity.waits >= 0.005 else ""),
        f"p{capacity.percentile:g}: TTFT {_span(capacity.ttft_seconds)}"
        f"{_limit(capacity.ttft_limit_seconds)}, TPOT {_span(capacity.tpot_seconds)}"
        f"{_limit(capacity.tpot_limit_seconds)}; mean "
        f"{format_seconds(capacity.mean_ttft_seconds)}, "
        f"{format_seconds(capacity.mean_tpot_seconds)}",
        f"{format_rate(rate)} tokens/s out, {format_rate(rate / best.devices)} a device; "
        + _costs(capacity),
        f"formats: {' + '.join(best.schemes)}, KV {best.kv}, loss {rounded_loss(best.loss)}",
    ]
    if capacity.simulated is not None:
        played = capacity.simulated
        out.append(
            f"simulated, {played.requests:,} requests: p{capacity.percentile:g} TTFT "
            f"{format_seconds(played.ttft_seconds)}, TPOT "
            f"{format_seconds(played.tpot_seconds)}"
        )
    return out


def _either_end(capacity: Capacity) -> str:
    """What either end of the interval of the step times would need."""
    low, high = capacity.devices_low, capacity.devices_high
    if high is None:
        return "none keeps the limits where steps are as long as their 80 % interval says"
    if low == high:
        return "the same at both ends of the 80 % interval of step times"
    return f"{low}–{high} devices by the 80 % interval of step times"


def _span(value: Estimate) -> str:
    return (
        f"{format_seconds(value.value)} ({format_seconds(value.low)}–"
        f"{format_seconds(value.high)}, {value.basis})"
    )


def _limit(seconds: float | None) -> str:
    return "" if seconds is None else f" ≤ {format_seconds(seconds)}"


def _costs(capacity: Capacity) -> str:
    usd, power = capacity.answer.usd_per_month, capacity.kwh_per_month
    parts = ["no price is known (--price)" if usd is None else f"{usd:,.0f} USD"]
    if power is not None:
        parts.append(f"{power.value:,.0f} kWh ({power.low:,.0f}–{power.high:,.0f}, {power.basis})")
    return " and ".join(parts) + (" a month" if usd is not None or power is not None else "")


def _table(capacity: Capacity) -> list[str]:
    heads = ("", "replicas", "dev", "load", "TTFT", "TPOT", "USD/month", "loss")
    rows = [heads, *(_cells(option) for option in capacity.options)]
    lines = table_lines(rows, left=(0, 1))
    if any(not option.within_limits for option in capacity.options):
        lines += wrapped(
            f"{LATE} does not keep the limits for {capacity.percentile:g} % of requests", "  "
        )
    return lines


def _cells(option: CapacityOption) -> tuple[str, ...]:
    """A row under the heads; a dash where there is nothing to tell, or where a queue has no end."""

    def seconds(value: float | None) -> str:
        return "-" if value is None else format_seconds(value)

    name, mark, kv = option.name.removeprefix(UNIFORM).partition(KV)
    return (
        name
        + (f"{mark}{SHORT.get(kv, kv)}" if kv else "")
        + ("" if option.within_limits else LATE),
        f"{option.replicas} × {option.layout}",
        str(option.devices),
        f"{option.load:.0%}",
        seconds(option.ttft_seconds),
        seconds(option.tpot_seconds),
        "-" if option.usd_per_month is None else f"{option.usd_per_month:,.0f}",
        rounded_loss(option.loss),
    )
