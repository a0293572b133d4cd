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
from planner.messages.catalogue import LANGUAGES, ORIGINAL, template
from planner.messages.message import message
from planner.messages.words import fixed_texts, marked, unmarked
from planner.quality.loss_units import tier_text

FOLDER = Path(__file__).resolve().parent / "lang"
OF_A_CPU = {"zh": {"显存": "内存"}}
"""Words by language that are not said of a CPU, and what is: 显存 is the memory of a GPU."""

KEYED = (
    ("scales of ", "assumptions.scales_of"),
    ("baseline ", "assumptions.baseline"),
    ("replay of ", "assumptions.replay_of"),
    ("kernel of ", "assumptions.kernel_of_x_group"),
    ("kernel of ", "assumptions.kernel_of"),
    ("loss basis of ", "assumptions.loss_basis_of"),
    ("anchor ", "assumptions.anchor"),
    ("recurrence ", "assumptions.recurrence"),
    ("policy: ", "assumptions.policy"),
)
"""What keys of assumptions with names in them begin with, and their messages, whose holes take
the names in order."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. ``texts`` by ``section.name``; ``lists`` of sentences; ``instead`` are words
    that they, and messages, say otherwise of the device that is told of."""

    lang: str
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
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
        if self.lang != ORIGINAL and text not in fixed_texts():
            for lead, id in KEYED:
                holes = template(ORIGINAL, id).holes
                named = text.removeprefix(lead).split(" ", len(holes) - 1)
                if text.startswith(lead) and len(named) == len(holes):
                    return self.original(message(id, **dict(zip(holes, named, strict=True))))
        return self.original(text)

    def tier(self, text: str) -> str:
        """On what a loss rests, as files name it, in this language."""
        return self.original(tier_text(text))

    def original(self, text: str) -> str:
        """A message, or a text that the catalogue has whole, in this language; another text as it
        is."""
        return unmarked(self.marked(text))

    def marked(self, text: str) -> str:
        """:meth:`original` with quotations between the marks of :mod:`planner.messages.words`."""
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
        {key: _said(name, instead) for key, name in names.items()},
        instead,
    )


def _file(folder: Path, lang: str) -> dict[str, Any]:
    return tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8"))


def _said(text: str, instead: Mapping[str, str]) -> str:
    for word, other in instead.items():
        text = text.replace(word, other)
    return text
