"""Tables of linear-attention kernels against the calibrated forms, by kernel."""

from __future__ import annotations

import numpy as np

from planner.lab.validation.linear_attention_rows import DeltaRows, delta_kernels
from planner.lab.validation.op_rows import Z80, Rows, in_order, missing, predicted, regimes
from planner.lab.validation.records import Outcome
from planner.throughput.delta_kernels import kernel_of


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table with columns device, software, kernel, phase, batch, seq_len and the
    heads and widths of a gated delta net."""
    kernels, bad, unknown = delta_kernels(rows)
    return in_order(table, kernels, _kernel, bad, ((batch, batch.words[0]) for batch in unknown))


def _kernel(table: str, kernel: DeltaRows) -> list[Outcome]:
    batch = kernel.batch
    measured, name = batch.seconds, kernel.variant
    if batch.profile is None or not batch.stack:
        why = "unknown device" if batch.profile is None else "unknown engine"
        return missing(table, batch, why, format=name, measured=measured)
    model = kernel_of(batch.profile, [batch.stack], name)
    if model is None:
        return missing(table, batch, "not measured", format=name, measured=measured)
    figures, found, how = model
    held = kernel.held if how.basis == "fitted" else None
    return predicted(
        table,
        batch,
        format=name,
        measured=measured,
        seconds=kernel.predict(found.fit.parameters, figures),
        regimes=regimes(len(measured), how.basis, held, {}),
        spread=Z80 * np.float64(how.sigma),
        basis=f"{how.basis}: {how.origin}",
    )
