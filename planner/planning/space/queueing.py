"""The wait before a prompt is read: what TTFT has beside the prompt's own way through."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.planning.question.question import Question

Array = NDArray[np.float64]
MOST_BUSY = 0.99
"""Share of time that prompts take up to which a wait is told apart."""


def queue(busy: Array, service: Array, sequences: Array) -> Array:
    """Mean wait before a prompt is read [s]: M/D/1, within what a closed loop can queue.

    ``busy`` is the share of time that prompts take, ``service`` a prompt's time in one stage [s];
    at most the other sequences of the rank wait before it.
    """
    share = np.minimum(busy, MOST_BUSY)
    return np.asarray(
        np.minimum(share / (2 * (1 - share)), np.maximum(sequences - 1, 0) / 2) * service
    )


def waiting(busy: Array, sequences: Array, stages: Array) -> Array:
    """TTFT as a multiple of a prompt's way through, at least 1: :func:`queue` of a pipeline of
    ``stages``."""
    return np.asarray(1.0 + queue(busy, 1.0 / stages, sequences))


def first_token(question: Question, read: Array) -> Array:
    """TTFT [s] of prompts that wait and are read in ``read``: at least what the host needs to
    launch them, and its work on the request."""
    return np.asarray(
        np.maximum(read, question.prompt_floor_seconds) + question.prompt_host.handling_seconds
    )
