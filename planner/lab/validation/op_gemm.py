"""GEMM and quantise tables: formats, hold-out groups, and rows that are left out by rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile
from planner.lab.validation.op_rows import (
    NO_PROFILES,
    PRIOR_SPREAD,
    Z80,
    Batch,
    Profiles,
    Rows,
    batches,
    fold_of,
    in_order,
    is_held_out,
    missing,
    predicted,
    regimes,
)
from planner.lab.validation.records import Outcome
from planner.throughput.gemm import gemm_model
from planner.throughput.ggml import cpu_unit, ggml_certainty, ggml_kernel, on_cpu
from planner.throughput.ggml_fitted import certainty_of
from planner.throughput.ggml_times import GgmlArrays, as_arrays, ggml_parts
from planner.throughput.kernels import kernel
from planner.throughput.linear import BF16_BYTES
from planner.throughput.roofline import operator
from planner.throughput.torch_cpu import TorchCost, emulated, emulated_kernels

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


def gemm_held(batch: Batch) -> Mask:
    """Rows whose weight shape is kept back, bool [n]."""
    return _mask_held_out(np.stack([batch.columns["n"], batch.columns["k"]]))


def gemm_folds(batch: Batch) -> Index:
    """The fold of each row's weight shape, int [n]."""
    return _by_key(np.stack([batch.columns["n"], batch.columns["k"]]), fold_of)


def quantise_folds(batch: Batch) -> Index:
    """The fold of each row's width, int [n]."""
    return _by_key(batch.columns["k"][None], fold_of)


def _mask_held_out(columns: NDArray[np.float64]) -> Mask:
    return _by_key(columns, is_held_out).astype(np.bool_)


def _by_key(columns: NDArray[np.float64], of: Callable[[str], int]) -> Index:
    """``of`` the key of each column of ``columns`` [c, n], int [n]."""
    shapes, place = np.unique(columns, axis=1, return_inverse=True)
    flags = [of(",".join(str(int(v)) for v in shape)) for shape in shapes.T]
    return np.array(flags, dtype=np.int64)[place.ravel()]


def gemm_excluded(batch: Batch, scheme: str) -> dict[str, Mask]:
    """Reason → rows of a fit's device and format that are no measure of its kernel, bool [n].

    Hopper's block-scaled and vLLM's FP8 kernels take 1.5–1.9 times as long at 257 rows as at 256,
    and longer than at 512; vLLM's block-scaled FP8 waits 55–150 µs for the host. Of the rest, rows
    that a larger product beats by far were disturbed.
    """
    m, stack, family = batch.columns["m"], batch.stack, _architecture(batch)
    masks: dict[str, Mask] = {}
    if stack == "vllm" and scheme == "fp8-block":
        masks[HOST_BOUND] = np.ones(len(m), dtype=np.bool_)
    elif family == "Hopper" and (
        scheme == "fp8-block" or (stack == "vllm" and scheme == "fp8-tensor")
    ):
        masks[UNALIGNED] = (m > 16) & (m % 4 != 0)
    masks[SLOWER_THAN_MORE] = _slower_than_more(batch)
    return {reason: mask for reason, mask in masks.items() if mask.any()}


def _slower_than_more(batch: Batch) -> Mask:
    """Rows that take more than SLOWER times as long as one of at least their rows, outputs and
    inputs: the run was disturbed. bool [n]."""
    sizes = np.stack([batch.columns[name] for name in ("m", "n", "k")])
    seconds = batch.seconds
    slower = np.zeros(len(seconds), dtype=np.bool_)
    order = np.argsort(seconds, kind="stable")
    for place, row in enumerate(order.tolist()):
        fast = order[:place][seconds[order[:place]] * SLOWER < seconds[row]]
        slower[row] = bool((sizes[:, fast] >= sizes[:, [row]]).all(axis=0).any())
    return slower


def excluded_any(masks: Mapping[str, Mask], count: int) -> Mask:
    """Rows that any rule leaves out, bool [count]."""
    mask = np.zeros(count, dtype=np.bool_)
    for rows in masks.values():
        mask |= rows
    return mask


def _architecture(batch: Batch) -> str:
    return batch.profile.architecture if batch.profile is not None else ""


Array = NDArray[np.float64]
EMULATING = "vllm"
"""An engine whose FP8 products on CPUs are torch's own."""


def predict_rows(table: str, rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[Outcome]:
    """Predictions for a table with columns device, software, w_a_dtype, m, n, k, latency_us.

    ``profiles``: devices by the name that the table gives them; others are looked up.
    """
    listed = list(rows)
    parsed, bad = gemm_batches(listed, profiles)
    groups = [*(batch for batch in parsed if not is_ggml(batch)), *ggml_batches(listed, profiles)]
    return in_order(table, groups, _batch, bad)


def _batch(table: str, batch: Batch) -> list[Outcome]:
    if is_ggml(batch):
        return ggml_outcomes(table, batch)
    scheme = FORMATS.get(batch.words[0].lower(), "")
    why = (
        "unknown device"
        if batch.profile is None
        else "unknown format"
        if not scheme
        else ""
        if batch.stack or batch.profile.kind == "cpu" or _plain(batch)
        else "unknown engine"
    )
    if why or batch.profile is None:
        return missing(table, batch, why, format=scheme)
    # Achieved fractions are of libraries, whichever engine calls them.
    model = gemm_model(batch.profile, scheme, [batch.stack]) if batch.stack else None
    m, n, k = (batch.columns[name] for name in ("m", "n", "k"))
    out_of_fit = gemm_excluded(batch, scheme)
    if model is not None:
        seconds = model.parts(m, n, k, cold=False).total()
        held_out = gemm_held(batch) if model.basis == "fitted" else None
        return predicted(
            table,
            batch,
            format=scheme,
            seconds=seconds,
            regimes=regimes(len(m), model.basis, held_out, out_of_fit),
            spread=Z80 * model.sigma,
            basis=f"{model.basis}: {model.origin}",
        )
    try:
        cost = emulated(EMULATING, batch.profile, scheme) if _plain(batch) else None
        seconds = _prior(batch.profile, scheme, cost, m, n, k)
    except UnsupportedError:
        return missing(table, batch, "not executable", format=scheme)
    return predicted(
        table,
        batch,
        format=scheme,
        seconds=seconds,
        regimes=regimes(len(m), "prior", None, out_of_fit),
        spread=PRIOR_SPREAD if cost is None else Z80 * cost.certainty.sigma,
        basis="prior: achieved fractions of the kernel class"
        if cost is None
        else f"{cost.certainty.basis}: {cost.certainty.origin}",
    )


def _plain(batch: Batch) -> bool:
    """Whether the rows are of torch's own products, as ``plan measure`` times them."""
    return batch.software.lower().startswith("torch ")


def _prior(
    device: DeviceProfile, scheme: str, cost: TorchCost | None, m: Array, n: Array, k: Array
) -> Array:
    """Seconds by the plain roofline of the scheme's kernel class, or of an emulated product."""
    run = emulated_kernels([kernel(device, scheme)], [cost], device)[0]
    moved = (
        n * k * bits_per_element(scheme_by_id(scheme).weight) / 8
        + m * k * run.activation_bytes
        + BF16_BYTES * m * n
    )
    return operator(
        flop=2 * m * n * k,
        moved_bytes=moved,
        converted=n * k,
        launch=np.asarray(run.floor_seconds),
        peak=np.asarray(run.peak_flop_per_s),
        compute_fraction=np.asarray(run.compute_fraction),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(run.bandwidth_fraction),
        conversion_rate=np.asarray(run.conversion_elements_per_s),
    ).total()


STACK, CACHED = "llama.cpp", "mul_mat_cached"
PLAIN = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}


def is_ggml(batch: Batch) -> bool:
    """Whether rows are of llama.cpp."""
    return batch.software.lower().startswith(STACK)


def ggml_batches(rows: Rows, profiles: Profiles) -> list[Batch]:
    """Rows of llama.cpp by device, version, type and kernel."""
    parsed = batches(
        rows, ("w_a_dtype", "kernel"), ("m", "n", "k", "latency_us"), profiles=profiles
    )[0]
    return [batch for batch in parsed if is_ggml(batch)]


def ggml_outcomes(table: str, batch: Batch) -> list[Outcome]:
    """Predictions of rows of one type, whose weights a cache holds or memory."""
    name, measured = batch.words[0].lower(), batch.seconds
    scheme = PLAIN.get(name, name if name.startswith("ggml-") else f"ggml-{name}")
    device = batch.profile
    why = (
        "unknown device"
        if device is None
        else "unknown format"
        if scheme not in SCHEMES
        else ""
        if on_cpu(device)
        and (unit := cpu_unit(device)) is not None
        and scheme in unit[1]["products"]
        else "not executable"
    )
    if why or device is None:
        return missing(table, batch, why, format=scheme)
    m, n, k = (batch.columns[key][:, None] for key in ("m", "n", "k"))
    stored_bytes = n * k * bits_per_element(scheme_by_id(scheme).weight) / 8
    kernels = GgmlArrays(
        np.zeros(1, dtype=np.int64), False, as_arrays([ggml_kernel(device, scheme, experts=False)])
    )
    parts = ggml_parts(
        kernels,
        rows=m,
        judged=m,
        matrices=np.ones_like(m),
        outputs=n,
        inputs=k,
        stored=np.zeros_like(stored_bytes) if batch.words[1] == CACHED else stored_bytes,
        kinds=1,
    )
    how = certainty_of(device, scheme, ggml_certainty(device))
    return predicted(
        table,
        batch,
        format=scheme,
        seconds=np.asarray(parts.total()[:, 0]),
        regimes=[how.basis] * len(measured),
        spread=Z80 * how.sigma,
        basis=f"{how.basis}: {how.origin}",
    )
