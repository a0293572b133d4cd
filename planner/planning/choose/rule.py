"""The rule: what is published or conventional, unless another plan is surely worth leaving it.

A plan displaces another where its calibrated gain (:mod:`planner.planning.choose.gains`) is at
least MIN_GAIN with a chance of SURE; where it needs weights that must be made, NEW_WEIGHTS_GAIN;
where it is of a kind that nobody measured, UNMEASURED_GAIN with a chance of VERY_SURE. Of those
that displace the conventional plan the one is taken that no other of them displaces: the best
known, then the simplest, then the least lossy within SLACK of the best rate.

Thresholds may beat each other in a ring; then the plan least likely beaten is taken. What is taken
is dominated by no plan that is as well known, as simple, as fast and as little lossy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.question.question import Question

Array = NDArray[np.float64]
MIN_GAIN, NEW_WEIGHTS_GAIN, UNMEASURED_GAIN = 0.05, 0.15, 0.15
"""What a change of settings must bring, weights that must be made, and a kind that nobody
measured."""
SURE, VERY_SURE = 0.8, 0.9
"""The chance from which on a gain counts, and that of kinds that nobody measured."""
SLACK = 0.01
"""Share of the objective that is given up for less loss."""
LOSS_SLACK = 0.01
"""Share of the least loss that is given up for speed and weights that exist, where loss is the
objective."""
LEVELS = ("measured", "recipe", "related", "none")
"""Levels of evidence, the best known first."""
Chances = Callable[[float], Array]
"""The chance that plan i is better than plan j by at least a gain [A, A]."""


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


@record
class Thresholds:
    """The gains that a change of ``settings`` must bring, ``new_weights`` and plans of a kind that
    is ``unmeasured``, and the chance that the last must have."""

    settings: float = MIN_GAIN
    new_weights: float = NEW_WEIGHTS_GAIN
    unmeasured: float = UNMEASURED_GAIN
    unmeasured_sure: float = VERY_SURE

    @classmethod
    def of(cls, min_gain: float | None, new_weights: str, allow_unmeasured: bool) -> Thresholds:
        """Those that a question asks for: ``min_gain`` replaces the first, and the others where it
        is above them; ``new_weights`` yes counts them as settings."""
        least = MIN_GAIN if min_gain is None else min_gain
        return cls(
            least,
            least if new_weights == "yes" else max(least, NEW_WEIGHTS_GAIN),
            least if allow_unmeasured else max(least, UNMEASURED_GAIN),
            SURE if allow_unmeasured else VERY_SURE,
        )

    @classmethod
    def of_question(cls, question: Question) -> Thresholds:
        """Those that ``question`` asks for."""
        return cls.of(question.min_gain, question.new_weights, question.allow_unmeasured)

    def required(self, *, new_weights: bool, unmeasured: bool) -> tuple[float, float]:
        """(the gain, the chance of it) that a plan must have to displace another: one that needs
        ``new_weights`` alone, or differs in what nobody measured (``unmeasured``)."""
        gain = self.new_weights if new_weights else self.settings
        return (max(gain, self.unmeasured), self.unmeasured_sure) if unmeasured else (gain, SURE)


@record
class Standing:
    """What the rule knows of a plan: its ``level`` of evidence, how ``simple`` it is, whether the
    engine makes its weights while it loads (``made``), in how many settings it ``departs`` from the
    conventional plan, its ``loss`` and ``expected`` objective, to be minimised."""

    level: str
    simple: Simplicity
    made: bool
    departs: int
    loss: float
    expected: float

    @property
    def evidence(self) -> int:
        """Less is better known."""
        return LEVELS.index(self.level)

    @property
    def simplicity(self) -> tuple[bool, bool, int, int, int]:
        """Less is simpler."""
        simple = self.simple
        return simple.new_weights, self.made, simple.formats, self.departs, simple.changed

    @property
    def order(self) -> tuple[int, tuple[bool, bool, int, int, int]]:
        """Less goes first: the best known, then the simplest."""
        return self.evidence, self.simplicity


def required(
    one: Standing, other: Standing, rule: Thresholds, unmeasured: bool
) -> tuple[float, float]:
    """(the gain, the chance of it) that ``one`` must have to displace ``other``; ``unmeasured``:
    nobody measured what they differ in."""
    made = one.simple.new_weights and not other.simple.new_weights
    return rule.required(new_weights=made, unmeasured=unmeasured)


def displaces(
    plans: Sequence[Standing],
    chances: Chances,
    rule: Thresholds,
    unmeasured: NDArray[np.bool_],
) -> Array:
    """The chance of each plan to bring what it must to displace another, over the chance that it
    must have: 1 and more where it does [A, A]; ``unmeasured`` as in :func:`required` [A, A]."""
    known: dict[float, Array] = {}
    out = np.zeros((len(plans), len(plans)))
    for i, one in enumerate(plans):
        for j, other in enumerate(plans):
            gain, sure = required(one, other, rule, bool(unmeasured[i, j]))
            if gain not in known:
                known[gain] = np.asarray(chances(gain))
            out[i, j] = known[gain][i, j] / sure
    np.fill_diagonal(out, 0.0)
    return out


def plan_to_take(plans: Sequence[Standing], conventional: int, beaten: Array) -> int:
    """The plan to take of A: the ``conventional`` one, unless others displace it; ``beaten`` is
    :func:`displaces` [A, A]."""
    able = [i for i in range(len(plans)) if beaten[i, conventional] >= 1]
    if not able:
        return _undominated(plans, conventional)
    most = {i: max(float(beaten[j, i]) for j in able) for i in able}
    stand = [i for i in able if most[i] < 1]
    if not stand:
        return min(able, key=lambda i: (most[i], plans[i].order, plans[i].expected))
    least = min(plans[i].order for i in stand)
    equal = [i for i in stand if plans[i].order == least]
    best = min(plans[i].expected for i in equal)
    near = [i for i in equal if plans[i].expected <= best + SLACK * abs(best)]
    taken = min(near, key=lambda i: (plans[i].loss, plans[i].expected))
    return _undominated(plans, taken)


def least_lossy(plans: Sequence[Standing], device_seconds: Sequence[float]) -> int:
    """Where losses are compared: the plan of the least loss; of those within LOSS_SLACK of it one
    whose weights exist, then by ``device_seconds`` a token [A], then the simplest."""
    most = min(plan.loss for plan in plans) * (1 + LOSS_SLACK)
    equal = [i for i, plan in enumerate(plans) if plan.loss <= most]
    return min(
        equal,
        key=lambda i: (
            plans[i].simple.new_weights,
            device_seconds[i],
            plans[i].order,
            plans[i].loss,
        ),
    )


def _undominated(plans: Sequence[Standing], taken: int) -> int:
    """``taken``, or what is as good in all that the rule counts and better in something."""
    while True:
        mine = plans[taken]
        better = [
            i
            for i, plan in enumerate(plans)
            if plan.evidence <= mine.evidence
            and plan.simplicity <= mine.simplicity
            and plan.loss <= mine.loss
            and plan.expected <= mine.expected
            and (plan.loss, plan.expected) != (mine.loss, mine.expected)
        ]
        if not better:
            return taken
        taken = min(better, key=lambda i: (plans[i].expected, plans[i].loss, plans[i].order))
