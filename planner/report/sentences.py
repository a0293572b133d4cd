"""Sentences of the program in another language, by catalogue.

Plans, refusals and notes carry English sentences that are put together from fixed words, numbers,
names and further sentences. A catalogue (``lang_sentences/LANG/*.toml``) maps patterns to patterns:

    "a rank reads prompts for {share} of its time" = "一个 rank 有 {share} 的时间在读提示"

A pattern matches a whole sentence or a whole part of one; of several the one with most fixed
letters is taken that leaves nothing foreign. Placeholders, of any name:

- ``{x}``: any text, which is translated in turn (a number or a name stays as it is);
- ``{x:w}``: one word, as it is;
- ``{x:n}``, ``{x:v}``: one number, one version, as it is;
- ``{x:r}``: any text, as it is;
- ``{x:q}``: a quotation, as it is, and marked as one, as is what stands in ``<q>…</q>``.

Where no pattern fits the whole, a text is taken apart: at a source with its date in parentheses,
which is a quotation, at semicolons, parentheses, colons, commas. What nothing fits stays as it is.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "lang_sentences"
ORIGINAL = "en"
"""The language of the program's own sentences."""
OPEN, CLOSE = "\ue000", "\ue001"
"""Around a quotation, in what :meth:`Sentences.marked` gives."""

_HOLE = re.compile(r"\{(\w+)(?::([wnvqr]))?\}")
_TAKES = {
    None: r".+?",
    "w": r"\S+?",
    "n": r"[-+−±]?[\d.,]*\d(?:e[-+]?\d+)?",
    "v": r"v?\d[\w.]*",
    "q": r".+?",
    "r": r".+?",
}
_DATED = re.compile(r"(.*?) ?\(([^()]*(?:\([^()]*\)[^()]*)*, \d{4}(?:-\d\d){0,2})\)", re.DOTALL)
_FOREIGN = re.compile(r"(?<![\w./@=-])[a-z]{2,} [a-z]{2,}(?![\w/@=])")
_WIDE = re.compile(r"[\u2e80-\u9fff\uff00-\uffef]")
_LETTERS = re.compile(r"[A-Za-z]{2}")
_BEFORE = re.compile(r"(?<=[\u4e00-\u9fff])(?=[A-Za-z0-9+−×])")
_AFTER = re.compile(r"(?<=[A-Za-z0-9%])(?=[\u4e00-\u9fff])")


@dataclass(frozen=True, eq=False)
class SentencePattern:
    """One entry: the English pattern and what stands for it."""

    english: str
    other: str

    @cached_property
    def fixed(self) -> tuple[str, ...]:
        """The fixed pieces between the holes."""
        return tuple(_HOLE.sub("\0", self.english).split("\0"))

    @cached_property
    def letters(self) -> int:
        """How much of a text the pattern fixes; a typed hole fixes more than an open one."""
        typed = sum(kind is not None for _, kind in _HOLE.findall(self.english) if kind)
        return 2 * sum(map(len, self.fixed)) + typed

    @cached_property
    def holes(self) -> dict[str, str]:
        """The kind of each hole; empty for any text."""
        return dict(_HOLE.findall(self.english))

    @cached_property
    def regex(self) -> re.Pattern[str]:
        out, at = "", 0
        for found in _HOLE.finditer(self.english):
            name, kind = found.groups()
            out += re.escape(self.english[at : found.start()]) + f"(?P<{name}>{_TAKES[kind]})"
            at = found.end()
        return re.compile(out + re.escape(self.english[at:]), re.DOTALL)

    def may_fit(self, text: str) -> bool:
        """Whether the fixed pieces are in ``text``: quick, and before any expression is made."""
        return (
            text.startswith(self.fixed[0])
            and text.endswith(self.fixed[-1])
            and all(piece in text for piece in self.fixed)
        )


@dataclass(frozen=True, eq=False)
class Sentences:
    """One language's catalogue: whole texts, and patterns with holes by their first letters."""

    whole: dict[str, str]
    patterns: tuple[SentencePattern, ...]
    _known: dict[str, str] = field(default_factory=dict)

    @cached_property
    def by_start(self) -> dict[str, list[SentencePattern]]:
        """Patterns by the first two letters (none: those that begin with a hole), the most exact
        first."""
        found: dict[str, list[SentencePattern]] = {}
        for one in sorted(self.patterns, key=lambda p: -p.letters):
            found.setdefault(one.fixed[0][:2], []).append(one)
        return found

    def plain(self, text: str) -> str:
        """``text`` in the catalogue's language, quotations unmarked."""
        return unmarked(self.marked(text))

    def marked(self, text: str) -> str:
        """``text`` in the catalogue's language; what is quoted stands between OPEN and CLOSE."""
        if text not in self._known:
            self._known[text] = self._told(text)
        return self._known[text]

    def _told(self, text: str) -> str:
        if not _LETTERS.search(text):
            return text
        fits = self._fits(text)
        if fits is not None and not foreign(fits):
            return fits
        apart = self._apart(text)
        if apart is not None and not foreign(apart):
            return apart
        return fits or apart or text

    def _fits(self, text: str) -> str | None:
        """``text`` by one entry of the catalogue; of several the first that leaves nothing foreign,
        else the first; None where none fits the whole."""
        if text in self.whole:
            return self.whole[text]
        first: str | None = None
        for pattern in self._candidates(text):
            found = pattern.regex.fullmatch(text)
            if found is None:
                continue
            told = pattern.other.format(
                **{
                    name: f"{OPEN}{value}{CLOSE}"
                    if pattern.holes[name] == "q"
                    else value
                    if pattern.holes[name]
                    else self._within(value)
                    for name, value in found.groupdict().items()
                }
            )
            told = spaced(told)
            if not foreign(told):
                return told
            first = first or told
        return first

    def _within(self, text: str) -> str:
        """``text`` inside a sentence; a list of names has the marks of the language."""
        told = self.marked(text)
        return told.replace(", ", "、") if told == text and "(" not in text else told

    def _candidates(self, text: str) -> Iterator[SentencePattern]:
        near = [
            p
            for start in {text[:2], text[:1], ""}
            for p in self.by_start.get(start, ())
            if p.may_fit(text)
        ]
        yield from sorted(near, key=lambda p: -p.letters)

    def _whole_piece(self, text: str) -> str | None:
        """``text`` by one entry, after names with colons and before a dated source where it has
        them; None where nothing fits or something foreign is left."""
        dated = _DATED.fullmatch(text)
        fits = self._fits(dated.group(1) if dated else text)
        if fits is not None and not foreign(fits):
            return fits + (f"（{OPEN}{dated.group(2)}{CLOSE}）" if dated else "")
        head, *rest = _split(text, ": ", most=1)
        inner = self._whole_piece(rest[0]) if rest and head.count(" ") < 2 else None
        return None if inner is None else f"{self.marked(head)}：{inner}"

    def _joined(self, parts: list[str], mark: str) -> list[str]:
        """``parts`` told one by one, neighbours together where an entry fits them."""
        out, at = [], 0 if len(parts) > 1 else len(parts)
        while at < len(parts):
            for end in range(len(parts) - (at == 0), at + 1, -1):
                fits = self._whole_piece(mark.join(parts[at:end]))
                if fits is not None:
                    out.append(fits)
                    at = end
                    break
            else:
                out.append(self.marked(parts[at]))
                at += 1
        return out or parts

    def _apart(self, text: str) -> str | None:
        """``text`` part by part: of the ways to take it apart the first that leaves nothing
        foreign, else the first; None where no part is known."""
        first: str | None = None
        for told in self._ways_apart(text):
            if not foreign(told):
                return told
            first = first or told
        return first

    def _ways_apart(self, text: str) -> Iterator[str]:
        dated = _DATED.fullmatch(text)
        if dated is not None and dated.group(1):
            yield f"{self.marked(dated.group(1))}（{OPEN}{dated.group(2)}{CLOSE}）"
        parts = _split(text, "; ")
        if (told := self._joined(parts, "; ")) != parts:
            yield "；".join(told)
        head, *rest = _split(text, ": ", most=1)
        if rest and (told := [self.marked(head), self.marked(rest[0])]) != [head, *rest]:
            yield "：".join(told)
        before, inside, after = _bracketed(text)
        if inside and not after.startswith((",", ";", ":")):
            told = [self.marked(before), self.marked(inside), self.marked(after) if after else ""]
            if told != [before, inside, after]:
                yield f"{told[0]}（{told[1]}）{told[2]}"
        *names, last = text.split(" and ")
        if names and not any(" " in name for name in (*names, last)):
            yield f"{'、'.join(names)} 和 {last}"
        parts = _split(text, ", ")
        if (told := self._joined(parts, ", ")) != parts:
            yield ("，" if any(map(_WIDE.search, told)) else "、").join(told)


def foreign(text: str) -> bool:
    """Whether two small words stand side by side outside quotations and commands."""
    return (
        _FOREIGN.search(re.sub(rf"{OPEN}.*?{CLOSE}|`[^`]*`", "", text, flags=re.DOTALL)) is not None
    )


def spaced(text: str) -> str:
    """``text`` with a space between Chinese and Latin letters or digits."""
    return _AFTER.sub(" ", _BEFORE.sub(" ", text))


def quoted(text: str) -> str:
    """``text`` as a quotation, in the marks of :meth:`Sentences.marked`."""
    return f"{OPEN}{text}{CLOSE}"


def unmarked(text: str) -> str:
    """``text`` without the marks of quotations."""
    return text.replace(OPEN, "").replace(CLOSE, "")


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
    """(before, inside, after) the first parentheses after a space; nothing inside without any."""
    start, depth = text.find(" ("), 0
    for n in range(start + 1, len(text)) if start > 0 else ():
        depth += (text[n] == "(") - (text[n] == ")")
        if depth == 0:
            return text[:start], text[start + 2 : n], text[n + 1 :].lstrip()
    return text, "", ""


@cache
def sentences(lang: str, folder: Path = FOLDER) -> Sentences:
    """The catalogue of a language; an empty one where it has none (English)."""
    whole: dict[str, str] = {}
    patterns: list[SentencePattern] = []
    for path in sorted((folder / lang).glob("*.toml")):
        text = path.read_text(encoding="utf-8").replace("<q>", OPEN).replace("</q>", CLOSE)
        for english, other in tomllib.loads(text).items():
            if _HOLE.search(english):
                patterns.append(SentencePattern(english, _HOLE.sub(r"{\1}", other)))
            else:
                whole[english] = other
    return Sentences(whole, tuple(patterns))


@lru_cache(maxsize=4096)
def in_chinese(text: str) -> str:
    """A sentence of the program in Chinese, quotations of sources as they are; what no pattern
    fits stays as it is."""
    return sentences("zh").plain(text)
