"""The rule: the simplest plan that no other beats by more than MARGIN with a chance of SURE.

Simplest: fewest formats beside what is released, then no new weights, then fewest changed kinds of
module and cache. Among equals in that the best objective on average over the draws, which a kernel
that may be much slower spoils; of those within SLACK of it the least lossy.

In a draw at most n − 1 of n plans are beaten by the next of a ring, so that five are the fewest
that beat each other in a ring at a chance of 80 %; then the one least likely beaten is taken.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record

Array = NDArray[np.float64]
MARGIN = 0.03
"""Gains up to this are not worth a less simple plan."""
SURE = 0.8
"""The chance from which on a plan counts as beaten."""
SLACK = 0.01
"""Share of the objective that is given up for less loss."""


@record
class Simplicity:
    """What makes a plan simple, first things first: ``formats`` beside what is released, whether it
    needs ``new_weights``, kinds of module and cache that are ``changed``."""

    formats: int
    new_weights: bool
    changed: int

    @property
    def order(self) -> tuple[int, bool, int]:
        """Less is simpler."""
        return self.formats, self.new_weights, self.changed


def simplest_unbeaten(
    simple: Sequence[Simplicity],
    expected: Sequence[float],
    losses: Sequence[float],
    beaten: Array,
    dominated: Collection[int] = (),
) -> int:
    """The plan to take of A.

    Args:
        simple: how simple each plan is [A].
        expected: its objective on average over the draws, to be minimised [A].
        losses: its loss [A].
        beaten: the chance that plan i is better than plan j by more than MARGIN [A, A].
        dominated: plans that are not taken while another stands, as what an engine makes under one
            word is as good in everything.
    """
    most = np.asarray(beaten).max(axis=0, initial=0.0)
    stand = np.flatnonzero(most < SURE).tolist()
    stand = [i for i in stand if i not in dominated] or stand
    if not stand:
        return min(range(len(simple)), key=lambda i: (float(most[i]), simple[i].order, expected[i]))
    least = min(simple[i].order for i in stand)
    equal = [i for i in stand if simple[i].order == least]
    best = min(expected[i] for i in equal)
    near = [i for i in equal if expected[i] <= best + SLACK * abs(best)]
    return min(near, key=lambda i: (losses[i], expected[i]))
