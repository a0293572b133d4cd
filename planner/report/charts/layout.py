"""Where rows and columns of charts on pages lie, as high and wide as their texts need."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import hypot

from planner.report.charts.chart import Chart, ChartAxis, MarkGroup, Words, single_marks
from planner.report.charts.svg import SIZE, Scale, text, text_width, truncated, wrapped

NAMES, LINE_HEIGHT, PAD, HEAD = 190.0, 15.0, 10.0, 28.0
"""Pixels: the widest names, their lines and what is between them; the name of some rows."""
LEAST, MOST = 62.0, 118.0
"""Pixels: the narrowest and widest column."""
NOTHING = 46.0
"""Pixels kept for 0, which a logarithm cannot show."""
SIZES = {"note": 11.0, "on": 12.0, "off": 12.0, "limit": 11.0}
"""Pixels: letters of a class."""
ROUNDS = 80
"""Passes over all pairs of marks."""
Place = Callable[[float], float]
"""Pixels of a value."""


class Rows:
    """Rows of a plain axis from above: names in lines, as high as they need."""

    def __init__(self, chart: Chart) -> None:
        axis = chart.y
        self.ticks = axis.ticks or ()
        ours = {m.at for m in chart.marks if isinstance(m, MarkGroup)}
        self.bold = {at for n, (at, _) in enumerate(self.ticks) if n in axis.bold}
        self.heads = self.bold - ours
        self.lines: dict[float, list[tuple[str, str]]] = {}
        for at, words in self.ticks:
            name, _, note = words.partition("\n")
            lines = [(w, "name") for w in wrapped(name, NAMES, bold=at in self.bold)]
            lines += [(w, "note") for w in wrapped(note, NAMES, SIZES["note"])] if note else []
            self.lines[at] = [(words, "head")] if at in self.heads else lines
        self.wide = max(
            (
                text_width(words, SIZES.get(kind, SIZE), bold=at in self.bold)
                for at, lines in self.lines.items()
                for words, kind in lines
                if at not in self.heads
            ),
            default=0.0,
        )
        places = [at for at, _ in self.ticks]
        last, start = axis.ends
        middles = [(a + b) / 2 for a, b in pairwise(places)]
        self.edges = axis.edges or (start or 0.0, *middles, last or 0.0)
        self.tall = [
            HEAD
            if at in self.heads
            else max(axis.pitch * (b - a), LINE_HEIGHT * len(self.lines[at]) + PAD)
            for at, (a, b) in zip(places, pairwise(self.edges), strict=True)
        ]
        self.high = sum(self.tall)

    def placed(self, top: float) -> Place:
        """Pixels of a value, straight within each row."""
        at = [top]
        for tall in self.tall:
            at.append(at[-1] + tall)

        def place(value: float) -> float:
            n = min(max(bisect_right(self.edges, value) - 1, 0), len(self.tall) - 1)
            share = (value - self.edges[n]) / (self.edges[n + 1] - self.edges[n])
            return at[n] + share * self.tall[n]

        return place

    def texts(self, y: Place, edge: float) -> dict[float, str]:
        """The names at the left by their places."""
        return {
            at: "".join(
                text(
                    0,
                    y(at) + 4.5 + LINE_HEIGHT * (n - (len(lines) - 1) / 2),
                    truncated(words, edge),
                    "start",
                    kind,
                )
                for n, (words, kind) in enumerate(lines)
            )
            for at, lines in self.lines.items()
        }

    def stretches(self, y: Place) -> tuple[tuple[float, float], ...]:
        """Where lines of the grid begin and end: heads are kept free."""
        found: list[tuple[float, float]] = []
        for (at, _), (a, b) in zip(self.ticks, pairwise(self.edges), strict=True):
            if at in self.heads:
                continue
            if found and found[-1][1] == y(a):
                found[-1] = (found[-1][0], y(b))
            else:
                found.append((y(a), y(b)))
        return tuple(found)


def columns(chart: Chart) -> tuple[float, list[list[str]]]:
    """The width of columns that their names and texts need, and the names in lines."""
    names = [words for _, words in chart.x.ticks or ()]
    needed = [text_width(part) + 8 for name in names for part in wrapped(name, MOST - 8)]
    for w in single_marks(chart.marks):
        if isinstance(w, Words) and w.boxed:
            needed += [text_width(part, letters(w)) + 12 for part in two_lines(w, MOST - 10)]
    cell = min(max([LEAST, *needed]), MOST)
    return cell, [wrapped(name, cell - 6) for name in names]


def two_lines(words: Words, room: float) -> list[str]:
    """A text in at most two lines; what is left over is cut."""
    lines = wrapped(words.text, room, letters(words))
    if len(lines) <= 2:
        return lines
    return [lines[0], truncated(" ".join(lines[1:]), room, letters(words))]


def letters(words: Words) -> float:
    return next((SIZES[c] for c in words.kind.split() if c in SIZES), SIZE)


def axis_scale(axis: ChartAxis, start: float, end: float) -> Place:
    """Pixels of values, held to the axis."""
    low, high = axis.ends
    assert low is not None
    assert high is not None, "an axis of a page has its ends"
    if axis.scale == "symlog" and low <= 0:
        above = Scale(axis.least, high, start + NOTHING, end, True)
        return lambda v: start + 12 if v <= 0 else above(min(max(v, axis.least), high))
    scale = Scale(low, high, start, end, axis.scale in ("log", "log2", "symlog"))
    return lambda v: scale(min(max(v, low), high))


def spread(
    places: Sequence[tuple[float, float]], radius: float, right: float, low: float
) -> list[tuple[float, float]]:
    """Places moved so that marks hardly overlap; the same for the same input.

    Pairs that are too near push each other off, by their order where they are at one place. A mark
    only moves right and down, to ``right`` and ``low`` at most: none is drawn above a roof that it
    is under.
    """
    now, near = list(places), 2 * radius + 1

    def inside(n: int, x: float, y: float) -> tuple[float, float]:
        return min(max(x, places[n][0]), right - radius), min(max(y, places[n][1]), low - radius)

    for _ in range(ROUNDS):
        for i in range(len(now)):
            for j in range(i):
                dx, dy = now[i][0] - now[j][0], now[i][1] - now[j][1]
                gap = hypot(dx, dy)
                if gap >= near:
                    continue
                push = (near - gap) / 2
                dx, dy = (dx / gap, dy / gap) if gap > 0.01 else (0.6, 0.8)
                now[i] = inside(i, now[i][0] + dx * push, now[i][1] + dy * push)
                now[j] = inside(j, now[j][0] - dx * push, now[j][1] - dy * push)
    return now
