"""The pace of a step: with a pipeline every token waits for the slowest stage, pp times.

As an objective, pp × the slowest stage is the largest of several sums of kernels. The sum of the
stage that is slowest at the fastest choices stands in the objective, and a row for every other
stage that may be slower raises it (:data:`planner.planning.solver.problem.PACE`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.space.candidates import Space

Array = NDArray[np.float64]
ALIKE = 0.98
"""Stages that take this share of the slowest are as good as slowest."""


def step_weights(space: Space, *, bound: bool) -> tuple[Array, Array]:
    """(weights of the decode seconds of one layer of each kernel [C, K], constant [C]) of the
    step's seconds at the pace of the stage that stands in the objective.

    ``bound``: of a sum that is a good lower bound of them. Where stages decide apart, one alone
    would take what all share of the loss. Then it is the mean of those that are as good as slowest,
    or, where layers of a unit may take different choices and must weigh alike, that of all.
    """
    pp = np.rint(space.pts.pp).astype(np.int64)
    question, at = space.model.question, space.pts.layout
    counts, every = space.padded[1], np.arange(len(space))
    hop = np.where(pp > 1, space.hop_step, 0.0)
    if not bound or not (question.untie or question.profile is not None):
        own = space.pacing
        return (
            np.asarray(counts[at, own] * pp[:, None], dtype=np.float64),
            pp * space.released_stages[every, own] + hop,
        )
    stages = np.zeros((len(space), counts.shape[1]))
    if question.untie:
        stages[np.arange(counts.shape[1]) < pp[:, None]] = 1.0
    else:
        stages[space.fast_stages >= ALIKE * space.fast_stages.max(axis=1, keepdims=True)] = 1.0
    stages *= (pp / stages.sum(axis=1))[:, None]
    weights = np.einsum("cp,cpk->ck", stages, counts[at])
    return weights, (stages * space.released_stages).sum(axis=1) + hop


def other_stages(space: Space, c: int) -> list[tuple[int, float]]:
    """(stage, room): the stages beside the objective's of candidate ``c``, and the seconds by which
    what is as released of the objective's exceeds theirs, both times pp."""
    stages = len(space.stages[space.pts.layout[c]].fixed)
    released = space.released_stages
    own = int(space.pacing[c])
    return [
        (s, float(released[c, own] - released[c, s]) * stages) for s in range(stages) if s != own
    ]


def maybe_slower(space: Space, c: int) -> list[tuple[int, float]]:
    """:func:`other_stages` that are slower than the objective's under some choice of decisions that
    hold in all stages; of equal ones the first."""
    counts = space.stages[space.pts.layout[c]].counts
    own = counts[space.pacing[c]]
    decided = ~space.model.decided.released
    found: dict[tuple[int, ...], tuple[int, float]] = {}
    for s, room in other_stages(space, c):
        more = (counts[s] - own)[decided]
        if room < 0 or (more > 0).any():
            key = (*more.tolist(), room)
            found.setdefault(key, (s, room))
    return list(found.values())
