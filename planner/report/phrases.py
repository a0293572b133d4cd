"""Texts of the report in each language: data in ``lang/*.toml``, the same keys in all of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.errors import UnknownNameError
from planner.report.sentences import sentences, unmarked

FOLDER = Path(__file__).resolve().parent / "lang"
LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. ``texts`` by ``section.name``; ``lists`` of sentences; ``rewrites`` are
    (pattern, template) for sentences that are a page's own; those of plans, which are English, are
    in the catalogue of :mod:`planner.report.sentences`."""

    lang: str
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    rewrites: tuple[tuple[re.Pattern[str], str], ...]
    names: Mapping[str, str]

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
                return found.expand(template)
        return sentences(self.lang).marked(text)

    def pieced(self, text: str) -> str:
        """:meth:`original`, by its name for texts that are put together from parts."""
        return self.original(text)


@cache
def phrases(lang: str, folder: Path = FOLDER) -> Phrases:
    """The texts of ``lang`` in a folder with a file for each language.

    Raises:
        UnknownNameError: no such language.
    """
    if lang not in LANGUAGES:
        raise UnknownNameError("language", lang, LANGUAGES)
    data = tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8"))
    rewrites = tuple((re.compile(row["pattern"], re.DOTALL), row["text"])
                     for row in data.pop("rewrite", []))
    names = data.pop("names", {})
    texts = {f"{section}.{name}": value for section, rows in data.items()
             for name, value in rows.items() if isinstance(value, str)}
    lists = {f"{section}.{name}": tuple(value) for section, rows in data.items()
             for name, value in rows.items() if isinstance(value, list)}
    return Phrases(lang, texts, lists, rewrites, names)
