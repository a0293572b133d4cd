"""The words of messages by language, and messages in words.

``LANG/SECTION.toml`` has one entry a line, ``name = "text"``, the same names in every language. A
hole ``{x}`` takes any value. In English it may say what it takes, for texts that are read back:

- ``{x:word}``: one word, as it is;
- ``{x:number}``, ``{x:version}``: one number, one version, as it is;
- ``{x:verbatim}``: any text, as it is;
- ``{x:quotation}``: another's words, as they are and marked, as is what stands in ``<q>…</q>``;
- ``{x:part}``, ``{x:start}``: a message or a text that is read as one, ``start`` with a capital as
  it begins a sentence; of entries that no text is read by.

A hole without a kind takes a message, or a text that is read as one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path

from planner.base.records import cached_record

FOLDER = Path(__file__).resolve().parent
ORIGINAL = "en"
LANGUAGES = ("en", "zh")
"""The language of plan files, in which texts are read back."""
OPEN, CLOSE = "\ue000", "\ue001"
"""Around a quotation, in what :func:`planner.messages.words.marked` gives."""
STRUCTURE = "structure."
"""The section of what joins parts; its entries match no text."""
CLAUSES, NAMES = f"{STRUCTURE}clauses", f"{STRUCTURE}names"
_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")
_TAKES = {
    "": r".+?",
    "word": r"\S+?",
    "number": r"[-+−±]?[\d.,]*\d(?:e[-+]?\d+)?",
    "version": r"v?\d[\w.]*",
    "quotation": r".+?",
    "verbatim": r".+?",
}


@cached_record
class Template:
    """One entry: its id and its text with holes."""

    id: str
    text: str

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """The fixed pieces between the holes."""
        return tuple(_HOLE.sub("\0", self.text).split("\0"))

    @cached_property
    def holes(self) -> Mapping[str, str]:
        """The kind of each hole, in order; empty for any text."""
        return dict(_HOLE.findall(self.text))

    @property
    def joins(self) -> bool:
        """Whether it stands between the parts of a list."""
        return self.id.startswith(STRUCTURE) and not self.holes

    @cached_property
    def plain(self) -> str:
        """The text for ``str.format``, without kinds."""
        return _HOLE.sub(r"{\1}", self.text)

    @cached_property
    def letters(self) -> int:
        """How much of a text it fixes; a hole with a kind fixes more than one without."""
        return 2 * sum(map(len, self.fixed)) + sum(map(bool, self.holes.values()))

    @cached_property
    def regex(self) -> re.Pattern[str]:
        """What matches a text that it makes, a group for each hole."""
        pieces = [
            re.escape(fixed) + (f"(?P<{hole}>{_TAKES[kind]})" if hole else "")
            for fixed, (hole, kind) in zip(self.fixed, (*self.holes.items(), ("", "")), strict=True)
        ]
        return re.compile("".join(pieces), re.DOTALL)

    def may_match(self, text: str) -> bool:
        """Whether the fixed pieces are in ``text``: quick, and before any expression is made."""
        return (
            text.startswith(self.fixed[0])
            and text.endswith(self.fixed[-1])
            and all(piece in text for piece in self.fixed)
        )


@cache
def catalogue(lang: str, folder: Path = FOLDER) -> dict[str, Template]:
    """The entries of a language by id, in the order of its files; none for a language without."""
    return {
        id: template(lang, id, folder)
        for path in sorted((folder / lang).glob("*.toml"))
        for id in (f"{path.stem}.{name}" for name in _section(lang, path.stem, folder))
    }


@cache
def template(lang: str, id: str, folder: Path = FOLDER) -> Template:
    """One entry of a language, of which no other is read: a plan says thirty of some thousand.

    Raises:
        KeyError: no such id.
    """
    section, _, name = id.partition(".")
    quoted = _section(lang, section, folder)[name]
    return Template(id, json.loads(quoted).replace("<q>", OPEN).replace("</q>", CLOSE))


@cache
def _section(lang: str, name: str, folder: Path) -> dict[str, str]:
    """The quoted texts of a file by name; none where there is no such file."""
    path = folder / lang / f"{name}.toml"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    parts = [line.partition(" = ") for line in lines if not line.startswith("#")]
    return {key: quoted for key, equals, quoted in parts if equals}
