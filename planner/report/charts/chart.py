"""A chart of a result as a record: two axes, marks on them, a title, and in words what is seen.

Builders beside this file make charts of results. Numbers stand in the unit that their axis names,
texts are final. ``drawing.py`` draws them as SVG for pages, in the classes of their style sheets,
``planner/plot/draw.py`` with matplotlib, in their colours; neither knows a result.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from planner.report.charts.records import AxisTicks

INK, SOFT, GRID, EDGE = "#1a1e24", "#59626e", "#dfe3e8", "#c3c9d1"
OWN, PLAIN, PALE = "#0b6f63", "#1d5f9e", "#a5bcd7"
COLOURS = ("#1f5fa8", "#9a4a06", "#2b7a4b", "#9d1f55", "#5b4a9c", "#59626e", "#0f7f86", "#a37c00")
NEAR = "\N{NO-BREAK SPACE}"
"""Keeps a text off its bar; SVG drops plain spaces."""


@dataclass(frozen=True, slots=True)
class ChartAxis:
    """``ends`` where they are set (the first greater: turned round); ``ticks`` with their texts, in
    the drawer's own choice where None; ``bold`` ones by their number, ``short`` texts of the
    drawer's own. A symmetric logarithm is linear below ``least``. ``plain``: ticks have no marks;
    ``margin``: room beside the marks as a share of the axis."""

    label: str = ""
    scale: Literal["linear", "log", "log2", "symlog", "whole"] = "linear"
    ends: tuple[float | None, float | None] = (None, None)
    ticks: tuple[tuple[float, str], ...] | None = None
    least: float = 1.0
    plain: bool = False
    bold: tuple[int, ...] = ()
    short: bool = False
    margin: float | None = None
    pitch: float = 30.0
    edges: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Styled:
    """A mark's CSS classes on a page, which has the colours of its style sheets; ``coloured``:
    its own."""

    kind: str = ""
    coloured: bool = False


@dataclass(frozen=True, slots=True)
class Bars(Styled):
    """Horizontal bars, each (place, start, length); ``colour`` empty: only an ``edge``. ``tips``
    are told of each; hatched without a length: nothing is there."""

    bars: tuple[tuple[float, float, float], ...]
    colour: str
    height: float = 0.8
    name: str = ""
    edge: str = ""
    hatched: bool = False
    alpha: float = 1.0
    tips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PointMarks(Styled):
    """Places (x, y) with a mark of ``shape`` each (empty: none), joined by a ``line``; ``hollow``
    of white inside; ``edge``: colour of the rim. ``values`` shade them on the chart's scale;
    ``above`` all other marks; ``tips`` are told of each."""

    places: tuple[tuple[float, float], ...]
    colour: str
    shape: str = "o"
    size: float = 4.0
    line: Literal["", "-", "--", "step"] = ""
    width: float = 1.3
    name: str = ""
    hollow: bool = False
    edge: str = ""
    rim: float = 1.0
    alpha: float = 1.0
    values: tuple[float, ...] = ()
    above: bool = False
    tips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Interval(Styled):
    """A line from ``low`` to ``high`` along an axis, at a place of the other; ``ended`` by bars."""

    at: float
    low: float
    high: float
    colour: str = INK
    width: float = 1.3
    upright: bool = False
    alpha: float = 1.0
    ended: bool = False


@dataclass(frozen=True, slots=True)
class ShadedBand(Styled):
    """A shade behind all marks from ``low`` to ``high`` of the x axis, or of y where ``across``."""

    low: float
    high: float
    colour: str
    across: bool = False


@dataclass(frozen=True, slots=True)
class ValueLine(Styled):
    """A line at one value of x, as high as the chart, or of y where ``across``, as wide."""

    at: float
    colour: str = INK
    width: float = 1.2
    dashed: bool = False
    across: bool = False


@dataclass(frozen=True, slots=True)
class Words(Styled):
    """A text beside (x, y), moved by ``offset`` points; ``x_of`` and ``y_of`` say whether a place
    is a value of the axis or a share of the chart. ``beside`` a mark: a page moves it off others;
    ``boxed``: it keeps within 1 of a plain x axis, in two lines."""

    x: float
    y: float
    text: str
    size: float = 7.5
    colour: str = INK
    across: Literal["left", "center", "right"] = "left"
    up: Literal["baseline", "center", "top", "bottom"] = "baseline"
    offset: tuple[float, float] | None = None
    x_of: Literal["axis", "chart"] = "axis"
    y_of: Literal["axis", "chart"] = "axis"
    bold: bool = False
    upright: bool = False
    beside: bool = False
    boxed: bool = False


@dataclass(frozen=True, slots=True)
class ColouredCell(Styled):
    """A rectangle of one colour with its corner at (x, y)."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    edge: str = "white"
    hatched: bool = False


@dataclass(frozen=True, slots=True)
class HeatCells(Styled):
    """Cells of one size shaded on the chart's scale, rows from above: ``values`` [row, column],
    None where there is none. The first begins at (x, y); they are ``width`` wide and 1 high."""

    values: tuple[tuple[float | None, ...], ...]
    x: float = 0.0
    y: float = 0.0
    width: float = 1.0


Mark = Bars | PointMarks | Interval | ShadedBand | ValueLine | Words | ColouredCell | HeatCells


@dataclass(frozen=True, slots=True)
class MarkGroup(Styled):
    """Marks of one thing, of which ``tip`` is told, with the name that the y axis has ``at``.
    Those ``apart`` move on a page until they do not cover each other."""

    marks: tuple[Mark, ...]
    tip: str = ""
    at: float | None = None
    apart: bool = False


def single_marks(marks: Iterable[Mark | MarkGroup]) -> Iterator[Mark]:
    """Every mark, those of groups as well."""
    for mark in marks:
        if isinstance(mark, MarkGroup):
            yield from mark.marks
        else:
            yield mark


@dataclass(frozen=True, slots=True)
class ColourScale:
    """What shades mean: ``label`` with its unit, a map of matplotlib's by name, from ``low`` to
    ``high`` on a logarithm where they are given."""

    label: str
    colours: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Legend:
    """Names of marks in ``columns``: ``place`` as matplotlib calls it, at a point (shares of the
    chart) where ``at`` is given, ``gap`` letters away; ``fills``: names of colours instead."""

    place: str = "best"
    at: tuple[float, float] | None = None
    columns: int = 1
    gap: float | None = None
    size: float = 8.0
    fills: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Shades:
    """What the shades of cells with texts mean: those of the palest and of the darkest."""

    pale: str
    dark: str


@dataclass(frozen=True, slots=True)
class Chart:
    """``size`` in inches; ``grid``: faint lines along x, y or both; ``sides``: which lines of the
    axes are drawn; ``alt``: what is seen. On a page it is of CSS class ``kind`` and ``wide`` pixels
    (where columns have names: as they need), ``aside`` of them right of the axes for labels."""

    title: str
    x: ChartAxis
    y: ChartAxis
    marks: tuple[Mark | MarkGroup, ...]
    alt: str
    size: tuple[float, float]
    grid: Literal["", "x", "y", "both"] = ""
    sides: Literal["both", "bottom", "none"] = "both"
    legend: Legend | None = None
    scale: ColourScale | None = None
    shades: Shades | None = None
    kind: str = ""
    wide: float = 760.0
    aside: float = 20.0


@dataclass(frozen=True, slots=True)
class ChartGrid:
    """Charts side by side in rows of ``across`` on common axes, with one legend."""

    title: str
    charts: tuple[Chart, ...]
    alt: str
    across: int = 3


RIGHT = 1.01
"""Where a column of values stands, in widths of the chart."""


def named_rows(names: Sequence[str], below: float = 0.5, bold: Sequence[int] = ()) -> ChartAxis:
    """An axis of names from above: row n at n; it ends ``below`` the last one."""
    ends = (len(names) - 1 + below, -0.5)
    return ChartAxis(ends=ends, ticks=tuple(enumerate(names)), plain=True, bold=tuple(bold))


def ticked(ticks: AxisTicks, title: str) -> ChartAxis:
    """An axis with these ends and ticks."""
    places = tuple(zip(ticks.values, ticks.texts, strict=True))
    return ChartAxis(title, "log" if ticks.log else "linear", (ticks.low, ticks.high), places)


def values_in_words(pairs: Iterable[tuple[object, object]]) -> str:
    """Names and their values as one sentence."""
    return "; ".join(f"{name}: {value}" for name, value in pairs) + "."
