"""A fleet's charts: devices by kind and model, and times beside their limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from planner.base.units import format_seconds
from planner.report.charts.chart import (
    COLOURS,
    OWN,
    PLAIN,
    SOFT,
    Bars,
    Chart,
    ChartAxis,
    Interval,
    Legend,
    Mark,
    PointMarks,
    ValueLine,
    Words,
    named_rows,
)
from planner.report.charts.drawing import drawn
from planner.report.charts.records import axis_ticks
from planner.report.charts.svg import text_width
from planner.report.phrases import Phrases
from planner.sizing.fleet.figures import DeviceBar, device_bars, limit_shares
from planner.sizing.fleet.fleet_record import Fleet

SHADES = len(COLOURS)
"""Fills of models; a ninth model begins again."""
WIDEST = 2.0
"""Shares of a limit beyond which an interval is drawn to the edge."""
ACROSS = 590.0
"""Pixels of the bars of all devices, about: a name stands in its bar where it fits."""
PITCH = 42.0


def devices_svg(say: Phrases, fleet: Fleet) -> str:
    """Bars of devices that models take and that are left; empty without devices. The page has the
    legend."""
    if not any(bar.stock for bar in device_bars(fleet)):
        return ""
    return drawn(replace(devices_chart(say, fleet), legend=None))


def devices_chart(say: Phrases, fleet: Fleet) -> Chart:
    """Devices of each kind by model, and those that are left."""
    bars = device_bars(fleet)
    most = max((bar.stock for bar in bars), default=0) or 1
    ticks = [v for v in axis_ticks([most], log=False, zero=True).values if v == int(v)]
    end = max(ticks[-1], most)
    order = {model.name: n % SHADES for n, model in enumerate(fleet.models)}
    marks: list[Mark] = []
    for y, bar in enumerate(bars):
        at = 0
        for name, count, n in [
            *((name, count, order[name]) for name, count in bar.taken),
            (say("devices.left"), bar.left, None),
        ]:
            kind = "rest" if n is None else f"taken m{n}"
            colour, edge = ("", SOFT) if n is None else (COLOURS[n], "")
            tips = (f"{name}: {count:,}",)
            marks.append(Bars(((y, at, count),), colour, 0.58, edge=edge, tips=tips, kind=kind))
            words = f"{name} {count:,}"
            if text_width(words, 12) < count / end * ACROSS - 6:
                kind, ink = ("off", SOFT) if n is None else ("on", "#ffffff")
                place = (at + count / 2, y)
                marks.append(Words(*place, words, 7.5, ink, "center", "center", kind=kind))
            at += count
    return Chart(
        say("devices.figure"),
        ChartAxis(say("devices.axis"), ends=(0, end), ticks=tuple((v, f"{v:,.0f}") for v in ticks)),
        replace(named_rows([bar.device for bar in bars]), pitch=PITCH),
        tuple(marks),
        _devices_in_words(say, bars),
        (7.2, 0.9 + 0.5 * len(bars)),
        grid="x",
        legend=Legend(
            "upper left",
            (1.0, 1.0),
            fills=(*((name, COLOURS[n]) for name, n in order.items()), (say("devices.left"), "")),
        ),
        kind="fleet",
    )


def _devices_in_words(say: Phrases, bars: Sequence[DeviceBar]) -> str:
    return " ".join(
        say(
            "devices.told",
            device=bar.device,
            stock=f"{bar.stock:,}",
            left=f"{bar.left:,}",
            taken=", ".join(f"{name} {count:,}" for name, count in bar.taken)
            or say("devices.nobody"),
        )
        for bar in bars
    )


def limits_svg(say: Phrases, fleet: Fleet) -> str:
    """Dots of times at the percentile over their limits, with intervals; empty without limits. The
    page has the legend."""
    if not limit_shares(fleet):
        return ""
    return drawn(replace(limits_chart(say, fleet), legend=None))


def limits_chart(say: Phrases, fleet: Fleet) -> Chart:
    """TTFT above TPOT for each pool as shares of their limits, which are the line at 1."""
    shares = limit_shares(fleet)
    rows = list(dict.fromkeys((share.name, share.device) for share in shares))
    most = min(max(1.25, *(share.high for share in shares)), WIDEST)
    marks: list[Mark] = [ValueLine(1.0, dashed=True, kind="limit")]
    for share in shares:
        kind, first = share.what.lower(), share.what == "TTFT"
        y = rows.index((share.name, share.device)) + (-0.17 if first else 0.17)
        colour = PLAIN if first else OWN
        tip = (
            f"{share.what} {format_seconds(share.time.value)}: {share.value:.0%} "
            f"({share.low:.0%}–{share.high:.0%})"
        )
        ends = min(share.low, most), min(share.high, most)
        at = ((min(share.value, most), y),)
        marks += [
            Interval(y, *ends, colour, 2, alpha=0.55, kind=f"span {kind}"),
            PointMarks(at, colour, size=6.8, tips=(tip,), above=True, kind=f"dot {kind}"),
        ]
    return Chart(
        say("limits.figure"),
        ChartAxis(
            say("limits.axis"),
            ends=(0, most),
            ticks=tuple((n / 4, f"{n / 4:.0%}") for n in range(int(most * 4) + 1)),
        ),
        replace(named_rows([f"{name}\n{device}" for name, device in rows]), pitch=PITCH),
        tuple(marks),
        say("limits.told", n=len(rows)),
        (7.2, 0.9 + 0.5 * len(rows)),
        grid="x",
        legend=Legend("upper left", (1.0, 1.0), fills=(("TTFT", PLAIN), ("TPOT", OWN))),
        kind="limits",
    )
