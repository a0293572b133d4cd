"""Charts as SVG: dots with intervals, heat maps, grouped bars, small multiples.

Colours are classes of ``templates/charts.css``. The same chart and key give the same bytes; ``key``
makes the ids of a page's charts differ. A chart wider than a phone scrolls in what it stands in.
"""

from __future__ import annotations

from planner.report.drawing.bars import grouped_bars_svg
from planner.report.drawing.dots import dot_plot_svg, panels_svg
from planner.report.drawing.heat import heat_map_svg

__all__ = ["dot_plot_svg", "grouped_bars_svg", "heat_map_svg", "panels_svg"]
