"""Claims as records: the article's words (data), and what the product computes of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["confirmed", "imprecise", "wrong", "not computable"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "imprecise", "wrong", "not computable")
_DATA = Path(__file__).resolve().parent / "data" / "claims.toml"


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the article. ``stated`` holds its figures in SI units, by name."""

    id: str
    quote: str
    english: str
    stated: Mapping[str, float]
    reference: Mapping[str, float]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that was computed: ``value`` in ``unit``, and what it is of."""

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a claim with its own verdict."""

    text: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """What was computed of a claim. ``text`` is one sentence for people."""

    figures: tuple[Figure, ...]
    parts: tuple[Part, ...]
    text: str

    @property
    def verdict(self) -> Verdict:
        return overall(self.parts)


def overall(parts: Sequence[Part]) -> Verdict:
    """Parts that agree decide; parts that cannot be computed have no say where others can."""
    known = {p.verdict for p in parts if p.verdict != "not computable"}
    if not known:
        return "not computable"
    return known.pop() if len(known) == 1 else "imprecise"


def near(value: float, stated: float, tolerance: float = 0.02) -> bool:
    """Whether a computed figure rounds to the stated one, within a relative tolerance."""
    return abs(value - stated) <= tolerance * abs(stated)


@cache
def article() -> dict[str, Any]:
    """Title, address and date of the article, and the sources that claims name."""
    data = _raw()
    return {"article": data["article"], "sources": data["sources"]}


@cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the article's numbering, then its recommendations."""
    return tuple(Claim(id=c["id"], quote=c["quote"], english=c["english"],
                       stated=dict(c.get("stated", {})), reference=dict(c.get("reference", {})),
                       sources=tuple(c["sources"])) for c in _raw()["claims"])


@cache
def _raw() -> dict[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))
