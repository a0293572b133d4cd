"""What a verb's answer shows, in one language and before any markup.

One builder a verb makes a :class:`View`; ``planner/report/render`` has a renderer for terminals,
for HTML and for Markdown. A builder says nothing of widths, a renderer nothing of plans.
"""

from __future__ import annotations

from planner.base.records import record


@record
class Fact:
    """A labelled line: what a reader looks for by name, e.g. ``Fits`` and ``yes: 94.1 of …``."""

    label: str
    text: str


@record
class Prose:
    """Sentences."""

    text: str


@record
class Items:
    """Short texts of one kind, a line each."""

    texts: tuple[str, ...]


@record
class Code:
    """Lines to be typed or stored as they are; a shell's line that goes on ends with ``\\``."""

    lines: tuple[str, ...]


@record
class Table:
    """Rows of cells under their heads.

    ``text_columns`` are aligned left, the others right. A first and a last column of text are
    folded where the table is too wide. ``notes`` stand below.
    """

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()


Block = Prose | Items | Code | Table | Fact


def block_kind(block: Block) -> str:
    """The name of a block's kind: prose, items, code, table or fact."""
    return type(block).__name__.lower()


@record
class Section:
    """Blocks under a heading; ``detail``: a terminal shows it with ``-v``, pages fold it away."""

    title: str
    blocks: tuple[Block, ...]
    detail: bool = False


@record
class View:
    """An answer: its sentence, labelled lines, then sections."""

    title: str
    facts: tuple[Fact, ...] = ()
    sections: tuple[Section, ...] = ()
