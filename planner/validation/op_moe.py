"""Rows of fused expert layers (``op_moe``): predicted from parameters that did not see their shape.

A kernel's set keeps, beside its own parameters, those fitted without each of its expert shapes: a
row of such a shape takes the latter and is ``held-out``, as is one of any other shape. A kernel
with one shape was fitted to two thirds of its expert layouts: those are ``fitted``. A kernel that
the device has no set of is ``transferred``: from its relative, from another kernel of the stack, or
from a lending stack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.errors import UnsupportedError
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.throughput.calibration import Calibration, find
from planner.throughput.forms.moe import OPERATOR
from planner.throughput.kernels import kernel as kernel_of
from planner.throughput.moe import find_kernel, scheme_rule
from planner.throughput.roofline import operator
from planner.throughput.silicon import Chip, chip
from planner.validation.moe_rows import SHAPE, MoeKernel, moe_kernels
from planner.validation.op_rows import (
    PRIOR_SPREAD,
    Z80,
    Rows,
    in_order,
    missing,
    predicted,
    regimes,
)
from planner.validation.records import Outcome

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def predict_rows(table: str, rows: Rows) -> list[Outcome]:
    """Predictions for a table like op_moe.csv."""
    kernels, unknown, bad = moe_kernels(rows)
    return in_order(table, kernels, _kernel, bad, ((batch, "") for batch in unknown))


def _kernel(table: str, kernel: MoeKernel) -> list[Outcome]:
    batch, device = kernel.batch, kernel.batch.profile
    why = "unknown device" if device is None else "" if batch.stack else "unknown engine"
    if why or device is None:
        return missing(table, batch, why, format=kernel.scheme, measured=kernel.seconds)
    figures = chip(device)
    found = _calibration(kernel, device) if figures is not None and kernel.computes(figures) \
        else None
    if figures is None or found is None:
        return _prior(table, kernel, device)
    calibration, lent = found
    seconds, held = _seconds(kernel, figures, calibration.fit)
    own = calibration.basis == "fitted" and not lent and calibration.fit.variant == kernel.variant
    basis = "fitted" if own else "transferred"
    return predicted(
        table, batch, format=kernel.scheme, measured=kernel.seconds, seconds=seconds,
        regimes=regimes(len(seconds), basis, held if own else None, kernel.excluded),
        spread=Z80 * float(np.hypot(calibration.sigma, lent)),
        basis=f"{basis}: {batch.stack} {calibration.fit.variant} on {calibration.origin}")


def _calibration(kernel: MoeKernel, device: DeviceProfile) -> tuple[Calibration, float] | None:
    """(the set for ``kernel``, the spread that another kernel or scheme adds), or None."""
    exact = find(device, OPERATOR, [kernel.batch.stack], [kernel.variant])
    if exact is not None:
        return exact, 0.0
    rule = scheme_rule(kernel.scheme)
    found = find_kernel(device, rule.variant, [kernel.batch.stack]) if rule is not None else None
    if found is None or rule is None:
        return None
    return found[0], float(np.hypot(max(found[1], rule.other_kernel), rule.extra))


def _seconds(kernel: MoeKernel, figures: Chip, fit: FittedSet) -> tuple[Array, Mask]:
    """(seconds [n], rows that the parameters used for them did not see)."""
    shapes = np.array(kernel.shapes, dtype=np.float64)
    seconds = kernel.predict(fit.parameters, figures, fit.variant)
    seen = np.stack([fit.table[name] for name in SHAPE], axis=1) if "hidden" in fit.table \
        else np.empty((0, len(SHAPE)))
    folds = next(iter(fit.parameters)) in fit.table
    unseen = np.ones(len(seconds), dtype=np.bool_)
    for i, shape in enumerate(seen):
        here = np.flatnonzero((shapes == shape).all(axis=1))
        if folds:
            without = {name: fit.table[name][i] for name in fit.parameters}
            seconds[here] = kernel.predict(without, figures, fit.variant, index=here)
        else:
            unseen[here] = kernel.held[here]
    return seconds, unseen


def _prior(table: str, kernel: MoeKernel, device: DeviceProfile) -> list[Outcome]:
    """Rows by the plain roofline of the scheme's kernel class."""
    batch, c = kernel.batch, kernel.batch.columns
    try:
        run = kernel_of(device, kernel.scheme, experts=True)
    except UnsupportedError:
        return missing(table, batch, "not executable", format=kernel.scheme,
                       measured=kernel.seconds)
    size = 3.0 * c["hidden"] * c["inter"] / c["moe_tp"]
    seconds = operator(
        flop=2.0 * kernel.load.pairs * size, converted=kernel.load.touched * size,
        moved_bytes=kernel.load.touched * size * kernel.weight_bytes,
        launch=np.asarray(run.floor_seconds), peak=np.asarray(run.peak_flop_per_s),
        compute_fraction=np.asarray(run.compute_fraction),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(run.bandwidth_fraction),
        conversion_rate=np.asarray(run.conversion_elements_per_s)).total()
    return predicted(table, batch, format=kernel.scheme, measured=kernel.seconds, seconds=seconds,
                     regimes=regimes(len(seconds), "prior", None, kernel.excluded),
                     spread=PRIOR_SPREAD, basis="prior: achieved fractions of the kernel class")
