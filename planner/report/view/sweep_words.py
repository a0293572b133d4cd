"""Words of a sweep's page: values of its axes, and why a question has no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planner.messages.words import foreign, quoted, unmarked
from planner.report.phrases import Phrases, phrases
from planner.report.sweep_axes import Columns, SweepAxis, value_text

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
    return value_text(axis.name, value)


def short_reason(say: Phrases, columns: Columns, n: int) -> str:
    """The limits or the kind of answer of a row without one, in a word or two."""
    limit = columns["limit"][n]
    if limit is None:
        status = columns["status"][n]
        return say("cell.empty" if status == "ok" else f"status.{status}")
    return " + ".join(say.name(part) for part in limit.split("+"))


def reason(say: Phrases, columns: Columns, n: int) -> str:
    """The whole reason of a row without an answer; empty where it has none, or none in this
    language."""
    text = say.original(columns["reason"][n] or "")
    return "" if _untold(say, text) else text.removeprefix(f"{columns['limit'][n]}: ")


def full_reason(say: Phrases, columns: Columns, n: int) -> str:
    """The limits, then the reason; in its own language, as a quotation, where no pattern fits."""
    short, text = short_reason(say, columns, n), reason(say, columns, n)
    text = text or quoted(columns["reason"][n] or "")
    return say("cell.why", short=short, reason=text) if unmarked(text) else short


def _untold(say: Phrases, text: str) -> bool:
    return say.lang != "en" and foreign(text)
