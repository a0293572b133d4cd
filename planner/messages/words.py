"""Messages in the words of a language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from planner.messages.catalogue import CLOSE, FOLDER, OPEN, ORIGINAL, catalogue
from planner.messages.message import Message, Note, Text, Value
from planner.messages.reading import CLAUSES, NAMES, SMALL_WORDS, read

_WIDE = re.compile(r"[\u2e80-\u9fff\uff00-\uffef]")
_BEFORE = re.compile(r"(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9+−×])")
_AFTER = re.compile(r"(?<=[A-Za-z0-9%])(?=[\u4e00-\u9fff])")
_OWN_LANGUAGE = re.compile(rf"{OPEN}.*?{CLOSE}|`[^`]*`", re.DOTALL)


def english(text: Text) -> str:
    """``text`` as plan files have it."""
    return marked(text, ORIGINAL)


def in_english(notes: Iterable[Note]) -> tuple[Note, ...]:
    """``notes`` as the answers of verbs have them."""
    return tuple(Note(note.key, english(note.value), english(note.reason)) for note in notes)


def in_language(text: Text, lang: str) -> str:
    """``text`` in the words of ``lang``, quotations as they are."""
    return unmarked(marked(text, lang))


def marked(text: Text, lang: str, folder: Path = FOLDER) -> str:
    """``text`` in the words of ``lang``, a text being read first; what is quoted stands between
    OPEN and CLOSE."""
    if isinstance(text, str) and lang != ORIGINAL:
        text = read(text, folder)
    return text if isinstance(text, str) else _in_words(text, lang, folder)


def entry(text: str, lang: str) -> str | None:
    """``text`` in the words of ``lang`` where an entry without holes has all of it, else None."""
    reading = read(text)
    whole = isinstance(reading, Message) and not reading.values
    return marked(reading, lang) if whole and lang != ORIGINAL else None


def _in_words(item: Message, lang: str, folder: Path) -> str:
    """A message in the words of ``lang``.

    Raises:
        KeyError: no such id, or a hole without a value.
    """
    entries = catalogue(lang, folder)
    values = dict(item.values)
    parts = values.get("parts")
    if isinstance(parts, tuple):
        texts = [marked(part, lang, folder) for part in parts]
        of_names = item.id == CLAUSES and not any(map(_WIDE.search, texts))
        return entries[NAMES if of_names else item.id].text.join(texts)
    filled = {
        hole: _filled(values[hole], kind, lang, folder)
        for hole, kind in catalogue(ORIGINAL, folder)[item.id].holes.items()
    }
    text = entries[item.id].plain.format_map(filled)
    return text if lang == ORIGINAL else spaced(text)


def _filled(value: Value, kind: str, lang: str, folder: Path) -> str:
    """What a hole of a kind shows: a quotation is marked, a text without a kind is read, and a list
    of names has the marks of the language."""
    assert not isinstance(value, tuple), value
    if lang == ORIGINAL or kind == "part":
        return marked(value, lang, folder)
    if kind == "quotation":
        return quoted(marked(value, ORIGINAL, folder))
    if kind and isinstance(value, str):
        return value
    text = marked(value, lang, folder)
    if text == value and "(" not in text:
        return text.replace(", ", catalogue(lang, folder)[NAMES].text)
    return text


def foreign(text: str) -> bool:
    """Whether two small words stand side by side outside quotations and commands."""
    return SMALL_WORDS.search(_OWN_LANGUAGE.sub("", text)) is not None


def spaced(text: str) -> str:
    """``text`` with a space between Chinese and Latin letters or digits."""
    return _AFTER.sub(" ", _BEFORE.sub(" ", text))


def quoted(text: str) -> str:
    """``text`` as a quotation, in the marks of :func:`marked`."""
    return f"{OPEN}{text}{CLOSE}"


def unmarked(text: str) -> str:
    """``text`` without the marks of quotations."""
    return text.replace(OPEN, "").replace(CLOSE, "")
