"""What a sweep comes to, in sentences: which device is best how often, what is recommended."""

from __future__ import annotations

from collections import Counter

from planner.report.page.sweep_measures import BY_NAME, SweepMeasure
from planner.report.page.sweep_words import STATUSES, axis_value
from planner.report.phrases import Phrases
from planner.report.sweep_axes import Columns, SweepGrid, axes, compared_axis, pairs, told
from planner.report.terminal.sweep import compared_rates

VERDICTS = ("as-released", "uniform", "mix")


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


def best_lines(say: Phrases, columns: Columns, found: SweepGrid) -> list[str]:
    """Which column is fastest and cheapest for how many rows, and how often that is sure."""
    return [line for name in ("rate", "usd") for line in _best(say, columns, found, BY_NAME[name])]


def _best(say: Phrases, columns: Columns, found: SweepGrid, one: SweepMeasure) -> list[str]:
    wins: Counter[str] = Counter()
    clear = 0
    for view in found.views:
        for row in found.rows.values:
            there = [
                (value, column, n)
                for column in found.across
                if (n := view.places.get((row, column))) is not None
                and (value := one.value(columns, n)) is not None
            ]
            if len(there) > 1:
                there.sort(key=lambda each: each[0], reverse=one.better == "high")
                wins[axis_value(say, found.columns, there[0][1])] += 1
                clear += _apart(columns, one, there[0][2], there[1][2])
    if not wins:
        return []
    counts = say("verdict.comma").join(
        say("verdict.best", name=name, n=n) for name, n in wins.most_common()
    )
    return [
        say(f"verdict.best_{one.name}", counts=counts, n=wins.total())
        + say("verdict.space")
        + say("verdict.clear", clear=clear, n=wins.total())
    ]


def _apart(columns: Columns, one: SweepMeasure, first: int, second: int) -> bool:
    """Whether the intervals of two rows do not touch."""
    ends = [
        (one.value(columns, n, "_low"), one.value(columns, n, "_high")) for n in (first, second)
    ]
    (low, high), (other_low, other_high) = ends
    if low is None or high is None or other_low is None or other_high is None:
        return False
    return low > other_high or high < other_low


def compared_lines(say: Phrases, columns: Columns) -> list[str]:
    """How two values of one thing compare, where exactly one has two."""
    found = axes(columns)
    axis = compared_axis(found)
    if axis is None:
        return []
    names = [told(axis.name, value) for value in axis.values]
    rates = compared_rates(columns, pairs(columns, found, axis))
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


def taken_line(say: Phrases, columns: Columns) -> list[str]:
    """How many plans take what is released, one format, or a mix."""
    counts = Counter(value for value in columns["verdict"] if value is not None)
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
