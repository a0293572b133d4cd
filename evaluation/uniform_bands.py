"""Bands of whole models in one type, by what predicted them: how wide they must be to hold 80 %.

    low = floor low + saturated(x / band),   high = floor high + saturated(x · band)

x is level · e(type); floor, level and exponent are those of a prediction without the model
(:mod:`evaluation.left_out`), and the interval is made as plans print theirs. A tier's band holds
80 % of measured values, every model counting the same. What bands hold is told of models that had
no say in them: for each, the band that the others of its tier give.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from evaluation.left_out import Doubles, LeftOut, excluded_by, holding
from evaluation.whole_types import mean_error
from planner.quality.floor import Floor, floor_for
from planner.quality.sensitivity.kld_data import FINE_LEVELS, subject_of_measured, uniform_losses
from planner.quality.sensitivity.level import saturated

PART = 0.8
WIDEST = 50.0
"""No factor of a band is looked for beyond."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """A whole model in one type: measured [nats of mean KL], and what was predicted of it."""

    model: str
    scheme: str
    measured: float
    x: float
    g: float
    floor: Floor

    def interval(self, band: float) -> tuple[float, float]:
        """[nats] under a band ÷/× of x."""
        return (
            self.floor.low_nats + saturated(self.x / band, self.g),
            self.floor.high_nats + saturated(self.x * band, self.g),
        )

    def inside(self, band: float) -> bool:
        """Whether the interval holds what was measured."""
        low, high = self.interval(band)
        return low <= self.measured <= high

    @property
    def needed(self) -> float:
        """The least factor whose interval holds what was measured, to a part in a thousand."""
        least, most = 0.0, math.log(WIDEST)
        while most - least > 1e-3:
            middle = (least + most) / 2
            least, most = (least, middle) if self.inside(math.exp(middle)) else (middle, most)
        return math.exp(most)


@dataclass(frozen=True, slots=True)
class Held:
    """How many of ``count`` values bands held that others gave, the 95 % range of that many draws
    at 80 %, the median of high over low, the factor of x that all models give, and the median
    factor between measured and predicted."""

    count: int
    inside: int
    expected: tuple[int, int]
    width: float
    band: float
    off: float


def uniform_rows(rows: Sequence[LeftOut]) -> list[Uniform]:
    """The types that the models of ``rows`` were measured in as a whole, of models that were
    compared with 8 bits or more."""
    found = []
    for row in rows:
        if row.model.baseline not in FINE_LEVELS or row.model.level is None:
            continue
        excluded = excluded_by(row.protocol, row.model)
        assert excluded is not None
        floor = floor_for(subject_of_measured(row.model), excluded)
        found += [
            Uniform(row.model.name, name, kld, row.level * mean_error(name), row.saturation, floor)
            for name, kld in uniform_losses().get(row.model.name, {}).items()
        ]
    return found


def band_of(rows: Sequence[Uniform]) -> float:
    """The factor of x whose intervals hold PART of ``rows``, every model counting the same."""
    names = [r.model for r in rows]
    weights = np.array([1 / names.count(name) for name in names])
    return holding(np.log([r.needed for r in rows]), weights, PART)


def held(rows: Sequence[Uniform]) -> Held:
    """What bands that the other models of a tier gave hold of each."""
    bands: Mapping[str, float] = {
        name: band_of([r for r in rows if r.model != name])
        for name in dict.fromkeys(r.model for r in rows)
    }
    intervals = [r.interval(bands[r.model]) for r in rows]
    inside = sum(r.inside(bands[r.model]) for r in rows)
    low, high = scipy.stats.binom.interval(0.95, len(rows), PART)
    return Held(
        len(rows),
        inside,
        (int(low), int(high)),
        float(np.median([high / low for low, high in intervals])),
        band_of(rows),
        float(np.exp(np.median(np.abs(_off(rows))))),
    )


def _off(rows: Sequence[Uniform]) -> Doubles:
    return np.array(
        [math.log(r.measured / (r.floor.value_nats + saturated(r.x, r.g))) for r in rows]
    )
