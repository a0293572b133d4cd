"""Texts of the report in each language: data in ``lang/*.toml``, the same keys in all of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from planner.base.errors import UnknownNameError
from planner.hardware.catalog import is_device, resolve_device
from planner.messages.catalogue import LANGUAGES, ORIGINAL, Template
from planner.messages.message import message
from planner.messages.words import marked, unmarked

FOLDER = Path(__file__).resolve().parent / "lang"
OF_A_CPU = {"zh": {"显存": "内存"}}
"""Words by language that are not said of a CPU, and what is: 显存 is the memory of a GPU."""

KEYED = {"scales of ": "assumptions.scales_of", "baseline ": "assumptions.baseline"}
"""What keys of assumptions with a name in them begin with, and their messages."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. ``texts`` by ``section.name``; ``lists`` of sentences; ``reasons`` are the
    page's own words, (English, this language), for texts of the program; for others those of
    :mod:`planner.messages` stand; ``instead`` are words that all of them say otherwise of the
    device that is told of."""

    lang: str
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    reasons: tuple[tuple[Template, str], ...]
    names: Mapping[str, str]
    instead: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, key: str, **values: object) -> str:
        """The text ``key`` with its braces filled in; KeyError where there is none."""
        return self.texts[key].format(**values)

    def counted(self, noun: str, count: int) -> str:
        """``answer.ONE`` or its plural with a grouped number."""
        return self(f"answer.{noun if count == 1 else noun + 's'}", n=f"{count:,}")

    def name(self, text: str) -> str:
        """An assumption's key in this language; as it is where no name is known."""
        if text in self.names:
            return self.names[text]
        for lead, id in KEYED.items():
            if text.startswith(lead) and self.lang != ORIGINAL:
                return self.original(message(id, x=text.removeprefix(lead)))
        return self.original(text)

    def original(self, text: str) -> str:
        """A sentence of the program in this language; as it is where no pattern fits."""
        return unmarked(self.marked(text))

    def marked(self, text: str) -> str:
        """:meth:`original` with quotations between the marks of :mod:`planner.messages.words`."""
        for entry, own in self.reasons:
            match = entry.regex.fullmatch(text)
            if match:
                return _said(own.format(**match.groupdict()), self.instead)
        return _said(marked(text, self.lang), self.instead)

    def pieced(self, text: str) -> str:
        """:meth:`original`, by its name for texts that are put together from parts."""
        return self.original(text)


def phrases_on(device: str, lang: str, folder: Path = FOLDER) -> Phrases:
    """The texts of ``lang`` about a device by its id: the memory of a CPU has another name than
    that of a GPU in Chinese.

    Raises:
        UnknownNameError: no such language.
    """
    return phrases(lang, folder, is_device(device) and resolve_device(device).kind == "cpu")


@cache
def phrases(lang: str, folder: Path = FOLDER, cpu: bool = False) -> Phrases:
    """The texts of ``lang`` in a folder with a file for each language; ``cpu``: about a CPU.

    Raises:
        UnknownNameError: no such language.
    """
    if lang not in LANGUAGES:
        raise UnknownNameError("language", lang, LANGUAGES)
    data = _file(folder, lang)
    own = data.pop("reasons", {})
    original = _file(folder, ORIGINAL).get("reasons", {})
    names = data.pop("names", {})
    texts = {
        f"{section}.{name}": value
        for section, rows in data.items()
        for name, value in rows.items()
        if isinstance(value, str)
    }
    lists = {
        f"{section}.{name}": tuple(value)
        for section, rows in data.items()
        for name, value in rows.items()
        if isinstance(value, list)
    }
    instead = OF_A_CPU.get(lang, {}) if cpu else {}
    return Phrases(
        lang,
        {key: _said(text, instead) for key, text in texts.items()},
        {key: tuple(_said(text, instead) for text in listed) for key, listed in lists.items()},
        tuple(
            (Template(key, original[key]), text) for key, text in own.items() if lang != ORIGINAL
        ),
        {key: _said(name, instead) for key, name in names.items()},
        instead,
    )


def _file(folder: Path, lang: str) -> dict[str, Any]:
    return tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8"))


def _said(text: str, instead: Mapping[str, str]) -> str:
    for word, other in instead.items():
        text = text.replace(word, other)
    return text
