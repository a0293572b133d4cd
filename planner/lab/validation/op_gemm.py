"""Tables of GEMM times against the calibrated form, or the prior roofline where none is at hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.errors import UnsupportedError
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import DeviceProfile
from planner.lab.validation.gemm_rows import FORMATS, gemm_batches, gemm_excluded, gemm_held
from planner.lab.validation.ggml_rows import ggml_batches, ggml_outcomes, is_ggml
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
from planner.throughput.gemm import gemm_model
from planner.throughput.kernels import kernel
from planner.throughput.linear import BF16_BYTES
from planner.throughput.roofline import operator
from planner.throughput.torch_cpu import TorchCost, emulated, emulated_kernels

Array = NDArray[np.float64]
EMULATING = "vllm"
"""An engine whose FP8 products on CPUs are torch's own."""


def predict_rows(table: str, rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[Outcome]:
    """Predictions for a table with columns device, software, w_a_dtype, m, n, k, latency_us.

    ``profiles``: devices by the name that the table gives them; others are looked up.
    """
    listed = list(rows)
    found, bad = gemm_batches(listed, profiles)
    groups = [*(batch for batch in found if not is_ggml(batch)), *ggml_batches(listed, profiles)]
    return in_order(table, groups, _batch, bad)


def _batch(table: str, batch: Batch) -> list[Outcome]:
    if is_ggml(batch):
        return ggml_outcomes(table, batch)
    measured = batch.seconds
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
        return missing(table, batch, why, format=scheme, measured=measured)
    # Achieved fractions are of libraries, whichever engine calls them.
    model = gemm_model(batch.profile, scheme, [batch.stack]) if batch.stack else None
    m, n, k = (batch.columns[name] for name in ("m", "n", "k"))
    out_of_fit = gemm_excluded(batch, scheme)
    if model is not None:
        seconds = model.parts(m, n, k, cold=False).total()
        held = gemm_held(batch) if model.basis == "fitted" else None
        return predicted(
            table,
            batch,
            format=scheme,
            measured=measured,
            seconds=seconds,
            regimes=regimes(len(m), model.basis, held, out_of_fit),
            spread=Z80 * model.sigma,
            basis=f"{model.basis}: {model.origin}",
        )
    try:
        cost = emulated(EMULATING, batch.profile, scheme) if _plain(batch) else None
        seconds = _prior(batch.profile, scheme, cost, m, n, k)
    except UnsupportedError:
        return missing(table, batch, "not executable", format=scheme, measured=measured)
    return predicted(
        table,
        batch,
        format=scheme,
        measured=measured,
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
