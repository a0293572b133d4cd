"""Texts in the words of plan files as messages: the inverse of the English catalogue.

Of the entries that match a whole text the one with most fixed letters is taken that leaves no words
unread; what stands in its holes is read in turn. Where none matches, a text is taken apart: at a
source with its date in parentheses, at semicolons, parentheses, colons, commas. What nothing
matches stays text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path

from planner.messages.catalogue import CLAUSES, FOLDER, ORIGINAL, STRUCTURE, Template, catalogue
from planner.messages.message import Message, Text, message

DATED, DATED_CLOSELY = f"{STRUCTURE}dated", f"{STRUCTURE}dated_closely"
NAMED, LAST_OF_NAMES = f"{STRUCTURE}named", f"{STRUCTURE}last_of_names"
REMARK = f"{STRUCTURE}remark"
REMARK_THEN, REMARK_CLOSELY = f"{STRUCTURE}remark_then", f"{STRUCTURE}remark_closely"
SEMICOLONS, LINKED = f"{STRUCTURE}semicolons", f"{STRUCTURE}linked"
UNREAD = (
    *(STRUCTURE, "capacity.", "memory.", "recommendation.", "serving.", "verbs.", "command."),
    *("reasons.change_", "reasons.on_model", "reasons.on_engine"),
)
"""Sections by which no text of a plan is read: what joins parts, what verbs without a page assume,
and the recommendation, which pages say from its fields."""

_DATED = re.compile(r"(.*?)( ?)\(([^()]*(?:\([^()]*\)[^()]*)*, \d{4}(?:-\d\d){0,2})\)", re.DOTALL)
_LETTERS = re.compile(r"[A-Za-z]{2}")
SMALL_WORDS = re.compile(r"(?<![\w./@=-])[a-z]{2,} [a-z]{2,}(?![\w/@=])")
_COMMAND = re.compile(r"`[^`]*`")


class Reader:
    """Reads texts by the entries of one catalogue."""

    def __init__(self, entries: Mapping[str, Template]) -> None:
        self._entries = entries
        templates = [t for t in entries.values() if not t.id.startswith(UNREAD)]
        self._without_holes = {t.text: t.id for t in reversed(templates) if not t.holes}
        self._with_holes = [t for t in templates if t.holes]
        self._known: dict[str, Text] = {}

    @cached_property
    def _by_start(self) -> dict[str, list[Template]]:
        """Templates by their first two letters (none: those that begin with a hole), the most
        exact first."""
        by_start: dict[str, list[Template]] = {}
        for template in sorted(self._with_holes, key=lambda t: -t.letters):
            by_start.setdefault(template.fixed[0][:2], []).append(template)
        return by_start

    def read(self, text: str) -> Text:
        """``text`` as a message; as it is where nothing matches."""
        if text not in self._known:
            self._known[text] = self._read(text)
        return self._known[text]

    def _unread(self, text: Text) -> bool:
        """Whether two small words stand side by side in what no entry has, outside quotations and
        commands."""
        if not isinstance(text, Message):
            return SMALL_WORDS.search(_COMMAND.sub("", text)) is not None
        holes = self._entries[text.id].holes
        return any(
            any(map(self._unread, value)) if isinstance(value, tuple) else self._unread(value)
            for hole, value in text.values
            if holes.get(hole) != "quotation"
        )

    def _read(self, text: str) -> Text:
        if not _LETTERS.search(text):
            return text
        matched = self._matched(text)
        if matched is not None and not self._unread(matched):
            return matched
        apart = self._apart(text)
        if apart is not None and not self._unread(apart):
            return apart
        return matched or apart or text

    def _matched(self, text: str) -> Message | None:
        """``text`` by one entry; of several the first that leaves no words unread, else the
        first; None where none matches the whole."""
        if text in self._without_holes:
            return Message(self._without_holes[text])
        first: Message | None = None
        for template in self._candidates(text):
            match = template.regex.fullmatch(text)
            if match is None:
                continue
            values = match.groupdict()
            reading = message(
                template.id,
                **{
                    hole: values[hole] if kind else self.read(values[hole])
                    for hole, kind in template.holes.items()
                },
            )
            if not self._unread(reading):
                return reading
            first = first or reading
        return first

    def _candidates(self, text: str) -> list[Template]:
        near = [
            template
            for start in dict.fromkeys((text[:2], text[:1], ""))
            for template in self._by_start.get(start, ())
            if template.may_match(text)
        ]
        return sorted(near, key=lambda t: -t.letters)

    def _piece(self, text: str) -> Message | None:
        """``text`` by one entry, after names with colons and before a dated source where it has
        them; None where nothing matches or words are left unread."""
        dated = _DATED.fullmatch(text)
        matched = self._matched(dated[1] if dated else text)
        if matched is not None and not self._unread(matched):
            return matched if dated is None else _dated(matched, dated)
        head, *rest = _split(text, ": ", most=1)
        inner = self._piece(rest[0]) if rest and head.count(" ") < 2 else None
        return None if inner is None else message(NAMED, name=self.read(head), text=inner)

    def _pieces(self, parts: list[str], mark: str) -> list[Text]:
        """``parts`` read one by one, neighbours as one where an entry matches them."""
        pieces: list[Text] = []
        at = 0 if len(parts) > 1 else len(parts)
        while at < len(parts):
            for end in range(len(parts) - (at == 0), at + 1, -1):
                piece = self._piece(mark.join(parts[at:end]))
                if piece is not None:
                    pieces.append(piece)
                    at = end
                    break
            else:
                pieces.append(self.read(parts[at]))
                at += 1
        return pieces

    def _apart(self, text: str) -> Message | None:
        """``text`` part by part: of the ways to take it apart the first that leaves no words
        unread, else the first; None where no part is known."""
        first: Message | None = None
        for reading in self._readings_apart(text):
            if not self._unread(reading):
                return reading
            first = first or reading
        return first

    def _readings_apart(self, text: str) -> Iterator[Message]:
        dated = _DATED.fullmatch(text)
        if dated is not None and dated[1]:
            yield _dated(self.read(dated[1]), dated)
        if any_message(pieces := self._pieces(_split(text, "; "), "; ")):
            yield message(SEMICOLONS, parts=tuple(pieces))
        head, *rest = _split(text, ": ", most=1)
        if rest and any_message(pieces := [self.read(head), self.read(rest[0])]):
            yield message(NAMED, name=pieces[0], text=pieces[1])
        before, inside, after = _bracketed(text)
        rest_of_it = after.removeprefix(" ")
        if inside and not after.startswith((",", ";", ":", "  ")):
            pieces = [self.read(before), self.read(inside), self.read(rest_of_it)]
            if any_message(pieces):
                name = REMARK if not after else REMARK_THEN if after[0] == " " else REMARK_CLOSELY
                last = {"rest": pieces[2]} if after else {}
                yield message(name, text=pieces[0], remark=pieces[1], **last)
        *names, last_name = text.split(" and ")
        if names and not any(" " in name for name in (*names, last_name)):
            yield message(LAST_OF_NAMES, names=message(LINKED, parts=tuple(names)), last=last_name)
        if any_message(pieces := self._pieces(_split(text, ", "), ", ")):
            yield message(CLAUSES, parts=tuple(pieces))


def any_message(pieces: Sequence[Text]) -> bool:
    """Whether an entry matched one of ``pieces``."""
    return any(isinstance(piece, Message) for piece in pieces)


def _dated(text: Text, dated: re.Match[str]) -> Message:
    return message(DATED if dated[2] else DATED_CLOSELY, text=text, source=dated[3])


def _split(text: str, mark: str, most: int = 0) -> list[str]:
    """``text`` at ``mark`` outside parentheses and backticks, ``most`` times (0: always)."""
    parts, depth, at, code = [], 0, 0, False
    for n, letter in enumerate(text):
        code ^= letter == "`"
        depth += (letter == "(") - (letter == ")")
        if depth == 0 and not code and text.startswith(mark, n) and n >= at:
            parts.append(text[at:n])
            at = n + len(mark)
            if len(parts) == most:
                break
    return [*parts, text[at:]]


def _bracketed(text: str) -> tuple[str, str, str]:
    """(before, inside, after) the first parentheses after a space, ``after`` with its space;
    nothing inside without any."""
    start, depth = text.find(" ("), 0
    for n in range(start + 1, len(text)) if start > 0 else ():
        depth += (text[n] == "(") - (text[n] == ")")
        if depth == 0:
            return text[:start], text[start + 2 : n], text[n + 1 :]
    return text, "", ""


@cache
def _reader(folder: Path) -> Reader:
    return Reader(catalogue(ORIGINAL, folder))


def read(text: str, folder: Path = FOLDER) -> Text:
    """A text of a plan file as a message; as it is where no entry matches."""
    return _reader(folder).read(text)
