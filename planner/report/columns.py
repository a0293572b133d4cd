"""Columns that fit: a table where the terminal is wide enough, else a paragraph a row.

Nothing is cut short: a number with an ellipsis in it is worse than a second line.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from unicodedata import combining, east_asian_width

WIDTH = 80
NARROWEST = 40
WIDEST = 120
_PLAIN = ContextVar("plain", default=False)


@contextmanager
def plain_width() -> Iterator[None]:
    """``WIDTH`` columns without colour inside the block, whatever stdout is: for texts that are
    kept."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def styled() -> bool:
    """Whether what is written may have colour: stdout is a terminal that takes it."""
    return not _PLAIN.get() and sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def width_of_output() -> int:
    """Columns to fill: COLUMNS where set, a terminal's width, else 80; from 40 to 120."""
    if _PLAIN.get():
        return WIDTH
    if sys.stdout.isatty():
        filled = shutil.get_terminal_size((WIDTH, 24)).columns
    else:
        text = os.environ.get("COLUMNS", "")
        filled = int(text) if text.isdigit() and int(text) else WIDTH
    return max(NARROWEST, min(filled, WIDEST))


def wrapped(line: str, indent: str = "", *, first: str = "") -> list[str]:
    """``line`` in as many lines as the output needs; a word that is too long stands alone."""
    return folded(line, width_of_output(), first=first, indent=indent) or [""]


def table_lines(
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[int] = (0,),
    gap: int = 1,
    width: int | None = None,
) -> list[str]:
    """Rows under their headings, which are the first of ``rows``.

    Args:
        rows: cells; all of one length.
        left: the columns of text; the others are aligned right.
        gap: spaces between columns.
        width: columns to fill (default: :func:`width_of_output`).

    Returns:
        Lines without trailing spaces; a column of dashes alone is left out. Where the table is
        wider than ``width``, each row is a paragraph: its first cell, then ``heading value`` pairs,
        absent cells left out.
    """
    rows, left = _without_empty(rows, left)
    widths = [max(columns(row[i]) for row in rows) for i in range(len(rows[0]))]
    room = width if width is not None else width_of_output()
    if sum(widths) + gap * (len(widths) - 1) > room:
        return paragraphs(rows, room)
    return [
        (" " * gap)
        .join(
            padded(cell, w, left=i in left)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        .rstrip()
        for row in rows
    ]


def _without_empty(
    rows: Sequence[Sequence[str]],
    left: Collection[int],
) -> tuple[list[list[str]], set[int]]:
    kept = [
        i
        for i in range(len(rows[0]))
        if i == 0 or len(rows) == 1 or any(row[i].strip() != "-" for row in rows[1:])
    ]
    return [[row[i] for i in kept] for row in rows], {kept.index(i) for i in left if i in kept}


def paragraphs(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Each row as its first cell and ``heading value`` pairs; a heading alone is a line alone."""
    heads = rows[0]
    lines: list[str] = []
    for row in rows[1:]:
        pairs = [
            f"{head} {cell}".strip()
            for head, cell in _pairs(heads[1:], row[1:])
            if cell not in ("", "-")
        ]
        text = row[0].rstrip()
        if text.replace(",", "").replace(".", "").isdigit():  # a number alone says nothing
            text = f"{heads[0]} {text}".strip()
        if text:
            lines += folded(text, width, indent="  ")
        lines += folded(", ".join(pairs), width, first="  ", indent="  ")
    return lines


def _pairs(heads: Sequence[str], cells: Sequence[str]) -> list[tuple[str, str]]:
    """Headings with their cells; ``limit; bound`` over ``best; memory`` are two."""
    pairs = []
    for head, cell in zip(heads, cells, strict=True):
        names, values = head.split("; "), cell.strip().split("; ")
        pairs += (
            list(zip(names, values, strict=True))
            if len(names) == len(values)
            else [(head, cell.strip())]
        )
    return pairs


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
