"""How requests reuse what earlier ones left in a prefix cache, and how much of it a cache keeps.

A share of every prompt was seen before, a random time ago. A cache that drops what was not touched
for T seconds finds the share h(T), and has to hold C(T) tokens, of which it drops what is not
touched again:

    h(T) = Σ share·F(T),    C(T) = rate·∫₀ᵀ (isl + osl − isl·h(t)) dt

F is log-normal, by its median and its 90th percentile. C′ is the rate of misses (Denning and
Schwartz, "Properties of the working-set model", CACM 15(3), 1972), and a least recently used cache
of C tokens keeps what is younger than its T (Che, Tung and Wang, "Hierarchical web caching
systems", IEEE JSAC 20(7), 2002). So h over C rises, from 0 to the share that was seen at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erf, exp, log, sqrt
from typing import Any

from planner.base.errors import DataError, nearest_names
from planner.base.records import record

SECONDS, REQUESTS = "seconds", "requests"
NORMAL_90 = 1.2815515655446004
"""The 90th percentile of a standard normal variable."""
HALVINGS = 60
_SHAPE = 'a table with name, share, unit ("seconds" or "requests"), median and p90'
_KEYS = ("name", "share", "unit", "median", "p90")


@record
class ReuseClass:
    """``share`` of a prompt's tokens that was seen before, the last time ``median`` units of time
    ago (90 % within ``p90``): ``seconds`` where a person or a tool answers in between, ``requests``
    of the same cache where many share it."""

    name: str
    share: float
    unit: str
    median: float
    p90: float

    def seconds(self, rate: float) -> tuple[float, float]:
        """(median, p90) [s] where a cache sees ``rate`` requests a second."""
        scale = 1.0 if self.unit == SECONDS else 1.0 / rate
        return self.median * scale, self.p90 * scale


@record
class Reuse:
    """The classes of a workload's reuse, and where they come from."""

    name: str
    source: str
    classes: tuple[ReuseClass, ...]

    @property
    def ideal(self) -> float:
        """Share of a prompt that a cache without end finds."""
        return sum(reuse_class.share for reuse_class in self.classes)


def kept_share(reuse: Reuse, seconds: float, rate: float) -> float:
    """h(T): share of a prompt that is found where what was untouched for ``seconds`` is dropped, at
    ``rate`` requests a second."""
    return sum(
        reuse_class.share * _law(*reuse_class.seconds(rate), seconds)[0]
        for reuse_class in reuse.classes
    )


def kept_tokens(reuse: Reuse, seconds: float, rate: float, *, isl: int, osl: int) -> float:
    """C(T): tokens of a cache that keeps what was touched in the last ``seconds``."""
    hit_share = sum(
        reuse_class.share * _law(*reuse_class.seconds(rate), seconds)[1]
        for reuse_class in reuse.classes
    )
    return rate * ((isl + osl) * seconds - isl * hit_share)


def lifetime(reuse: Reuse, tokens: float, rate: float, *, isl: int, osl: int) -> float:
    """T [s] of a least recently used cache of ``tokens``: how long what nobody touches stays."""
    if tokens <= 0:
        return 0.0
    low = tokens / (rate * (isl + osl))
    high = tokens / (rate * (isl + osl - isl * reuse.ideal))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        if kept_tokens(reuse, middle, rate, isl=isl, osl=osl) <= tokens:
            low = middle
        else:
            high = middle
    return low


def hit_rate(reuse: Reuse, tokens: float, rate: float, *, isl: int, osl: int) -> float:
    """Share of a prompt that a least recently used cache of ``tokens`` finds, where requests of
    ``isl`` tokens come at ``rate`` a second and leave ``isl`` + ``osl`` tokens."""
    return kept_share(reuse, lifetime(reuse, tokens, rate, isl=isl, osl=osl), rate)


def _law(median: float, p90: float, seconds: float) -> tuple[float, float]:
    """(F, ∫F) of a log-normal variable at ``seconds``."""
    if seconds <= 0:
        return 0.0, 0.0
    sigma = log(p90 / median) / NORMAL_90
    z = log(seconds / median) / sigma
    share = _normal(z)
    return share, max(seconds * share - median * exp(sigma * sigma / 2) * _normal(z - sigma), 0.0)


def _normal(z: float) -> float:
    return 0.5 * (1.0 + erf(z / sqrt(2.0)))


def parse_reuse(place: str, name: str, data: Any) -> Reuse:
    """The table ``[reuse]`` of a workload.

    Raises:
        DataError: with the place of what is wrong.
    """
    if not isinstance(data, Mapping):
        raise DataError(
            f"{place}: reuse: a table is required",
            hint="[reuse], see scenarios/README.md, Workloads",
        )
    for key in data:
        if key not in ("source", "class"):
            raise DataError(
                f"{place}: reuse.{key}: unknown key", hint=nearest_names(key, ("source", "class"))
            )
    source, rows = data.get("source"), data.get("class")
    if not isinstance(source, str) or not source.strip():
        raise DataError(
            f"{place}: reuse.source: a text is required",
            hint='add source = "where its numbers come from"',
        )
    if not isinstance(rows, list) or not rows:
        raise DataError(
            f"{place}: reuse.class: at least one is required", hint=f"[[reuse.class]]: {_SHAPE}"
        )
    reuse = Reuse(
        name,
        source.strip(),
        tuple(_class(f"{place}: reuse.class {i + 1}", row) for i, row in enumerate(rows)),
    )
    if not reuse.ideal < 1:
        raise DataError(
            f"{place}: reuse: shares sum to {reuse.ideal:g}",
            hint="shares of one prompt: together below 1",
        )
    return reuse


def _class(place: str, row: Any) -> ReuseClass:
    if not isinstance(row, Mapping):
        raise DataError(f"{place}: not a table", hint=_SHAPE)
    for key in row:
        if key not in _KEYS:
            raise DataError(f"{place}: {key}: unknown key", hint=nearest_names(key, _KEYS))
    name, unit = row.get("name"), row.get("unit")
    if not isinstance(name, str) or not name.strip():
        raise DataError(f"{place}: name: a text is required", hint=_SHAPE)
    if unit not in (SECONDS, REQUESTS):
        raise DataError(f"{place}: unit = {unit!r}", hint=f"{SECONDS} or {REQUESTS}")
    share, median, p90 = (_number(place, key, row.get(key)) for key in ("share", "median", "p90"))
    if not share < 1:
        raise DataError(f"{place}: share = {share:g} is out of range", hint="above 0, below 1")
    if not median < p90:
        raise DataError(
            f"{place}: median {median:g} is not below p90 {p90:g}",
            hint="90 % of what is reused comes back within p90",
        )
    return ReuseClass(name.strip(), share, unit, median, p90)


def _number(place: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
        raise DataError(f"{place}: {key} = {value!r}: a number above 0 is required", hint=_SHAPE)
    return float(value)
