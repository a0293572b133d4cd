"""Linear-attention tables as groups of one kernel: variants, hold-out, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.lab.validation.op_rows import (
    NO_PROFILES,
    Z80,
    Batch,
    Profiles,
    Rows,
    batches,
    in_order,
    is_held_out,
    missing,
    predicted,
    regimes,
)
from planner.lab.validation.records import Outcome
from planner.throughput.delta_kernels import kernel_of
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.delta import DeltaShape, delta_parts
from planner.throughput.silicon import Chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

VARIANTS = {
    "causal_conv1d_update": "conv-decode",
    "causal_conv1d_fn": "conv-prefill",
    "fused_recurrent_gated_delta_rule": "recurrent",
    "fused_recurrent_gated_delta_rule_packed_decode": "recurrent",
    "chunk_gated_delta_rule": "chunk",
    "chunk_gated_delta_rule_flashinfer": "chunk",
}
"""Kernels of the tables → variants of the operator."""
FUSED = ("chunk_gated_delta_rule_flashinfer",)
FIXED_CHANNELS = ("trtllm",)
"""Stacks whose convolution was measured over the key heads' width, whatever the value heads: its
time at 65,536 tokens is the same for 16 to 64 value heads."""
NUMBERS = ("batch", "seq_len", "d_conv", "k_heads", "k_dim", "v_heads", "v_dim", "latency_us")


@dataclass(frozen=True)
class DeltaRows:
    """Rows of one kernel on one device and stack; ``held_out`` [n] rows are kept from the fit."""

    variant: str
    fused: bool
    batch: Batch
    held_out: Mask

    @property
    def shape(self) -> DeltaShape:
        """What the rows compute; widths are those of the first row."""
        c = self.batch.columns
        fixed = self.batch.stack in FIXED_CHANNELS and self.variant.startswith("conv")
        return DeltaShape(
            c["batch"],
            c["seq_len"],
            c["k_heads"],
            c["v_heads"],
            float(c["k_dim"][0]),
            float(c["v_dim"][0]),
            width=float(c["d_conv"][0]),
            channels=float(c["k_heads"][0] * c["k_dim"][0]) if fixed else 0.0,
        )

    def predict(
        self, parameters: Parameters, chip: Chip, index: NDArray[np.int64] | None = None
    ) -> Array:
        """Seconds [n] of the rows (at ``index``), with L2 as warm as in the tables."""
        rows = self
        if index is not None:
            mask = np.zeros(len(self.held_out), dtype=np.bool_)
            mask[index] = True
            rows = DeltaRows(self.variant, self.fused, self.batch.take(mask), self.held_out[mask])
        return delta_parts(parameters, chip, self.variant, rows.shape, cold=False).total()


def delta_kernels(
    rows: Rows,
    profiles: Profiles = NO_PROFILES,
) -> tuple[list[DeltaRows], list[int], list[Batch]]:
    """(kernels of a linear-attention table, malformed rows, groups of unknown kernels)."""
    parsed, bad = batches(rows, ("kernel",), NUMBERS, profiles=profiles)
    kernels, unknown = [], []
    for batch in parsed:
        variant = VARIANTS.get(batch.words[0], "")
        if not variant:
            unknown.append(batch)
            continue
        for part in _of_one_width(batch):
            kernels.append(DeltaRows(variant, batch.words[0] in FUSED, part, _held_out(part)))
    return kernels, bad, unknown


def _of_one_width(batch: Batch) -> list[Batch]:
    """The rows by head widths, and of a stack with fixed channels by key heads."""
    names = ["d_conv", "k_dim", "v_dim"]
    if batch.stack in FIXED_CHANNELS:
        names.append("k_heads")
    widths = np.stack([batch.columns[name] for name in names])
    every = np.unique(widths, axis=1).T
    return [batch.take((widths == width[:, None]).all(axis=0)) for width in every]


def _held_out(batch: Batch) -> Mask:
    columns: Sequence[list[int]] = [
        batch.columns[name].astype(np.int64).tolist() for name in ("k_heads", "v_heads")
    ]
    return np.array(
        [is_held_out(f"{k},{v}") for k, v in zip(*columns, strict=True)], dtype=np.bool_
    )


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table with columns device, software, kernel, phase, batch, seq_len and the
    heads and widths of a gated delta net."""
    kernels, bad, unknown = delta_kernels(rows)
    return in_order(table, kernels, _kernel, bad, ((batch, batch.words[0]) for batch in unknown))


def _kernel(table: str, kernel: DeltaRows) -> list[Outcome]:
    batch = kernel.batch
    measured, name = batch.seconds, kernel.variant
    if batch.profile is None or batch.unknown:
        return missing(table, batch, batch.unknown, format=name)
    model = kernel_of(batch.profile, [batch.stack], name)
    if model is None:
        return missing(table, batch, "not measured", format=name)
    figures, calibration, how = model
    held_out = kernel.held_out if how.basis == "fitted" else None
    return predicted(
        table,
        batch,
        format=name,
        seconds=kernel.predict(calibration.fit.parameters, figures),
        regimes=regimes(len(measured), how.basis, held_out, {}),
        spread=Z80 * np.float64(how.sigma),
        basis=f"{how.basis}: {how.origin}",
    )
