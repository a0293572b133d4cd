"""What the verbs share: the question's arguments, the answer, the time it took."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from planner.cli.answers import with_settings
from planner.cli.files import check_target, print_json
from planner.cli.language import language
from planner.cli.refusals import say, spoken
from planner.cli.types import WHERE, Hinted, rule_names, scheme_names
from planner.planning.question.parameters import MILLISECONDS

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan
    from planner.planning.what_if.grid import Grid


SURFACE = WHERE | {"svg", "assumptions", "verbose", "trust_remote_code"}
"""Those, and what else is no part of a question."""


def question_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of the verb from its command's flags: milliseconds become seconds, lists
    and plan files are read, and what has a default of its own is absent where it is not given. A
    report that could not be written is refused before the question is answered."""
    if given.get("report"):
        from planner.cli.report import SUFFIXES

        check_target(Path(given["report"]), suffixes=SUFFIXES, flag="--report")
    arguments = {
        name: value
        for name, value in given.items()
        if name not in SURFACE and name not in ("model", "device")
    }
    for name in ("objective", "kv"):
        if name in arguments and arguments[name] is None:
            del arguments[name]
    if "engine" in arguments and not is_given("engine"):
        del arguments["engine"]
    for key, name in MILLISECONDS.items():
        if key in arguments:
            value = arguments.pop(key)
            arguments[name] = value * 1e-3 if isinstance(value, float) else value
    for name, names in (("schemes", scheme_names), ("drop_policies", rule_names)):
        if name in arguments:
            arguments[name] = names(arguments[name])
    if file := arguments.pop("plan_file", None):
        from planner.planning.plan.file import read_plan

        arguments["plan"] = read_plan(file)
    return arguments


def is_given(parameter: str) -> bool:
    """Whether the user gave the parameter of the running command, be it with its default's word."""
    return (
        click.get_current_context().get_parameter_source(parameter) is not ParameterSource.DEFAULT
    )


def finish(plan: Plan, given: dict[str, Any], around: Grid | None = None) -> None:
    """Print the answer on stdout, with what stands behind it if asked; write the report if asked,
    with a what-if page where a grid lies ``around`` the plan."""
    from planner.planning.engines.remote_code import trusting

    with trusting(given.get("trust_remote_code", False)):
        _finish(plan, given, around)


def _finish(plan: Plan, given: dict[str, Any], around: Grid | None) -> None:
    if given["report"]:
        from planner.cli.report import question_command, write_report

        write_report(
            plan,
            given["report"],
            requested=question_command(click.get_current_context()),
            scenario=given["scenario"],
            hardware_dir=given["hardware_dir"],
            around=around,
        )
    if given.get("out"):
        from planner.cli.plan_folder import REPORT, write_plan_folder
        from planner.cli.report import question_command, report_of

        text = report_of(
            plan,
            Path(REPORT).suffix,
            requested=question_command(click.get_current_context()),
            scenario=given["scenario"],
            hardware_dir=given["hardware_dir"],
            around=around,
        )
        write_plan_folder(plan, given, text)
    if given["as_json"]:
        print_json(plan.to_dict())
    else:
        from planner.report.render.plan_text import plan_text

        with with_settings():
            text = plan_text(plan, language(), details=given["verbose"])
        click.echo(text, nl=False)
    if given["assumptions"]:
        from planner.report.render.plan_text import assumptions_text

        click.echo(assumptions_text(plan, language()), nl=False, err=True)


def check_output_flags(given: Mapping[str, Any]) -> None:
    """Refuse flags that contradict each other.

    Raises:
        Hinted: ``--assumptions`` with ``--quiet``.
    """
    if given["assumptions"] and given["quiet"]:
        raise Hinted(say("quiet_or_assumptions"), say("one_of_them"))


@contextlib.contextmanager
def timed(wanted: bool) -> Iterator[None]:
    """Print the CPU and wall seconds of the block on stderr if wanted."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    if wanted:
        seconds = time.perf_counter() - wall, time.process_time() - cpu
        said = say("timings", wall=f"{seconds[0]:.3f}", cpu=f"{seconds[1]:.3f}")
        click.echo(spoken(said), err=True)
