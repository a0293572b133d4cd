"""Heat maps: a cell's text on its shade; where nothing runs, hatched."""

from __future__ import annotations

from planner.report.charts.chart import (
    GRID,
    INK,
    SOFT,
    Chart,
    ChartAxis,
    ColouredCell,
    MarkGroup,
    Shades,
    Words,
    named_rows,
)
from planner.report.charts.drawing import drawn
from planner.report.charts.records import HeatCell, HeatMap, heat_ends, levels

SHADES = ("#eef4fa", "#d6e5f3", "#b5d0e9", "#8db6dc", "#3674b0", "#22639f", "#12457a")
DARK = 4
"""The first shade with white text."""


def heat_map_svg(heat: HeatMap, key: str) -> str:
    """One ``svg`` element: rows by columns, and the scale of shades with its unit below."""
    return drawn(heat_chart(heat), key)


def heat_chart(heat: HeatMap) -> Chart:
    """Texts on their shades, hatched where nothing runs; the ends of the shades below."""
    rows, columns, ends = heat.rows, heat.columns, heat_ends(heat)
    if ends is not None and heat.better == "low":
        ends = ends[::-1]
    return Chart(
        heat.title,
        ChartAxis(
            heat.unit, ends=(-0.5, len(columns) - 0.5), ticks=tuple(enumerate(columns)), plain=True
        ),
        named_rows(rows),
        tuple(
            _cell(cell, shade, (x, y), f"{rows[y]}, {columns[x]}")
            for y, (cells, shades) in enumerate(zip(heat.cells, levels(heat), strict=True))
            for x, (cell, shade) in enumerate(zip(cells, shades, strict=True))
        ),
        heat.alt,
        (2.4 + 1.05 * len(columns), 1.1 + 0.36 * len(rows)),
        sides="none",
        shades=None if ends is None else Shades(ends[0].text, ends[1].text),
        kind="chart heat",
    )


def _cell(cell: HeatCell, shade: int | None, at: tuple[int, int], name: str) -> MarkGroup:
    x, y = at
    why = f" ({cell.why})" if cell.why else ""
    place = (x - 0.48, y - 0.47, 0.96, 0.94)
    if shade is None:
        box = ColouredCell(*place, "white", GRID, hatched=True, kind="none")
        ink, kind = SOFT, "off"
    else:
        box = ColouredCell(*place, SHADES[shade], kind=f"s{shade}")
        ink, kind = "white" if shade >= DARK else INK, f"on s{shade}"
    words = Words(x, y, cell.text, 8, ink, "center", "center", boxed=True, kind=kind)
    return MarkGroup((box, words), f"{name}: {cell.text}{why}")
