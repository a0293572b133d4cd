"""Tables of attention and MLA times against the calibrated kernels, or the prior roofline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile
from planner.lab.validation.attention_rows import (
    KernelRows,
    attention_kernels,
    branch,
    plain_work,
)
from planner.lab.validation.op_rows import (
    NO_PROFILES,
    PRIOR_SPREAD,
    Z80,
    Profiles,
    Rows,
    in_order,
    missing,
    predicted,
    regimes,
)
from planner.lab.validation.records import Outcome
from planner.throughput.attention_kernels import AttentionModel, kernel_model
from planner.throughput.roofline import operator

Array = NDArray[np.float64]
MICROSECOND = 1e-6


def predict_rows(table: str, rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[Outcome]:
    """Predictions for a table of prefill attention, decode attention or MLA.

    ``profiles``: devices by the name that the table gives them; others are looked up.
    """
    kernels, bad, unknown = attention_kernels(rows, profiles)
    return in_order(
        table, kernels, _kernel, bad, ((batch, "/".join(batch.words[:2])) for batch in unknown)
    )


def _kernel(table: str, kernel: KernelRows) -> list[Outcome]:
    batch, measured, name = kernel.batch, kernel.seconds, kernel.formats
    if batch.profile is None or batch.unknown:
        return missing(table, batch, batch.unknown, format=name)
    model = kernel_model(batch.profile, kernel.operator, kernel.formats, [batch.stack])
    words = np.array(kernel.reasons, dtype=object)
    excluded = {str(word): words == word for word in dict.fromkeys(kernel.reasons) if word}
    if model is not None:
        basis, held_out = model.certainty.basis, kernel.held_out
        seconds, sigma = _calibrated(kernel, model)
        return predicted(
            table,
            batch,
            format=name,
            seconds=seconds,
            regimes=regimes(
                len(measured), basis, held_out if basis == "fitted" else None, excluded
            ),
            spread=Z80 * sigma,
            basis=f"{basis}: {model.certainty.origin}",
        )
    seconds_or_none = _prior(batch.profile, kernel)
    if seconds_or_none is None:
        return missing(table, batch, "not executable", format=name)
    return predicted(
        table,
        batch,
        format=name,
        seconds=seconds_or_none,
        regimes=regimes(len(measured), "prior", None, excluded),
        spread=PRIOR_SPREAD,
        basis="prior: achieved fractions of attention kernels",
    )


def _calibrated(kernel: KernelRows, model: AttentionModel) -> tuple[Array, Array]:
    """(seconds, log-space standard deviation) of the rows [n]."""
    seconds = kernel.predict(model.parameters, model.chip)
    no = np.zeros(len(seconds), dtype=np.bool_)
    masks = {
        name: branch(kernel, name) if name in model.branches else no for name in ("window", "mha")
    }
    for name, mask in masks.items():
        if mask.any():
            own = kernel.predict(model.branches[name].parameters, model.chip)
            seconds = np.where(mask, own, seconds)
    return seconds, model.sigma(masks["window"], masks["mha"], len(seconds))


def _prior(device: DeviceProfile, kernel: KernelRows) -> Array | None:
    """Seconds by the achieved fractions of the device's attention kernels, None without BF16."""
    rate = device.rate("bf16")
    if rate is None:
        return None
    decode = kernel.operator.endswith("decode")
    reached = device.achieved["attention-decode" if decode else "attention-prefill"]
    heavy = device.achieved["attention-prefill"]
    flop, moved = plain_work(kernel)
    return operator(
        flop=flop,
        moved_bytes=moved,
        converted=np.zeros(1),
        launch=np.asarray(reached.floor_seconds.value),
        peak=np.asarray(rate.dense.value),
        compute_fraction=np.asarray(heavy.compute_fraction.value),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(reached.bandwidth_fraction.value),
        conversion_rate=np.asarray(np.inf),
    ).total()
