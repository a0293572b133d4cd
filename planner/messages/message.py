"""A sentence of an answer: which one, what stands in its holes, and its English words.

A message is its English text wherever text is asked for, so that whoever reads an answer in Python
compares, searches and prints it as any other text; what shows an answer in another language, and
files, take its id and values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

from planner.messages.catalogue import ORIGINAL, template

SEMICOLONS, CLAUSES, LINKED = "structure.semicolons", "structure.clauses", "structure.linked"
"""What joins parts: semicolons, commas, ``and``."""
NAMED = "structure.named"


class Message(str):
    """``id`` is ``section.name`` of the catalogues; ``values`` what its holes hold, by name in
    order: text as it is, a message, or parts that the catalogue joins."""

    __slots__ = ("id", "values")
    id: str
    values: tuple[tuple[str, Value], ...]

    def __new__(cls, id: str, values: tuple[tuple[str, Value], ...] = ()) -> Message:
        """The message in English.

        Raises:
            KeyError: no such id, or a hole without a value.
        """
        made = super().__new__(cls, _english(id, dict(values)))
        made.id, made.values = id, values
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        """What a copy, or another process, makes it of."""
        return Message, (self.id, self.values)


class ReadableText:
    """Marks a text that files may hold as a message."""

    readers: ClassVar[list[Callable[[], Any]]] = []
    """How pydantic reads one, which planner/messages/stored.py gives."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return self.readers[0]()


Text = Annotated[str, ReadableText()]
"""A message, or words that no catalogue has: a name, a number, what others wrote."""
Value = str | tuple[str, ...]
"""What a hole holds: a text or a message; parts of both."""


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
            (hole, value if isinstance(value, str | tuple) else str(value))
            for hole, value in sorted(values.items())
        ),
    )


def joined(parts: Sequence[Text], by: str = SEMICOLONS) -> Text:
    """``parts`` as one text, one alone as it is, none as nothing."""
    if len(parts) < 2:
        return parts[0] if parts else ""
    return Message(by, (("parts", tuple(parts)),))


def with_name(name: Text, text: Text) -> Message:
    """``name: text``."""
    return message(NAMED, name=name, text=text)


def without_name(text: Text, name: str) -> Text:
    """``text`` without ``name:`` wherever it stands before another in it."""
    if not isinstance(text, Message):
        return text
    values = dict(text.values)
    inner = values.get("text")
    if text.id == NAMED and values.get("name") == name and isinstance(inner, str):
        return without_name(inner, name)
    return Message(
        text.id,
        tuple(
            (
                hole,
                tuple(without_name(part, name) for part in value)
                if isinstance(value, tuple)
                else without_name(value, name),
            )
            for hole, value in text.values
        ),
    )


def _english(id: str, values: dict[str, Value]) -> str:
    entry = template(ORIGINAL, id)
    parts = values.get("parts")
    if isinstance(parts, tuple):
        return entry.text.join(parts)
    filled = {
        hole: text[:1].upper() + text[1:] if kind == "start" else text
        for hole, kind in entry.holes.items()
        if isinstance(text := values[hole], str)
    }
    return entry.plain.format_map(filled)
