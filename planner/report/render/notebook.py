"""A plan in a notebook cell: its first answer, and the modules as a table with their layers
drawn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from planner.base.units import GIB, format_bytes, format_rate, format_seconds
from planner.planning.plan.picture import FormatStrip, format_colour, picture
from planner.planning.plan.record import Plan, UnitPlan
from planner.report.phrases import phrases_on
from planner.report.view.answer import answer_view
from planner.report.view.record import Block, Code, Fact, Items, Prose, Section, Table
from planner.report.view.shown_plans import MOST_OTHERS

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    ("module", "left"),
    ("formats by layer", "left"),
    ("formats", "left"),
    ("GiB", "right"),
    ("time, %", "right"),
    ("loss", "right"),
)
_LINE = "border-bottom:1px solid rgba(128,128,128,.3)"
_TABLE = '<table style="font-variant-numeric:tabular-nums;border-collapse:collapse">'


def fragment(plan: Plan) -> str:
    """One ``div`` without scripts, styles of the page, or outside references; it takes the colours
    of the page around it."""
    drawn = picture(plan)
    strips = {strip.kind: strip for strip in drawn.strips}
    groups: dict[str, list[UnitPlan]] = {}
    for unit in plan.units:
        groups.setdefault(unit.matrix, []).append(unit)
    step = sum(unit.decode_seconds for unit in plan.units)
    rows = (
        _row(kind, units, strips.get(kind), drawn.layers, step) for kind, units in groups.items()
    )
    view = answer_view(phrases_on(plan.device.id, "en"), plan, MOST_OTHERS)
    sections = "".join(map(_section, view.sections))
    return (
        f'<div style="overflow-x:auto"><p><strong>{escape(view.title)}</strong></p>'
        f"{_facts(view.facts)}{sections}{_table(_COLUMNS, rows)}</div>"
    )


def _section(section: Section) -> str:
    title = f"<p>{escape(section.title)}</p>" if section.title else ""
    return title + "".join(map(_block, section.blocks))


def _block(block: Block) -> str:
    match block:
        case Code(lines):
            return f'<pre style="user-select:all">{escape(chr(10).join(lines))}</pre>'
        case Items(texts):
            return "".join(f"<p>{escape(text)}</p>" for text in texts)
        case Prose(text):
            return f"<p>{escape(text)}</p>"
        case Fact():
            return _facts((block,))
        case Table():
            sides = [
                (head, "left" if i in block.text_columns else "right")
                for i, head in enumerate(block.heads)
            ]
            return _table(sides, (_cells([escape(c) for c in row], sides) for row in block.rows))


def _facts(facts: Sequence[Fact]) -> str:
    """Labels with what is said of them."""
    rows = (
        f'<tr><th style="text-align:left;vertical-align:top;padding:.1em .7em .1em 0">'
        f'{escape(fact.label)}</th><td style="text-align:left">{escape(fact.text)}</td></tr>'
        for fact in facts
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _table(columns: Sequence[tuple[str, str]], rows: Iterable[str]) -> str:
    head = "".join(_cell("th", escape(name), side) for name, side in columns)
    return f"{_TABLE}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _row(
    kind: str, units: list[UnitPlan], strip: FormatStrip | None, layers: int, step: float
) -> str:
    size = sum(unit.weight_bytes for unit in units)
    took, loss = sum(u.decode_seconds for u in units), sum(u.loss for u in units)
    cells = (
        escape(kind),
        _bar(strip, layers) if strip else "",
        ", ".join(_format(name) for name in dict.fromkeys(u.scheme for u in units)),
        _shown(size / GIB, 2) if size else "–",
        _shown(100 * took / step, 1) if step else "–",
        _shown(loss, 3),
    )
    return _cells(cells, _COLUMNS)


def _cells(texts: Sequence[str], columns: Sequence[tuple[str, str]]) -> str:
    return (
        "<tr>"
        + "".join(_cell("td", text, side) for text, (_, side) in zip(texts, columns, strict=True))
        + "</tr>"
    )


def _shown(value: float, digits: int) -> str:
    """A number with so many decimals; a trace is shown as one, exact zero is bare."""
    least = 10.0**-digits
    return (
        "0"
        if value == 0
        else f"&lt;{least:.{digits}f}"
        if value < least / 2
        else f"{value:,.{digits}f}"
    )


def _bar(strip: FormatStrip, layers: int) -> str:
    """The layers from left to right in the colours of their formats."""
    stops = []
    for run in strip.runs:
        colour = format_colour(run.scheme) if run.scheme else "transparent"
        ends = (100 * run.first / layers, 100 * (run.last + 1) / layers)
        stops += [f"{colour} {at:.2f}%" for at in ends]
    return (
        '<div style="width:13em;height:1em;box-shadow:inset 0 0 0 1px rgba(128,128,128,.3);'
        f'background:linear-gradient(to right,{",".join(stops)})"></div>'
    )


def _format(name: str) -> str:
    return (
        f'<span style="display:inline-block;width:.8em;height:.8em;margin-right:.35em;'
        f'background:{format_colour(name)};box-shadow:inset 0 0 0 1px rgba(128,128,128,.5)"></span>'
        f"{escape(name)}"
    )


def _cell(tag: str, text: str, side: str) -> str:
    return f'<{tag} style="text-align:{side};padding:.2em .7em;{_LINE}">{text}</{tag}>'


NOTHING = "–"


def rounded_table(frame: pd.DataFrame) -> str:
    """An HTML table without scripts. The frame keeps its exact values: a column whose name tells
    bytes or seconds is shown in units of its size, other numbers to three digits, whole ones with
    their thousands apart. Heads are words, so that they may wrap."""
    heads = {name: str(name).replace("_", " ") for name in frame.columns}
    shown: dict[Hashable, Callable[[Any], str]] = {
        heads[name]: _formatter(str(name)) for name in frame.columns
    }
    return str(
        frame.rename(columns=heads).to_html(index=False, border=0, formatters=shown, na_rep=NOTHING)
    )


def _formatter(name: str) -> Callable[[Any], str]:
    words = name.split("_")
    number = (
        format_bytes if "bytes" in words else format_seconds if "seconds" in words else format_rate
    )

    def shown(value: Any) -> str:
        if value is None or value != value:
            return NOTHING
        if isinstance(value, bool | np.bool_) or not hasattr(value, "__float__"):
            return str(value)
        if hasattr(value, "__index__") and number is format_rate:
            return f"{value:,}"
        return number(float(value))

    return shown
