"""``planner.what_if``: the answers around a plan, each planned as a single question would be."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from shlex import quote
from typing import Literal

from planner.errors import InputError
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.planning.plan.deployment import AGGREGATED
from planner.planning.plan.record import Plan
from planner.planning.question.given_values import milliseconds
from planner.planning.question.input import AUTO, ENGINES, THROUGHPUT, QuestionInput
from planner.planning.question.scenarios import Scenario
from planner.planning.whatif.around import Around
from planner.planning.whatif.axes import checked_axes
from planner.planning.whatif.grid import Grid
from planner.planning.whatif.run import GridTask, GridWork, Pooled, Progress, answered, nothing
from planner.quality.profile import Profile
from planner.shown import with_former_keywords
from planner.throughput.calibration import ANY_ENGINE
from planner.typed import typed
from planner.workloads import NamedWorkload


@with_former_keywords(told="notify")
@typed
def what_if(
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    *,
    base: Plan,
    grid: Sequence[str] = (),
    workers: int | None = None,
    journal: str | os.PathLike[str] | None = None,
    resume: bool = True,
    progress: Progress = nothing,
    notify: Callable[[str], None] = nothing,
    devices: int | None = None,
    tp: int | None = None,
    dp: int | None = None,
    pp: int | None = None,
    ep: int | None = None,
    context: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    batch: int | None = None,
    workload: str | NamedWorkload | None = None,
    prefix_hit_rate: float | None = None,
    slots: str | None = None,
    objective: str = THROUGHPUT,
    ttft_seconds: float | None = None,
    tpot_seconds: float | Literal["none"] | None = None,
    max_loss: str | float | None = None,
    schemes: Sequence[str] | None = None,
    kv: str = AUTO,
    memory_bytes: int | None = None,
    engine: str = ENGINES,
    scenario: str | Scenario | None = None,
    profile: str | Profile | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    untie: bool = False,
    drop_policies: Sequence[str] | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Grid:
    """Plan every combination of requests, context, batch, limits on TPOT and loss, devices, engine,
    schemes and cache layout around ``base``, the plan of these arguments.

    ``grid`` names the values of an axis (``tpot-ms=none,50,25``); the others take values of their
    own, as many as fit. ``workers`` processes plan (None: a core each where the grid is large).
    ``journal`` is a file that keeps what is planned, from which the same call goes on (``resume``
    False: starts over) until it is removed. ``progress`` is told (points planned, points in
    all), first before any is; ``notify`` that a run goes on.

    Raises:
        InputError: a value out of range, or more points than a page can hold.
        DataError: the journal is of another grid or cannot be written, a worker was killed.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers = {workers} is out of range", hint="at least 1; 1 is this one")
    return _grid(
        QuestionInput.of(
            locals(), own=("base", "grid", "workers", "journal", "resume", "progress", "notify")
        ),
        base,
        grid,
        GridWork(workers, journal, resume, progress, notify),
    )


def _grid(inputs: QuestionInput, base: Plan, values: Sequence[str], work: GridWork) -> Grid:
    """The grid of a question around its plan; ``values`` are those named for its axes."""
    around = Around.of(inputs, base)
    axes = checked_axes(around, base, values)
    pooled = None if base.deployment is None else Pooled(inputs.on_engine_of(base), base)
    task = GridTask(around, axes, pooled, _command(around.inputs, base.objective))
    points, pools = answered(task, work)
    return Grid(task.command, axes, points, pools)


def _command(inputs: QuestionInput, objective: str) -> str:
    """The command that asks the question, without what the axes vary; the page shows optima."""
    scenario, dropped = inputs.scenario, inputs.drop_policies
    flags = {
        "objective": None if objective == THROUGHPUT else objective,
        "mode": _mode(inputs),
        "ttft-ms": None if inputs.ttft_seconds is None else milliseconds(inputs.ttft_seconds),
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
            "--exact",
        ]
    )


def _mode(inputs: QuestionInput) -> str | None:
    """Positions are of workers that do both: the command says so where an engine might serve
    pools."""
    return None if inputs.asked_engine == ANY_ENGINE else AGGREGATED
