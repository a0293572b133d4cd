"""What a verb prints: its answer on stdout, and on stderr what it rests on, in the language that
was asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from planner.cli.language import language

if TYPE_CHECKING:
    from planner.messages.message import Note
    from planner.planning.plan.record import Assumption
    from planner.report.view.record import View


def print_answer(result: object, *, details: bool = False) -> None:
    """The view of a result; with ``details`` what stands behind it."""
    from planner.report.render.results import shown

    click.echo(shown(result, language(), details=details), nl=False)


def print_view(view: View, *, err: bool = False, details: bool = False) -> None:
    """A view, on stderr where it is no answer; with its ``details``."""
    from planner.report.render.terminal import text_of_view

    click.echo(text_of_view(view, details=details), nl=False, err=err)


def print_notes(notes: Iterable[Note | Assumption]) -> None:
    """What an answer rests on, on stderr."""
    from planner.report.view.verb_words import notes_view

    print_view(notes_view(notes, language()), err=True)
