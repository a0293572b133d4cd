"""What a verb prints: its answer on stdout, and on stderr what it rests on, in the language that
was asked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import click

from planner.cli.language import language
from planner.cli.settings import TAKEN, settings_text

if TYPE_CHECKING:
    from planner.messages.message import Note
    from planner.planning.plan.record import Assumption
    from planner.report.view.record import View


def print_answer(result: object, *, details: bool = False) -> None:
    """The view of a result; with ``details`` what stands behind it."""
    from planner.report.render.results import shown

    with with_settings():
        text = shown(result, language(), details=details)
    click.echo(text, nl=False)


def print_view(view: View, *, err: bool = False, details: bool = False) -> None:
    """A view, on stderr where it is no answer; with its ``details``."""
    from planner.report.render.terminal import text_of_view

    with nullcontext() if err else with_settings():
        text = text_of_view(view, details=details)
    click.echo(text, nl=False, err=err)


@contextmanager
def with_settings() -> Iterator[None]:
    """Inside the block an answer's line of what was assumed names the values of the running command
    that are from ``planner.toml``."""
    taken: Mapping[str, Sequence[str]] = click.get_current_context().meta.get(TAKEN, {})
    if not taken:
        yield
        return
    from planner.report.phrases import phrases
    from planner.report.render.terminal import also_said
    from planner.report.view.record import Fact

    words, join = phrases(language()), "answer.join"
    texts = [settings_text(file, values) for file, values in taken.items()]
    with also_said(Fact(words("plan.assumed"), words(join).join(texts)), words(join)):
        yield


def print_notes(notes: Iterable[Note | Assumption]) -> None:
    """What an answer rests on, on stderr."""
    from planner.report.view.verb_words import notes_view

    print_view(notes_view(notes, language()), err=True)
