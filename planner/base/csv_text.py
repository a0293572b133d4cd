"""Cells of CSV that a spreadsheet shows and does not compute, and a terminal shows and does not
obey."""

from __future__ import annotations

from unicodedata import category

_COMPUTED = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Their full-width forms too: Excel for Chinese and Japanese takes one for the other."""


def csv_cell(value: object) -> object:
    """A cell of CSV: nothing for None, floats whole, text that a spreadsheet would compute with an
    apostrophe before it, control characters spelt out; numbers stay numbers."""
    if isinstance(value, str):
        text = value if value.isprintable() else "".join(map(_escaped, value))
        return f"'{text}" if text[:1] in _COMPUTED and not _is_number(text) else text
    return "" if value is None else repr(value) if isinstance(value, float) else value


def csv_value(text: str) -> str | None:
    """The text that :func:`csv_cell` wrote, control characters as it spells them; None for an
    empty cell."""
    if text[:1] == "'" and text[1:2] in _COMPUTED:
        return text[1:]
    return text or None


def _escaped(sign: str) -> str:
    """A sign that is shown, or its name where it would be obeyed: escapes, line ends, reversed
    text, halves of a pair."""
    return ascii(sign)[1:-1] if category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") else sign


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text == text.strip()
