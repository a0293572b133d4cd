"""``plan make``: the GGUF file of a plan, made by llama.cpp's programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from planner.base.errors import InputError
from planner.cli.progress import working
from planner.cli.types import options

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan


@click.command("make")
@click.argument("plan_file", metavar="PLAN.json|CHECKPOINT")
@click.argument("checkpoint", metavar="CHECKPOINT|DEVICE")
@click.option("-o", "--output", metavar="OUT.gguf", required=True, help="File to write.")
@click.option(
    "--engine-dir",
    metavar="DIR",
    help="Folder of llama.cpp's programs (else PLAN_LLAMA_CPP, else PATH).",
)
@click.option(
    "--python",
    metavar="PYTHON",
    help="Python with torch and transformers that converts a folder (else PLAN_PYTORCH_PYTHON).",
)
@click.option("--imatrix", metavar="FILE", help="Importance matrix to quantize with.")
@click.option(
    "--model",
    metavar="MODEL",
    help="Directory or configuration of the plan's model, where it is not bundled.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands and run none.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@options("max_loss", "file_bytes", "json", "quiet")
def make_command(plan_file: str, checkpoint: str, as_json: bool, quiet: bool, **given: Any) -> None:
    """Make a plan's GGUF file from CHECKPOINT, and check it against the plan.

    CHECKPOINT is the model in BF16 or F16: a GGUF file, or a folder of safetensors, which is
    converted first. `plan make CHECKPOINT DEVICE` plans for DEVICE first, with llama.cpp.
    """
    import planner
    from planner.cli.files import print_json

    def tell(line: str) -> None:
        if not quiet:
            click.echo(f"$ {line}", err=True)

    limits = {name: given.pop(name) for name in ("max_loss", "file_bytes")}
    plan, base = _planned(plan_file, checkpoint, given, limits, quiet)
    made = planner.make(plan, base, progress=tell, **given)
    if as_json:
        print_json(asdict(made))
    elif made.file_bytes is None:
        click.echo("\n".join(made.commands))
    else:
        from planner.cli.language import language
        from planner.report.view.verb_words import verb_phrases

        t = verb_phrases("make", language())
        same = made.weight_bytes == made.planned_bytes
        types = ", ".join(f"{n} × {name}" for name, n in made.types.items())
        click.echo(t("text.made", file=made.file, n=f"{made.file_bytes:,}", types=types))
        click.echo(
            t(
                "text.equal" if same else "text.beside",
                weights=f"{made.weight_bytes:,}",
                planned=f"{made.planned_bytes:,}",
            )
        )


def _planned(
    first: str, second: str, given: dict[str, Any], limits: dict[str, Any], quiet: bool
) -> tuple[Plan | str, str]:
    """(the plan or its file, the checkpoint): as named, or planned for a device that is named
    second.

    Raises:
        InputError: a limit is given with a plan's file.
    """
    if first.endswith(".json"):
        named = next((name for name, value in limits.items() if value is not None), None)
        if named is not None:
            flag = "--" + named.replace("_", "-")
            raise InputError(
                f"{flag}: the plan's file is made already",
                hint=f"leave {flag} out, or give a checkpoint and a device: "
                "plan make CHECKPOINT DEVICE",
            )
        return first, second
    import planner

    with working("searching formats", quiet=quiet):
        plan = planner.plan(
            given.pop("model") or first, second, engine="llama.cpp", new_weights="yes", **limits
        )
    return plan, first
