"""The table of a sweep's page: a row a question, with intervals, sorted by any column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planner.report.figures.marks import written
from planner.report.page.sweep_measures import BY_NAME, SweepMeasure, shown_measures
from planner.report.page.sweep_words import axis_value, whole_reason
from planner.report.phrases import Phrases
from planner.report.sweep_axes import Columns, SweepAxis

MOST_ROWS = 400
ADVICE = frozenset({"verdict", "formats", "weights"})
ALWAYS = frozenset({"layout", "devices", "engine"})
ORDER = (
    "rate",
    "usd",
    "tpot",
    "loss",
    "verdict",
    "formats",
    "weights",
    "layout",
    "devices",
    "users",
    "gib",
    "ttft",
    "total",
    "joules",
    "engine",
)
"""Columns behind the axes, what decides first."""


@dataclass(frozen=True, slots=True)
class SweepHead:
    """A column's head; ``number``: it is one, and sorts as one."""

    name: str
    number: bool


@dataclass(frozen=True, slots=True)
class SweepCell:
    """A cell: its text, the ends of its interval below it, and what it sorts by (empty: by its
    text)."""

    text: str
    ends: str = ""
    sort: str = ""


@dataclass(frozen=True, slots=True)
class SweepRow:
    """The values of the axes; then the cells, or the reason why there are none."""

    axes: tuple[SweepCell, ...]
    cells: tuple[SweepCell, ...]
    why: str = ""


@dataclass(frozen=True, slots=True)
class AnswerTable:
    """Heads of all columns, the first ``fixed`` those of the axes; ``hidden`` rows are left out."""

    heads: tuple[SweepHead, ...]
    fixed: int
    rows: tuple[SweepRow, ...]
    hidden: int


def answer_table(say: Phrases, columns: Columns, found: tuple[SweepAxis, ...]) -> AnswerTable:
    """The first rows of a sweep with what people ask of them."""
    count, there = len(columns["status"]), {one.name for one in shown_measures(columns)}
    if any(value is not None for value in columns["verdict"]):
        there |= ADVICE
    names = [name for name in ORDER if name in there or name in ALWAYS]
    heads = (
        *(SweepHead(say(f"axis.{axis.name}"), _is_number(axis.values[0])) for axis in found),
        *(SweepHead(say(f"head.{name}"), name in BY_NAME or name == "devices") for name in names),
    )
    rows = tuple(_row(say, columns, found, names, n) for n in range(min(count, MOST_ROWS)))
    return AnswerTable(heads, len(found), rows, max(count - MOST_ROWS, 0))


def _row(
    say: Phrases, columns: Columns, found: tuple[SweepAxis, ...], names: Sequence[str], n: int
) -> SweepRow:
    where = tuple(
        SweepCell(axis_value(say, axis, value), "", _key(value))
        for axis in found
        for value in (columns[axis.name][n],)
    )
    if columns["status"][n] != "ok":
        return SweepRow(where, (), whole_reason(say, columns, n))
    cells = {
        "layout": SweepCell(f"{columns['replicas'][n]:,} × {columns['layout'][n]}"),
        "devices": SweepCell(f"{columns['devices'][n]:,}", "", str(columns["devices"][n])),
        "engine": SweepCell(columns["served_by"][n]),
        **_advice(say, columns, n),
    }
    return SweepRow(
        where,
        tuple(
            _measured(columns, BY_NAME[name], n) if name in BY_NAME else cells[name]
            for name in names
        ),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _key(value: Any) -> str:
    return repr(value) if _is_number(value) else ""


def _measured(columns: Columns, one: SweepMeasure, n: int) -> SweepCell:
    value, low, high = (one.value(columns, n, end) for end in ("", "_low", "_high"))
    if value is None:
        return SweepCell("–")
    ends = "" if low is None or high is None or low == high else f"{written(low)} – {written(high)}"
    return SweepCell(written(value), ends, repr(value))


def _advice(say: Phrases, columns: Columns, n: int) -> dict[str, SweepCell]:
    """Verdict, formats and weights of a plan; dashes for an estimate."""
    if columns["verdict"][n] is None:
        return dict.fromkeys(ADVICE, SweepCell("–"))
    new, release = columns["needs_new_weights"][n], columns["checkpoint"][n]
    cache = columns["cache"][n]
    formats = columns["formats"][n] or "–"
    return {
        "verdict": SweepCell(say(f"table.{columns['verdict'][n]}")),
        "formats": SweepCell(formats, "" if cache is None else f"KV {cache}"),
        "weights": SweepCell(say("table.new" if new else "table.ready"), release or ""),
    }
