"""Which share of its cores a process gets: what other programs take makes every time too long."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any, TypeVar

T = TypeVar("T")
LEAST_SHARE = 0.7
"""Of its cores: a time that was measured with less says nothing of the machine."""
SPIN_SECONDS = 0.02
"""Longer than a slice of the usual schedulers, so that a neighbour shows."""
ROUNDS = 200
"""Of one hash, about 0.1 ms without the interpreter's lock."""


def core_share(threads: int, seconds: float = SPIN_SECONDS) -> float:
    """The least share of a core [0, 1] that one of ``threads`` threads gets which compute for
    ``seconds``: processor time over wall time of each."""
    shares = [1.0] * threads

    def spin(place: int) -> None:
        start, used = time.perf_counter(), time.thread_time()
        while (wall := time.perf_counter() - start) < seconds:
            hashlib.pbkdf2_hmac("sha256", b"share", b"of a core", ROUNDS)
        shares[place] = min((time.thread_time() - used) / wall, 1.0) if wall > 0 else 1.0

    spinning = [threading.Thread(target=spin, args=(place,)) for place in range(threads)]
    for thread in spinning:
        thread.start()
    for thread in spinning:
        thread.join()
    return min(shares)


def is_disturbed(row: Mapping[str, Any]) -> bool:
    """Whether a row of a table says that it had less than LEAST_SHARE; rows of tables without the
    column, or of a GPU, are taken as they are."""
    try:
        return 0.0 <= float(row.get("share", 1.0)) < LEAST_SHARE
    except (TypeError, ValueError):
        return False


def least_disturbed(
    run: Callable[[], T],
    share: Callable[[], float],
    seconds: Callable[[T], float],
    tries: int,
    within: float = inf,
) -> tuple[T, float]:
    """(result, share of the cores) of ``run``, repeated up to ``tries`` times while other programs
    take the cores: the fastest of those that had them, else the fastest of all. None begins after
    ``within`` seconds. ``share`` is asked before and after each; ``seconds`` of a result tells how
    fast it was."""
    results: list[tuple[T, float]] = []
    start = time.monotonic()
    for _ in range(tries):
        if results and time.monotonic() - start > within:
            break
        before = share()
        result = run()
        results.append((result, min(before, share())))
        if results[-1][1] >= LEAST_SHARE:
            break
    had_cores = [r for r in results if r[1] >= LEAST_SHARE] or results
    return min(had_cores, key=lambda pair: seconds(pair[0]))


def disturbed_note(rows: Iterable[Mapping[str, Any]]) -> str:
    """How many timings count for nothing, and what to do; empty where all had their cores."""
    listed = list(rows)
    count = sum(map(is_disturbed, listed))
    if not count:
        return ""
    return (
        f"other programs took the cores during {count} of {len(listed)} timings, which count for "
        "nothing: measure again when the machine is idle"
    )
