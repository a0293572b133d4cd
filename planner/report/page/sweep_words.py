"""Words of a sweep's page: values of its axes, and why a question has no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planner.report.phrases import Phrases, phrases
from planner.report.sweep_axes import Columns, SweepAxis, told

FOLDER = Path(__file__).resolve().parents[1] / "lang_sweep"
STATUSES = ("ok", "infeasible", "unsupported", "invalid", "failed")


def sweep_phrases(lang: str) -> Phrases:
    """The texts of the page.

    Raises:
        UnknownNameError: no such language.
    """
    return phrases(lang, FOLDER)


def axis_value(say: Phrases, axis: SweepAxis | None, value: Any) -> str:
    """A value of an axis for people; empty without an axis."""
    if axis is None:
        return ""
    if value is None:
        return say("cell.open")
    if isinstance(value, bool):
        return say("cell.yes" if value else "cell.no")
    if isinstance(value, int):
        return f"{value:,}"
    return told(axis.name, value)


def short_reason(say: Phrases, columns: Columns, n: int) -> str:
    """The limits or the kind of answer of a row without one, in a word or two."""
    limit = columns["limit"][n]
    if limit is None:
        status = columns["status"][n]
        return say("cell.empty" if status == "ok" else f"status.{status}")
    return " + ".join(say.name(part) for part in limit.split("+"))


def reason(say: Phrases, columns: Columns, n: int) -> str:
    """The whole reason of a row without an answer; empty where it has none."""
    return say.original(columns["reason"][n] or "")


def whole_reason(say: Phrases, columns: Columns, n: int) -> str:
    """The limits, then the reason, which may begin with them itself."""
    short, whole = short_reason(say, columns, n), reason(say, columns, n)
    if not whole or whole.startswith(f"{columns['limit'][n]}: "):
        return whole or short
    return f"{short}: {whole}"
