"""Texts of the report in each language: data in ``lang/*.toml``, the same keys in all of them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from planner.errors import UnknownNameError

FOLDER = Path(__file__).resolve().parent / "lang"
LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class Phrases:
    """One language. ``texts`` by ``section.name``; ``lists`` of sentences; ``rewrites`` are
    (pattern, template) for the sentences of plan files, which are English, ``pieces`` those for
    parts of sentences that are put together in many ways."""

    lang: str
    texts: Mapping[str, str]
    lists: Mapping[str, tuple[str, ...]]
    rewrites: tuple[tuple[re.Pattern[str], str], ...]
    names: Mapping[str, str]
    pieces: tuple[tuple[re.Pattern[str], str], ...] = ()

    def __call__(self, key: str, **values: object) -> str:
        """The text ``key`` with its braces filled in; KeyError where there is none."""
        return self.texts[key].format(**values)

    def counted(self, one: str, count: int) -> str:
        """``answer.ONE`` or its plural with a grouped number."""
        return self(f"answer.{one if count == 1 else one + 's'}", n=f"{count:,}")

    def name(self, text: str) -> str:
        """An assumption's key in this language; as it is where no name is known."""
        return self.names.get(text, text)

    def original(self, text: str) -> str:
        """A sentence of the plan file in this language; as it is where no pattern fits."""
        for pattern, template in self.rewrites:
            found = pattern.fullmatch(text)
            if found:
                return found.expand(template)
        return text

    def pieced(self, text: str) -> str:
        """A sentence of the plan file in this language: where no pattern fits the whole of it, part
        by part."""
        whole = self.original(text)
        if whole == text:
            for pattern, template in self.pieces:
                whole = pattern.sub(template, whole)
        return whole


@cache
def phrases(lang: str, folder: Path = FOLDER) -> Phrases:
    """The texts of ``lang`` in a folder with a file for each language.

    Raises:
        UnknownNameError: no such language.
    """
    if lang not in LANGUAGES:
        raise UnknownNameError("language", lang, LANGUAGES)
    data = tomllib.loads((folder / f"{lang}.toml").read_text(encoding="utf-8"))
    rewrites, pieces = (tuple((re.compile(row["pattern"], re.DOTALL), row["text"])
                              for row in data.pop(part, [])) for part in ("rewrite", "piece"))
    names = data.pop("names", {})
    texts = {f"{section}.{name}": value for section, rows in data.items()
             for name, value in rows.items() if isinstance(value, str)}
    lists = {f"{section}.{name}": tuple(value) for section, rows in data.items()
             for name, value in rows.items() if isinstance(value, list)}
    return Phrases(lang, texts, lists, rewrites, names, pieces)
