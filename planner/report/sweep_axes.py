"""What varies in a sweep, and which two values stand beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Columns = Mapping[str, Sequence[Any]]
Value = Any
ASKED = ("verb", "model", "device", "service", "scheme", "schemes", "kv", "engine", "objective",
         "scenario", "profile", "untie", "exact", "max_loss", "memory_bytes", "ttft_limit_seconds",
         "tpot_limit_seconds", "asked_devices", "asked_tp", "asked_dp", "asked_pp", "asked_ep",
         "asked_context", "asked_isl", "asked_osl", "asked_batch")
UNITS = {"ttft_limit_seconds": "s", "tpot_limit_seconds": "s", "memory_bytes": "B"}


@dataclass(frozen=True, slots=True)
class SweepAxis:
    """A column that varies, with its values in the order in which they were asked."""

    name: str
    values: tuple[Value, ...]

    @property
    def title(self) -> str:
        """The name for people."""
        return self.name.removeprefix("asked_").replace("_seconds", "").replace("_", " ")


def axes(columns: Columns) -> tuple[SweepAxis, ...]:
    """The columns of a question that vary. One whose value another one tells (the limits of a
    service level) is no axis of its own."""
    found = [SweepAxis(name, tuple(dict.fromkeys(columns[name]))) for name in ASKED
             if len(set(columns[name])) > 1]
    kept: list[SweepAxis] = []
    for axis in found:
        if not any(_tells(columns, other.name, axis.name) for other in kept):
            kept.append(axis)
    return tuple(kept)


def _tells(columns: Columns, first: str, second: str) -> bool:
    """Whether each value of ``first`` goes with one value of ``second``."""
    pairs = set(zip(columns[first], columns[second], strict=True))
    return len(pairs) == len(set(columns[first]))


def compared_axis(found: Sequence[SweepAxis]) -> SweepAxis | None:
    """The only axis with two values; None where there is none, or several."""
    two = [axis for axis in found if len(axis.values) == 2]
    return two[0] if len(two) == 1 else None


@dataclass(frozen=True, slots=True)
class Pair:
    """Rows (None: not asked) that differ in the compared axis alone; ``others`` are the values of
    the other axes."""

    others: tuple[Value, ...]
    first: int | None
    second: int | None


def pairs(columns: Columns, found: Sequence[SweepAxis], axis: SweepAxis) -> list[Pair]:
    """Every combination of the other axes, in the order of the questions."""
    others = [other.name for other in found if other is not axis]
    rows: dict[tuple[Value, ...], list[int | None]] = {}
    for n, value in enumerate(columns[axis.name]):
        key = tuple(columns[name][n] for name in others)
        rows.setdefault(key, [None, None])[axis.values.index(value)] = n
    return [Pair(key, first, second) for key, (first, second) in rows.items()]


def told(axis: str, value: Value) -> str:
    """A value of an axis for people; ``-`` where it was left open."""
    if value is None:
        return "-"
    if axis.endswith("_limit_seconds"):
        return f"{value * 1e3:g} ms"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
