"""``plan make``: the GGUF file of a plan, made by llama.cpp's programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from planner.cli.types import options


@click.command("make")
@click.argument("plan_file", metavar="PLAN.json")
@click.argument("checkpoint")
@click.option("-o", "--output", metavar="OUT.gguf", required=True, help="File to write.")
@click.option(
    "--engine-dir",
    metavar="DIR",
    help="Folder of llama.cpp's programs (else PLAN_LLAMA_CPP, else PATH).",
)
@click.option("--imatrix", metavar="FILE", help="Importance matrix to quantize with.")
@click.option(
    "--model",
    metavar="MODEL",
    help="Directory or configuration of the plan's model, where it is not bundled.",
)
@click.option("--dry-run", is_flag=True, help="Print the commands and run none.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@options("json", "quiet")
def make_command(plan_file: str, checkpoint: str, as_json: bool, quiet: bool, **given: Any) -> None:
    """Make a plan's GGUF file from CHECKPOINT, and check it against the plan.

    CHECKPOINT is the model in BF16 or F16: a GGUF file, or a folder of safetensors, which is
    converted first.
    """
    from planner.cli.files import print_json
    from planner.lab.verifying.make import make

    def tell(line: str) -> None:
        if not quiet:
            click.echo(f"$ {line}", err=True)

    made = make(plan_file, checkpoint, progress=tell, **given)
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
