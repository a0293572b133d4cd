"""Claims as records: the article's words (data), and what the product computes of them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

Verdict = Literal["confirmed", "imprecise", "wrong", "not computable"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "imprecise", "wrong", "not computable")
Basis = Literal[
    "counted",
    "published",
    "derived",
    "emulated",
    "measured elsewhere",
    "learned",
    "planned",
    "fitted",
    "transferred",
    "prior",
]
"""``counted`` from configurations and formats, ``published`` in data sheets and specifications,
``derived`` from both by arithmetic, ``emulated`` value by value, ``measured elsewhere`` by others
with these formats, ``learned`` where losses come from measured models, ``planned`` where a choice
is told; the last three are those of times, which have an interval."""
_DATA = Path(__file__).resolve().parent / "data" / "claims.toml"


@dataclass(frozen=True, slots=True)
class EarlierFigure:
    """What an earlier version found of a claim, where this one finds something else, and
    ``why``."""

    verdict: Verdict
    found: str
    why: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the article. ``stated`` holds its figures in SI units, by name; ``before``
    is what the version of :func:`article` found of it."""

    id: str
    quote: str
    english: str
    stated: Mapping[str, float]
    reference: Mapping[str, float]
    sources: tuple[str, ...]
    before: EarlierFigure | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure that was computed: ``value`` in ``unit``, and what it is of; on what it rests
    (``basis``), and its 80 % interval from ``low`` to ``high`` where it is an estimate."""

    name: str
    value: float
    unit: str
    basis: Basis
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """``1.24× (1.13–1.35)``."""
        if self.low is None or self.high is None:
            return f"{self.value:.2f}{self.unit}"
        return f"{self.value:.2f}{self.unit} ({self.low:.2f}–{self.high:.2f})"

    def covers(self, stated: float) -> bool:
        """Whether the interval, which an estimate has, holds a stated figure."""
        assert self.low is not None
        assert self.high is not None
        return self.low <= stated <= self.high


counted = partial(Figure, basis="counted")
published = partial(Figure, basis="published")
derived = partial(Figure, basis="derived")
emulated = partial(Figure, basis="emulated")


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
    """Title, address and date of the article, the sources that claims name, and the version that
    they were computed by before."""
    data = _raw()
    return {key: data[key] for key in ("article", "sources", "before")}


@cache
def claims() -> tuple[Claim, ...]:
    """All claims, in the order of the article's numbering, then its recommendations."""
    return tuple(
        Claim(
            id=c["id"],
            quote=c["quote"],
            english=c["english"],
            stated=dict(c.get("stated", {})),
            reference=dict(c.get("reference", {})),
            sources=tuple(c["sources"]),
            before=EarlierFigure(**c["before"]) if "before" in c else None,
        )
        for c in _raw()["claims"]
    )


@cache
def _raw() -> dict[str, Any]:
    return tomllib.loads(_DATA.read_text(encoding="utf-8"))
