"""``plan validate`` on a terminal: groups, the worst rows, and what is not predicted.

Groups, rows and reasons come as the JSON values of the comparison; numbers may be None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planner.base.units import format_bytes, format_seconds
from planner.report.columns import paragraphs, width_of_output, wrapped

MODES = {"given-overheads": "given", "predicted": "pred."}
KINDS = {
    "layout_class": "served models by class of layout, excluded rows left out",
    "concurrency_range": "served models by requests in flight, excluded rows left out",
    "published": "published tables by class of layout, where it is stated",
}
LEAST_NAME = 12
"""Columns that a name needs beside its figures."""
Values = Mapping[str, Any]


def validate_text(
    headlines: Sequence[Values],
    kinds: Sequence[Values],
    groups: Sequence[Values],
    worst: Sequence[Values],
    uncovered: Sequence[Values],
) -> str:
    """The whole report; ends with a newline.

    ``headlines`` have what, n, median, mean, coverage80 and the first three again of the rows with
    those excluded (``all_n`` …); ``kinds`` by, value, metric, n, median_ape, mape, bias,
    coverage80; ``groups`` the keys of ``groups[]``; ``worst`` table, row,
    quantity, metric, mode, model, software, predicted, measured, error_percent, basis;
    ``uncovered`` table, reason, n, rows (as text) and meaning.
    """
    parts = []
    if headlines:
        parts.append(
            "\n".join(
                [
                    *wrapped("headlines, and the same with the excluded rows in"),
                    headlines_table(headlines),
                ]
            )
        )
    for by in dict.fromkeys(kind["by"] for kind in kinds):
        mine = [kind for kind in kinds if kind["by"] == by]
        parts.append("\n".join([*wrapped(KINDS[by]), kinds_table(mine)]))
    if groups:
        said = "errors in percent, (predicted − measured) / measured"
        if any(g["regime"] == "fitted" for g in groups):
            said += "; in80 of fitted rows is near 80 by construction"
        parts.append("\n".join([*wrapped(said), groups_table(groups)]))
    if worst:
        parts.append(f"the {len(worst)} rows furthest off\n" + worst_table(worst))
    if uncovered:
        parts.append("rows without a prediction\n" + uncovered_table(uncovered))
    if not parts:
        parts.append("no tables in this directory")
    return "\n\n".join(parts) + "\n"


def headlines_table(headlines: Sequence[Values]) -> str:
    """One line a figure: rows, median and mean [%] without and with what is excluded."""
    rows = [("", "rows", "median", "mean", "in80", "all rows", "median", "mean")]
    rows += [
        (
            h["what"],
            str(h["n"]),
            _percent(h["median"]),
            _percent(h["mean"]),
            _percent(h["coverage80"], digits=0),
            str(h["all_n"]),
            _percent(h["all_median"]),
            _percent(h["all_mean"]),
        )
        for h in headlines
    ]
    return _aligned(rows)


def kinds_table(kinds: Sequence[Values]) -> str:
    """One line a kind of deployment and metric: rows and errors [%]."""
    rows = [("", "rows", "median", "mean", "bias", "in80")]
    rows += [
        (
            f"{k['metric']}, {k['value']}",
            str(k["n"]),
            _percent(k["median_ape"]),
            _percent(k["mape"]),
            _percent(k["bias"], sign=True),
            _percent(k["coverage80"], digits=0),
        )
        for k in kinds
    ]
    return _aligned(rows)


def groups_table(groups: Sequence[Values]) -> str:
    """Tables and regimes as headings; one line a group: how many of how many rows, errors [%]."""
    rows = [("given: overheads from the same log", "rows", "median", "p90", "mean", "bias", "in80")]
    title = ""
    for g in sorted(
        groups,
        key=lambda g: (g["table"], g["regime"] != "headline", g["regime"], g.get("engine", "")),
    ):
        heading = g["table"] if g["regime"] == "headline" else f"{g['table']}, {g['regime']}"
        heading += f": {g['engine']}" if g.get("engine") else ""
        if heading != title:
            rows.append((heading, "", "", "", "", "", ""))
            title = heading
        what = " · ".join(
            part
            for part in (
                g.get("quantity") or g["metric"],
                MODES.get(g.get("mode", ""), g.get("mode", "")),
                g["device"],
                g["model"],
            )
            if part
        )
        rows.append(
            (
                "  " + what,
                f"{g['n']}/{g['n_rows']}",
                _percent(g["median_ape"]),
                _percent(g["p90_ape"]),
                _percent(g["mape"]),
                _percent(g["bias"], sign=True),
                _percent(g["coverage80"], digits=0),
            )
        )
    return _aligned(rows)


def worst_table(rows: Sequence[Values]) -> str:
    """The rows furthest off, a paragraph each, with how they were predicted."""
    lines = []
    for o in rows:
        what = " ".join(filter(None, (o["quantity"] or o["metric"], o["mode"])))
        row_name = ", ".join(filter(None, (what, o["model"], o["software"])))
        text = (
            f"{o['error_percent']:+.2f} %  {o['table']} row {o['row']}: {row_name}: "
            f"{_size(o, 'predicted')} predicted, {_size(o, 'measured')} "
            f"measured; from {o['basis']}"
        )
        lines += wrapped(text, "    ")
    return "\n".join(lines)


def uncovered_table(rows: Sequence[Values]) -> str:
    """Reasons with their number of rows, which rows, and what the reason means."""
    lines = []
    for u in rows:
        text = f"{u['n']:5}  {u['table']}: {u['reason']} — {u['meaning']}"
        if u["rows"]:
            text += f"; rows {u['rows']}"
        lines += wrapped(text, " " * 7)
    return "\n".join(lines)


def _percent(value: float | None, *, sign: bool = False, digits: int = 2) -> str:
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"


def _size(row: Values, key: str) -> str:
    if row["metric"] == "latency":
        return format_seconds(row[key])
    return format_bytes(row[key]) if "gib" in row["quantity"] else f"{row[key]:,.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns; headings (rows without figures) do not widen the first one, and a name that leaves
    no room for its figures stands on a line of its own."""
    figures = [row for row in rows if any(row[1:])]
    widths = [max(len(row[i]) for row in figures) for i in range(len(rows[0]))]
    room = width_of_output() - sum(widths[1:]) - len(widths) + 1
    if room < LEAST_NAME:
        return "\n".join(paragraphs(rows, width_of_output()))
    name = min(widths[0], room)
    lines = []
    for row in rows:
        cells = "".join(
            " " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)
        )
        if len(row[0]) > name and cells.strip():
            lines += [*wrapped(row[0].strip(), "    ", first="  "), " " * name + cells]
        elif cells.strip():
            lines.append(row[0].ljust(name) + cells)
        else:
            lines += wrapped(row[0], "  ")
    return "\n".join(line.rstrip() for line in lines)
