"""Messages in files: ``{"id": "section.name", "values": {"hole": …}}``.

A value is text, a message, or a list of both that the catalogue joins. Whoever wrote a file is not
trusted: an id that no catalogue has, a hole too many or too few, and what is nested deeper than any
message here is refused; a text is put into its hole as it is and never read as a template.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from planner.messages.catalogue import ORIGINAL, template
from planner.messages.message import Message, Note, ReadableText, Text, Value

MOST_DEEP = 12
MOST_PARTS = 1_000
MOST_CHARACTERS = 4_000
"""Of one text in a message, as of any text of a plan file."""
PARTS = "parts"
"""The value of entries without holes that join a list."""
TEXT = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Message"}]}
"""JSON Schema of a text or a message."""
PLACEHOLDER = {"const": "Text"}
"""Of a text in a JSON Schema, until messages are defined in it."""
MESSAGE: dict[str, Any] = {
    "type": "object",
    "description": "A sentence: its id in the catalogues, and what stands in its holes.",
    "properties": {
        "id": {"type": "string", "pattern": r"^[a-z]+\.\w+$"},
        "values": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [*TEXT["anyOf"], {"type": "array", "items": TEXT}],
            },
        },
    },
    "required": ["id", "values"],
    "additionalProperties": False,
}


def stored(value: Value) -> Any:
    """A text, or the parts of a message, as a file has it."""
    if isinstance(value, tuple):
        return [stored(part) for part in value]
    if not isinstance(value, Message):
        return value
    return {"id": value.id, "values": {hole: stored(held) for hole, held in value.values}}


def stored_notes(notes: Iterable[Note]) -> list[dict[str, Any]]:
    """Notes as an answer's JSON has them."""
    return [
        {"key": key, "value": stored(value), "reason": stored(reason)}
        for key, value, reason in notes
    ]


def parse_message(data: object, depth: int = 0) -> Message:
    """A message of a file.

    Raises:
        ValueError: no such id, other values than its holes, or deeper or larger than allowed.
    """
    if not isinstance(data, dict) or data.keys() != {"id", "values"}:
        raise ValueError("a message is an id with its values")
    name, values = data["id"], data["values"]
    if depth > MOST_DEEP:
        raise ValueError(f"messages inside messages, more than {MOST_DEEP} deep")
    if not isinstance(name, str) or not isinstance(values, dict):
        raise ValueError("the id of a message is a text and its values are an object")
    known = holes_of(name)
    if known is None:
        raise ValueError(f"no message {name[:60]!r} is known here")
    if {*values} != {*known}:
        raise ValueError(
            f"message {name!r} takes {', '.join(known) or 'no values'}, and nothing else"
        )
    return Message(
        name,
        tuple((hole, _value(held, hole == PARTS, depth)) for hole, held in sorted(values.items())),
    )


def holes_of(name: str) -> tuple[str, ...] | None:
    """The names of a message's values; None where no catalogue has the id."""
    section, dot, entry = name.partition(".")
    if not (dot and section.isidentifier() and section.isascii() and entry.isidentifier()):
        return None  # a section is the name of a file
    try:
        known = template(ORIGINAL, name)
    except KeyError:
        return None
    return tuple(known.holes) or ((PARTS,) if known.joins else ())


def _value(data: object, joined: bool, depth: int) -> Value:
    """What a hole holds.

    Raises:
        ValueError: neither text nor message nor, where the catalogue joins them, a list of both.
    """
    if isinstance(data, list) != joined:
        raise ValueError("a list is the value of a message that joins parts, and only of that")
    if isinstance(data, list):
        if len(data) > MOST_PARTS:
            raise ValueError(f"a message of more than {MOST_PARTS} parts")
        return tuple(_text(part, depth) for part in data)
    return _text(data, depth)


def _text(data: object, depth: int) -> Text:
    if not isinstance(data, str):
        return parse_message(data, depth + 1)
    if len(data) > MOST_CHARACTERS:
        raise ValueError(f"a text of more than {MOST_CHARACTERS} characters in a message")
    return data


def parse_text(data: object) -> Text:
    """A text of a file, or a message.

    Raises:
        ValueError: neither, or no message that :func:`parse_message` reads.
    """
    return data if isinstance(data, str) else parse_message(data)


def pydantic_schema() -> Any:
    """How pydantic reads a text or a message of a file; its JSON Schema is :data:`TEXT`, which
    refers to :data:`MESSAGE`."""
    from pydantic_core import core_schema

    return core_schema.no_info_plain_validator_function(
        parse_text, metadata={"pydantic_js_functions": [lambda schema, handler: PLACEHOLDER]}
    )


ReadableText.readers[:] = [pydantic_schema]
