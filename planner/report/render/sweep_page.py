"""A sweep as one self-contained page: maps, bars and a table; the same answers give the same
bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING, Any

from planner.base.errors import InputError
from planner.report.charts.bars_svg import grouped_bars_svg
from planner.report.charts.heat_svg import heat_map_svg
from planner.report.charts.lines_svg import lines_svg
from planner.report.charts.records import number_text
from planner.report.key_figures import KeyFigure
from planner.report.phrases import Phrases
from planner.report.render.embedded import CONTROL
from planner.report.render.html import TEMPLATES, _environment
from planner.report.sweep_axes import Columns, SweepAxis, SweepGrid, axes, grid
from planner.report.view.sweep_charts import (
    BY_NAME,
    MOST_PANELS,
    SweepMeasure,
    bars,
    drawing,
    heat_map,
    line_chart,
    shown_measures,
    view_name,
)
from planner.report.view.sweep_tables import (
    answer_table,
    best_lines,
    compared_lines,
    counts_line,
    recommended_kinds_line,
)
from planner.report.view.sweep_words import axis_value, full_reason, sweep_phrases

if TYPE_CHECKING:
    from markupsafe import Markup

MOST_CELLS = 160
"""Places that are drawn, over all views: each is in a map and in bars for every measure."""
MOST_REASONS = 40
FIGURES = (("rate", max), ("usd", min), ("joules", min), ("tpot", min))


@dataclass(frozen=True, slots=True)
class SweepFigure:
    """A measure of a view: its map (none where one axis varies) and its bars, as SVG; ``kind`` is
    what the latter are called."""

    measure: str
    view: int
    map: Markup | None
    bars: Markup
    kind: str


def sweep_report(columns: Columns, suffix: str, title: str, lang: str = "en") -> str:
    """The page (``.html``), or its figure alone (``.svg``).

    Raises:
        InputError: a figure of a sweep in which nothing varies. UnknownNameError: no such language.
    """
    say = sweep_phrases(lang)
    text = _figure_alone(say, columns) if suffix == ".svg" else _page(say, columns, title)
    return text.translate(CONTROL)


def _page(say: Phrases, columns: Columns, title: str) -> str:
    from markupsafe import Markup

    places = grid(columns)
    drawn, hidden, cut = _drawn(places)
    measures = shown_measures(columns)
    plan = drawing(columns)
    lines = "" if plan is None else lines_svg(line_chart(say, columns, plan), "lines-chart")
    text: str = (
        _environment()
        .get_template("sweep.html.j2")
        .render(
            say=say,
            title=title,
            figures=_key_figures(say, columns),
            verdict=[
                counts_line(say, columns),
                *best_lines(say, columns, places),
                *compared_lines(say, columns),
                *recommended_kinds_line(say, columns),
            ],
            measures=[
                (measure.name, say(f"measure.{measure.name}"), measure.unit(say, columns))
                for measure in measures
            ],
            views=[view_name(say, places, view) for view in drawn.views],
            drawn=[
                _figure(say, columns, drawn, n, measure)
                for n in range(len(drawn.views))
                for measure in measures
            ],
            hidden=hidden,
            cut=cut,
            lines=Markup(lines),
            across="" if plan is None else say(f"axis.{plan.across.name}"),
            more_panels=0 if plan is None else max(plan.count - MOST_PANELS, 0),
            table=answer_table(say, columns, axes(columns)),
            gone=_gone(say, columns, places),
            script=Markup((TEMPLATES / "sweep.js").read_text(encoding="utf-8")),
        )
    )
    return text


def _drawn(places: SweepGrid) -> tuple[SweepGrid, int, int]:
    """What of a grid is drawn, how many views are not, and at how many rows it is cut (0: not)."""
    most = max(MOST_CELLS // len(places.across), 1)
    rows = places.rows.values[:most]
    small = SweepGrid(
        SweepAxis(places.rows.name, rows), places.columns, places.others, places.views
    )
    sizes = accumulate(prod(map(len, small.of(view))) for view in places.views)
    count = max(sum(size <= MOST_CELLS for size in sizes), 1)
    return (
        replace(small, views=places.views[:count]),
        len(places.views) - count,
        len(rows) if len(rows) < len(places.rows.values) else 0,
    )


def _figure(
    say: Phrases, columns: Columns, places: SweepGrid, n: int, measure: SweepMeasure
) -> SweepFigure:
    from markupsafe import Markup

    view, key = places.views[n], f"{measure.name}-{n}"
    map_ = (
        None
        if places.columns is None
        else Markup(heat_map_svg(heat_map(say, columns, places, view, measure), f"map-{key}"))
    )
    made = bars(say, columns, places, view, measure)
    return SweepFigure(
        measure.name,
        n,
        map_,
        Markup(grouped_bars_svg(made, f"bars-{key}")),
        say("map.points" if made.log else "map.bars"),
    )


def _key_figures(say: Phrases, columns: Columns) -> list[KeyFigure]:
    """How many are answered, and the best of four measures with where it is."""
    counts, total = Counter(columns["status"]), len(columns["status"])
    out = [
        KeyFigure(
            say("figure.answered"),
            f"{counts['ok']:,}",
            say("figure.answered_unit", total=f"{total:,}"),
            "",
            say("figure.answered_note", n=f"{total - counts['ok']:,}"),
        )
    ]
    for name, best in FIGURES:
        measure = BY_NAME[name]
        there = [
            (value, -n) for n in range(total) if (value := measure.value(columns, n)) is not None
        ]
        if there:
            value, n = best(there)
            ends = [measure.value(columns, -n, end) for end in ("_low", "_high")]
            text = " – ".join(number_text(end) for end in ends if end is not None)
            out.append(
                KeyFigure(
                    say(f"figure.{name}"),
                    number_text(value),
                    say(f"figure.{name}_unit"),
                    text,
                    f"{columns['model'][-n]}, {columns['device'][-n]}",
                )
            )
    return out


def _gone(say: Phrases, columns: Columns, places: SweepGrid) -> dict[str, Any]:
    """Questions without an answer by reason, the commonest first, and how many reasons are not
    told."""
    where: dict[str, list[str]] = {}
    axes_ = [axis for axis in (places.rows, places.columns, *places.others) if axis is not None]
    for n, status in enumerate(columns["status"]):
        if status != "ok":
            where.setdefault(full_reason(say, columns, n), []).append(
                ", ".join(axis_value(say, axis, columns[axis.name][n]) for axis in axes_)
            )
    rows = sorted(where.items(), key=lambda item: -len(item[1]))
    return {"rows": rows[:MOST_REASONS], "more": max(len(rows) - MOST_REASONS, 0)}


def _figure_alone(say: Phrases, columns: Columns) -> str:
    """Lines where a number varies, else the map of the first measure, else its bars."""
    if not axes(columns):
        raise InputError(
            "--report: nothing varies in this sweep, so that there is no figure",
            hint="name an .html file",
        )
    if (plan := drawing(columns)) is not None:
        return _standalone(lines_svg(line_chart(say, columns, plan), "figure"))
    sweep_grid, _, _ = _drawn(grid(columns))
    measures = shown_measures(columns)
    if not measures:
        raise InputError(
            "--report: no question has an answer, so that there is no figure",
            hint="name an .html file, which has the reasons",
        )
    view, measure = sweep_grid.views[0], measures[0]
    svg = (
        grouped_bars_svg(bars(say, columns, sweep_grid, view, measure), "figure")
        if sweep_grid.columns is None
        else heat_map_svg(heat_map(say, columns, sweep_grid, view, measure), "figure")
    )
    return _standalone(svg)


def _standalone(svg: str) -> str:
    """A figure of a page with its colours, as a file of its own."""
    colours, charts, own = (
        (TEMPLATES / name).read_text(encoding="utf-8")
        for name in ("plan.css", "charts.css", "sweep.css")
    )
    style = (
        colours.split("* {", 1)[0]
        + charts
        + own.split("/* the page */", 1)[0]
        + "svg { background: var(--paper); font-family: system-ui, sans-serif; }\n"
    )
    head, rest = svg.split(">", 1)
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{head}><style>\n{style}</style>{rest}\n"
