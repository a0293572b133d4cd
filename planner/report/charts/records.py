"""Charts as records: dots with intervals, heat maps, grouped bars, small multiples.

Texts are in the reader's language already. ``bars_svg.py``, ``dots_svg.py`` and ``heat_svg.py``
make charts of them that a page and any axes take. Here also are the ends and ticks of an axis.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import ceil, floor, isfinite, log, log10
from typing import Literal

from planner.base.units import format_rate, format_three

Mark = Literal["recommended", "released", "uniform", "optimum", "other"]
LEVELS = 7
"""Shades of a heat map, 0 the faintest."""


@dataclass(frozen=True, slots=True)
class DotRow:
    """A value with its interval (None: it has none). ``note`` stands under the name; ``text`` is
    the value as it is written, three figures where it is empty."""

    name: str
    value: float
    low: float | None
    high: float | None
    mark: Mark
    note: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class AxisLimit:
    """A limit on the values of an axis, and its words."""

    value: float
    text: str


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Rows on one axis, named with its unit by ``x_title``; ``alt`` says what is seen. ``limit`` is
    a line across the rows, of a small multiple across its own."""

    title: str
    x_title: str
    rows: tuple[DotRow, ...]
    alt: str
    log: bool = False
    limit: AxisLimit | None = None


@dataclass(frozen=True, slots=True)
class Panels:
    """Small multiples: dot plots one below another on the x axis of the first."""

    title: str
    panels: tuple[DotPlot, ...]
    alt: str


@dataclass(frozen=True, slots=True)
class HeatCell:
    """``text`` is shown; without a ``value`` nothing runs there, ``why``."""

    value: float | None
    text: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """``cells`` by row and column, in ``unit``; the better a value, the stronger its shade."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[HeatCell, ...], ...]
    unit: str
    alt: str
    log: bool = True
    better: Literal["high", "low"] = "high"


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its interval; without a ``value`` nothing runs, ``why``."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class BarGroup:
    """Bars side by side under one name."""

    name: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class GroupedBars:
    """Groups of bars on one axis, named with its unit by ``y_title``; bars of one name in all
    groups have one colour. On a logarithm they are drawn as points: a length has no meaning."""

    title: str
    y_title: str
    groups: tuple[BarGroup, ...]
    alt: str
    log: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the bars, in the order of their first appearance."""
        return tuple(dict.fromkeys(bar.name for group in self.groups for bar in group.bars))


def number_text(value: float) -> str:
    """Three significant digits below 1,000, grouped digits above; else a power of ten."""
    if value and not 1e-4 <= abs(value) < 1e9:
        return f"{value:.2e}"
    return format_three(value)


def row_text(row: DotRow) -> str:
    """What stands at the right of a row."""
    return row.text or number_text(row.value)


def row_in_words(row: DotRow | Bar) -> str:
    """A row or bar in words: name, value, interval or reason."""
    if row.value is None:
        return f"{row.name}: {row.why}" if row.why else row.name
    text = row.text if isinstance(row, DotRow) else ""
    note = f", {row.note}" if isinstance(row, DotRow) and row.note else ""
    return f"{row.name}: {interval_text(row.value, row.low, row.high, text)}{note}"


def interval_text(value: float, low: float | None, high: float | None, text: str = "") -> str:
    """A value, as its ``text`` or with three digits, and its 80 % interval where it has one."""
    ends = "" if low is None or high is None else f" ({number_text(low)} – {number_text(high)})"
    return (text or number_text(value)) + ends


def rows_in_words(rows: Iterable[DotRow | Bar]) -> str:
    """Rows in words, for an alternative text."""
    return "; ".join(row_in_words(row) for row in rows)


def numbers(rows: Iterable[DotRow | Bar]) -> Iterator[float]:
    """Every value and end of an interval."""
    for row in rows:
        yield from (n for n in (row.low, row.value, row.high) if n is not None and isfinite(n))


def heat_ends(chart: HeatMap) -> tuple[HeatCell, HeatCell] | None:
    """The cells of least and greatest value; None where nothing runs."""
    there = [cell for row in chart.cells for cell in row if cell.value is not None]
    if not there:
        return None
    return (
        min(there, key=lambda cell: cell.value or 0.0),
        max(there, key=lambda cell: cell.value or 0.0),
    )


def levels(chart: HeatMap) -> tuple[tuple[int | None, ...], ...]:
    """The shade of every cell, 0 the worst and ``LEVELS - 1`` the best; None where nothing runs.

    On a logarithm the shades are those of the positive values; what is not positive has the end's.
    """
    return tuple(
        tuple(None if cell.value is None else _level(chart, cell.value) for cell in row)
        for row in chart.cells
    )


def _level(chart: HeatMap, value: float) -> int:
    shaded = [
        cell.value
        for row in chart.cells
        for cell in row
        if cell.value is not None and (cell.value > 0 or not chart.log)
    ]
    if not shaded or min(shaded) == max(shaded):
        return LEVELS // 2
    low, high = min(shaded), max(shaded)
    if chart.log:
        share = log(max(value, low) / low) / log(high / low)
    else:
        share = (value - low) / (high - low)
    good = share if chart.better == "high" else 1.0 - share
    return min(int(good * LEVELS), LEVELS - 1)


FEW = 6
"""Ticks of a linear axis, about."""
MANY = 8
"""Ticks of a logarithmic axis at 1, 2 and 5 of each decade, at most."""
FAR = 0.4
"""A linear axis of dots begins at 0 where the least value is below this share of the greatest."""


@dataclass(frozen=True, slots=True)
class AxisTicks:
    """From ``low`` to ``high``; ``values`` lie between."""

    low: float
    high: float
    values: tuple[float, ...]
    log: bool

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as they are written."""
        return tuple(tick_text(value) for value in self.values)

    def share(self, value: float) -> float:
        """The place of a value, 0 at ``low`` and 1 at ``high``; held to the axis."""
        clipped = min(max(value, self.low), self.high)
        if self.log:
            return log10(clipped / self.low) / log10(self.high / self.low)
        return (clipped - self.low) / (self.high - self.low)


def tick_text(value: float) -> str:
    """A tick as short as it is: ``0.5``, ``20``, ``1,000``."""
    return f"{value:.0e}" if value and not 1e-4 <= abs(value) < 1e9 else format_rate(value)


def axis_ticks(values: Iterable[float], *, log: bool, zero: bool) -> AxisTicks:
    """An axis around ``values``; a linear one holds 0 where ``zero`` or values reach near it."""
    ordered = sorted(values)
    if log and ordered and ordered[-1] > 0:
        return _decades([v for v in ordered if v > 0])
    low, high = (ordered[0], ordered[-1]) if ordered else (0.0, 1.0)
    if zero or 0 <= low < FAR * high:
        low, high = min(low, 0.0), max(high, 0.0)
    if low == high:
        low, high = (0.0, 2 * high) if high > 0 else (2 * low, 0.0) if low < 0 else (0.0, 1.0)
    step = _step((high - low) / (FEW - 1))
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    ticks = tuple(n * step for n in range(first, last + 1))
    return AxisTicks(ticks[0], ticks[-1], ticks, False)


def _step(rough: float) -> float:
    size: float = 10.0 ** floor(log10(rough))
    return next(m * size for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * size >= rough * (1 - 1e-9))


def _decades(values: list[float]) -> AxisTicks:
    """Ends at 1, 2 or 5 of a decade, as near to the values as that goes; ticks at all of these, or
    at decades alone where they would be many."""
    first, last = floor(log10(values[0]) + 1e-9), ceil(log10(values[-1]) - 1e-9)
    every = [10.0**n for n in range(first, max(last, first + 1) + 1)]
    fine = [m * size for size in every for m in (1.0, 2.0, 5.0)]
    low = max(value for value in fine if value <= values[0] * (1 + 1e-9))
    high = min(value for value in fine if value >= values[-1] * (1 - 1e-9))
    if low == high:
        low, high = low / 2, high * 2
    inside = tuple(v for v in fine if low <= v <= high)
    if len(inside) > MANY:
        powers = [v for v in every if low <= v <= high]
        inside = tuple(powers[:: ceil(len(powers) / (FEW + 1))])
    return AxisTicks(low, high, inside, True)
