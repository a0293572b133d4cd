"""What a choice costs when the errors come out as drawn: its regret against the true best.

The draws of an evaluation are not those of the rule: another ``salt`` orders every class anew.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.choose.chances import interval, objective_draws
from planner.planning.choose.selection import Selection
from planner.planning.choose.uncertainty import UncertainObjective

Array = NDArray[np.float64]
SALT = "evaluation"


@record
class Regret:
    """How much worse a plan's objective is than that of the best plan of each draw (0.02 = 2 %):
    the mean over the draws and their 90th percentile."""

    mean: float
    p90: float


def regrets(plans: Sequence[UncertainObjective], salt: str = SALT) -> tuple[Regret, ...]:
    """The regret of each of ``plans``, the best of which is taken in every draw."""
    drawn = objective_draws(plans, salt)
    best = drawn.min(axis=0)
    return tuple(
        Regret(float(loss.mean()), interval(loss)[1]) for loss in (row / best - 1 for row in drawn)
    )


def choice_regrets(choice: Selection, salt: str = SALT) -> dict[str, Regret | None]:
    """Regret of the ``recommendation``, of the ``optimum`` and of ``as released`` (with the cache
    that is best on paper; None where that does not run here) over all options of a choice."""
    each = regrets([option.weighed for option in choice.options], salt)
    released = [i for i, option in enumerate(choice.options) if option.rival.kind == "released"]
    best = min(released, key=lambda i: choice.options[i].weighed.value, default=None)
    return {
        "recommendation": each[choice.taken],
        "optimum": each[choice.optimum],
        "as released": None if best is None else each[best],
    }
