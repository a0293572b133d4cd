"""What became of a stream of requests, and of every pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.scheduler.folded import FoldedPasses

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
PassCounts = NDArray[np.int32]


@record
class ServedRequests:
    """Requests [N] in order of arrival, and passes [S] of all replicas in order of their start.

    ``first_seconds`` and ``last_seconds``: when the first and the last token left (nan: rejected,
    or not served when the run ended); ``scheduled_seconds``: when the first pass that reads the
    prompt began; ``preempted`` how often; ``hit_tokens`` of the prompt found in the cache;
    ``rejected``: beyond the context or the whole cache, or ended by the engine with an error;
    ``made_tokens`` of the answer: fewer than were asked for where the context ended it, or the run.
    ``start_seconds``, ``pass_seconds`` [S]; ``decoding`` sequences and ``prompt_tokens`` of a pass;
    ``cache_share`` of the blocks in use when it began, the mean of ranks that step together;
    ``waiting`` requests then. ``complete``: the run went on until all were served. ``folded``: the
    passes of a stream that is too long for a row of each; it has no rows then.
    """

    first_seconds: Array
    last_seconds: Array
    scheduled_seconds: Array
    preempted: Counts
    hit_tokens: Counts
    rejected: NDArray[np.bool_]
    made_tokens: Counts
    start_seconds: Array
    pass_seconds: Array
    decoding: PassCounts
    prompt_tokens: PassCounts
    cache_share: Array
    waiting: PassCounts
    complete: bool = True
    folded: FoldedPasses | None = None
