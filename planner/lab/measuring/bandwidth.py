"""Memory bandwidth: reading and copying arrays that no cache holds, with all cores and with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.timing import timed
from planner.lab.measuring.worker import Case

Array = NDArray[np.float32]
CACHES, LEAST_BYTES, MOST_SHARE = 4, 128 << 20, 8
"""Arrays are so many times the last cache, at least these bytes, at most this part of the memory.
"""


def buffer_bytes(cache_bytes: int, memory_bytes: int) -> int:
    """Bytes that are read: far more than the caches, and a small part of the memory."""
    wanted = max(CACHES * cache_bytes, LEAST_BYTES)
    return max(1 << 20, min(wanted, memory_bytes // MOST_SHARE))


def cases(request: PartRequest) -> Iterator[Case]:
    """Reads and copies."""
    size = buffer_bytes(request.cache_bytes, request.memory_bytes) // 4
    source: Array = np.ones(size, dtype=np.float32)
    target = np.empty_like(source)
    target.fill(0)  # pages are given when they are written
    for threads in sorted({request.threads, 1}, reverse=True):
        for op, work in (("read", _read), ("copy", _copy)):
            yield (
                f"{op} by {threads} threads",
                partial(_case, request, op, work, source, target, threads),
            )


def _read(source: Array, _target: Array) -> None:
    np.dot(source, source)  # both operands are one array: it is read once


def _copy(source: Array, target: Array) -> None:
    np.copyto(target, source)


def _case(
    request: PartRequest,
    op: str,
    work: Callable[[Array, Array], None],
    source: Array,
    target: Array,
    threads: int,
    seconds: float,
) -> Row:
    pieces = list(
        zip(np.array_split(source, threads), np.array_split(target, threads), strict=True)
    )
    moved = source.nbytes * (2 if op == "copy" else 1)
    with ThreadPoolExecutor(threads) as pool:
        timing = timed(lambda: list(pool.map(lambda pair: work(*pair), pieces)), seconds)
    return row(
        "op_bandwidth",
        request.device,
        f"numpy {np.__version__}",
        timing,
        threads,
        op=op,
        bytes=moved,
    )
