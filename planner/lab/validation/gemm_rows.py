"""GEMM and quantise tables: formats, hold-out groups, and rows that are left out by rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.holdout import fold_of, held_out
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows, batches

Mask = NDArray[np.bool_]
Index = NDArray[np.int64]

FORMATS: Mapping[str, str] = {
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
    "fp8": "fp8-tensor",
    "fp8_block": "fp8-block",
    "nvfp4": "nvfp4",
    "mxfp4": "mxfp4",
    "int8_wo": "int8-w8a16",
    "int4_wo": "int4-w4a16",
    "w4a16_mxfp4": "mxfp4-w4a16",
    "w4a8_mxfp4_mxfp8": "mxfp4-w4a8",
    "mxfp8": "mxfp8",
    "w8a8": "int8-w8a8",
    "int8": "int8-w8a8",
    "sq": "int8-w8a8",
}
"""Names of the tables → scheme ids."""

UNALIGNED = "rows no multiple of 4 take another path"
HOST_BOUND = "bound by the host"
SLOWER_THAN_MORE = "slower than a row with more work"
SLOWER = 1.5
ANOTHER_KERNEL = "times do not follow the size"


def gemm_batches(
    rows: Rows,
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[Batch], list[int]]:
    """Rows by device, software and format; ``words`` holds the table's format."""
    return batches(rows, ("w_a_dtype",), ("m", "n", "k", "latency_us"), profiles=profiles)


def quantise_batches(
    rows: Rows,
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[Batch], list[int]]:
    """Rows by device, software and kernel; ``words`` holds compute_scale or scale_matrix."""
    return batches(rows, ("op",), ("m", "k", "latency_us"), profiles=profiles)


def gemm_held(batch: Batch) -> Mask:
    """Rows whose weight shape is kept back, bool [n]."""
    return _held(np.stack([batch.columns["n"], batch.columns["k"]]))


def quantise_held(batch: Batch) -> Mask:
    """Rows whose width is kept back, bool [n]."""
    return _held(batch.columns["k"][None])


def gemm_folds(batch: Batch) -> Index:
    """The fold of each row's weight shape, int [n]."""
    return _by_key(np.stack([batch.columns["n"], batch.columns["k"]]), fold_of)


def quantise_folds(batch: Batch) -> Index:
    """The fold of each row's width, int [n]."""
    return _by_key(batch.columns["k"][None], fold_of)


def _held(columns: NDArray[np.float64]) -> Mask:
    return _by_key(columns, held_out).astype(np.bool_)


def _by_key(columns: NDArray[np.float64], of: Callable[[str], int]) -> Index:
    """``of`` the key of each column of ``columns`` [c, n], int [n]."""
    shapes, place = np.unique(columns, axis=1, return_inverse=True)
    found = [of(",".join(str(int(v)) for v in shape)) for shape in shapes.T]
    return np.array(found, dtype=np.int64)[place.ravel()]


def gemm_excluded(batch: Batch, scheme: str) -> dict[str, Mask]:
    """Reason → rows of a fit's device and format that are no measure of its kernel, bool [n].

    Hopper's block-scaled and vLLM's FP8 kernels take 1.5–1.9 times as long at 257 rows as at 256,
    and longer than at 512; vLLM's block-scaled FP8 waits 55–150 µs for the host. Of the rest, rows
    that a larger product beats by far were disturbed.
    """
    m, stack, family = batch.columns["m"], batch.stack, _architecture(batch)
    found: dict[str, Mask] = {}
    if stack == "vllm" and scheme == "fp8-block":
        found[HOST_BOUND] = np.ones(len(m), dtype=np.bool_)
    elif family == "Hopper" and (
        scheme == "fp8-block" or (stack == "vllm" and scheme == "fp8-tensor")
    ):
        found[UNALIGNED] = (m > 16) & (m % 4 != 0)
    found[SLOWER_THAN_MORE] = _slower_than_more(batch)
    return {reason: mask for reason, mask in found.items() if mask.any()}


def _slower_than_more(batch: Batch) -> Mask:
    """Rows that take more than SLOWER times as long as one of at least their rows, outputs and
    inputs: the run was disturbed. bool [n]."""
    sizes = np.stack([batch.columns[name] for name in ("m", "n", "k")])
    seconds = batch.seconds
    found = np.zeros(len(seconds), dtype=np.bool_)
    order = np.argsort(seconds, kind="stable")
    for place, row in enumerate(order.tolist()):
        fast = order[:place][seconds[order[:place]] * SLOWER < seconds[row]]
        found[row] = bool((sizes[:, fast] >= sizes[:, [row]]).all(axis=0).any())
    return found


def quantise_excluded(batch: Batch) -> dict[str, Mask]:
    """Reason → rows, bool [n]: vLLM's ``compute_scale`` takes 3 µs for 134 MB as for one row."""
    if batch.stack == "vllm" and batch.words[0] == "compute_scale":
        return {ANOTHER_KERNEL: np.ones(len(batch.index), dtype=np.bool_)}
    return {}


def excluded_any(found: Mapping[str, Mask], count: int) -> Mask:
    """Rows that any rule leaves out, bool [count]."""
    mask = np.zeros(count, dtype=np.bool_)
    for rows in found.values():
        mask |= rows
    return mask


def _architecture(batch: Batch) -> str:
    return batch.profile.architecture if batch.profile is not None else ""
