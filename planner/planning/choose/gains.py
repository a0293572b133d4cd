"""What plans gain over each other, as measured pairs say that predicted gains are worth.

The log gain of one plan over another is predicted from their prices. Pairs of measured
configurations say what of such a gain is measured, by what the two differ in and how well their
kinds are known (:mod:`planner.planning.choose.calibrated`); what the draws of the kernels' own
errors say beside that widens it where it is more.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.planning.choose.calibrated import (
    SAME,
    Configuration,
    GainCalibration,
    calibration,
    differences,
    gain_distribution,
    probability_above,
)
from planner.planning.choose.calibrated import interval as log_interval
from planner.planning.question.question import RATES

Array = NDArray[np.float64]


@cached_record
class CalibratedGains:
    """Log gains ``predicted`` of A plans over each other [A, A], the ``own`` standard deviations of
    their draws [A, A], and ``worth``, what measured pairs make of them, by pair."""

    objective: str
    predicted: Array
    own: Array
    worth: tuple[tuple[GainCalibration, ...], ...]

    def chances(self, gain: float) -> Array:
        """The chance that plan i is better than plan j by at least ``gain``, as people read the
        objective [A, A]; 0 on the diagonal."""
        least = gain if self.objective in RATES else gain / (1 - gain)
        out = np.zeros_like(self.predicted)
        groups: dict[GainCalibration, list[tuple[int, int]]] = {}
        for i, row in enumerate(self.worth):
            for j, known in enumerate(row):
                if i != j:
                    groups.setdefault(known, []).append((i, j))
        for known, pairs in groups.items():
            at = tuple(np.array(pairs).T)
            out[at] = probability_above(self.predicted[at], least, known, self.own[at])
        return out

    def gain(self, i: int, j: int) -> tuple[float, float, float]:
        """(middle, low, high) of the calibrated gain of plan i over plan j, an 80 % interval."""
        known = self.worth[i][j]
        predicted, own = float(self.predicted[i, j]), float(self.own[i, j])
        middle, _ = gain_distribution(predicted, known, own)
        low, high = log_interval(predicted, known, own)
        low, middle, high = (as_gain(self.objective, end) for end in (low, middle, high))
        return middle, low, high


def as_gain(objective: str, log_gain: float) -> float:
    """A log gain as people read the objective: more tokens, or less time."""
    return exp(log_gain) - 1 if objective in RATES else 1 - exp(-log_gain)


def calibrated_gains(
    objective: str,
    plans: Sequence[Configuration],
    levels: Sequence[Sequence[str]],
    values: Sequence[float],
    drawn: Array,
    model_id: str,
) -> CalibratedGains:
    """The gains of A plans over each other.

    Args:
        objective: of times.
        plans: what each plan runs [A].
        levels: how well the difference of each two is known [A, A].
        values: the objective of each, to be minimised and above 0 [A].
        drawn: the same under common draws of the kernels' errors [A, draws].
        model_id: the model, on whose own rows nothing rests.
    """
    logs = np.log(np.asarray(values))
    spread = np.log(drawn)
    own = np.array([(spread - row).std(axis=1) for row in spread])
    worth = tuple(
        tuple(
            calibration(differences(one, other), levels[i][j], model_id) if i != j else SAME
            for j, other in enumerate(plans)
        )
        for i, one in enumerate(plans)
    )
    return CalibratedGains(objective, logs[None, :] - logs[:, None], own, worth)
