"""A view as text: lines of at most the terminal's columns, nothing cut short."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import groupby

from planner.messages.words import unmarked
from planner.report.columns import (
    columns,
    folded,
    padded,
    paragraphs,
    printable,
    styled,
    table_lines,
    width_of_output,
    wrapped,
)
from planner.report.view.record import Block, Code, Fact, Items, Prose, Section, Table, View

INDENT = "  "
LONGEST_NAME, SHORTEST_NAME, NARROWEST_REASON = 28, 18, 18
"""Columns of a first column that is folded, at most and at least, and of a last one at least."""


_ALSO: ContextVar[tuple[Fact, str] | None] = ContextVar("also", default=None)


@contextmanager
def also_said(fact: Fact, join: str) -> Iterator[None]:
    """Inside the block each answer says ``fact``: after ``join`` in its own line of that label, or
    in a line more."""
    token = _ALSO.set((fact, join))
    try:
        yield
    finally:
        _ALSO.reset(token)


def _facts(view: View) -> tuple[Fact, ...]:
    """The labelled lines of an answer, with what else is said; a view without a title is a note."""
    also = _ALSO.get()
    if also is None or not view.title:
        return view.facts
    (more, join) = also
    if all(fact.label != more.label for fact in view.facts):
        return (*view.facts, more)
    return tuple(
        Fact(fact.label, fact.text + join + more.text) if fact.label == more.label else fact
        for fact in view.facts
    )


def text_of_view(view: View, *, details: bool = False) -> str:
    """The whole answer; ends with a newline. ``details``: with the sections that only they show."""
    parts = [[bold(line) for line in folded(printable(view.title), width_of_output())]]
    if facts := _facts(view):
        parts.append(fact_lines(facts))
    parts += [section_lines(s) for s in view.sections if details or not s.detail]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def fitted_text(view_with: Callable[[int], View], rows: int, lines: int, *, details: bool) -> str:
    """The text of the view with the most rows, from so many down to one, that takes at most so many
    ``lines``; with ``details`` the whole view with all rows."""
    for most in range(rows, 0, -1):
        text = text_of_view(view_with(most), details=details)
        if details or text.count("\n") <= lines:
            break
    return text


def fact_lines(facts: Sequence[Fact]) -> list[str]:
    """Labels in a column, and what is said of them beside it."""
    room = max(columns(fact.label) for fact in facts) + 2
    lines = []
    for fact in facts:
        first = padded(fact.label, room)
        lines += folded(
            printable(fact.text), width_of_output(), first=first, indent=" " * room
        ) or [first.rstrip()]
    return lines


def section_lines(section: Section) -> list[str]:
    """The heading, then the blocks below it."""
    lines = folded(printable(section.title), width_of_output()) if section.title else []
    for labelled, blocks in groupby(section.blocks, lambda block: isinstance(block, Fact)):
        if labelled:
            lines += fact_lines([block for block in blocks if isinstance(block, Fact)])
        else:
            lines += [line for block in blocks for line in block_lines(block)]
    return lines


def block_lines(block: Block) -> list[str]:
    """A block in lines."""
    return [printable(line) if not isinstance(block, Code) else line for line in _lines(block)]


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Prose(text):
            yield from wrapped(unmarked(text))
        case Items(texts):
            for text in texts:
                yield from wrapped(unmarked(text), INDENT * 2, first=INDENT)
        case Fact():
            yield from fact_lines((block,))
        case Code(lines):
            yield from lines
        case Table():
            yield from _table(block)
            for note in block.notes:
                yield from wrapped(note, INDENT)


def bold(line: str) -> str:
    """``line`` as a heading, where stdout takes colour."""
    return f"\x1b[1m{line}\x1b[0m" if styled() else line


def _table(table: Table) -> list[str]:
    """The rows under their heads, a last column of text folded into what the others leave, and the
    first where that is not enough; paragraphs where nothing helps."""
    rows = [tuple(map(printable, row)) for row in (table.heads, *table.rows)]
    last = len(table.heads) - 1
    widths = [max(columns(row[i]) for row in rows) for i in range(last + 1)]
    room = width_of_output()
    if sum(widths) + last <= room or last not in table.text_columns or not last:
        return table_lines(rows, left=table.text_columns)
    narrowest = NARROWEST_REASON
    if widths[-1] < narrowest:  # words alone, under a heading that folds
        narrowest = max(columns(word) for row in rows for word in row[-1].split())
    words = (columns(word) for row in rows for word in row[0].split())
    shortest = max(SHORTEST_NAME, *words)  # a name of one word does not fold
    for longest in range(max(widths[0], LONGEST_NAME), shortest - 1, -1):
        fixed = [min(widths[0], longest), *widths[1:-1]]
        space = room - sum(fixed) - len(fixed)
        if space >= narrowest:
            return [line for row in rows for line in _folded_row(row, fixed, space, table)]
    return paragraphs(rows, room)


def _folded_row(row: Sequence[str], widths: Sequence[int], space: int, table: Table) -> list[str]:
    names, reasons = folded(row[0], widths[0], indent=INDENT), folded(row[-1], space)
    empty = [""] * (len(widths) - 1)
    lines = []
    for i in range(max(len(names), len(reasons), 1)):
        cells = [names[i] if i < len(names) else "", *(row[1:-1] if i == 0 else empty)]
        fixed = " ".join(
            padded(cell, width, left=n in table.text_columns)
            for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        lines.append(f"{fixed} {reasons[i] if i < len(reasons) else ''}".rstrip())
    return lines
