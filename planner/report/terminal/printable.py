"""Text as a terminal shows it: columns that characters take, and nothing that it would obey."""

from __future__ import annotations

import textwrap
from unicodedata import combining, east_asian_width


def columns(text: str) -> int:
    """Columns that ``text`` takes: East Asian characters take two, combining marks none."""
    if text.isascii() or max(text) < "\u0300":
        return len(text)
    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def printable(text: str) -> str:
    """``text`` with what is no sign of its own spelt out: names come from files, and an escape
    sequence in one must not reach the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def folded(text: str, width: int, *, first: str = "", indent: str = "") -> list[str]:
    """``text`` in lines of at most ``width`` columns, broken at spaces and between East Asian
    characters; a word that is too long stands alone. Not one line where there is no text."""
    if columns(text) == len(text):
        return textwrap.wrap(
            text,
            width,
            initial_indent=first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    lines: list[str] = []
    line, empty = first + text[: len(text) - len(text.lstrip(" "))], True
    for word, spaced in _words(text):
        gap = " " if spaced and not empty else ""
        if not empty and columns(line + gap + word) > width:
            lines.append(line)
            line, gap = indent, ""
        line, empty = line + gap + word, False
    return [*lines, line] if not empty else lines


def padded(text: str, width: int, *, left: bool = True) -> str:
    """``text`` with spaces up to ``width`` columns, after it or before it."""
    space = " " * max(width - columns(text), 0)
    return text + space if left else space + text


def _words(text: str) -> list[tuple[str, bool]]:
    """(piece that stays on a line, whether a space was before it)."""
    out: list[tuple[str, bool]] = []
    for word in text.split():
        start = 0
        for i in range(1, len(word) + 1):
            if i == len(word) or _breaks(word[i - 1], word[i]):
                out.append((word[start:i], start == 0))
                start = i
    return out


def _breaks(before: str, after: str) -> bool:
    """Whether a line may end between two characters: beside a wide one, not before punctuation."""
    wide = east_asian_width(before) in "WF" or east_asian_width(after) in "WF"
    return wide and after not in "，。、；：！？）》」』”’%,.;:!?)" and before not in "（《「『“‘("
