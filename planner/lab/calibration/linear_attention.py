"""Fit the forms of gated delta nets to tables like op_linear_attention.csv."""

from __future__ import annotations

import numpy as np

from planner.hardware.profile import FittedSet
from planner.lab.calibration.problem import LEAST_ROWS, FitProblem, solve
from planner.lab.validation.op_linear_attention import DeltaRows, delta_kernels
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows
from planner.throughput.forms import delta
from planner.throughput.silicon import Chip, chip

FIXED_NOTE = "measured over the channels of the key heads; priced over all"


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit for every device, stack and kernel of ``rows`` with enough rows."""
    fits = []
    for kernel in delta_kernels(rows, profiles)[0]:
        profile = kernel.batch.profile
        figures = chip(profile) if profile is not None else None
        if (
            figures is None
            or not kernel.batch.stack
            or "bf16" not in figures.peaks
            or int((~kernel.held_out).sum()) < LEAST_ROWS
            or not kernel.held_out.any()
        ):
            continue
        fits.append(_problem(kernel, figures))
    return fits


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack and kernel of ``rows``."""
    return [(p.device, solve(p)) for p in problems(rows, profiles=profiles)]


def _problem(kernel: DeltaRows, figures: Chip) -> FitProblem:
    batch, variant = kernel.batch, kernel.variant
    names = ("batch", "seq_len", "k_heads", "v_heads")
    structure = {p.name: float(kernel.fused) for p in delta.STRUCTURE.get(variant, ())}
    return FitProblem(
        device=batch.device,
        operator=delta.OPERATOR,
        stack=batch.stack,
        software=batch.software.partition(" ")[2],
        variant=variant,
        parameters=(*delta.PARAMETERS[variant], *delta.STRUCTURE.get(variant, ())),
        predict=lambda p, index: kernel.predict(p, figures, index),
        measured=batch.seconds,
        held_out=kernel.held_out,
        excluded=np.zeros(len(kernel.held_out), dtype=np.bool_),
        features=np.log(np.stack([batch.columns[name] for name in names], axis=1)),
        fixed=delta.FUSED if kernel.fused else structure,
        known=structure,
        note=FIXED_NOTE if kernel.shape.channels else "",
    )
