"""A sweep as one self-contained page: small multiples and the comparison; the same bytes again."""

from __future__ import annotations

from typing import Any

from planner.errors import InputError
from planner.report.drawing.sweep import MOST_PANELS, RATE, drawing, sweep_svg
from planner.report.sweep_axes import Columns, axes, compared_axis, pairs, told
from planner.report.terminal.sweep import headline, verdict
from planner.units import GIB, format_rate, format_seconds

MOST_ROWS = 400
HEADS = ("tokens/s/device", "TPOT", "TTFT", "GiB/device", "loss")


def sweep_report(columns: Columns, suffix: str, title: str) -> str:
    """The page (``.html``), or its figure alone (``.svg``).

    Raises:
        InputError: a figure of a sweep in which nothing varies.
    """
    figure = sweep_svg(columns)
    if suffix == ".svg":
        if not figure:
            raise InputError("--report: nothing varies in this sweep, so that there is no figure",
                             hint="name an .html file")
        return figure
    from markupsafe import Markup

    from planner.report.page.html import _environment

    plan = drawing(columns)
    more = 0 if plan is None else max(plan.count - MOST_PANELS, 0)
    svg = figure[figure.index("<svg"):] if figure else ""
    return _environment().get_template("sweep.html.j2").render(
        title=title, headline=headline(columns), figure=Markup(svg), more=more,
        reasons=_reasons(columns), **_table(columns))


def _table(columns: Columns) -> dict[str, Any]:
    """Names and rows of the table: pairs side by side where one thing has two values."""
    found = axes(columns)
    axis = compared_axis(found)
    if axis is None:
        rows = [[*(told(a.name, columns[a.name][n]) for a in found), *_cells(columns, n)]
                for n in range(min(len(columns["status"]), MOST_ROWS))]
        return {"heads": [*(a.title for a in found), *HEADS], "groups": [], "rows": rows,
                "hidden": max(len(columns["status"]) - MOST_ROWS, 0), "verdict": []}
    others = [a for a in found if a is not axis]
    names = [told(axis.name, value) for value in axis.values]
    listed = pairs(columns, found, axis)
    rows = [[*(told(a.name, v) for a, v in zip(others, pair.others, strict=True)),
             *_cells(columns, pair.first), *_cells(columns, pair.second)]
            for pair in listed[:MOST_ROWS]]
    return {"heads": [*(a.title for a in others), *HEADS, *HEADS],
            "groups": [("", len(others)), (names[0], len(HEADS)), (names[1], len(HEADS))],
            "rows": rows, "hidden": max(len(listed) - MOST_ROWS, 0),
            "verdict": verdict(columns, listed, names)}


def _cells(columns: Columns, n: int | None) -> list[str]:
    if n is None:
        return ["not asked", "", "", "", ""]
    if columns["status"][n] != "ok":
        return [str(columns["limit"][n] or columns["status"][n]), "", "", "", ""]
    return [format_rate(columns[RATE][n]), format_seconds(columns["tpot_seconds"][n]),
            format_seconds(columns["ttft_seconds"][n]),
            f"{columns['total_bytes'][n] / GIB:.1f}", f"{columns['loss'][n]:.3g}"]


def _reasons(columns: Columns) -> list[tuple[int, str]]:
    """(how many, reason) of questions without an answer, the commonest first."""
    counts: dict[str, int] = {}
    for reason in columns["reason"]:
        if reason is not None:
            counts[reason] = counts.get(reason, 0) + 1
    return sorted(((count, reason) for reason, count in counts.items()),
                  key=lambda item: (-item[0], item[1]))[:20]
