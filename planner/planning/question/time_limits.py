"""Limits on time: a token's, the first token's, and a whole request's."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Seconds = TypeVar("Seconds", float, NDArray[np.float64])
"""Of one plan, or of many [C]."""
LIMITS = {"tpot": "tpot_seconds", "ttft": "ttft_seconds", "e2e": "e2e_seconds"}
"""Limits by their names in messages, and the parameters that set them."""
REQUEST_TIME = "request time"
"""Key of the note on what a whole request takes."""


def request_seconds(ttft: Seconds, tpot: Seconds, osl: int) -> Seconds:
    """End-to-end time of a request [s]: its first token, and the ``osl`` − 1 that follow."""
    return ttft + max(osl - 1, 0) * tpot


def limited_times(ttft: Seconds, tpot: Seconds, osl: int) -> dict[str, Seconds]:
    """What each limit bounds [s], by its name."""
    return {"tpot": tpot, "ttft": ttft, "e2e": request_seconds(ttft, tpot, osl)}
