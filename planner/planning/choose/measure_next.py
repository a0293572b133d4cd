"""Which operators to measure: whose error decides between the taken plan and its nearest rival.

When the error of a class is known, the chance that the rival is better moves. Its mean movement
over equally likely values of that error, all others drawn as before, is the class's swing: what a
measurement is worth to the choice. Errors of layouts and batches are of no operator and left out.
"""

from __future__ import annotations

from math import fsum

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.choose.chances import (
    COUNT,
    beats,
    common_factor,
    error_factor,
    normal_draws,
    quantiles,
)
from planner.planning.choose.error_classes import ErrorClass
from planner.planning.choose.uncertainty import UncertainObjective

Array = NDArray[np.float64]
MOST = 3
LEVELS = 20
"""Values at which an error is known, equally likely."""
LEAST = 0.01
"""A swing below this decides nothing."""


@record
class DecisiveError:
    """An error class, and how far the chance moves on average when its error is known."""

    error: ErrorClass
    swing: float


def decisive_errors(
    objective: str, ours: UncertainObjective, rival: UncertainObjective
) -> tuple[DecisiveError, ...]:
    """Up to MOST classes of operators whose error decides whether ``rival`` is better, the most
    decisive first."""
    mine, theirs = _Split(ours), _Split(rival)
    chance = float(beats(objective, theirs.drawn(), mine.drawn(), 0.0).mean())
    swings = []
    for error in dict.fromkeys((*mine.errors(), *theirs.errors())):
        moved = [
            abs(
                float(
                    beats(
                        objective, theirs.drawn(error, level), mine.drawn(error, level), 0.0
                    ).mean()
                )
                - chance
            )
            for level in _levels()
        ]
        swings.append(DecisiveError(error, fsum(moved) / len(moved)))
    largest = [swing for swing in swings if swing.swing >= LEAST]
    return tuple(sorted(largest, key=lambda swing: (-swing.swing, swing.error.key))[:MOST])


class _Split:
    """Draws of a plan's objective by part [COUNT], and the factor of the whole."""

    def __init__(self, plan: UncertainObjective) -> None:
        self.parts = [(part, part.seconds * error_factor(part.errors)) for part in plan.parts]
        self.total = (
            np.sum([drawn for _, drawn in self.parts], axis=0) if self.parts else np.ones(COUNT)
        )
        seconds = fsum(part.seconds for part in plan.parts)
        self.whole = common_factor(plan) * plan.value / (seconds or 1.0)

    def errors(self) -> list[ErrorClass]:
        """Classes of its parts."""
        return [error for part, _ in self.parts for error, _ in part.errors]

    def drawn(self, known: ErrorClass | None = None, level: float = 0.0) -> Array:
        """Objectives [COUNT]; the error ``known`` is ``level`` standard deviations."""
        total = self.total
        for part, drawn in self.parts:
            sigma = dict(part.errors).get(known, 0.0) if known is not None else 0.0
            if known is not None and sigma:
                total = total + drawn * (np.exp(sigma * (level - normal_draws(known.key))) - 1.0)
        return np.asarray(total * self.whole)


def _levels() -> list[float]:
    """Equally likely values of a standard normal error."""
    step = COUNT // LEVELS
    return [float(v) for v in quantiles()[step // 2 :: step]]
