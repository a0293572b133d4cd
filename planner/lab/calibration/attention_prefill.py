"""Fit the forms of prefill attention to tables like op_attn_context.csv."""

from __future__ import annotations

from planner.hardware.profile import FittedSet
from planner.lab.calibration.attention import problems_of, solved
from planner.lab.calibration.ggml_attention import prompts
from planner.lab.calibration.problem import FitProblem
from planner.lab.validation.attention_rows import prefill_kernels
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit for every device, stack and kernel of ``rows``."""
    return problems_of(prefill_kernels(rows, profiles)[0])


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack and kernel of ``rows``."""
    return solved(problems(rows, profiles=profiles)) + prompts(rows, profiles)
