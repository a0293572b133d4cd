"""The words of messages by language, and messages in words.

``LANG/SECTION.toml`` has one entry a line, ``name = "text"``, the same names in every language. A
hole ``{x}`` takes a message, or a text, which is shown as it is where no entry without holes has
all of it. In English it may say what it takes:

- ``{x:word}``, ``{x:number}``, ``{x:version}``, ``{x:verbatim}``: a text, as it is;
- ``{x:quotation}``: another's words, as they are and marked, as is what stands in ``<q>…</q>``;
- ``{x:part}``, ``{x:start}``: as without a kind, ``start`` with a capital as it begins a sentence;
  names joined by commas keep their commas.
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
OPEN, CLOSE = "\ue000", "\ue001"
"""Around a quotation, in what :func:`planner.messages.words.marked` gives."""
STRUCTURE = "structure."
"""The section of what joins parts; its entries are no texts."""
CLAUSES, NAMES = f"{STRUCTURE}clauses", f"{STRUCTURE}names"
_HOLE = re.compile(r"\{(\w+)(?::(\w+))?\}")


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
