"""``--lang``, one option of every command: the language of what it prints and of its pages.

It is known before the arguments are read, so that an error in them is told in it, and it may come
from ``planner.toml``. ``--help`` is in English.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar

import click

from planner.messages.catalogue import LANGUAGES, ORIGINAL

NAME, FLAG = "lang", "--lang"
SILENT = frozenset(("schema", "completion", "help"))
"""Commands that print no sentence of an answer."""
_ASKED: ContextVar[str | None] = ContextVar("lang", default=None)


def language() -> str:
    """The language of this command's answer."""
    return _ASKED.get() or ORIGINAL


def chosen_language() -> str | None:
    """The language that was asked for, by the flag or by ``planner.toml``; None where none was."""
    return _ASKED.get()


def expect_language(words: Sequence[str]) -> None:
    """Start a command of these words: its language as far as they tell it."""
    values = [
        word.partition("=")[2] if "=" in word else following
        for word, following in zip(words, [*words[1:], ""], strict=False)
        if word.partition("=")[0] == FLAG
    ]
    _ASKED.set(values[-1] if values and values[-1] in LANGUAGES else None)


def take_language(command: click.Command) -> None:
    """Give ``command`` the option; its function asks :func:`language`."""
    if command.name in SILENT:
        return
    command.params.append(
        click.Option(
            [FLAG],
            metavar="|".join(LANGUAGES),
            expose_value=False,
            is_eager=True,
            callback=_take,
            help="Language of the answer and its page (default: en).",
        )
    )


def _take(context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Keep the language. Raises UnknownNameError where nothing is written in it."""
    if value is not None and not context.resilient_parsing:
        if value not in LANGUAGES:
            from planner.base.errors import UnknownNameError

            raise UnknownNameError("language", value, LANGUAGES)
        _ASKED.set(value)
    return value
