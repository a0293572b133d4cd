"""Collectives from tables like op_comm.csv: the measured times for interpolation, and a formula.

Two sets a device, stack and operation: ``OP:MODE`` holds the times of 16-bit messages, with the
error of interpolating the sizes kept back from the others; ``OP:MODE:formula`` the parameters
fitted to the others, with their error on those kept back. The newest version counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import FittedSet
from planner.lab.calibration.fit import assess
from planner.lab.calibration.problem import LEAST_ROWS, FitProblem, solve
from planner.lab.validation.cells import parse_int
from planner.lab.validation.op_comm import Collective, collectives
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows
from planner.throughput.forms.collective import (
    FORMULA,
    OPERATOR,
    PARAMETERS,
    collective_seconds,
    table_of,
)
from planner.throughput.silicon import Chip, chip

Array = NDArray[np.float64]
NARROW = ("bf16", "fp16")
"""Element types whose times are kept; sums of 1-byte elements are somewhat slower."""


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit of the formula for every device, stack and operation of ``rows``."""
    return [_problem(group, figures) for group, figures in _groups(rows, profiles)]


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set): a table and a formula for every operation."""
    out = []
    for group, figures in _groups(rows, profiles):
        formula = solve(_problem(group, figures))
        device = group.batch.device
        out += [(device, _table(group, figures, formula)), (device, formula)]
    return out


def _groups(rows: Rows, profiles: Profiles) -> list[tuple[Collective, Chip]]:
    newest: dict[tuple[str, ...], tuple[Collective, Chip]] = {}
    for group in collectives(rows, profiles)[0]:
        profile = group.batch.profile
        figures = chip(profile) if profile is not None else None
        if (
            figures is None
            or not group.stack
            or group.format not in NARROW
            or figures.link_bytes_per_s <= 0
            or int((~group.held_out).sum()) < LEAST_ROWS
        ):
            continue
        key = (group.batch.device, group.stack, group.variant)
        if key not in newest or _version(newest[key][0]) < _version(group):
            newest[key] = (group, figures)
    return list(newest.values())


def _version(group: Collective) -> tuple[int, ...]:
    return tuple(parse_int(p) for p in group.version.replace("rc", ".").split(".") if p.isdecimal())


def _problem(group: Collective, figures: Chip) -> FitProblem:
    link = figures.link_bytes_per_s
    return FitProblem(
        device=group.batch.device,
        operator=OPERATOR,
        stack=group.stack,
        software=group.version,
        variant=group.variant + FORMULA,
        parameters=PARAMETERS,
        predict=lambda p, i: collective_seconds(p, group.op, link, group.ranks[i], group.size[i]),
        measured=group.seconds,
        held_out=group.held_out,
        excluded=np.zeros(len(group.size), dtype=np.bool_),
        features=np.log(np.stack([group.ranks, group.size], axis=1)),
        starts=3,
    )


def _table(group: Collective, figures: Chip, formula: FittedSet) -> FittedSet:
    sizes = np.unique(group.size)
    columns: dict[str, tuple[float, ...]] = {"bytes": tuple(sizes.tolist())}
    left: dict[int, frozenset[float]] = {}
    for count in np.unique(group.ranks):
        here = group.ranks == count
        times = dict(zip(group.size[here].tolist(), group.seconds[here].tolist(), strict=True))
        columns[f"ranks_{int(count)}"] = tuple(times.get(s, 0.0) for s in sizes.tolist())
        left[int(count)] = frozenset(group.size[here & group.held_out].tolist())
    kept = table_of(group.op, columns, formula.parameters, figures.link_bytes_per_s, without=left)
    test = group.held_out
    error = assess(
        kept.seconds(group.ranks[test], group.size[test]),
        group.seconds[test],
        rows=int((~test).sum()),
    )
    return FittedSet(
        operator=OPERATOR,
        stack=group.stack,
        software=group.version,
        variant=group.variant,
        parameters={},
        table=columns,
        error=error,
        kind="measured",
        source="",
        date="",
        note="errors of sizes kept back, interpolated from the others",
    )
