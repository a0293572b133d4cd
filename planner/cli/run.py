"""What the verbs share: the question's arguments, the answer, the time it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from planner.cli.files import check_target, print_json

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan
    from planner.planning.whatif.grid import Grid


def question_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments of the API from flags; milliseconds become seconds. A report that could not
    be written is refused before the question is answered."""
    if given["report"]:
        from planner.cli.report import SUFFIXES

        check_target(Path(given["report"]), suffixes=SUFFIXES, flag="--report")
    same = ("devices", "tp", "dp", "pp", "ep", "context", "isl", "osl", "batch", "memory_bytes",
            "scenario", "anchor", "hardware_dir")
    arguments = {name: given[name] for name in same}
    if is_given("engine"):
        arguments["engine"] = given["engine"]
    if given["objective"] is not None:
        arguments["objective"] = given["objective"]
    if given["kv"] is not None:
        arguments["kv"] = given["kv"]
    for flag in ("ttft", "tpot"):
        value = given[f"{flag}_ms"]
        arguments[f"{flag}_seconds"] = value * 1e-3 if value is not None else None
    return arguments


def is_given(parameter: str) -> bool:
    """Whether the user gave the parameter of the running command, be it with its default's word."""
    return click.get_current_context().get_parameter_source(parameter) \
        is not ParameterSource.DEFAULT


def finish(plan: Plan, given: dict[str, Any], around: Grid | None = None) -> None:
    """Print the answer on stdout and the assumptions on stderr; write the report if asked, with a
    what-if page where a grid lies ``around`` the plan."""
    if given["report"]:
        from planner.cli.report import asked_command, write_report

        write_report(plan, given["report"],
                     asked=asked_command(click.get_current_context()),
                     scenario=given["scenario"], hardware_dir=given["hardware_dir"],
                     around=around)
    if given["as_json"]:
        print_json(plan.to_dict())
    else:
        from planner.report.terminal.plan import plan_text

        click.echo(plan_text(plan), nl=False)
    if not given["quiet"]:
        from planner.report.terminal.plan import assumptions_text

        click.echo(assumptions_text(plan), nl=False, err=True)


@contextlib.contextmanager
def timed(wanted: bool) -> Iterator[None]:
    """Print the CPU and wall seconds of the block on stderr if wanted."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    if wanted:
        click.echo(f"timings: {time.perf_counter() - wall:.3f} s wall, "
                   f"{time.process_time() - cpu:.3f} s CPU in this command", err=True)
