"""A stream of requests in order of arrival, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record

Seconds = NDArray[np.float64]
Tokens = NDArray[np.int64]


@record
class RequestStream:
    """N requests in order of arrival.

    ``arrival_seconds`` [N] ascending from the first at 0 or later; ``input_tokens`` and
    ``output_tokens`` [N], at least 1 each. ``cached_tokens`` [N]: of a prompt, what the cache holds
    whatever the engine does (a hit rate that was given). ``blocks``: ids 0 … U − 1 of the blocks of
    ``block_tokens`` tokens that prompts consist of, those of request i from ``block_start[i]`` to
    ``block_start[i + 1]`` ([N + 1]); equal ids are equal prefixes. No blocks where none are known
    (``block_tokens`` 0, ``block_start`` zeros).
    """

    arrival_seconds: Seconds
    input_tokens: Tokens
    output_tokens: Tokens
    cached_tokens: Tokens
    block_tokens: int
    block_start: Tokens
    blocks: Tokens

    def __len__(self) -> int:
        return len(self.arrival_seconds)


def plain_stream(
    arrival_seconds: Seconds,
    input_tokens: Tokens,
    output_tokens: Tokens,
    hit_rate: float = 0.0,
) -> RequestStream:
    """N requests that come at ``arrival_seconds`` [N] with prompts and answers of so many tokens
    [N], of which nothing is known to be shared but a share ``hit_rate`` of each prompt."""
    cached = np.minimum((input_tokens * hit_rate).astype(np.int64), input_tokens - 1)
    none = np.zeros(0, dtype=np.int64)
    starts = np.zeros(len(arrival_seconds) + 1, dtype=np.int64)
    return RequestStream(arrival_seconds, input_tokens, output_tokens, cached, 0, starts, none)
