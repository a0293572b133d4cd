"""``plan validate`` on a terminal: groups, the worst rows, and what is not predicted."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Protocol

WIDTH = 100


class GroupLike(Protocol):
    """What a line of the first table shows."""

    @property
    def table(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def regime(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def quantity(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def n(self) -> int: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def mape(self) -> float | None: ...
    @property
    def median_ape(self) -> float | None: ...
    @property
    def p90_ape(self) -> float | None: ...
    @property
    def bias(self) -> float | None: ...


class RowLike(Protocol):
    """What a line of the worst rows shows."""

    @property
    def table(self) -> str: ...
    @property
    def row(self) -> int: ...
    @property
    def metric(self) -> str: ...
    @property
    def quantity(self) -> str: ...
    @property
    def mode(self) -> str: ...
    @property
    def software(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def predicted(self) -> float | None: ...
    @property
    def measured(self) -> float: ...
    @property
    def basis(self) -> str: ...
    @property
    def error_percent(self) -> float: ...


class UncoveredLike(Protocol):
    """What a line of the uncovered rows shows."""

    @property
    def table(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def n(self) -> int: ...


def groups_table(groups: Sequence[GroupLike]) -> str:
    """One line a group: what, how many of how many rows, errors in percent."""
    rows = [("group", "rows", "median", "p90", "mean", "bias")]
    for g in groups:
        what = " · ".join(part for part in (
            g.table, g.engine, g.quantity or g.metric, g.mode, g.model,
            "" if g.regime == "headline" else g.regime) if part)
        rows.append((what, f"{g.n}/{g.n_rows}", _percent(g.median_ape), _percent(g.p90_ape),
                     _percent(g.mape), _percent(g.bias, sign=True)))
    return _aligned(rows)


def worst_table(rows: Sequence[RowLike]) -> str:
    """The rows furthest off, a line each, with how they were predicted."""
    lines = []
    for o in rows:
        predicted = o.predicted if o.predicted is not None else 0.0
        text = (f"{o.error_percent:+.2f} %  {o.table} row {o.row + 1}: {o.quantity or o.metric} "
                f"{o.mode}, {o.model}, {o.software}: {_size(predicted, o.quantity)} predicted, "
                f"{_size(o.measured, o.quantity)} measured; from {o.basis}")
        lines += textwrap.wrap(text, WIDTH, subsequent_indent="    ")
    return "\n".join(lines)


def uncovered_table(rows: Sequence[UncoveredLike], meaning: Mapping[str, str]) -> str:
    """Reasons with their numbers of rows and what they mean."""
    lines = []
    for u in rows:
        text = f"{u.n:5}  {u.table}: {u.reason} — {meaning.get(u.reason, '')}"
        lines += textwrap.wrap(text, WIDTH, subsequent_indent=" " * 7)
    return "\n".join(lines)


def validate_text(groups: Sequence[GroupLike], worst: Sequence[RowLike],
                  uncovered: Sequence[UncoveredLike], meaning: Mapping[str, str]) -> str:
    """The whole report; ends with a newline."""
    parts = []
    if groups:
        parts.append("errors in percent, (predicted − measured) / measured\n"
                     + groups_table(groups))
    if worst:
        parts.append(f"the {len(worst)} rows furthest off\n" + worst_table(worst))
    if uncovered:
        parts.append("rows without a prediction\n" + uncovered_table(uncovered, meaning))
    if not parts:
        parts.append("no tables in this directory")
    return "\n\n".join(parts) + "\n"


def _percent(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.2f}" if sign else f"{value:.2f}"


def _size(value: float, quantity: str) -> str:
    from planner.units import format_bytes

    return format_bytes(value) if "gib" in quantity or not quantity else f"{value:,.2f}"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        (row[0].ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
         ).rstrip()
        for row in rows)
