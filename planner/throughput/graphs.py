"""Steps replayed from captured graphs: a batch is padded to the next captured size."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from planner.base.versions import version_in, version_of
from planner.throughput.scheduling import Stages, StepTimes

Array = NDArray[np.float64]
Passes = TypeVar("Passes", StepTimes, Stages)
_FILE = Path(__file__).resolve().parent / "data" / "graphs.toml"


@dataclass(frozen=True, slots=True)
class CapturedBatches:
    """Batches that an engine captures by default, ascending, and where that is stated."""

    sizes: tuple[int, ...]
    source: str


def captured_batches(engine: str, version: str, capability: str | None) -> CapturedBatches | None:
    """The default sizes of ``engine`` at ``version`` (empty or unread: the newest) on a compute
    capability, None where none are known."""
    at = version_in(version)
    major = 0 if capability is None else int(capability.split(".")[0])
    for entry in _entries():
        since = version_of(entry.get("since", ""))
        if (
            entry["name"] == engine
            and (at is None or since <= at)
            and entry.get("major", major) == major
        ):
            sizes = sorted(
                {n for first, last, step in entry["ranges"] for n in range(first, last + 1, step)}
            )
            return CapturedBatches(tuple(sizes), str(entry["source"]))
    return None


@cache
def _entries() -> tuple[dict[str, Any], ...]:
    return tuple(tomllib.loads(_FILE.read_text(encoding="utf-8"))["engine"])


def padded_batch(batch: Array, sizes: Sequence[int]) -> Array:
    """``batch`` (any shape) raised to the next of ``sizes``; above the largest, and 0, as it is."""
    steps = np.asarray(sorted(sizes), dtype=np.float64)
    place = np.searchsorted(steps, batch - 1e-9)
    inside = (place < len(steps)) & (batch > 0)
    return np.where(inside, steps[np.minimum(place, len(steps) - 1)], batch)


def with_padded_decode(times: StepTimes, sizes: Sequence[int], most: float) -> StepTimes:
    """``times`` with decode steps padded to ``sizes``.

    The batch of a closed loop of ``most`` requests a rank fluctuates: at a mean of B it is
    Binomial(n, B/n), n = ⌈most⌉, and a step that happens takes E[T(pad(B)) | B ≥ 1]. With all n
    decoding it is T(pad(n)) exactly. Means below 1 keep StepTimes' line from 0.
    """
    n = max(int(np.ceil(most - 1e-9)), 1)
    counts = np.arange(n + 1, dtype=np.float64)
    rounded = padded_batch(counts, sizes)
    means = np.unique(np.concatenate([times.batch[times.batch <= n], np.linspace(0, n, 17)]))
    chances = _binomial(n, means / n)

    def padded(of: Passes) -> Passes:
        step = np.interp(rounded, times.batch, of.decode)
        decode = (chances @ step) * np.minimum(means, 1.0)
        mixed, everywhere = (
            None if values is None else np.maximum(np.interp(means, times.batch, values), decode)
            for values in (of.mixed, of.everywhere)
        )
        assert mixed is not None
        return replace(of, decode=decode, mixed=mixed, everywhere=everywhere)

    stages = None if times.stages is None else padded(times.stages)
    return replace(padded(times), batch=means, stages=stages)


def _binomial(n: int, share: Array) -> Array:
    """P[K = k | K ≥ 1] for k = 0 … n, float64 [len(share), n + 1]; a share of 0 has K = 0."""
    k = np.arange(n + 1)
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])
    ways = logs[n] - logs[k] - logs[n - k]
    p = np.clip(share, 1e-15, 1 - 1e-15)[:, None]
    table = np.exp(ways + k * np.log(p) + (n - k) * np.log1p(-p))
    table[share >= 1] = k == n
    table[:, 0] = 0.0
    table[share <= 0] = k == 0
    return np.asarray(table / table.sum(axis=1, keepdims=True))
