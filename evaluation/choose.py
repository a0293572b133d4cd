"""The assignment of schemes to units with the least predicted loss within a size, exactly."""

from __future__ import annotations

from math import gcd

import numpy as np

from planner.lab.probe.model import Doubles


def choose(loss: Doubles, bits: Doubles, parameters: list[int], limit: float) -> list[int]:
    """Column of ``loss`` (units, schemes) for every unit: least sum with mean bits ≤ ``limit``.

    ``bits`` (schemes,) are multiples of 1/4. A dynamic program over sizes in units of their common
    divisor: the optimum, not an approximation.
    """
    sizes = np.rint(np.outer(parameters, bits * 4)).astype(np.int64)
    step = gcd(*(int(s) for s in sizes.ravel()))
    sizes //= step
    room = int(limit * 4 * sum(parameters) // step)
    best = np.zeros(room + 1)
    picks = np.zeros((len(loss), room + 1), dtype=np.int8)
    for n, (row, size) in enumerate(zip(loss, sizes, strict=True)):
        options = np.full((len(row), room + 1), np.inf)
        for s, width in enumerate(size):
            if width <= room:
                options[s, width:] = row[s] + best[: room + 1 - width]
        picks[n] = options.argmin(axis=0)
        best = options.min(axis=0)
    if not np.isfinite(best[room]):
        raise ValueError(f"no assignment fits into {limit} bits")
    out, left = [], room
    for n in range(len(loss) - 1, -1, -1):
        out.append(int(picks[n, left]))
        left -= int(sizes[n, out[-1]])
    return out[::-1]
