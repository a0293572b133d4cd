"""What the verbs share: arguments, output, files written whole."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from planner.cli.streams import writes_everything
from planner.cli.types import rule_names, scheme_names
from planner.errors import DataError, InputError
from planner.planning.plan.record import Plan

if TYPE_CHECKING:
    from planner.planning.whatif.grid import Grid

MAX_PLAN_BYTES = 64 << 20


SURFACE = frozenset({"as_json", "report", "quiet", "timings", "interactive", "grid", "svg"})
"""Parameters of commands that say where an answer goes."""


def question_arguments(given: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments of the verb from its command's flags: milliseconds become seconds, lists
    and plan files are read, and what has a default of its own is absent where it is not given. A
    report that could not be written is refused before the question is answered."""
    if given.get("report"):
        from planner.cli.report import SUFFIXES

        check_target(Path(given["report"]), suffixes=SUFFIXES, flag="--report")
    arguments = {name: value for name, value in given.items()
                 if name not in SURFACE and name not in ("model", "device")}
    for name in ("objective", "kv"):
        if name in arguments and arguments[name] is None:
            del arguments[name]
    if "engine" in arguments and not is_given("engine"):
        del arguments["engine"]
    for flag in ("ttft", "tpot"):
        if f"{flag}_ms" in arguments:
            value = arguments.pop(f"{flag}_ms")
            arguments[f"{flag}_seconds"] = value * 1e-3 if value is not None else None
    for name, names in (("schemes", scheme_names), ("drop_policies", rule_names)):
        if name in arguments:
            arguments[name] = names(arguments[name])
    if file := arguments.pop("plan_file", None):
        arguments["plan"] = read_plan(file)
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


def print_json(data: object) -> None:
    """JSON on stdout, keys in the order of the records; no NaN or infinity can pass."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=not writes_everything(sys.stdout),
                          allow_nan=False))


def read_plan(name: str) -> Plan:
    """A plan file; DataError where it is not one."""
    path = Path(name)
    if not path.is_file():
        raise InputError(f"plan file {name!r} does not exist", hint="write one with --json")
    if path.stat().st_size > MAX_PLAN_BYTES:
        raise DataError(f"plan file {name!r} is larger than {MAX_PLAN_BYTES} bytes",
                        hint="a plan file is the output of --json")
    from planner.models.strict_json import parse_object

    return Plan.from_dict(parse_object(path.read_bytes(), str(path)))


def write_whole(path: Path, text: str, *, suffixes: tuple[str, ...] = (".html", ".htm"),
                flag: str = "--report") -> None:
    """Write beside the target, then rename: nothing is left half written.

    Raises:
        InputError: see :func:`check_target`.
        OSError: the folder cannot be written to.
    """
    import tempfile

    from planner.drafts import draft

    check_target(path, suffixes=suffixes, flag=flag)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with draft(Path(name)):
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)


def check_target(path: Path, *, suffixes: tuple[str, ...], flag: str) -> None:
    """Refuse a file that could not be written, before the work for it is done.

    Raises:
        InputError: another ending, no such folder, or a folder of that name.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{flag} {str(path)!r}: only {' or '.join(suffixes)} is written",
                         hint=f"name a file that ends in {suffixes[0]}")
    if not path.parent.is_dir():
        raise InputError(f"{flag}: folder {str(path.parent)!r} does not exist",
                         hint="make the folder first")
    if path.is_dir():
        raise InputError(f"{flag} {str(path)!r} is a folder", hint="name a file")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{flag}: folder {str(path.parent)!r} cannot be written to",
                         hint="choose another folder or mend its permissions")


@contextlib.contextmanager
def timed(wanted: bool) -> Iterator[None]:
    """Print the CPU and wall seconds of the block on stderr if wanted."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    if wanted:
        click.echo(f"timings: {time.perf_counter() - wall:.3f} s wall, "
                   f"{time.process_time() - cpu:.3f} s CPU in this command", err=True)
