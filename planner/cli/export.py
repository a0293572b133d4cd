"""``plan export`` and ``plan import``: plans to engines' configurations and back."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from planner.base.atomic_files import created_mode, draft, sibling_folder, telling
from planner.base.errors import InputError
from planner.cli.refusals import say, spoken
from planner.cli.types import LAYOUT, WORKLOAD, Hinted, options
from planner.jobs.locks import give_back, held_lock


@click.command("export")
@click.argument("plan_file", metavar="PLAN")
@click.argument("folder", metavar="DIR")
@click.option(
    "--to",
    "target",
    metavar="ENGINE|FORMAT",
    default="",
    help="vllm | sglang | tensorrt-llm | llama.cpp | pytorch (default: the plan's "
    "engine), or compressed-tensors | modelopt | fp8 | gptq | blockwise-int8 | "
    "torchao.",
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Directory or configuration of the plan's model, where it is not bundled.",
)
@click.option("--device", metavar="DEVICE", help="The plan's device, if it is a file.")
@click.option(
    "--engine",
    metavar="NAME[@VERSION]",
    default="",
    help="Engine to check against, or any (default: the plan's).",
)
@click.option("--expand", is_flag=True, help="List every module instead of expressions.")
@click.option(
    "--deploy",
    metavar="TARGET",
    default="",
    help="Also write manifests: compose | kubernetes | llm-d | dynamo.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@options("trust_remote_code", "hardware_dir", "quiet")
def export_command(
    plan_file: str, folder: str, target: str, force: bool, quiet: bool, **given: Any
) -> None:
    """Write an engine's configuration and start commands for PLAN into DIR."""
    from planner.export.plan_files import export_plan
    from planner.planning.plan.file import read_plan
    from planner.report.columns import wrapped

    export = export_plan(read_plan(plan_file), target, **given)
    write_folder(Path(folder), export.files, force=force)
    for name in export.files:
        click.echo(os.path.join(folder, name))
    lines = []
    for finding in export.findings:
        status = {"yes": "serves", "no": "serves_not"}.get(finding.status, "serves_unknown")
        lines.append(
            spoken(say(status, engine=finding.engine.label))
            + (spoken(say("because", why=finding.reason)) if finding.reason else "")
        )
    if not quiet:
        lines += [spoken(say("not_in_configuration", note=note)) for note in export.notes]
    for line in lines:
        click.echo("\n".join(wrapped(line, "  ")), err=True)


@click.command("import")
@click.argument("file")
@click.argument("model")
@click.option("-o", "out", metavar="PLAN.json", required=True, help="Plan file to write.")
@click.option(
    "--device",
    metavar="DEVICE",
    help="Device to price it on (default: the export's).",
)
@click.option(
    "--engine",
    metavar="NAME[@VERSION]",
    help="Engine (default: the export's, else any).",
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@options(*LAYOUT, *WORKLOAD, "kv", "hardware_dir", "quiet")
def import_command(
    file: str, model: str, out: str, device: str | None, force: bool, quiet: bool, **given: Any
) -> None:
    """Read a quantization configuration or an export of MODEL as a plan, priced on a device."""
    from planner.cli.files import write_atomically
    from planner.export.plan_files import import_plan

    path = Path(out)
    if path.suffix.lower() != ".json":
        raise Hinted(
            say("json_suffix", file=repr(out)), say("for_example", flag="-o", value="plan.json")
        )
    if os.path.lexists(path) and not force:
        raise InputError(say("exists", file=f"-o {out!r}"), hint=say("add_force"))
    plan = import_plan(file, model, device, **given)
    text = json.dumps(plan.to_dict(), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(path, text, suffixes=(".json",), flag="-o")
    click.echo(out)
    if not quiet:
        from planner.report.render.plan_text import assumptions_text

        click.echo(assumptions_text(plan), nl=False, err=True)


def write_folder(folder: Path, files: Mapping[str, str], *, force: bool) -> None:
    """Write all ``files`` or none into ``folder``, which is made if it is not there.

    They are written beside it and then moved; a new folder appears with everything in it. Nobody
    else writes into it meanwhile: two exports would be mixed.

    Raises:
        InputError: one is there and not ``force``, the place is no folder, or the folder around it
            is missing or cannot be written to. DataError: another run is writing it.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise InputError(say("not_a_folder", file=repr(str(folder))), hint=say("name_folder"))
    around = folder.parent
    if not around.is_dir():
        there = os.path.lexists(around)
        raise InputError(
            say("not_a_folder" if there else "no_such_folder", file=repr(str(around))),
            hint=say("other_folder" if there else "make_folder"),
        )
    try:
        folder_lock = held_lock(around / f".{folder.name}.lock", folder)
    except OSError as error:
        raise _unwritable(around, error) from None
    try:
        _write_alone(folder, files, force)
    finally:
        give_back(folder_lock)


def _unwritable(around: Path, error: OSError) -> InputError:
    return InputError(
        say("folder_not_writable", folder=repr(str(around)), why=error.strerror),
        hint=say("export_beside"),
    )


def _write_alone(folder: Path, files: Mapping[str, str], force: bool) -> None:
    there = [name for name in files if os.path.lexists(folder / name)]
    if there and not force:
        raise InputError(say("exists", file=repr(str(folder / there[0]))), hint=say("add_force"))
    for name in there:
        if (folder / name).is_dir():
            raise InputError(
                say("a_folder", file=repr(str(folder / name))), hint=say("other_folder")
            )
    try:
        beside = sibling_folder(folder)
    except OSError as error:
        raise _unwritable(folder.parent, error) from None
    with draft(beside), telling(folder):
        for name, text in files.items():
            (beside / name).write_text(text, encoding="utf-8", newline="\n")
            (beside / name).chmod(created_mode(executable=name.endswith(".sh")))
        if folder.is_dir():
            for name in files:
                (beside / name).replace(folder / name)
            shutil.rmtree(beside, ignore_errors=True)
        else:
            beside.chmod(created_mode(executable=True))
            beside.replace(folder)
