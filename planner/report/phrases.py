"""Texts of the report in each language: data in ``lang/*.toml``, the same keys in all of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from planner.errors import UnknownNameError
from planner.hardware.catalog import is_device, resolve_device
from planner.report.sentences import sentences, unmarked

FOLDER = Path(__file__).resolve().parent / "lang"
LANGUAGES = ("en", "zh")
OF_A_CPU = {"zh": {"显存": "内存"}}
"""Words by language that are not said of a CPU, and what is: 显存 is the memory of a GPU."""


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. ``texts`` by ``section.name``; ``lists`` of sentences; ``rewrites`` are
    (pattern, template) for sentences that are a page's own; those of plans, which are English, are
    in the catalogue of :mod:`planner.report.sentences`; ``instead`` are words that all of them say
    otherwise of the device that is told of."""

    lang: str
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    rewrites: tuple[tuple[re.Pattern[str], str], ...]
    names: Mapping[str, str]
    instead: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, key: str, **values: object) -> str:
        """The text ``key`` with its braces filled in; KeyError where there is none."""
        return self.texts[key].format(**values)

    def counted(self, one: str, count: int) -> str:
        """``answer.ONE`` or its plural with a grouped number."""
        return self(f"answer.{one if count == 1 else one + 's'}", n=f"{count:,}")

    def name(self, text: str) -> str:
        """An assumption's key in this language; as it is where no name is known."""
        return self.names[text] if text in self.names else self.original(text)

    def original(self, text: str) -> str:
        """A sentence of the program in this language; as it is where no pattern fits."""
        return unmarked(self.marked(text))

    def marked(self, text: str) -> str:
        """:meth:`original` with quotations between the marks of :mod:`planner.report.sentences`."""
        for pattern, template in self.rewrites:
            found = pattern.fullmatch(text)
            if found:
                return _said(found.expand(template), self.instead)
        return _said(sentences(self.lang).marked(text), self.instead)

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
    data = tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8"))
    rewrites = tuple(
        (re.compile(row["pattern"], re.DOTALL), row["text"]) for row in data.pop("rewrite", [])
    )
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
        {key: tuple(_said(one, instead) for one in own) for key, own in lists.items()},
        rewrites,
        {key: _said(name, instead) for key, name in names.items()},
        instead,
    )


def _said(text: str, instead: Mapping[str, str]) -> str:
    for word, other in instead.items():
        text = text.replace(word, other)
    return text
