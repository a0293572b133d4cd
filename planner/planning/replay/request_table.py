"""What became of each request, as arrays: too many for JSON, a row each for CSV."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests

COLUMNS = (
    "arrival_seconds",
    "input_tokens",
    "output_tokens",
    "queue_seconds",
    "ttft_seconds",
    "tpot_seconds",
    "e2e_seconds",
    "hit_tokens",
    "preemptions",
    "rejected",
)
"""The first three are those of a trace: what is written can be replayed."""
CHUNK = 1 << 16
"""Rows made at a time."""


class RequestTable:
    """The N requests of a replay in order of arrival; ``columns`` by name [N], times in seconds,
    nan where one was not served (TPOT: or has one token)."""

    __slots__ = ("columns",)
    columns: dict[str, NDArray[np.float64] | NDArray[np.int64]]

    def __init__(self, stream: RequestStream, served: ServedRequests) -> None:
        came, first, last = stream.arrival_seconds, served.first_seconds, served.last_seconds
        later = served.made_tokens - 1
        tpot = np.where(later > 0, (last - first) / np.maximum(later, 1), np.nan)
        values = (
            came,
            stream.input_tokens,
            stream.output_tokens,
            served.scheduled_seconds - came,
            first - came,
            tpot,
            last - came,
            served.hit_tokens,
            served.preempted,
            served.rejected.astype(np.int64),
        )
        self.columns = dict(zip(COLUMNS, values, strict=True))

    def __len__(self) -> int:
        return len(self.columns[COLUMNS[0]])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RequestTable):
            return NotImplemented
        pairs = zip(self.columns.values(), other.columns.values(), strict=True)
        return all(np.array_equal(a, b, equal_nan=True) for a, b in pairs)

    __hash__ = None  # type: ignore[assignment]

    def rows(self) -> Iterator[tuple[float | int | None, ...]]:
        """The requests in :data:`COLUMNS`; None where there is no time."""
        for start in range(0, len(self), CHUNK):
            parts = [column[start : start + CHUNK].tolist() for column in self.columns.values()]
            for row in zip(*parts, strict=True):
                yield tuple(None if value != value else value for value in row)
