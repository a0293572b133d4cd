"""A profile that is being made: its figures by their place in the file, and the file's text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from planner.hardware.profile import QuantityKind
from planner.records import record

DETECTED, CORES, ASSUMED = "detected", "cores", "assumption"
"""Keys of the sources of a machine that was looked at."""
_DIGITS = 6


@record
class DraftFigure:
    """A number of a profile before it has a date: unit, key of its source, kind, range and note."""

    value: float
    unit: str
    source: str
    kind: QuantityKind
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass
class Draft:
    """A profile of this machine, to be changed until it is written.

    ``figures`` stand at their dotted keys (``memory.bandwidth``, ``rates.avx2.fp32.dense``),
    ``texts`` are words of the head, ``cautions`` and ``unsupported`` as in the file, ``sources``
    titles by key. ``passing`` are cautions that are no property of the machine (memory that is free
    now): the digest leaves them out.
    """

    texts: dict[str, str] = field(default_factory=dict)
    memory_type: str = "RAM"
    figures: dict[str, DraftFigure] = field(default_factory=dict)
    cautions: list[str] = field(default_factory=list)
    passing: list[str] = field(default_factory=list)
    unsupported: dict[str, str] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    def text(self, date: str) -> str:
        """The TOML file, every figure dated ``date``."""
        head = [f"{key} = {quoted(value)}" for key, value in self.texts.items()]
        told = [*self.cautions, *self.passing]
        head += ["cautions = [", *(f"    {quoted(one)}," for one in told), "]"]
        tables: dict[str, list[str]] = {"memory": [f"type = {quoted(self.memory_type)}"]}
        for place, figure in self.figures.items():
            table, _, key = place.rpartition(".")
            tables.setdefault(table, []).append(f"{key} = {_inline(figure, date)}")
        if self.unsupported:
            tables["unsupported"] = [f"{k} = {quoted(v)}" for k, v in self.unsupported.items()]
        tables["sources"] = [
            f"{key} = {{ title = {quoted(title)}, date = {quoted(date)} }}"
            for key, title in self.sources.items()
        ]
        parts = ["\n".join(head)]
        parts += ["\n".join([f"[{name}]", *lines]) for name, lines in tables.items()]
        return "\n\n".join(parts) + "\n"

    def set(self, place: str, figure: DraftFigure) -> None:
        """Put a figure in place of the one that stands there, or behind the others."""
        self.figures[place] = figure


def _inline(figure: DraftFigure, date: str) -> str:
    pairs: Mapping[str, str | None] = {
        "value": _number(figure.value, figure.unit),
        "low": _maybe(figure.low, figure.unit),
        "high": _maybe(figure.high, figure.unit),
        "unit": quoted(figure.unit),
        "source": quoted(figure.source),
        "date": quoted(date),
        "kind": quoted(figure.kind),
        "note": quoted(figure.note) if figure.note else None,
    }
    return "{ " + ", ".join(f"{k} = {v}" for k, v in pairs.items() if v is not None) + " }"


def _maybe(value: float | None, unit: str) -> str | None:
    return None if value is None else _number(value, unit)


def _number(value: float, unit: str) -> str:
    """Bytes and counts as whole numbers, others with six significant digits."""
    if unit in ("B", "count"):
        return str(int(value))
    return repr(float(f"{value:.{_DIGITS}g}"))


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps("".join(c if c.isprintable() else " " for c in text), ensure_ascii=False)
