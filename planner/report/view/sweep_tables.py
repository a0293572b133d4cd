"""The table of a sweep's page: a row a question, with intervals, sorted by any column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from planner.report.charts.records import number_text
from planner.report.phrases import Phrases
from planner.report.sweep_axes import (
    Columns,
    SweepAxis,
    SweepGrid,
    axes,
    compared_axis,
    pairs,
    value_text,
)
from planner.report.view.sweep import compared_rates
from planner.report.view.sweep_charts import BY_NAME, SweepMeasure, shown_measures
from planner.report.view.sweep_words import STATUSES, axis_value, full_reason

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


def answer_table(say: Phrases, columns: Columns, varying: tuple[SweepAxis, ...]) -> AnswerTable:
    """The first rows of a sweep with what people ask of them."""
    count, there = len(columns["status"]), {measure.name for measure in shown_measures(columns)}
    if any(value is not None for value in columns["verdict"]):
        there |= ADVICE
    names = [name for name in ORDER if name in there or name in ALWAYS]
    heads = (
        *(SweepHead(say(f"axis.{axis.name}"), _is_number(axis.values[0])) for axis in varying),
        *(SweepHead(say(f"head.{name}"), name in BY_NAME or name == "devices") for name in names),
    )
    rows = tuple(_row(say, columns, varying, names, n) for n in range(min(count, MOST_ROWS)))
    return AnswerTable(heads, len(varying), rows, max(count - MOST_ROWS, 0))


def _row(
    say: Phrases, columns: Columns, varying: tuple[SweepAxis, ...], names: Sequence[str], n: int
) -> SweepRow:
    where = tuple(
        SweepCell(axis_value(say, axis, value), "", _key(value))
        for axis in varying
        for value in (columns[axis.name][n],)
    )
    if columns["status"][n] != "ok":
        return SweepRow(where, (), full_reason(say, columns, n))
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


def _measured(columns: Columns, measure: SweepMeasure, n: int) -> SweepCell:
    value, low, high = (measure.value(columns, n, end) for end in ("", "_low", "_high"))
    if value is None:
        return SweepCell("–")
    ends = (
        ""
        if low is None or high is None or low == high
        else f"{number_text(low)} – {number_text(high)}"
    )
    return SweepCell(number_text(value), ends, repr(value))


def _advice(say: Phrases, columns: Columns, n: int) -> dict[str, SweepCell]:
    """Verdict, formats and weights of a plan; dashes for an estimate."""
    if columns["verdict"][n] is None:
        return dict.fromkeys(ADVICE, SweepCell("–"))
    new, release = columns["needs_new_weights"][n], columns["checkpoint"][n]
    cache = columns["cache"][n]
    formats = columns["formats"][n] or "–"
    return {
        "verdict": SweepCell(say(f"table.{_verdict(columns['verdict'][n])}")),
        "formats": SweepCell(formats, "" if cache is None else f"KV {cache}"),
        "weights": SweepCell(say("table.new" if new else "table.ready"), release or ""),
    }


def _verdict(name: str) -> str:
    """A verdict as it is called now; tables of 0.2 say as-released."""
    return name.removeprefix("as-")


VERDICTS = ("recipe", "released", "uniform", "mix")


def counts_line(say: Phrases, columns: Columns) -> str:
    """How many questions have which kind of answer."""
    counts, total = Counter(columns["status"]), len(columns["status"])
    if total == 1:
        return say("verdict.one", status=say(f"status.{columns['status'][0]}"))
    return say(
        "verdict.counts",
        total=f"{total:,}",
        counts=say("verdict.comma").join(
            say("verdict.count", n=f"{counts[name]:,}", status=say(f"status.{name}"))
            for name in STATUSES
            if counts[name]
        ),
    )


def best_lines(say: Phrases, columns: Columns, places: SweepGrid) -> list[str]:
    """Which column is fastest and cheapest for how many rows, and how often that is sure."""
    return [line for name in ("rate", "usd") for line in _best(say, columns, places, BY_NAME[name])]


def _best(say: Phrases, columns: Columns, places: SweepGrid, measure: SweepMeasure) -> list[str]:
    wins: Counter[str] = Counter()
    clear = 0
    for view in places.views:
        for row in places.rows.values:
            there = [
                (value, column, n)
                for column in places.across
                if (n := view.places.get((row, column))) is not None
                and (value := measure.value(columns, n)) is not None
            ]
            if len(there) > 1:
                there.sort(key=lambda each: each[0], reverse=measure.better == "high")
                wins[axis_value(say, places.columns, there[0][1])] += 1
                clear += _apart(columns, measure, there[0][2], there[1][2])
    if not wins:
        return []
    counts = say("verdict.comma").join(
        say("verdict.best", name=name, n=n) for name, n in wins.most_common()
    )
    return [
        say(f"verdict.best_{measure.name}", counts=counts, n=wins.total())
        + say("verdict.space")
        + say("verdict.clear", clear=clear, n=wins.total())
    ]


def _apart(columns: Columns, measure: SweepMeasure, first: int, second: int) -> bool:
    """Whether the intervals of two rows do not touch."""
    ends = [
        (measure.value(columns, n, "_low"), measure.value(columns, n, "_high"))
        for n in (first, second)
    ]
    (low, high), (other_low, other_high) = ends
    if low is None or high is None or other_low is None or other_high is None:
        return False
    return low > other_high or high < other_low


def compared_lines(say: Phrases, columns: Columns) -> list[str]:
    """How two values of one thing compare, where exactly one has two."""
    varying = axes(columns)
    axis = compared_axis(varying)
    if axis is None:
        return []
    names = [value_text(axis.name, value) for value in axis.values]
    rates = compared_rates(columns, pairs(columns, varying, axis))
    out = []
    if rates.ratios:
        out.append(
            say(
                "verdict.faster",
                first=names[0],
                second=names[1],
                n=rates.faster,
                all=len(rates.ratios),
                low=f"{min(rates.ratios):.2f}",
                high=f"{max(rates.ratios):.2f}",
                median=f"{rates.median:.2f}",
            )
        )
    return out + [
        say("verdict.only", name=name, n=count)
        for name, count in zip(names, rates.alone, strict=True)
        if count
    ]


def recommended_kinds_line(say: Phrases, columns: Columns) -> list[str]:
    """How many plans take what is released, one format, or a mix."""
    counts = Counter(_verdict(value) for value in columns["verdict"] if value is not None)
    if not counts:
        return []
    new = sum(value is True for value in columns["needs_new_weights"])
    return [
        say(
            "verdict.taken",
            n=new,
            counts=say("verdict.comma").join(
                say(f"verdict.{name}", n=counts[name]) for name in VERDICTS if counts[name]
            ),
        )
    ]
