"""The pace of a step: with a pipeline every token waits for the slowest stage, pp times.

As an objective, pp × the slowest stage is the largest of several sums of units. The sum of the
stage that is slowest at the fastest choices stands in the objective, and a row for every other
stage that may be slower raises it (:data:`planner.planning.solver.problem.PACE`). Among choices
that leave the slowest stage as it is, the sum of all stages decides: it has TIE of the objective's
weight. It
never exceeds pp × the slowest stage, so that the objective is a lower bound of the step.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.space.candidates import Space

Array = NDArray[np.float64]
TIE = 1e-6


ALIKE = 0.98
"""Stages that take this share of the slowest are as good as slowest."""


def step_weights(space: Space, *, bound: bool) -> tuple[Array, Array]:
    """(weights of the decode seconds of one layer of each unit [C, U], constant [C]) of the step's
    seconds at the pace of the stage that stands in the objective.

    ``bound``: of a sum that is a good lower bound of them. Where stages decide apart, one alone
    would take what all share of the loss. Then it is the mean of those that are as good as slowest,
    or, where layers of a unit may take different choices and must weigh alike, that of all.
    """
    layers = np.array([u.count for u in space.model.units], dtype=np.float64)
    pp = np.rint(space.pts.pp).astype(np.int64)
    _, counts = space.padded
    released, hop = space.released_stages
    stages = np.zeros(released.shape)
    question = space.model.question
    if bound and question.untie:
        return np.repeat(layers[None], len(space), axis=0), space.decode_constant
    if bound and question.profile is not None:
        stages[space.fast_stages >= ALIKE * space.fast_stages.max(axis=1, keepdims=True)] = 1.0
        stages /= stages.sum(axis=1, keepdims=True)
    else:
        stages[np.arange(len(space)), space.pacing] = 1.0
    share = (1 - TIE) * pp
    weights = np.einsum("cp,cpu->cu", stages, counts[space.pts.layout]) * share[:, None]
    constant = (stages * released).sum(axis=1) * share + (1 - TIE) * hop
    alone = pp == 1
    return (np.where(alone[:, None], layers, weights + TIE * layers),
            np.where(alone, space.decode_constant, constant + TIE * space.decode_constant))


def other_stages(space: Space, c: int) -> list[tuple[int, float]]:
    """(stage, room): the stages beside the objective's of candidate ``c``, and the seconds by which
    the as-released units of the objective's exceed theirs, both times pp."""
    stages = len(space.stages[space.pts.layout[c]].fixed)
    released, _ = space.released_stages
    own = int(space.pacing[c])
    return [(s, float(released[c, own] - released[c, s]) * stages * (1 - TIE))
            for s in range(stages) if s != own]


def maybe_slower(space: Space, c: int) -> list[tuple[int, float]]:
    """:func:`other_stages` that are slower than the objective's under some choice of decisions that
    hold in all stages; of equal ones the first."""
    counts = space.stages[space.pts.layout[c]].counts
    own = counts[space.pacing[c]]
    decided = np.array([u.role != "released" for u in space.model.units])
    found: dict[tuple[int, ...], tuple[int, float]] = {}
    for s, room in other_stages(space, c):
        more = (counts[s] - own)[decided]
        if room < 0 or (more > 0).any():
            key = (*more.tolist(), room)
            found.setdefault(key, (s, room))
    return list(found.values())
