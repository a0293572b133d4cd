"""How wide words are, and in which lines they fit."""

from __future__ import annotations

from collections.abc import Iterator

SIZE = 13.0
"""Pixels: letters of a chart."""
LATIN, BOLD, IDEOGRAPH = 0.58, 0.63, 1.0
"""Widths of characters in letter sizes, of common sans-serif fonts, rather too wide."""


def wide(words: str, size: float = SIZE, *, bold: bool = False) -> float:
    """Pixels of a line of text."""
    one = BOLD if bold else LATIN
    return size * sum(IDEOGRAPH if ord(c) > 0x2E80 else one for c in words)


def cut(words: str, room: float, size: float = SIZE) -> str:
    """The words, or as many characters as there is room for and an ellipsis."""
    if wide(words, size) <= room:
        return words
    kept = words
    while kept and wide(kept + "…", size) > room:
        kept = kept[:-1]
    return kept.rstrip() + "…"


def wrapped(words: str, room: float, size: float = SIZE, *, bold: bool = False) -> list[str]:
    """The words in lines of at most ``room`` pixels: broken at spaces, within a word behind a
    hyphen, comma, slash or ideograph, else where it is full."""
    lines = [""]
    for piece in _pieces(words):
        if wide((lines[-1] + piece).rstrip(), size, bold=bold) <= room:
            lines[-1] += piece
            continue
        if lines[-1]:
            lines.append("")
        for c in piece:
            if wide(lines[-1] + c, size, bold=bold) > room and lines[-1]:
                lines.append("")
            lines[-1] += c
    return [one.rstrip() for one in lines if one.strip()] or [""]


def _pieces(words: str) -> Iterator[str]:
    """Parts that a line may end behind."""
    start = 0
    for n, c in enumerate(words, 1):
        if c in " -,/·+" or ord(c) > 0x2E80:
            yield words[start:n]
            start = n
    if start < len(words):
        yield words[start:]
