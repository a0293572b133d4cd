"""Heat maps as SVG: a cell's text on its shade; where nothing runs, hatched."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from planner.report.charts.records import LEVELS, HeatCell, HeatMap, heat_ends, levels
from planner.report.charts.svg import SIZE, chart_open, text, text_width, truncated, wrapped

LEAST, MOST = 62.0, 118.0
"""Pixels: the narrowest and the widest cell."""
NAMES = 190.0
"""Pixels: the widest column of names; longer ones wrap."""
CELL, LINE_HEIGHT, FOOT, SMALL = 30.0, 14.0, 46.0, 12.0
SWATCH = 22.0
BROAD = 520.0
"""Pixels: a wider map scrolls on a phone."""


def heat_map_svg(chart: HeatMap, key: str) -> str:
    """One ``svg`` element: rows by columns, and the scale of shades with its unit below."""
    size = _Grid(chart)
    high = size.top + CELL * len(chart.rows) + FOOT
    shades = levels(chart)
    kind = "heat broad" if size.width > BROAD else "heat"
    parts = [chart_open(kind, key, (size.width, high), chart.title, chart.alt), _hatch(key)]
    for n, lines in enumerate(size.columns):
        x = size.left + size.cell * (n + 0.5)
        parts += (
            text(x, size.top - 8 - LINE_HEIGHT * (len(lines) - 1 - i), part, "middle", "name")
            for i, part in enumerate(lines)
        )
    for r, lines in enumerate(size.rows):
        y = size.top + CELL * (r + 0.5) + 4.5 - LINE_HEIGHT * (len(lines) - 1) / 2
        parts += (
            text(0, y + LINE_HEIGHT * i, part, "start", "name") for i, part in enumerate(lines)
        )
        for c, cell in enumerate(chart.cells[r]):
            name = f"{chart.rows[r]}, {chart.columns[c]}"
            parts += _cell(cell, shades[r][c], name, (size, r, c), f"{key}-hatch")
    return "".join((*parts, *_scale(chart, size, high - FOOT), "</svg>"))


class _Grid:
    """Where rows and columns lie."""

    def __init__(self, chart: HeatMap) -> None:
        self.rows = [_two(name, NAMES) for name in chart.rows]
        self.left = max([50.0, *(text_width(part) for lines in self.rows for part in lines)]) + 12
        texts = [
            text_width(part, SMALL) for row in chart.cells for cell in row for part in _parts(cell)
        ]
        heads = [text_width(part) for name in chart.columns for part in wrapped(name, MOST - 8)]
        self.cell = min(max([LEAST, *(w + 12 for w in texts), *(w + 8 for w in heads)]), MOST)
        self.columns = [wrapped(name, self.cell - 6) for name in chart.columns]
        self.top = 12 + LINE_HEIGHT * max([1, *map(len, self.columns)])
        self.width = max(
            self.left + self.cell * len(chart.columns) + 2, min(_scale_width(chart), BROAD)
        )


def _parts(cell: HeatCell) -> list[str]:
    """The text of a cell in at most two lines."""
    return _two(cell.text, MOST - 10, SMALL)


def _two(words: str, room: float, size: float = SIZE) -> list[str]:
    """The words in at most two lines; what is left over is cut."""
    lines = wrapped(words, room, size)
    return lines if len(lines) <= 2 else [lines[0], truncated(" ".join(lines[1:]), room, size)]


def _hatch(key: str) -> str:
    return (
        f'<defs><pattern id="{key}-hatch" width="7" height="7" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect class="ground" width="7" height="7"/>'
        '<line class="stroke" x1="0" y1="0" x2="0" y2="7"/></pattern></defs>'
    )


def _cell(
    cell: HeatCell,
    shade: int | None,
    name: str,
    at: tuple[_Grid, int, int],
    hatch: str,
) -> Iterator[str]:
    size, r, c = at
    x, y = size.left + size.cell * c, size.top + CELL * r
    why = f" ({cell.why})" if cell.why else ""
    yield f"<g><title>{escape(f'{name}: {cell.text}{why}')}</title>"
    place = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{size.cell - 2:.1f}" height="{CELL - 2:g}"'
    yield (
        f'<rect class="none" {place} fill="url(#{hatch})"/>'
        if shade is None
        else f'<rect class="s{shade}" {place}/>'
    )
    lines = _parts(cell)
    first = y + CELL / 2 + 4 - (LINE_HEIGHT - 1) * (len(lines) - 1) / 2
    for n, part in enumerate(lines):
        yield text(
            x + size.cell / 2,
            first + (LINE_HEIGHT - 1) * n,
            part,
            "middle",
            "off" if shade is None else f"on s{shade}",
        )
    yield "</g>"


def _scale_width(chart: HeatMap) -> float:
    """Pixels of the scale with its texts."""
    ends = heat_ends(chart) or ()
    return (
        SWATCH * LEVELS + text_width(chart.unit) + sum(text_width(e.text, SMALL) for e in ends) + 30
    )


def _scale(chart: HeatMap, size: _Grid, y: float) -> Iterator[str]:
    """The shades from the worst to the best, the texts of both ends, and the unit."""
    ends = heat_ends(chart)
    if ends is None:
        yield text(0, y + 34, chart.unit, "start", "title")
        return
    worst, best = ends if chart.better == "high" else ends[::-1]
    x, at = text_width(worst.text, SMALL) + 6, y + 20
    yield text(0, at + 12, worst.text, "start", "tick")
    for n in range(LEVELS):
        yield (
            f'<rect class="s{n}" x="{x + SWATCH * n:.1f}" y="{at:.1f}" width="{SWATCH:g}" '
            'height="15"/>'
        )
    x += SWATCH * LEVELS + 6
    yield text(x, at + 12, best.text, "start", "tick")
    x += text_width(best.text, SMALL) + 14
    yield text(x, at + 12, truncated(chart.unit, size.width - x), "start", "title")
