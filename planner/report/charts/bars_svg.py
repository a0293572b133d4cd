"""Grouped bars as SVG: under a name a bar with its interval for each of what is compared."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from planner.report.charts.records import (
    AxisTicks,
    Bar,
    GroupedBars,
    axis_ticks,
    number_text,
    numbers,
    row_in_words,
)
from planner.report.charts.svg import chart_open, line, text, text_width, truncated, wrapped

WIDTH, SIDE, FOOT = 560.0, 8.0, 42.0
NAMES = 170.0
"""Pixels: the widest column of names; longer ones wrap."""
BAR, GAP, LINE_HEIGHT, KEY = 15.0, 12.0, 15.0, 22.0
"""Pixels: of a bar, between groups, of lines of a name and of the legend."""
FILLS = 8
"""Colours of bars; a ninth name begins again."""
POINT = 4.2
"""Pixels: the radius of a point."""


def grouped_bars_svg(chart: GroupedBars, key: str) -> str:
    """One ``svg`` element: groups from above, bars from the left, a legend at the top."""
    legend, top = _legend(chart)
    bars = [bar for group in chart.groups for bar in group.bars]
    ticks = axis_ticks(numbers(bars), log=chart.log, zero=True)
    names = [wrapped(group.name, NAMES) for group in chart.groups]
    left = max([50.0, *(text_width(part) for lines in names for part in lines)]) + 12
    right = (
        WIDTH
        - SIDE
        - max([30.0, *(text_width(_value(bar), 11.0) for bar in bars if bar.value is not None)])
        - 6
    )
    tall = [
        max(BAR * len(group.bars), LINE_HEIGHT * len(lines)) + GAP
        for group, lines in zip(chart.groups, names, strict=True)
    ]
    low = top + sum(tall)
    parts = [
        chart_open("groups", key, (WIDTH, low + FOOT), chart.title, chart.alt),
        *legend,
        *_axis(ticks, (left, right), (top, low), chart.y_title),
    ]
    y = top
    for group, lines, high in zip(chart.groups, names, tall, strict=True):
        first = y + high / 2 + 4.5 - LINE_HEIGHT * (len(lines) - 1) / 2
        parts += (
            text(0, first + LINE_HEIGHT * n, part, "start", "name") for n, part in enumerate(lines)
        )
        at = y + (high - BAR * len(group.bars)) / 2
        for n, bar in enumerate(group.bars):
            parts += _bar(
                ticks, bar, chart.names.index(bar.name), (left, right), at + BAR * n, group.name
            )
        y += high
    return "".join((*parts, "</svg>"))


def _legend(chart: GroupedBars) -> tuple[list[str], float]:
    """Names beside their colours in rows, and where the rows end."""
    parts, x, y = [], 0.0, 14.0
    for n, name in enumerate(chart.names):
        room = text_width(name) + 34
        if x and x + room > WIDTH:
            x, y = 0.0, y + KEY
        parts.append(
            f'<rect class="key f{n % FILLS}" x="{x:.1f}" y="{y - 10:.1f}" width="11" '
            'height="11"/>' + text(x + 16, y, truncated(name, WIDTH - 20), "start", "name")
        )
        x += room
    return parts, y + 14


def _axis(
    ticks: AxisTicks,
    across: tuple[float, float],
    down: tuple[float, float],
    title: str,
) -> Iterator[str]:
    end = 0.0
    for value, words in zip(ticks.values, ticks.texts, strict=True):
        x = _x(ticks, across, value)
        yield line("grid", x, down[0], x, down[1])
        if x - text_width(words) / 2 > end:
            yield text(x, down[1] + 16, words, "middle", "tick")
            end = x + text_width(words) / 2 + 6
    yield text(WIDTH - SIDE, down[1] + 34, truncated(title, WIDTH), "end", "title")


def _x(ticks: AxisTicks, across: tuple[float, float], value: float) -> float:
    return across[0] + ticks.share(value) * (across[1] - across[0])


def _value(bar: Bar) -> str:
    return number_text(bar.value) if bar.value is not None else bar.why


def _bar(
    ticks: AxisTicks, bar: Bar, colour: int, across: tuple[float, float], y: float, group: str
) -> Iterator[str]:
    """A bar from 0 (on a logarithm a point), its interval, its value; or a reason."""
    yield f"<g><title>{escape(f'{group}, {row_in_words(bar)}')}</title>"
    middle = y + BAR / 2
    if bar.value is None:
        room = WIDTH - SIDE - across[0] - 18
        yield (
            f'<rect class="key none f{colour % FILLS}" x="{across[0] + 1:.1f}" '
            f'y="{middle - 3.5:.1f}" width="7" height="7"/>'
        )
        yield (
            text(across[0] + 14, middle + 4, truncated(bar.why, room, 11.0), "start", "note")
            + "</g>"
        )
        return
    end = _x(ticks, across, bar.value)
    if not ticks.log:
        start = _x(ticks, across, 0.0)
        yield (
            f'<rect class="pillar f{colour % FILLS}" x="{min(start, end):.1f}" y="{y + 1:.1f}" '
            f'width="{abs(end - start):.1f}" height="{BAR - 2:g}"/>'
        )
    if bar.low is not None and bar.high is not None:
        low, high = _x(ticks, across, bar.low), _x(ticks, across, bar.high)
        yield line("whisker", low, middle, high, middle)
        for at in (low, high):
            yield line("whisker", at, middle - 3, at, middle + 3)
    if ticks.log:
        yield (
            f'<circle class="point f{colour % FILLS}" cx="{end:.1f}" cy="{middle:.1f}" '
            f'r="{POINT:g}"/>'
        )
    yield text(WIDTH - SIDE, middle + 4, _value(bar), "end", "note value") + "</g>"
