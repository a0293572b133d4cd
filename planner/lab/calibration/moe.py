"""Fit the form of fused expert layers to tables like op_moe.csv.

The newest version of a kernel on a device counts. One with FEW or fewer expert shapes is fitted to
all of them, and once without each; one with more, once without each third of them (by the hash of
the shape). The errors are those of shapes that a fit did not see, and ``table`` keeps what each of
these fits found, so that a table can be scored without the shape being known. A kernel with one
shape keeps back expert layouts by the hash of "moe_tp,moe_ep", or numbers of tokens where that
would be all of them or none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import FittedSet
from planner.lab.calibration.fit import assess, fit
from planner.lab.calibration.problem import FitProblem, solve
from planner.lab.validation.moe_rows import SHAPE, MoeKernel, moe_kernels, newest
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows, fold
from planner.throughput.forms.moe import OPERATOR, parameters_of
from planner.throughput.silicon import Chip, chip

Index = NDArray[np.int64]
FEW = 5
"""Expert shapes that are left out one by one."""
BY_SHAPE = "errors of expert shapes left out in turn; parameters from all of them"
BY_THIRD = "errors of thirds of the expert shapes left out in turn; parameters from all of them"
BY_LAYOUT = "one expert shape; a third of its layouts (or of its numbers of tokens) kept back"


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit for every device, stack, kernel and format of ``rows``; ``held_out`` by layout."""
    return [_problem(kernel, figures) for kernel, figures in _kernels(rows, profiles)]


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack, kernel and format of ``rows``."""
    return [
        (kernel.batch.device, fit_kernel(kernel, figures))
        for kernel, figures in _kernels(rows, profiles)
    ]


def fit_kernel(kernel: MoeKernel, figures: Chip) -> FittedSet:
    """The set of one kernel, errors by cross-validation over its shapes where it has several."""
    problem = _problem(kernel, figures)
    shapes, kept = np.array(kernel.shapes), np.flatnonzero(kernel.included)
    every = np.unique(shapes[kept], axis=0)
    if len(every) < 2:
        return replace(solve(problem), note=BY_LAYOUT, table=_seen(every))
    groups = (
        thirds(kernel.shapes)
        if len(every) > FEW
        else (shapes[:, None] == every[None]).all(axis=2).argmax(axis=1)
    )
    predicted = np.zeros(len(shapes))
    fits = []
    for group in range(3 if len(every) > FEW else len(every)):
        here = groups[kept] == group
        fits.append(_fit(problem, kept[~here]))
        predicted[kept[here]] = problem.predict(fits[-1], kept[here])
    error = assess(predicted[kept], problem.measured[kept], rows=len(kept))
    folds = {name: tuple(parameters[name] for parameters in fits) for name in fits[0]}
    best = _fit(problem, kept)
    table = folds if len(every) > FEW else _seen(every) | folds
    return FittedSet(
        operator=OPERATOR,
        stack=problem.stack,
        software=problem.software,
        variant=problem.variant,
        parameters={p.name: best[p.name] for p in problem.parameters},
        table=table,
        error=error,
        kind="fitted",
        source="",
        date="",
        note=BY_THIRD if len(every) > FEW else BY_SHAPE,
    )


def thirds(shapes: Sequence[tuple[int, ...]]) -> Index:
    """Third 0 to 2 of each of ``shapes`` [n]."""
    return np.array([fold(",".join(map(str, shape))) for shape in shapes], dtype=np.int64)


def _seen(shapes: Index) -> dict[str, tuple[float, ...]]:
    """Shapes as columns of a set's table."""
    return {name: tuple(map(float, column)) for name, column in zip(SHAPE, shapes.T, strict=True)}


def _fit(problem: FitProblem, rows: Index) -> dict[str, float]:
    return fit(lambda p: problem.predict(p, rows), problem.measured[rows], problem.parameters)


def _kernels(rows: Rows, profiles: Profiles) -> list[tuple[MoeKernel, Chip]]:
    kernels = []
    for kernel in newest(moe_kernels(rows, profiles)[0]):
        profile = kernel.batch.profile
        figures = chip(profile) if profile is not None else None
        if figures is not None and kernel.batch.stack and kernel.computes(figures):
            kernels.append((kernel, figures))
    return kernels


def _problem(kernel: MoeKernel, figures: Chip) -> FitProblem:
    columns = kernel.batch.columns
    features = [np.log(columns[name]) for name in ("num_tokens", "moe_tp", "moe_ep", *SHAPE)]
    return FitProblem(
        device=kernel.batch.device,
        operator=OPERATOR,
        stack=kernel.batch.stack,
        software=kernel.batch.software.partition(" ")[2],
        variant=kernel.variant,
        parameters=parameters_of(kernel.variant),
        predict=lambda p, index: kernel.predict(p, figures, index=index),
        measured=kernel.seconds,
        held_out=kernel.held_out,
        excluded=~kernel.included,
        features=np.stack(features, axis=1),
        note=BY_LAYOUT,
    )
