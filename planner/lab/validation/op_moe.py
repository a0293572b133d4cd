"""Rows of fused expert layers (``op_moe``): predicted from parameters that did not see their shape.

A kernel's set keeps, beside its own parameters, those fitted without each of its expert shapes, or
without each third of them: a row of such a shape takes the latter and is ``held-out``, as is one of
any other shape. A kernel with one shape was fitted to two thirds of its expert layouts: those are
``fitted``. Rows of another version than the one that was fitted are ``transferred``, as is a kernel
that the device has no set of: from its relative, from another kernel of the stack, or from a
lending stack, by what the loan was measured to miss by.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.base.errors import UnsupportedError
from planner.hardware.profile import DeviceProfile, FittedSet
from planner.lab.validation.moe_rows import SHAPE, MoeKernel, moe_kernels
from planner.lab.validation.op_rows import (
    NO_PROFILES,
    PRIOR_SPREAD,
    Z80,
    Profiles,
    Rows,
    fold,
    in_order,
    missing,
    predicted,
    regimes,
)
from planner.lab.validation.records import Outcome
from planner.throughput.calibration import fitted_set
from planner.throughput.forms.moe import OPERATOR
from planner.throughput.kernels import kernel as kernel_of
from planner.throughput.moe import scheme_rule
from planner.throughput.moe_choice import ExpertSource, PickedKernel, lowest_error_kernel
from planner.throughput.roofline import operator
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def predict_rows(table: str, rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[Outcome]:
    """Predictions for a table like op_moe.csv.

    ``profiles``: devices by the name that the table gives them; others are looked up.
    """
    kernels, unknown, bad = moe_kernels(rows, profiles)
    return in_order(table, kernels, _kernel, bad, ((batch, batch.words[1]) for batch in unknown))


def _kernel(table: str, kernel: MoeKernel) -> list[Outcome]:
    batch, device = kernel.batch, kernel.batch.profile
    if device is None or batch.unknown:
        return missing(table, batch, batch.unknown, format=kernel.scheme)
    figures = chip(device)
    calibration = (
        _calibration(kernel, device) if figures is not None and kernel.computes(figures) else None
    )
    if figures is None or calibration is None:
        return _prior(table, kernel, device)
    fit = calibration.calibration.fit
    seconds, held_out = _seconds(kernel, figures, fit)
    own = (
        calibration.calibration.basis == "fitted"
        and calibration.lent is None
        and fit.variant == kernel.variant
        and fit.software == batch.software.partition(" ")[2]
    )
    basis = "fitted" if own else "transferred"
    return predicted(
        table,
        batch,
        format=kernel.scheme,
        seconds=seconds * (calibration.lent.factor if calibration.lent is not None else 1.0),
        regimes=regimes(len(seconds), basis, held_out if own else None, kernel.excluded),
        spread=Z80 * calibration.sigma,
        basis=f"{basis}: {fit.stack} {fit.variant} on {calibration.calibration.origin}",
    )


def _calibration(kernel: MoeKernel, device: DeviceProfile) -> ExpertSource | None:
    """The set for ``kernel``: the device's own, else the surest of what resembles it."""
    stack, (name, _, scheme) = kernel.batch.stack, kernel.variant.partition(":")
    if (OPERATOR, stack, kernel.variant) in device.fitted:
        exact = fitted_set(device, OPERATOR, [stack], [kernel.variant])
        return None if exact is None else ExpertSource(exact, None, exact.sigma, "")
    rule = scheme_rule(scheme)
    return (
        None
        if rule is None
        else lowest_error_kernel(device, rule.variant, stack, PickedKernel(name))
    )


def _seconds(kernel: MoeKernel, figures: Chip, fit: FittedSet) -> tuple[Array, Mask]:
    """(seconds [n], rows that the parameters used for them did not see)."""
    seconds = kernel.predict(fit.parameters, figures, fit.variant)
    unseen = np.ones(len(seconds), dtype=np.bool_)
    folds = next(iter(fit.parameters)) in fit.table
    groups = _groups(kernel, fit, folds=folds)
    for i in np.unique(groups[groups >= 0]).tolist():
        here = np.flatnonzero(groups == i)
        if folds:
            without = {name: fit.table[name][i] for name in fit.parameters}
            seconds[here] = kernel.predict(without, figures, fit.variant, index=here)
        else:
            unseen[here] = kernel.held_out[here]
    return seconds, unseen


def _groups(kernel: MoeKernel, fit: FittedSet, *, folds: bool) -> NDArray[np.int64]:
    """Which of the set's fits left the shape of each row out [n], by shape or third; -1: all."""
    if "hidden" not in fit.table:
        return np.array(
            [fold(",".join(map(str, shape))) if folds else -1 for shape in kernel.shapes],
            dtype=np.int64,
        )
    shapes = np.array(kernel.shapes, dtype=np.float64)
    seen = np.stack([fit.table[name] for name in SHAPE], axis=1)
    same = (shapes[:, None] == seen[None]).all(axis=2)
    return np.asarray(np.where(same.any(axis=1), same.argmax(axis=1), -1), dtype=np.int64)


def _prior(table: str, kernel: MoeKernel, device: DeviceProfile) -> list[Outcome]:
    """Rows by the plain roofline of the scheme's kernel class."""
    batch, c = kernel.batch, kernel.batch.columns
    try:
        run = kernel_of(device, kernel.scheme, experts=True)
    except UnsupportedError:
        return missing(table, batch, "not executable", format=kernel.scheme)
    size = 3.0 * c["hidden"] * c["inter"] / c["moe_tp"]
    seconds = operator(
        flop=2.0 * kernel.load.pairs * size,
        converted=kernel.load.touched * size,
        moved_bytes=kernel.load.touched * size * kernel.weight_bytes,
        launch=np.asarray(run.floor_seconds),
        peak=np.asarray(run.peak_flop_per_s),
        compute_fraction=np.asarray(run.compute_fraction),
        bandwidth=device.bandwidth_bytes_per_s.value,
        bandwidth_fraction=np.asarray(run.bandwidth_fraction),
        conversion_rate=np.asarray(run.conversion_elements_per_s),
    ).total()
    return predicted(
        table,
        batch,
        format=kernel.scheme,
        seconds=seconds,
        regimes=regimes(len(seconds), "prior", None, kernel.excluded),
        spread=PRIOR_SPREAD,
        basis="prior: achieved fractions of the kernel class",
    )
