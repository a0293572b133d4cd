"""A fleet as SVG: devices by kind and model, and times beside their limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from planner.base.units import format_seconds
from planner.report.charts.svg import CHARACTER, WIDE, Scale, axis_steps, dot, figure, line, text
from planner.report.phrases import Phrases
from planner.sizing.fleet.figures import DeviceBar, LimitShare, device_bars, limit_shares
from planner.sizing.fleet.fleet_record import Fleet

WIDTH = 760.0
LEFT, RIGHT, TOP, BOTTOM = 126.0, 22.0, 14.0, 44.0
ROW, BAR = 42.0, 24.0
SHADES = 8
"""Fills of models; a ninth model begins again."""
WIDEST = 2.0
"""Shares of a limit beyond which an interval is drawn to the edge."""


def devices_svg(say: Phrases, fleet: Fleet) -> str:
    """Bars of devices that models take and that are left; empty without devices."""
    bars = device_bars(fleet)
    most = max((bar.stock for bar in bars), default=0)
    if not most:
        return ""
    height = TOP + ROW * len(bars) + BOTTOM
    ticks = [value for value in axis_steps(float(most)) if value == int(value)]
    x = Scale(0.0, max(ticks[-1], float(most)), LEFT, WIDTH - RIGHT, False)
    order = {model.name: n for n, model in enumerate(fleet.models)}
    return figure(
        "fleet",
        WIDTH,
        height,
        say("devices.figure"),
        _devices_in_words(say, bars),
        (
            *_ticks(x, height, [(value, f"{value:,.0f}") for value in ticks]),
            text(WIDTH - RIGHT, height - 8, say("devices.axis"), "end", "name"),
            *(
                part
                for n, bar in enumerate(bars)
                for part in _bar(say, bar, TOP + ROW * n + (ROW - BAR) / 2, x, order)
            ),
        ),
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


def _ticks(x: Scale, height: float, values: Sequence[tuple[float, str]]) -> Iterator[str]:
    low = height - BOTTOM
    for value, words in values:
        yield line("grid", x(value), TOP, x(value), low)
        yield text(x(value), low + 16, words, "middle")


def _bar(say: Phrases, bar: DeviceBar, y: float, x: Scale, order: dict[str, int]) -> Iterator[str]:
    yield text(LEFT - 10, y + BAR / 2 + 4, bar.device, "end", "name")
    at = 0
    parts = [(name, count, f"taken m{order[name] % SHADES}") for name, count in bar.taken]
    for name, count, kind in [*parts, (say("devices.left"), bar.left, "rest")]:
        if not count:
            continue
        start, end = x(float(at)), x(float(at + count))
        yield (
            f'<rect class="{kind}" x="{start:.1f}" y="{y:.1f}" width="{end - start:.1f}" '
            f'height="{BAR:g}"><title>{escape(name)}: {count:,}</title></rect>'
        )
        words = f"{name} {count:,}"
        if _wide(words) < end - start - 6:
            yield text(
                (start + end) / 2,
                y + BAR / 2 + 4,
                words,
                "middle",
                "on" if kind != "rest" else "off",
            )
        at += count


def _wide(words: str) -> float:
    return sum(WIDE if ord(c) > 0x2E80 else CHARACTER for c in words)


def limits_svg(say: Phrases, fleet: Fleet) -> str:
    """Dots of times at the percentile over their limits, with intervals; empty without limits."""
    shares = limit_shares(fleet)
    if not shares:
        return ""
    rows = list(dict.fromkeys((share.name, share.device) for share in shares))
    height = TOP + ROW * len(rows) + BOTTOM
    most = min(max(1.25, *(share.high for share in shares)), WIDEST)
    ticks = [value / 4 for value in range(int(most * 4) + 1)]
    x = Scale(0.0, most, LEFT, WIDTH - RIGHT, False)
    return figure(
        "limits",
        WIDTH,
        height,
        say("limits.figure"),
        say("limits.told", n=len(rows)),
        (
            *_ticks(x, height, [(value, f"{value:.0%}") for value in ticks]),
            line("limit", x(1.0), TOP - 6, x(1.0), height - BOTTOM),
            text(WIDTH - RIGHT, height - 8, say("limits.axis"), "end", "name"),
            *(
                part
                for n, row in enumerate(rows)
                for part in _row(
                    row, [s for s in shares if (s.name, s.device) == row], TOP + ROW * n, x
                )
            ),
        ),
    )


def _row(row: tuple[str, str], shares: Sequence[LimitShare], y: float, x: Scale) -> Iterator[str]:
    yield text(LEFT - 10, y + 17, row[0], "end", "name")
    yield text(LEFT - 10, y + 31, row[1], "end")
    for share in shares:
        at = y + (15 if share.what == "TTFT" else 29)
        kind = share.what.lower()
        end = x(min(share.high, x.high))
        yield line(f"span {kind}", x(min(share.low, x.high)), at, end, at)
        yield dot(
            f"dot {kind}",
            x(min(share.value, x.high)),
            at,
            4.5,
            f"{share.what} {format_seconds(share.time.value)}: {share.value:.0%} "
            f"({share.low:.0%}–{share.high:.0%})",
        )
