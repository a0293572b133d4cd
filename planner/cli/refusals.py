"""Refusals of the command line: sentences of ``planner/messages/*/command.toml``, and how an error
is told in the language that was asked for.

What a library says of an error (click, the system) stays in its own words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from planner.base.errors import UnknownNameError
from planner.cli.language import language

if TYPE_CHECKING:
    from planner.messages.message import Message

LONGEST = 1000
"""Characters of a line of an error."""
SECTION = "command"
NOUNS = {"model": "assumptions.model", "device": "assumptions.device"}
"""What names are names of, where an entry of another section says it."""


class Hinted(click.UsageError):
    """A usage error with a hint line of its own."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def say(name: str, /, **values: object) -> Message:
    """The sentence ``command.name`` of the catalogue, its holes filled."""
    from planner.messages.message import message

    return message(
        f"{SECTION}.{name}",
        **{hole: v if isinstance(v, str) else str(v) for hole, v in values.items()},
    )


def spoken(text: str) -> str:
    """A text or message in the language that was asked for."""
    from planner.messages.words import in_language

    return in_language(text, language())


def error_lines(message: str, hint: str, details: Sequence[str] = ()) -> list[str]:
    """``error:``, the details and ``hint:``, a line each, in the language that was asked for."""
    error, way_out = (spoken(say(name)) for name in ("error", "hint"))
    return [
        error + _line(message),
        *("  " + _line(detail) for detail in details),
        way_out + _line(hint or say("see_help", command="plan")),
    ]


def unknown_name(error: UnknownNameError) -> tuple[str, str]:
    """(message, hint) of an unknown name, with the word for what it is a name of."""
    from planner.messages.catalogue import ORIGINAL, catalogue
    from planner.messages.message import message

    kind, names = error.near
    hint: str = say(kind, names=names) if names else say(kind)
    if error.own:
        hint = message(f"{SECTION}.both", first=hint, second=error.own)
    if hint != error.hint:  # who raised it knew more
        hint = error.hint
    word = error.what.replace(" ", "_").replace("-", "_")
    noun = NOUNS.get(word, f"{SECTION}.noun_{word}")
    if error.note or noun not in catalogue(ORIGINAL):
        return error.message, hint
    return message(f"{SECTION}.unknown", what=message(noun), name=error.shown), hint


def usage_text(error: click.UsageError) -> str:
    """What click found wrong, in the catalogue's words where it has them."""
    from planner.messages.catalogue import ORIGINAL

    if isinstance(error, Hinted):
        return error.message
    if language() == ORIGINAL:
        return error.format_message()
    if isinstance(error, click.MissingParameter) and error.param is not None:
        option = isinstance(error.param, click.Option)
        name = error.param.opts[0] if option else error.param.human_readable_name.upper()
        return say("missing", name=name)
    if isinstance(error, click.BadOptionUsage) and error.message.endswith("an argument."):
        return say("needs_value", flag=error.option_name)
    if isinstance(error, click.BadParameter) and error.param is not None:
        return say("bad_value", flag=error.param.opts[0], text=error.message)
    return error.format_message()


def _line(text: str) -> str:
    """One line of at most ``LONGEST`` characters that a terminal shows and does not obey: what a
    file holds may be in it, escape sequences and reversed text included."""
    words = " ".join(spoken(text).split())
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words[: LONGEST + 1])
    return safe if len(words) <= LONGEST else safe[: LONGEST - 1] + "…"
