"""Pairs of measured configurations, and how much of a predicted gain was measured in them.

log measured = β × log predicted + e, where e is a Student-t of ν degrees of freedom and scale
s(x) = sqrt(σ² + (slope·x)²), x the predicted log gain (0 or more: the first of a pair is the one
that is predicted to be better). Families of models weigh alike, and in each its pages. β is 0 to 1:
gains are never made larger. ν is chosen by the log score of families that were left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import exp, log, pi, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from benchmarks.gains_rows import MeasuredConfiguration
from planner.planning.choose.calibrated import (
    ANY,
    DIFFERENCES,
    EASY,
    MEASURED,
    NONE,
    RELATED,
    SEVERAL,
    GainCalibration,
    differences,
)

ALIKE = 1.05
"""Ratio of mean lengths below which workloads are the same."""
NUS = (1.0, 2.0, 3.0, 4.0, 6.0, 30.0)
FEWEST_PAIRS, FEWEST_FAMILIES = 15, 2
UNSERVED = (
    "pairs of laboratories in which one side had no served row of its engine; architecture; class "
    "of model and of layout"
)
LEAST = 0.02
"""What repeats of one configuration differ by, in log space."""
TOLD = 0.02
"""Predicted gain beyond which its sign is counted."""


@dataclass(frozen=True, slots=True)
class GainPair:
    """Two configurations: log gains ``predicted`` (0 or more) and ``measured`` of the first over
    the second; ``unserved``: one of them is of a basis that no served row has."""

    level: str
    unlike: frozenset[str]
    family: str
    models: frozenset[str]
    page: tuple[str, ...]
    predicted: float
    measured: float
    unserved: bool = False

    @property
    def kind(self) -> str:
        """The difference that it counts under."""
        return kind_of(self.unlike)


def kind_of(unlike: frozenset[str]) -> str:
    """SEVERAL for two differences or more beside those of EASY, else the hardest."""
    hard = unlike - EASY
    return SEVERAL if len(hard) > 1 else next(name for name in DIFFERENCES if name in unlike)


def pairs_of(rows: Iterable[MeasuredConfiguration]) -> list[GainPair]:
    """All pairs of one page at the same lengths that differ in something."""
    pages: dict[tuple[str, ...], list[MeasuredConfiguration]] = defaultdict(list)
    for row in rows:
        pages[row.page].append(row)
    served = {row.basis for some in pages.values() for row in some if row.served}
    return [
        pair
        for some in pages.values()
        for one, other in combinations(some, 2)
        for pair in _pair(one, other, served)
    ]


def _pair(
    one: MeasuredConfiguration, other: MeasuredConfiguration, served: set[tuple[str, ...]]
) -> Iterator[GainPair]:
    unlike = differences(one.configuration, other.configuration)
    if not unlike or not _alike(one.lengths, other.lengths):
        return
    predicted, measured = (
        log(one.predicted) - log(other.predicted),
        log(one.measured) - log(other.measured),
    )
    sign = 1.0 if predicted >= 0 else -1.0
    yield GainPair(
        MEASURED if one.served else RELATED,
        unlike,
        one.family,
        frozenset((one.model, other.model)),
        (*one.page, *(f"{length:.2g}" for length in one.lengths)),
        sign * predicted,
        sign * measured,
        not {one.basis, other.basis} <= served,
    )


def _alike(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(
        max(a, b) <= ALIKE * min(a, b) if min(a, b) else a == b
        for a, b in zip(one, other, strict=True)
    )


Array = NDArray[np.float64]


def weights(pairs: Sequence[GainPair]) -> Array:
    """Families weigh alike, and pages of a family; they add up to the number of pairs [pairs]."""
    pages: dict[str, dict[tuple[str, ...], int]] = defaultdict(lambda: defaultdict(int))
    for pair in pairs:
        pages[pair.family][pair.page] += 1
    raw = np.array([1 / pages[p.family][p.page] / len(pages[p.family]) for p in pairs])
    return np.asarray(raw * len(pairs) / raw.sum())


def fitted(pairs: Sequence[GainPair], nu: float) -> GainCalibration:
    """The most likely β, σ and slope of ``pairs`` at ``nu``; σ and slope are widened by
    sqrt(1 + 1/families), what the mean of so few families is itself off by."""
    x = np.array([p.predicted for p in pairs])
    y = np.array([p.measured for p in pairs])
    weight = weights(pairs)

    def cost(at: Array) -> float:
        beta, sd, slope = _inside(at)
        return -float(weight @ log_density(y - beta * x, np.hypot(sd, slope * x), nu))

    best = min(
        (
            minimize(cost, start, method="Nelder-Mead", options={"maxiter": 300, "xatol": 1e-3})
            for start in (np.array([0.9, log(0.1), log(0.1)]), np.array([0.6, log(0.4), log(0.1)]))
        ),
        key=lambda result: float(result.fun),
    )
    beta, sd, slope = _inside(best.x)
    families = len({p.family for p in pairs})
    wider = sqrt(1 + 1 / families)
    models = len({model for p in pairs for model in p.models})
    return GainCalibration(
        round(beta, 3), round(sd * wider, 4), nu, round(slope * wider, 4), len(pairs), models
    )


def log_density(error: Array, scale: Array, nu: float) -> Array:
    """Log density of a Student-t of ``scale`` [errors]."""
    constant = float(gammaln((nu + 1) / 2) - gammaln(nu / 2)) - log(nu * pi) / 2
    return np.asarray(constant - (nu + 1) / 2 * np.log1p((error / scale) ** 2 / nu) - np.log(scale))


def _inside(at: Array) -> tuple[float, float, float]:
    return min(max(float(at[0]), 0.0), 1.0), max(exp(at[1]), LEAST), min(exp(at[2]), 2.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the data file: the ``calibration`` of a ``difference`` at a ``level`` ``without``
    a model, the share of signs that were ``right`` and what it rests on."""

    difference: str
    level: str
    without: str
    calibration: GainCalibration
    right: float
    source: str


def entries(pairs: Sequence[GainPair], nus: Mapping[str, float], without: str = "") -> list[Entry]:
    """Entries of all kinds and levels from pairs of other families than that of ``without``."""
    own = {p.family for p in pairs if without in p.models}
    others = [p for p in pairs if p.family not in own]
    made: dict[tuple[str, str], Entry] = {}
    for kind in (*DIFFERENCES, SEVERAL):
        for level in (MEASURED, RELATED):
            some, source = evidence_of(others, kind, level)
            if some:
                made[kind, level] = _entry(kind, level, without, some, nus[level], source)
        _widen(made, (kind, RELATED), (kind, MEASURED))
    unserved = [p for p in others if p.unserved and p.unlike - EASY]
    made[ANY, NONE] = _entry(ANY, NONE, without, unserved, nus[RELATED], UNSERVED)
    for key in [key for key in made if key[1] == RELATED]:
        _widen(made, (ANY, NONE), key)
    return list(made.values())


def evidence_of(pairs: Sequence[GainPair], kind: str, level: str) -> tuple[Sequence[GainPair], str]:
    """Pairs of ``kind`` at ``level`` and where they come from; where they are few those of both
    levels, then those that differ in more beside it; none where all are few."""
    mine = [p for p in pairs if p.kind == kind]
    more = [p for p in pairs if kind in p.unlike]
    for some, source in (
        ([p for p in mine if p.level == level], f"pairs of level {level}"),
        (mine, "pairs of both levels"),
        ([p for p in more if p.level == level], f"pairs of level {level} that differ in more"),
        (more, "pairs of both levels that differ in more"),
    ):
        families = len({p.family for p in some})
        if len(some) >= FEWEST_PAIRS and families >= FEWEST_FAMILIES:
            return some, source
    return (), ""


def _widen(
    made: dict[tuple[str, str], Entry], wider: tuple[str, str], than: tuple[str, str]
) -> None:
    """Weaker evidence is never surer than stronger."""
    if wider not in made or than not in made:
        return
    one, other = made[wider].calibration, made[than].calibration
    made[wider] = replace(
        made[wider],
        calibration=GainCalibration(
            min(one.beta, other.beta),
            max(one.sd, other.sd),
            one.nu,
            max(one.slope, other.slope),
            one.pairs,
            one.models,
        ),
    )


def _entry(
    kind: str, level: str, without: str, some: Sequence[GainPair], nu: float, source: str
) -> Entry:
    clear = [p for p in some if p.predicted > log(1 + TOLD)]
    weight = weights(clear) if clear else np.zeros(0)
    right = float(weight @ np.array([p.measured > 0 for p in clear])) / len(clear) if clear else 0.0
    return Entry(kind, level, without, fitted(some, nu), right, source)


def log_score(pairs: Sequence[GainPair], level: str, nu: float) -> float:
    """Mean log density of pairs of ``level`` under fits without their family; families of a kind
    weigh alike."""
    scores = []
    for kind in (*DIFFERENCES, SEVERAL):
        for family in sorted({p.family for p in pairs if p.kind == kind and p.level == level}):
            some, _ = evidence_of([p for p in pairs if p.family != family], kind, level)
            own = [p for p in pairs if (p.family, p.kind, p.level) == (family, kind, level)]
            if some:
                fit = fitted(some, nu)
                x = np.array([p.predicted for p in own])
                error = np.array([p.measured for p in own]) - fit.beta * x
                density = log_density(error, np.hypot(fit.sd, fit.slope * x), nu)
                scores.append(float(density.mean()))
    return float(np.mean(scores))


def chosen_nu(pairs: Sequence[GainPair], level: str) -> float:
    """The ν of NUS with the best score."""
    return max(NUS, key=lambda nu: log_score(pairs, level, nu))
