"""``plan fleet`` as text: who serves what, in which formats, what is left and what it is worth."""

from __future__ import annotations

from collections.abc import Callable

from planner.base.units import format_seconds
from planner.report.columns import table_lines, wrapped
from planner.report.compared_terms import SHORT, rounded_loss
from planner.sizing.capacity_record import HOURS_A_MONTH
from planner.sizing.fleet.fleet_record import (
    Fleet,
    FleetDevice,
    FleetModel,
    FleetPool,
    MarginalValue,
)

HEADS = ("model", "device", "replicas", "dev", "req/s", "spare", "TTFT", "TPOT", "USD/h")
STOCK_HEADS = (
    "device",
    "stock",
    "used",
    "left",
    "USD/h",
    "+1 saves",
    "adds",
    "+host saves",
    "adds",
)
MOST_FORMATS = 8
"""Lines of formats; more stand in the JSON and on the page."""


def fleet_text(fleet: Fleet) -> str:
    """The whole answer; ends with a newline."""
    lines = [line for part in headline(fleet) for line in wrapped(part, "  ")]
    lines += ["", *table_lines([HEADS, *map(_cells_of(fleet), fleet.pools)], left=(0, 1, 2))]
    lines += ["", *_formats(fleet), "", *_stock(fleet)]
    return "\n".join([*lines, *_refused(fleet)]) + "\n"


def fleet_assumptions(fleet: Fleet) -> str:
    """The assumptions, one a line, for stderr."""
    lines = ["assumptions:"]
    for item in fleet.assumptions:
        lines += wrapped(f"  {item.key}: {item.value} — {item.reason}", "    ")
    return "\n".join(lines) + "\n"


def headline(fleet: Fleet) -> list[str]:
    """What it costs and what is left."""
    used = sum(device.used for device in fleet.devices)
    stock = sum(device.stock for device in fleet.devices)
    goal = (
        "the cheapest devices that serve all"
        if fleet.goal == "cost"
        else "the most room for growth on all devices"
    )
    money = (
        "no price is known"
        if fleet.usd_per_hour is None
        else f"{fleet.usd_per_hour:,.2f} USD an hour, {fleet.usd_per_hour * HOURS_A_MONTH:,.0f} "
        f"a month"
    )
    if fleet.work.gap:
        goal += f", to {fleet.work.gap:.1%}"
    return [
        f"{fleet.title}: {goal}",
        f"{money}; {used:,} of {stock:,} devices; with all of them every rate could be "
        f"{fleet.growth:.3g} × as high",
    ]


def growth_percent(share: float) -> str:
    """A share of growth, e.g. ``+12 %``."""
    return f"{share:+.0%}"


def _cells_of(fleet: Fleet) -> Callable[[FleetPool], tuple[str, ...]]:
    """Rows under the heads; a model's spare room stands beside its first pool."""
    models = {model.name: model for model in fleet.models}

    def cells(pool: FleetPool) -> tuple[str, ...]:
        first = fleet.of(pool.name)[0] is pool
        return (
            pool.name if first else "",
            pool.device,
            f"{pool.replicas} × {pool.layout}",
            str(pool.devices),
            f"{pool.requests_per_second:.3g}",
            growth_percent(models[pool.name].spare) if first else "",
            format_seconds(pool.ttft_seconds.value),
            format_seconds(pool.tpot_seconds.value),
            "-" if pool.usd_per_hour is None else f"{pool.usd_per_hour:.2f}",
        )

    return cells


def _formats(fleet: Fleet) -> list[str]:
    lines = []
    for pool in fleet.pools[:MOST_FORMATS]:
        lines += wrapped(
            f"{pool.name} on {pool.device}: {formats_text(pool)}; {replicas_range(pool)}",
            "    ",
            first="  ",
        )
    more = len(fleet.pools) - MOST_FORMATS
    return [
        *wrapped("formats, and replicas by the 80 % interval of step times:"),
        *lines,
        *([f"  {more} more: --json, --report"] if more > 0 else []),
    ]


def formats_text(pool: FleetPool) -> str:
    """Engine, formats and loss of a pool in words."""
    return (
        f"{pool.engine}, {' + '.join(pool.schemes)}, KV {SHORT.get(pool.kv, pool.kv)}, loss "
        f"{rounded_loss(pool.loss)}"
    )


def replicas_range(pool: FleetPool) -> str:
    """Replicas at either end of the interval of the step times."""
    if pool.replicas_high is None:
        return "none at the long end"
    if pool.replicas_low == pool.replicas_high:
        return f"{pool.replicas_high}"
    return f"{pool.replicas_low}–{pool.replicas_high}"


def limits_text(model: FleetModel) -> str:
    """The service level of a model in words."""
    parts = [
        f"{name} ≤ {format_seconds(value)}"
        for name, value in (("TTFT", model.ttft_limit_seconds), ("TPOT", model.tpot_limit_seconds))
        if value is not None
    ]
    return f"{' and '.join(parts)} for {model.percentile:g} %"


def savings_text(worth: MarginalValue | None) -> str:
    """USD an hour that more devices save."""
    if worth is None or worth.usd_per_hour_saved is None:
        return "-"
    return f"{worth.usd_per_hour_saved:.2f}" if worth.usd_per_hour_saved else "0"


def growth_text(worth: MarginalValue | None) -> str:
    """What more devices add to the growth of all rates."""
    return "-" if worth is None else f"+{worth.growth_gained:.3g}" if worth.growth_gained else "0"


def all_proved(fleet: Fleet) -> bool:
    """Whether all that one device, or host, more is worth was proved to the end."""
    return all(
        worth is None or worth.proved
        for device in fleet.devices
        for worth in (device.one_more, device.host_more)
    )


def _stock(fleet: Fleet) -> list[str]:
    return [
        *wrapped("stock; a device and a host more, solved again: USD/h saved, growth added:"),
        *table_lines([STOCK_HEADS, *map(_stock_cells, fleet.devices)], gap=2),
        *([] if all_proved(fleet) else wrapped("not all proved: larger values may be left")),
    ]


def _stock_cells(device: FleetDevice) -> tuple[str, ...]:
    price = device.usd_per_device_hour
    return (
        device.device,
        str(device.stock),
        str(device.used),
        str(device.spare),
        "-" if price is None else f"{price:.2f}",
        savings_text(device.one_more),
        growth_text(device.one_more),
        savings_text(device.host_more),
        growth_text(device.host_more),
    )


def _refused(fleet: Fleet) -> list[str]:
    lines: list[str] = []
    for name, device, reason in fleet.refused:
        lines += wrapped(f"{name} not on {device}: {reason}", "    ")
    return ["", *lines] if lines else []
