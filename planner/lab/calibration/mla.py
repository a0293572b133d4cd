"""Fit the forms of MLA to tables like op_mla.csv."""

from __future__ import annotations

from planner.hardware.profile import FittedSet
from planner.lab.calibration.attention import problems_of, solved
from planner.lab.calibration.problem import FitProblem
from planner.lab.validation.attention_rows import mla_kernels
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit for every device, stack and kernel of ``rows``."""
    return problems_of(mla_kernels(rows, profiles)[0])


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack and kernel of ``rows``."""
    return solved(problems(rows, profiles=profiles))
