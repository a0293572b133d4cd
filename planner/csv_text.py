"""Cells of CSV that a spreadsheet shows and does not compute."""

from __future__ import annotations

_COMPUTED = ("=", "+", "-", "@", "\t", "\r")


def csv_cell(value: object) -> object:
    """A cell of CSV: nothing for None, floats whole, text that a spreadsheet would compute with an
    apostrophe before it; numbers stay numbers."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in _COMPUTED and not _is_number(value) else value
    return "" if value is None else repr(value) if isinstance(value, float) else value


def csv_value(text: str) -> str | None:
    """The text that :func:`csv_cell` wrote; None for an empty cell."""
    if text[:1] == "'" and text[1:2] in _COMPUTED:
        return text[1:]
    return text or None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
