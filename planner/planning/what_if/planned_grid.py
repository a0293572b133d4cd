"""``planner.what_if``: the answers around a plan, each planned as a single question would be."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from shlex import quote

from planner.base.errors import InputError
from planner.planning.plan.deployment import AGGREGATED
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import milliseconds
from planner.planning.question.input import THROUGHPUT, QuestionInput
from planner.planning.question.scenario import Scenario
from planner.planning.what_if.around import Around
from planner.planning.what_if.axes import checked_axes
from planner.planning.what_if.grid import Grid
from planner.planning.what_if.grid_axes import OWN, Axis
from planner.planning.what_if.grid_points import point_of_plan
from planner.planning.what_if.run import GridTask, GridWork, Pooled, answer_points
from planner.throughput.calibration import ANY_ENGINE


def grid_around(inputs: QuestionInput, base: Plan, values: Sequence[str], work: GridWork) -> Grid:
    """The grid of a question around its plan; ``values`` are those named for its axes.

    Raises:
        InputError: a value out of range, or more points than a page can hold.
    """
    if (workers := work.workers) is not None and workers < 1:
        raise InputError(f"workers = {workers} is out of range", hint="at least 1; 1 is this one")
    around = Around.of(inputs, base)
    axes = checked_axes(around, base, values)
    pooled = None if base.deployment is None else Pooled(inputs.on_engine_of(base), base)
    task = GridTask(around, base, axes, pooled, _command(around.inputs, base.objective, axes))
    points, pools = answer_points(task, work)
    grid = Grid(task.command, axes, points, pools)
    at = grid.base  # the plan itself, which keeps what was chosen for reasons beside the figures
    return replace(grid, points=(*points[:at], point_of_plan(base), *points[at + 1 :]))


def _command(inputs: QuestionInput, objective: str, axes: Sequence[Axis]) -> str:
    """The command that asks the question, without what the axes vary; what
    is searched is exact."""
    searched = any(a.name == "schemes" and a.values[a.base] != OWN for a in axes)
    scenario, dropped = inputs.scenario, inputs.drop_policies
    flags = {
        "objective": None if objective == THROUGHPUT else objective,
        "mode": _mode(inputs),
        "ttft-ms": None if inputs.ttft_seconds is None else milliseconds(inputs.ttft_seconds),
        "e2e-ms": None if inputs.e2e_seconds is None else milliseconds(inputs.e2e_seconds),
        "tp": inputs.tp,
        "dp": inputs.dp,
        "pp": inputs.pp,
        "ep": inputs.ep,
        "memory-bytes": inputs.memory_bytes,
        "slots": inputs.slots,
        "scenario": scenario.id if isinstance(scenario, Scenario) else scenario,
        "profile": inputs.profile if isinstance(inputs.profile, str) else None,
        "imatrix": None if inputs.imatrix is None else os.fspath(inputs.imatrix),
        "hardware-dir": inputs.hardware_dir,
        "drop-policies": ",".join(dropped) if dropped else None,
    }
    names = [getattr(n, "id", n) for n in (inputs.model, inputs.device) if n is not None]
    return " ".join(
        [
            "plan",
            *(quote(str(name)) for name in names),
            *(
                f"--{name} {quote(str(value))}"
                for name, value in flags.items()
                if value is not None
            ),
            *(["--untie"] if inputs.untie else []),
            *(["--no-learned"] if inputs.no_learned else []),
            *(["--exact"] if inputs.exact or searched else []),
        ]
    )


def _mode(inputs: QuestionInput) -> str | None:
    """Positions are of workers that do both: the command says so where an engine might serve
    pools."""
    return None if inputs.requested_engine == ANY_ENGINE else AGGREGATED
