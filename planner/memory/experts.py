"""Which routed experts stay in device memory, in host memory, or on a drive."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import InputError, UnsupportedError
from planner.models.inventory import patterns_of
from planner.models.spec import Experts, ModelSpec
from planner.placement.modules import EXPERT_KINDS
from planner.placement.tiers import Residency, Tier

Array = NDArray[np.float64]


def experts_of(spec: ModelSpec) -> Experts:
    """The experts of ``spec``. Raises UnsupportedError for a model without."""
    if spec.experts is None:
        raise UnsupportedError(
            f"{spec.id} has no routed experts",
            hint="`plan list models` lists the models; MoE ones have fewer active "
            "parameters than parameters",
        )
    return spec.experts


def expert_bytes(spec: ModelSpec) -> int:
    """Bytes of one routed expert of one layer as released, scales included [B]."""
    experts_of(spec)
    total = 0
    for row in spec.rows:
        if row.part == "main" and row.kind in EXPERT_KINDS:
            stored = sum(pattern.bytes for pattern in patterns_of(row))
            total += stored // (len(row.layers) * row.experts)
    return total


def always_on_bytes(spec: ModelSpec) -> int:
    """Bytes of the main model that every token passes: all but the routed experts [B]."""
    return sum(
        pattern.bytes
        for row in spec.rows
        if row.part == "main" and row.copy_of is None and row.kind not in EXPERT_KINDS
        for pattern in patterns_of(row)
    )


def place(
    popularity: Array,
    touched: Array,
    *,
    size: int,
    device_bytes: int,
    host_bytes: int | None,
    ranks: int = 1,
) -> Residency:
    """Hottest experts first into ``device_bytes`` of every rank, then into host memory.

    Args:
        popularity: probability that a token picks an expert, [layer, expert].
        touched: probability that a step touches it, [layer, expert].
        size: bytes of one expert [B]; all are alike.
        device_bytes: room for experts on one device [B].
        host_bytes: room for experts in host memory, all ranks together [B]; None for enough.

    For experts of one size and a fixed choice, keeping those most likely to be touched minimises
    the expected bytes fetched, because the sum over the others is smallest.

    Raises:
        InputError: a room is negative, or shapes differ.
    """
    if popularity.shape != touched.shape or size < 1 or ranks < 1:
        raise InputError(
            f"popularity {popularity.shape} and touched {touched.shape} of experts of {size} bytes",
            hint="both are [layer, expert]",
        )
    if device_bytes < 0 or (host_bytes is not None and host_bytes < 0):
        raise InputError(
            f"room of {min(device_bytes, host_bytes or 0)} bytes for experts",
            hint="the rest of the model leaves none; use more devices or memory",
        )
    count = popularity.size
    first = min(count, device_bytes // size * ranks)
    second = count if host_bytes is None else min(count, first + host_bytes // size)
    order = np.argsort(-touched, axis=None, kind="stable")
    hits, picks = touched.ravel()[order], popularity.ravel()[order]
    total_picks = float(picks.sum())

    def tier(low: int, high: int) -> Tier:
        return Tier(
            high - low, float(hits[low:high].sum()), float(picks[low:high].sum()) / total_picks
        )

    return Residency(size, ranks, tier(0, first), tier(first, second), tier(second, count))
