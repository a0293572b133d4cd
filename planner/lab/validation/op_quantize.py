"""Tables of quantise kernels against the calibrated form."""

from __future__ import annotations

import numpy as np

from planner.lab.validation.op_gemm import ANOTHER_KERNEL, Mask, _mask_held_out
from planner.lab.validation.op_rows import (
    NO_PROFILES,
    PRIOR_SPREAD,
    Z80,
    Batch,
    Profiles,
    Rows,
    batches,
    in_order,
    missing,
    predicted,
    regimes,
)
from planner.lab.validation.records import Outcome
from planner.throughput.forms.quantise import BYTES
from planner.throughput.quantise import quantise_model


def predict_rows(table: str, rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[Outcome]:
    """Predictions for a table with columns device, software, op, quant_dtype, m, k, latency_us.

    ``profiles``: devices by the name that the table gives them; others are looked up.
    """
    parsed, bad = quantise_batches(rows, profiles)
    return in_order(table, parsed, _batch, bad)


def _batch(table: str, batch: Batch) -> list[Outcome]:
    variant = batch.words[0].lower().replace("_", "-")
    why = (
        "unknown device"
        if batch.profile is None
        else "quantity not predicted"
        if variant not in BYTES
        else "unknown engine"
        if not batch.stack
        else ""
    )
    if why or batch.profile is None:
        return missing(table, batch, why, format=variant)
    model = quantise_model(batch.profile, variant, [batch.stack])
    m, k = batch.columns["m"], batch.columns["k"]
    held_out = quantise_held(batch) if model.basis == "fitted" else None
    return predicted(
        table,
        batch,
        format=variant,
        seconds=model.parts(m, k, cold=False).total(),
        regimes=regimes(len(m), model.basis, held_out, quantise_excluded(batch)),
        spread=Z80 * model.sigma if model.sigma else PRIOR_SPREAD,
        basis=f"{model.basis}: {model.origin}",
    )


def quantise_batches(
    rows: Rows,
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[Batch], list[int]]:
    """Rows by device, software and kernel; ``words`` holds compute_scale or scale_matrix."""
    return batches(rows, ("op",), ("m", "k", "latency_us"), profiles=profiles)


def quantise_held(batch: Batch) -> Mask:
    """Rows whose width is kept back, bool [n]."""
    return _mask_held_out(batch.columns["k"][None])


def quantise_excluded(batch: Batch) -> dict[str, Mask]:
    """Reason → rows, bool [n]: vLLM's ``compute_scale`` takes 3 µs for 134 MB as for one row."""
    if batch.stack == "vllm" and batch.words[0] == "compute_scale":
        return {ANOTHER_KERNEL: np.ones(len(batch.index), dtype=np.bool_)}
    return {}
