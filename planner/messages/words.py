"""Messages in the words of a language.

A text that is no message is a name, or what a data file says: it stands as it is but where an entry
without holes has all of it. English needs neither these entries nor an expression with the letters
of Chinese: they take longer to make than a plan's messages to say, so they are made where they are
first used.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from planner.messages.catalogue import (
    CLAUSES,
    CLOSE,
    FOLDER,
    NAMES,
    OPEN,
    ORIGINAL,
    catalogue,
    template,
)
from planner.messages.message import Message, Text, Value

_WIDE = r"[\u2e80-\u9fff\uff00-\uffef]"
_BEFORE = r"(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9+−×])"
_AFTER = r"(?<=[A-Za-z0-9%])(?=[\u4e00-\u9fff])"
SMALL_WORDS = re.compile(r"(?<![\w./@=-])[a-z]{2,} [a-z]{2,}(?![\w/@=])")
_OWN_LANGUAGE = re.compile(rf"{OPEN}.*?{CLOSE}|`[^`]*`", re.DOTALL)


def in_language(text: Text, lang: str) -> str:
    """``text`` in the words of ``lang``, quotations as they are."""
    return unmarked(marked(text, lang))


def marked(text: Text, lang: str, folder: Path = FOLDER) -> str:
    """``text`` in the words of ``lang``; what is quoted stands between OPEN and CLOSE."""
    if lang == ORIGINAL:
        return text
    if isinstance(text, Message):
        return _in_words(text, lang, folder)
    id = fixed_texts(folder).get(text)
    return text if id is None else _in_words(Message(id), lang, folder)


@cache
def fixed_texts(folder: Path = FOLDER) -> dict[str, str]:
    """English texts of entries without holes by what data files and names say → their ids; of two
    the first stands."""
    entries = catalogue(ORIGINAL, folder).values()
    return {unmarked(e.text): e.id for e in reversed(entries) if not e.holes and not e.joins}


def entry(text: str, lang: str) -> str | None:
    """``text`` in the words of ``lang`` where an entry without holes has all of it, else None."""
    return marked(text, lang) if lang != ORIGINAL and text in fixed_texts() else None


def _in_words(item: Message, lang: str, folder: Path) -> str:
    """A message in the words of ``lang``.

    Raises:
        KeyError: no such id, or a hole without a value.
    """
    values = dict(item.values)
    parts = values.get("parts")
    if isinstance(parts, tuple):
        texts = [marked(part, lang, folder) for part in parts]
        of_names = item.id == CLAUSES and not any(re.search(_WIDE, text) for text in texts)
        return template(lang, NAMES if of_names else item.id, folder).text.join(texts)
    filled = {
        hole: _filled(values[hole], kind, lang, folder)
        for hole, kind in template(ORIGINAL, item.id, folder).holes.items()
    }
    text = template(lang, item.id, folder).plain.format_map(filled)
    return spaced(text)


def _filled(value: Value, kind: str, lang: str, folder: Path) -> str:
    """What a hole of a kind shows: a quotation is marked, the start of a sentence has a capital,
    and a list of names has the marks of the language."""
    assert not isinstance(value, tuple), value
    if kind in ("part", "start"):
        text = marked(value, lang, folder)
        return text[:1].upper() + text[1:] if kind == "start" else text
    if kind == "quotation":
        return quoted(value)
    if kind and not isinstance(value, Message):
        return value
    text = marked(value, lang, folder)
    if text == value and "(" not in text:
        return text.replace(", ", template(lang, NAMES, folder).text)
    return text


def foreign(text: str) -> bool:
    """Whether two small words stand side by side outside quotations and commands."""
    return SMALL_WORDS.search(_OWN_LANGUAGE.sub("", text)) is not None


def spaced(text: str) -> str:
    """``text`` with a space between Chinese and Latin letters or digits."""
    return re.sub(_AFTER, " ", re.sub(_BEFORE, " ", text))


def quoted(text: str) -> str:
    """``text`` as a quotation, in the marks of :func:`marked`."""
    return f"{OPEN}{text}{CLOSE}"


def unmarked(text: str) -> str:
    """``text`` without the marks of quotations."""
    return text.replace(OPEN, "").replace(CLOSE, "")
