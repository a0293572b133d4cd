"""Fit the form of kernels that narrow activations to tables like op_quantize.csv."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import FittedSet
from planner.lab.calibration.problem import FitProblem, solve
from planner.lab.validation.op_gemm import excluded_any, quantise_folds
from planner.lab.validation.op_quantize import quantise_batches, quantise_excluded, quantise_held
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.quantise import BYTES, PARAMETERS, quantise_parts
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Index = NDArray[np.int64]


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit for every device, stack and kernel of ``rows``."""
    fits = []
    for batch in quantise_batches(rows, profiles)[0]:
        variant = batch.words[0].replace("_", "-")
        if variant not in BYTES or batch.profile is None or not batch.stack:
            continue
        figures = chip(batch.profile)
        excluded = excluded_any(quantise_excluded(batch), len(batch.index))
        if figures is not None and not excluded.all():
            fits.append(_problem(batch, variant, figures, excluded))
    return fits


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack and kernel of ``rows``."""
    return [(p.device, solve(p)) for p in problems(rows, profiles=profiles)]


def _problem(batch: Batch, variant: str, figures: Chip, excluded: NDArray[np.bool_]) -> FitProblem:
    m, k = batch.columns["m"], batch.columns["k"]
    return FitProblem(
        device=batch.device,
        operator="quantise",
        stack=batch.stack,
        software=batch.software.partition(" ")[2],
        variant=variant,
        parameters=PARAMETERS,
        predict=_predictor(figures, variant, m, k),
        measured=batch.seconds,
        held_out=quantise_held(batch),
        folds=quantise_folds(batch),
        excluded=excluded,
        features=np.log(np.stack([m, k], axis=1)),
        starts=2,
    )


def _predictor(
    figures: Chip, variant: str, m: Array, k: Array
) -> Callable[[Parameters, Index], Array]:
    def predict(parameters: Parameters, index: Index) -> Array:
        return quantise_parts(
            parameters, figures, variant, m=m[index], k=k[index], cold=False
        ).total()

    return predict
