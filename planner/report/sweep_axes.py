"""What varies in a sweep, and which two values stand beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planner.base.errors import InputError

Columns = Mapping[str, Sequence[Any]]
Value = Any
ASKED = (
    "verb",
    "model",
    "device",
    "service",
    "scheme",
    "schemes",
    "kv",
    "engine",
    "objective",
    "scenario",
    "profile",
    "untie",
    "drop_policies",
    "exact",
    "max_loss",
    "memory_bytes",
    "ttft_limit_seconds",
    "tpot_limit_seconds",
    "asked_devices",
    "asked_tp",
    "asked_dp",
    "asked_pp",
    "asked_ep",
    "asked_context",
    "asked_isl",
    "asked_osl",
    "asked_batch",
    "asked_concurrency",
    "workload",
    "prefix_hit_rate",
    "slots",
)
NUMERIC = (
    "asked_context",
    "asked_isl",
    "asked_osl",
    "asked_batch",
    "asked_concurrency",
    "asked_devices",
    "asked_tp",
    "asked_dp",
    "asked_pp",
    "asked_ep",
    "tpot_limit_seconds",
    "ttft_limit_seconds",
    "memory_bytes",
    "prefix_hit_rate",
)
"""Axes along which a line means something."""
NEEDED = ("status", "model", "device", "limit", "reason")
"""Columns that every sweep has."""


@dataclass(frozen=True, slots=True)
class SweepAxis:
    """A column that varies, with its values in the order in which they were asked."""

    name: str
    values: tuple[Value, ...]

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name.removeprefix("asked_").replace("_seconds", "").replace("_", " ")


def columns_of(frame: Any) -> Columns:
    """The columns of a frame of ``planner.sweep``, None where a cell is empty.

    Raises:
        InputError: it has no rows, or lacks what every sweep has.
    """
    missing = [name for name in NEEDED if name not in frame.columns]
    if missing or frame.empty:
        what = "no rows" if not missing else "no column " + ", ".join(missing)
        raise InputError(
            f"result is a DataFrame with {what}", hint="give the frame of planner.sweep"
        )
    return {
        name: [
            None if absent else value
            for value, absent in zip(frame[name].tolist(), frame[name].isna(), strict=True)
        ]
        for name in frame.columns
    }


def axes(columns: Columns) -> tuple[SweepAxis, ...]:
    """The columns of a question that vary. One whose value another one tells (the limits of a
    service level) is no axis of its own."""
    varying = [
        SweepAxis(name, tuple(dict.fromkeys(columns[name])))
        for name in ASKED
        if len(set(columns[name])) > 1
    ]
    kept: list[SweepAxis] = []
    for axis in varying:
        if not any(_tells(columns, other.name, axis.name) for other in kept):
            kept.append(axis)
    return tuple(kept)


def _tells(columns: Columns, first: str, second: str) -> bool:
    """Whether each value of ``first`` goes with one value of ``second``."""
    pairs = set(zip(columns[first], columns[second], strict=True))
    return len(pairs) == len(set(columns[first]))


def compared_axis(varying: Sequence[SweepAxis]) -> SweepAxis | None:
    """The only axis with two values; None where there is none, or several."""
    two = [axis for axis in varying if len(axis.values) == 2]
    return two[0] if len(two) == 1 else None


@dataclass(frozen=True, slots=True)
class SweepView:
    """Questions that differ in a map's rows and columns alone: ``values`` are those of the other
    axes, ``places`` the question of each (row, column), the last of equals."""

    values: tuple[Value, ...]
    places: Mapping[tuple[Value, Value], int]


@dataclass(frozen=True, slots=True)
class SweepGrid:
    """Two axes as rows and columns of a map (None: one axis varies), the ``others`` as views."""

    rows: SweepAxis
    columns: SweepAxis | None
    others: tuple[SweepAxis, ...]
    views: tuple[SweepView, ...]

    @property
    def across(self) -> tuple[Value, ...]:
        """The values of the columns; one, None, without an axis."""
        return (None,) if self.columns is None else self.columns.values

    def of(self, view: SweepView) -> tuple[tuple[Value, ...], tuple[Value, ...]]:
        """The rows and columns that a view asks about."""
        rows = {row for row, _ in view.places}
        columns = {column for _, column in view.places}
        return (
            tuple(row for row in self.rows.values if row in rows),
            tuple(column for column in self.across if column in columns),
        )


def grid(columns: Columns) -> SweepGrid:
    """Models as rows and devices as columns where they vary, else what has most values."""
    varying = list(axes(columns)) or [SweepAxis("model", tuple(dict.fromkeys(columns["model"])))]
    varying.sort(key=lambda axis: -len(axis.values))
    rows = next(
        (a for a in varying if a.name == "model"),
        next((a for a in varying if a.name != "device"), varying[0]),
    )
    rest = [axis for axis in varying if axis is not rows]
    across = next((a for a in rest if a.name == "device"), rest[0] if rest else None)
    others = tuple(axis for axis in rest if axis is not across)
    views: dict[tuple[Value, ...], dict[tuple[Value, Value], int]] = {}
    for n in range(len(columns["status"])):
        place = columns[rows.name][n], None if across is None else columns[across.name][n]
        views.setdefault(tuple(columns[a.name][n] for a in others), {})[place] = n
    return SweepGrid(
        rows, across, others, tuple(SweepView(values, places) for values, places in views.items())
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """Rows (None: not asked) that differ in the compared axis alone; ``others`` are the values of
    the other axes."""

    others: tuple[Value, ...]
    first: int | None
    second: int | None


def pairs(columns: Columns, varying: Sequence[SweepAxis], axis: SweepAxis) -> list[Pair]:
    """Every combination of the other axes, in the order of the questions."""
    others = [other.name for other in varying if other is not axis]
    rows: dict[tuple[Value, ...], list[int | None]] = {}
    for n, value in enumerate(columns[axis.name]):
        key = tuple(columns[name][n] for name in others)
        rows.setdefault(key, [None, None])[axis.values.index(value)] = n
    return [Pair(key, first, second) for key, (first, second) in rows.items()]


def value_text(axis: str, value: Value) -> str:
    """A value of an axis for people; ``-`` where it was left open."""
    if value is None:
        return "-"
    if axis.endswith("_limit_seconds"):
        return f"{value * 1e3:g} ms"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
