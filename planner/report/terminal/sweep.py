"""The table of a sweep on a terminal: answers by kind, and two values side by side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from planner.base.units import GIB, format_rate, format_seconds
from planner.report.sweep_axes import (
    Columns,
    Pair,
    SweepAxis,
    axes,
    compared_axis,
    pairs,
    value_text,
)
from planner.report.terminal.catalogue import _render, _table

SHOWN = 24
"""Rows that are printed; the file has them all."""
RATE = "output_tokens_per_second_per_device"


def sweep_text(columns: Columns, output: str | None) -> str:
    """Counts, then a comparison where one thing has two values, else the first rows."""
    varying = axes(columns)
    axis = compared_axis(varying)
    count = len(columns["status"])
    parts: list[Any] = [headline(columns), *_limits(columns), *_errors(columns), ""]
    if axis is not None:
        parts += _comparison(columns, varying, axis)
    else:
        parts += _rows(columns, varying)
    parts += [
        "",
        f"all {count:,} rows with every column: {output}"
        if output is not None
        else "-o FILE.csv or FILE.parquet keeps every row and column",
    ]
    return _render(*parts)


def headline(columns: Columns) -> str:
    """How many questions have which kind of answer."""
    counts = Counter(columns["status"])
    words = {
        "ok": "answered",
        "infeasible": "without a plan",
        "unsupported": "not supported",
        "invalid": "not valid",
        "failed": "FAILED inside this program",
    }
    told_counts = ", ".join(
        f"{counts[status]:,} {word}" for status, word in words.items() if counts[status]
    )
    total = len(columns["status"])
    return f"{total:,} question{'s' if total > 1 else ''}: {told_counts}"


def _limits(columns: Columns) -> list[str]:
    """Which limits leave questions without a plan."""
    limits = Counter(limit for limit in columns["limit"] if limit is not None)
    if not limits:
        return []
    return [
        "binding limits: "
        + ", ".join(
            f"{name.replace('+', ' with ')} {count:,}" for name, count in limits.most_common()
        )
    ]


def _errors(columns: Columns) -> list[str]:
    """The commonest reasons why questions cannot be asked."""
    wrong = Counter(
        reason
        for status, reason in zip(columns["status"], columns["reason"], strict=True)
        if status in ("unsupported", "invalid", "failed")
    )
    lines = [f"  {count:,} × {reason}" for reason, count in wrong.most_common(3)]
    rest = len(wrong) - len(lines)
    return [*lines, *([f"  … and {rest} more reasons"] if rest > 0 else [])]


def _comparison(columns: Columns, varying: Sequence[SweepAxis], axis: SweepAxis) -> list[Any]:
    others = [other for other in varying if other is not axis]
    names = [value_text(axis.name, value) for value in axis.values]
    table = _table(
        tuple(other.title for other in others),
        (names[0], names[1], "ratio", "TPOT", "TPOT", "ratio"),
    )
    listed = pairs(columns, varying, axis)
    for pair in listed[:SHOWN]:
        words = [value_text(o.name, v) for o, v in zip(others, pair.others, strict=True)]
        table.add_row(*words, *_side_by_side(columns, pair))
    more = len(listed) - SHOWN
    return [
        f"{names[0]} beside {names[1]}: output tokens/s per device, then TPOT",
        "",
        table,
        *([f"… and {more:,} more"] if more > 0 else []),
        *verdict(columns, listed, names),
    ]


def _side_by_side(columns: Columns, pair: Pair) -> list[str]:
    rates = [_value(columns, RATE, n) for n in (pair.first, pair.second)]
    times = [_value(columns, "tpot_seconds", n) for n in (pair.first, pair.second)]
    return [
        *(
            _cell(columns, n, rate, format_rate)
            for n, rate in zip((pair.first, pair.second), rates, strict=True)
        ),
        _ratio(*rates),
        *("-" if time is None else format_seconds(time) for time in times),
        _ratio(*times),
    ]


def _value(columns: Columns, name: str, row: int | None) -> float | None:
    value: float | None = None if row is None else columns[name][row]
    return value


def _cell(columns: Columns, row: int | None, value: float | None, show: Any) -> str:
    """The number, or what stands in its way."""
    if row is None:
        return "not asked"
    if value is not None:
        return str(show(value))
    return str(columns["limit"][row] or columns["status"][row])


def _ratio(first: float | None, second: float | None) -> str:
    return "-" if not first or second is None else f"{second / first:.2f}"


@dataclass(frozen=True, slots=True)
class ComparedRates:
    """``ratios`` of the rates of two values that both have an answer, second over first; in how
    many pairs only the first and only the second is there."""

    ratios: tuple[float, ...]
    alone: tuple[int, int]

    @property
    def faster(self) -> int:
        """Pairs in which the second is faster."""
        return sum(ratio > 1 for ratio in self.ratios)

    @property
    def median(self) -> float:
        """The middle of the ratios."""
        return median(self.ratios)


def compared_rates(columns: Columns, listed: Sequence[Pair]) -> ComparedRates:
    """The rates of pairs beside each other."""
    ratios, alone = [], [0, 0]
    for pair in listed:
        first, second = (_value(columns, RATE, n) for n in (pair.first, pair.second))
        if first and second:
            ratios.append(second / first)
        elif first or second:
            alone[0 if first else 1] += 1
    return ComparedRates(tuple(ratios), (alone[0], alone[1]))


def verdict(columns: Columns, listed: Sequence[Pair], names: Sequence[str]) -> list[str]:
    """How often the second is faster than the first, by how much, and where only one has a plan."""
    rates = compared_rates(columns, listed)
    lines = []
    if ratios := rates.ratios:
        lines.append(
            f"{names[1]} is faster in {rates.faster} of {len(ratios)}; ratio "
            f"{min(ratios):.2f} to {max(ratios):.2f}, median {rates.median:.2f}"
        )
    lines += [
        f"only {name} has an answer in {count}"
        for name, count in zip(names, rates.alone, strict=True)
        if count
    ]
    return lines


def _rows(columns: Columns, varying: Sequence[SweepAxis]) -> list[Any]:
    shown = varying or (SweepAxis("model", ()), SweepAxis("device", ()))
    table = _table(
        tuple(axis.title for axis in shown),
        ("dev", "batch", "tok/s/dev", "$/M", "TPOT", "GiB"),
        ("limit",),
    )
    count = len(columns["status"])
    for n in range(min(count, SHOWN)):
        table.add_row(
            *(value_text(axis.name, columns[axis.name][n]) for axis in shown), *_answer(columns, n)
        )
    return [table, *([f"… and {count - SHOWN:,} more"] if count > SHOWN else [])]


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _answer(columns: Columns, n: int) -> list[str]:
    if columns["status"][n] != "ok":
        return ["-", "-", "-", "-", "-", "-", str(columns["limit"][n] or columns["status"][n])]
    return [
        str(columns["devices"][n]),
        str(columns["batch"][n]),
        format_rate(columns[RATE][n]),
        _usd(columns["usd_per_million_output_tokens"][n]),
        format_seconds(columns["tpot_seconds"][n]),
        f"{columns['total_bytes'][n] / GIB:.1f}",
        "",
    ]
