"""A sentence of an answer before it has words: which one, and what stands in its holes."""

from __future__ import annotations

from typing import NamedTuple

from planner.base.records import record


@record
class Message:
    """``id`` is ``section.name`` of the catalogues; ``values`` what its holes hold, by name in
    order: text as it is, a message, or parts that the catalogue joins."""

    id: str
    values: tuple[tuple[str, Value], ...] = ()


Text = str | Message
"""A message, or words that no catalogue has: a name, a number, what others wrote."""
Value = str | Message | tuple[str | Message, ...]


class Note(NamedTuple):
    """What an answer rests on: its name, what was taken, and why."""

    key: str
    value: Text
    reason: Text


def message(name: str, /, **values: Value | float) -> Message:
    """The message of an id with its values; a number stands as Python writes it."""
    return Message(
        name,
        tuple(
            (hole, value if isinstance(value, str | Message | tuple) else str(value))
            for hole, value in sorted(values.items())
        ),
    )
