"""Tables of quantise kernels against the calibrated form."""

from __future__ import annotations

from planner.lab.validation.gemm_rows import quantise_batches, quantise_excluded, quantise_held
from planner.lab.validation.op_rows import (
    NO_PROFILES,
    PRIOR_SPREAD,
    Z80,
    Batch,
    Profiles,
    Rows,
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
    found, bad = quantise_batches(rows, profiles)
    return in_order(table, found, _batch, bad)


def _batch(table: str, batch: Batch) -> list[Outcome]:
    measured = batch.seconds
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
        return missing(table, batch, why, format=variant, measured=measured)
    model = quantise_model(batch.profile, variant, [batch.stack])
    m, k = batch.columns["m"], batch.columns["k"]
    held = quantise_held(batch) if model.basis == "fitted" else None
    return predicted(
        table,
        batch,
        format=variant,
        measured=measured,
        seconds=model.parts(m, k, cold=False).total(),
        regimes=regimes(len(m), model.basis, held, quantise_excluded(batch)),
        spread=Z80 * model.sigma if model.sigma else PRIOR_SPREAD,
        basis=f"{model.basis}: {model.origin}",
    )
