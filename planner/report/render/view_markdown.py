"""A view as Markdown, for pull requests and terminals: everything, details at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from planner.base.markdown_text import escape
from planner.messages.words import unmarked
from planner.report.render.markdown_parts import code, table
from planner.report.view.record import Block, Code, Fact, Items, Prose, Section, Table, View


def view_markdown(view: View) -> str:
    """The whole document, ending with a newline: no name of others is read as markup."""
    lines = [f"# {_as_text(view.title)}", "", *facts_markdown(view.facts)]
    for detail in (False, True):
        for section in view.sections:
            if section.detail == detail:
                lines += section_markdown(section)
    return "\n".join(lines).rstrip("\n") + "\n"


def section_markdown(section: Section, level: int = 2) -> list[str]:
    """The heading, then its blocks, each with an empty line after it."""
    heading = [f"{'#' * level} {_as_text(_heading(section.title))}", ""] if section.title else []
    return [*heading, *(line for block in section.blocks for line in block_markdown(block))]


def facts_markdown(facts: Sequence[Fact]) -> list[str]:
    """Labelled lines as a list."""
    lines = [f"- **{_as_text(fact.label)}**: {_as_text(fact.text)}" for fact in facts]
    return [*lines, ""] if lines else []


def block_markdown(block: Block) -> list[str]:
    """A block in lines, the last of them empty."""
    return list(_lines(block))


def _lines(block: Block) -> Iterator[str]:
    match block:
        case Prose(text):
            yield from (_as_text(text), "")
        case Items(texts):
            yield from (*(f"- {_as_text(text)}" for text in texts), "")
        case Fact():
            yield from facts_markdown((block,))
        case Code(lines):
            yield from code("\n".join(lines))
        case Table():
            numeric = [i for i in range(len(block.heads)) if i not in block.text_columns]
            rows = [[unmarked(cell) for cell in row] for row in block.rows]
            yield from table(block.heads, rows, numeric)
            for note in block.notes:
                yield from (_as_text(note), "")


def _heading(title: str) -> str:
    """A heading without the colon that ends it on a terminal."""
    return title.rstrip(":：")


def _as_text(text: str) -> str:
    return escape(unmarked(text))
