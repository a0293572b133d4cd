"""Fit the GEMM form to tables like op_gemm.csv; rows of llama.cpp by :mod:`.ggml`,
of torch's emulated FP8 products by :mod:`.torch_cpu`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.hardware.profile import FittedSet
from planner.lab.calibration import ggml, quantise, torch_cpu
from planner.lab.calibration.problem import FitProblem, solve
from planner.lab.validation.op_gemm import (
    FORMATS,
    excluded_any,
    gemm_batches,
    gemm_excluded,
    gemm_folds,
    gemm_held,
)
from planner.lab.validation.op_rows import NO_PROFILES, Batch, Profiles, Rows
from planner.throughput.forms.base import Parameters
from planner.throughput.forms.gemm import (
    QUANTISE_LAUNCH,
    STRUCTURES,
    Mechanisms,
    Operands,
    gemm_form,
    gemm_parts,
    mechanisms,
    parameters_of,
)
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
Index = NDArray[np.int64]
FITTED = ("bf16", "fp8-tensor", "fp8-block", "nvfp4", "int8-w8a8", "int8-w8a16", "int4-w4a16")
"""Schemes with sets of their own; the others follow one of these."""
LAUNCH = {"fp8-tensor": 4e-6, "fp8-block": 4e-6, "nvfp4": 6e-6}
LAUNCH_ALONE = 3e-6
"""Where the search for a launch starts [s]; the latter where nothing is quantised before."""


def problems(
    rows: Rows, *, op_quantize: Rows = (), profiles: Profiles = NO_PROFILES
) -> list[FitProblem]:
    """One fit for every device, stack and scheme of ``rows``.

    ``op_quantize`` brings the launches of separate quantise kernels; without them they count as
    launches of the GEMM.
    """
    launches = _launches(quantise.problems(op_quantize, profiles=profiles))
    fits = []
    for batch in gemm_batches(rows, profiles)[0]:
        scheme = FORMATS.get(batch.words[0], "")
        if scheme in FITTED and batch.profile is not None and batch.stack:
            problem = _problem(batch, chip(batch.profile), scheme, launches)
            if problem is not None:
                fits.append(problem)
    return fits


def fit_tables(
    rows: Rows, *, op_quantize: Rows = (), profiles: Profiles = NO_PROFILES
) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack and scheme of ``rows``."""
    sets = [
        (p.device, solve(p)) for p in problems(rows, op_quantize=op_quantize, profiles=profiles)
    ]
    sets += torch_cpu.emulated_products(rows, profiles=profiles)
    return sets + ggml.fit_tables(rows, op_quantize=op_quantize, profiles=profiles)


def left_out(
    rows: Rows, *, op_quantize: Rows = (), profiles: Profiles = NO_PROFILES
) -> list[tuple[str, str]]:
    """(what, why) of rows that make no set of their own."""
    return ggml.left_out(rows, profiles=profiles, op_quantize=op_quantize)


def _launches(kernels: Sequence[FitProblem]) -> dict[tuple[str, str], float]:
    """(device, stack) → launches of both quantise kernels together [s]."""
    launches: dict[tuple[str, str], dict[str, float]] = {}
    for kernel in kernels:
        launch = solve(kernel).parameters["launch_seconds"]
        launches.setdefault((kernel.device, kernel.stack), {})[kernel.variant] = launch
    return {key: sum(both.values()) for key, both in launches.items() if len(both) > 1}


def _problem(
    batch: Batch, figures: Chip | None, scheme: str, launches: Mapping[tuple[str, str], float]
) -> FitProblem | None:
    record = scheme_by_id(scheme)
    if figures is None or record.compute not in figures.peaks:
        return None
    kind = mechanisms(batch.stack, scheme)
    excluded = excluded_any(gemm_excluded(batch, scheme), len(batch.index))
    if excluded.all():
        return None
    launch = LAUNCH.get(scheme, LAUNCH_ALONE)
    wanted = tuple(
        replace(p, start=launch) if p.name == "launch_seconds" else p
        for p in parameters_of(batch.stack, scheme)
    )
    fixed, note = {}, ""
    if kind.separate:
        seconds = launches.get((batch.device, batch.stack), 0.0)
        fixed[QUANTISE_LAUNCH.name] = seconds
        note = (
            f"{QUANTISE_LAUNCH.name} from the quantise kernels' own tables"
            if seconds
            else "no table of quantise kernels: their launches are in launch_seconds"
        )
    operands = Operands(
        record.compute, bits_per_element(record.weight) / 8, bits_per_element(record.activation) / 8
    )
    m, n, k = (batch.columns[name] for name in ("m", "n", "k"))
    return FitProblem(
        device=batch.device,
        operator="gemm",
        stack=batch.stack,
        software=batch.software.partition(" ")[2],
        variant=scheme,
        parameters=wanted,
        predict=_predictor(batch, figures, operands, kind),
        measured=batch.seconds,
        held_out=gemm_held(batch),
        folds=gemm_folds(batch),
        excluded=excluded,
        features=np.log(np.stack([m, n, k], axis=1)),
        fixed=fixed,
        starts=2,
        note=note,
        options=STRUCTURES,
    )


def _predictor(
    batch: Batch, figures: Chip, operands: Operands, kind: Mechanisms
) -> Callable[[Parameters, Index], Array]:
    m, n, k = (batch.columns[name] for name in ("m", "n", "k"))

    def predict(parameters: Parameters, index: Index) -> Array:
        form = gemm_form(parameters, figures, operands, kind)
        return gemm_parts(form, m=m[index], n=n[index], k=k[index], cold=False).total()

    return predict
