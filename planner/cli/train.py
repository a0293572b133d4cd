"""``plan train``: bytes of a training step."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.answers import print_answer, print_notes
from planner.cli.types import INTEGER, options


@click.command("train")
@click.argument("model")
@click.argument("device")
@click.option("--devices", type=INTEGER, help="Number of devices (default: tp · cp · pp · dp).")
@click.option("--tp", type=INTEGER, default=1, show_default=True, help="Tensor parallel.")
@click.option("--pp", type=INTEGER, default=1, show_default=True, help="Pipeline stages.")
@click.option("--dp", type=INTEGER, help="Data parallel (follows from --devices).")
@click.option("--ep", type=INTEGER, default=1, show_default=True, help="Expert parallel.")
@click.option("--cp", type=INTEGER, default=1, show_default=True, help="Context parallel.")
@click.option("--etp", type=INTEGER, help="Tensor parallel inside an expert (default: tp).")
@click.option(
    "--virtual-stages",
    type=INTEGER,
    default=1,
    show_default=True,
    help="Interleaved pipeline: model chunks per rank.",
)
@click.option(
    "--first-stage-layers", type=INTEGER, help="Layers of the first stage (default: as the others)."
)
@click.option("--last-stage-layers", type=INTEGER, help="Layers of the last stage.")
@click.option(
    "--recipe",
    metavar="NAME",
    default="bf16",
    show_default=True,
    help="fp32 | fp16 | bf16 | fp8-deepseek.",
)
@click.option("--mode", metavar="NAME", default="full", show_default=True, help="full | lora.")
@click.option("--lora-rank", type=INTEGER, help="Rank of the adapters (default: 16).")
@click.option(
    "--lora-targets",
    metavar="NAME",
    default="linear",
    show_default=True,
    help="linear | attention.",
)
@click.option("--fp32-gradients", is_flag=True, help="Accumulate gradients in FP32.")
@click.option(
    "--zero", type=click.INT, metavar="0|1|2|3", default=0, show_default=True, help="ZeRO stage."
)
@click.option("--sequence-parallel", is_flag=True, help="Split norms and dropouts over tp.")
@click.option(
    "--recompute",
    metavar="NAME",
    default="none",
    show_default=True,
    help="none | selective | full.",
)
@click.option("--seq", type=INTEGER, help="Tokens per sample.")
@click.option(
    "--micro-batch", type=INTEGER, default=1, show_default=True, help="Samples per micro-batch."
)
@click.option("--global-batch", type=INTEGER, help="Samples per step (default: a full pipeline).")
@click.option(
    "--attention", metavar="NAME", default="flash", show_default=True, help="flash | plain."
)
@click.option("--dropout", is_flag=True, help="Keep dropout masks.")
@click.option(
    "--loss-scale",
    type=INTEGER,
    default=65536,
    show_default=True,
    help="Loss scale of the fp16 recipe.",
)
@options("memory_bytes", "hardware_dir", "json", "quiet")
def train_command(as_json: bool, quiet: bool, **given: Any) -> None:
    """Does a training step of MODEL fit on DEVICE? Memory by part; exit code 1 where not."""
    from planner.planning.inspect import training as api_training

    answer = api_training.train(given.pop("model"), given.pop("device"), **given)
    if as_json:
        from planner.cli.files import print_json

        print_json(answer.to_dict())
    else:
        print_answer(answer)
    if not quiet:
        print_notes(answer.assumptions)
    if not answer.fits:
        from planner.base.errors import InfeasibleError

        change = answer.change
        raise InfeasibleError(
            f"{answer.model} needs {answer.fullest.total} bytes a device of "
            f"{answer.device}, which offers {answer.usable_bytes}",
            hint=change.flags if change is not None else "no change that was tried is enough",
        )
