"""Fit expert dispatch and combine to tables like op_moe_a2a.csv.

Groups across nodes have sets of their own with the network's share, from tables that may be of
another version. They come from rows in one node of that version too, where there are any.
"""

from __future__ import annotations

import numpy as np

from planner.hardware.profile import DeviceProfile, FittedSet
from planner.lab.calibration.problem import FitProblem, solve
from planner.lab.validation.op_moe_a2a import Dispatch, dispatches
from planner.lab.validation.op_rows import NO_PROFILES, Profiles, Rows
from planner.throughput.forms.dispatch import OPERATOR, parameters_of

LEAST = 16


def problems(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[FitProblem]:
    """One fit for every device, stack, backend, phase and element type of ``rows``; the version
    with most rows counts."""
    most: dict[tuple[str, ...], FitProblem] = {}
    for group in dispatches(rows, profiles)[0]:
        device = group.batch.profile
        if (
            device is None
            or not group.batch.stack
            or device.links.scale_up_bytes_per_s is None
            or not group.held_out.any()
            or int((~group.held_out).sum()) < LEAST
        ):
            continue
        key = (device.id, group.batch.stack, group.variant)
        problem = _problem(group, device)
        if key not in most or len(most[key].measured) < len(problem.measured):
            most[key] = problem
    return list(most.values())


def fit_tables(rows: Rows, *, profiles: Profiles = NO_PROFILES) -> list[tuple[str, FittedSet]]:
    """(device, fitted set) for every device, stack, backend, phase and element type of ``rows``."""
    return [(p.device, solve(p)) for p in problems(rows, profiles=profiles)]


def _problem(group: Dispatch, device: DeviceProfile) -> FitProblem:
    c = group.batch.columns
    features = [
        np.log(c[name]) for name in ("num_tokens", "hidden_size", "topk", "num_experts", "node_num")
    ]
    return FitProblem(
        device=device.id,
        operator=OPERATOR,
        stack=group.batch.stack,
        software=group.batch.software.partition(" ")[2],
        variant=group.variant,
        parameters=parameters_of(group.variant),
        predict=lambda p, i: group.predict(p, group.variant, device, i),
        measured=group.seconds,
        held_out=group.held_out,
        excluded=np.zeros(len(group.held_out), dtype=np.bool_),
        features=np.stack(features, axis=1),
        starts=3,
    )
