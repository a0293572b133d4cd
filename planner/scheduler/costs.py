"""What a pass costs by what it holds: the law of a served step on grids."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record

Array = NDArray[np.float64]


@record
class StepCosts:
    """Seconds of a forward pass of one attention rank on the device, without the host's share.

    A pass that decodes B sequences of L cached tokens on average and reads chunks of n_i prompt
    tokens, each behind c_i tokens of its prompt that are computed or cached, lasts

        decode(B, L) + mixed(Σ n_i, B) + Σ behind(n_i, c_i)

    ``batch`` [G] ascending from 0, ``length`` [K] ascending: ``decode`` [G, K], 0 for B = 0.
    ``tokens`` [T] ascending from 0: ``mixed`` [T, G] seconds that so many prompt tokens add,
    0 for none; ``everywhere`` [T, G] the same where every attention rank reads as many (``mixed``
    for one rank). ``computed`` [C] ascending from 0: ``behind`` [T, C] seconds that attention of a
    chunk takes over what ``mixed`` has of it, 0 for no tokens.
    ``slowest_share``: of a pass through all pipeline stages, the part that the slowest stage is
    busy; 1 without a pipeline of ``stages`` > 1.
    Between grid points all are linear in each coordinate; beyond the last length and the last
    computed tokens they go on as between the last two; batches and tokens end with the grid.
    """

    batch: Array
    length: Array
    decode: Array
    tokens: Array
    mixed: Array
    everywhere: Array
    computed: Array
    behind: Array
    stages: int = 1
    slowest_share: float = 1.0
