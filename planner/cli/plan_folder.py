"""``plan MODEL DEVICE --out DIR``: plan, engine files, start script and report in one folder."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.base.errors import InputError, PlannerError
from planner.cli.refusals import say, spoken

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan

PLAN_FILE, REPORT = "plan.json", "report.html"
CHECKPOINT = "CHECKPOINT"
"""Stands for what a start script is given: the checkpoint that the steps of the README make."""


def check_folder(out: str | None, *, force: bool) -> None:
    """Refuse a folder that could not be written, before the question is answered.

    Raises:
        InputError: it is no folder, is not empty and not ``force``, its parent is missing or cannot
        be written to, or ``force`` without a folder.
    """
    if out is None:
        if force:
            raise InputError(say("force_alone"), hint=say("out_or_leave"))
        return
    folder = Path(out)
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(say("is_no_folder", flag="--out", file=repr(out)), hint=say("name_folder"))
    if not folder.parent.is_dir():
        raise InputError(
            say("no_folder", flag="--out", folder=repr(str(folder.parent))),
            hint=say("make_folder"),
        )
    place = folder if folder.is_dir() else folder.parent
    if not os.access(place, os.W_OK):
        raise InputError(
            say("not_writable", flag="--out", folder=repr(str(place))),
            hint=say("other_folder_or_permissions"),
        )
    if folder.is_dir() and not force and any(folder.iterdir()):
        raise InputError(
            say("not_empty", flag="--out", folder=repr(out)), hint=say("other_folder_or_force")
        )


def write_plan_folder(plan: Plan, given: Mapping[str, Any], report_text: str) -> None:
    """Write all files of ``plan`` into the folder ``given["out"]`` or none, and tell on stderr what
    was written; where no engine is known to serve the plan, why its files are absent.

    Raises:
        InputError: see :func:`check_folder`. DataError: another run is writing there.
    """
    from planner.cli.export import write_folder

    files, absent = _engine_files(plan, given)
    text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    files = {PLAN_FILE: text, **files, REPORT: report_text}
    write_folder(Path(given["out"]), files, force=given["force"])
    if not given["quiet"]:
        for line in _written(
            given["out"],
            files,
            absent,
            _checkpoint(given, files),
            pooled=plan.deployment is not None,
        ):
            click.echo(line, err=True)


def _engine_files(plan: Plan, given: Mapping[str, Any]) -> tuple[dict[str, str], str]:
    """The files of an export to the plan's engine, or none and the reason."""
    from planner.export.plan_files import export_plan

    try:
        export = export_plan(
            plan, model=given["model"], device=given["device"], hardware_dir=given["hardware_dir"]
        )
    except PlannerError as error:
        return {}, f"{error.message} (hint: {error.hint})" if error.hint else error.message
    return export.files, ""


def _checkpoint(given: Mapping[str, Any], files: Mapping[str, str]) -> str:
    """What the start script is given: the file that the plan was made for, where it is served as
    it is, else a word for the one that is to be made."""
    model = str(given["model"])
    is_served = model.lower().endswith(".gguf") and "quantise.sh" not in files
    return shlex.quote(model) if is_served else CHECKPOINT


def _written(
    out: str, texts: Mapping[str, str], absent: str, checkpoint: str, *, pooled: bool
) -> list[str]:
    from planner.export.serve_script import takes_checkpoint
    from planner.report.columns import wrapped

    names = list(texts)
    lines = wrapped(spoken(say("wrote_into", names=", ".join(names), folder=out)), "  ")
    scripts = [name for name in names if name.startswith("serve-")]
    if absent:
        lines += wrapped(spoken(say("no_engine_files", why=absent)), "  ")
    elif scripts:
        said = "start_pools_with" if pooled else "start_with"
        needs = takes_checkpoint(texts[scripts[0]])
        start = os.path.join(out, scripts[0]) + (f" {checkpoint}" if needs else "")
        lines += wrapped(spoken(say(said, script=start)), "  ")
    return lines
