"""``plan verify``: run a plan on this machine with a real engine, and compare."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.answers import print_answer
from planner.cli.language import language
from planner.cli.refusals import say
from planner.cli.types import INTEGER, NUMBER, Hinted, options


@click.command("verify")
@click.argument("plan_file", metavar="PLAN.json|FILE.gguf")
@click.argument("checkpoint", required=False)
@click.option(
    "--engine",
    metavar="NAME",
    default="llama.cpp",
    show_default=True,
    help="llama.cpp | vllm | pytorch.",
)
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    default="verified",
    show_default=True,
    help="Folder of the results; the same command resumes an interrupted run.",
)
@click.option(
    "--engine-dir",
    metavar="DIR",
    help="Folder of llama.cpp's programs (else PLAN_LLAMA_CPP, else PATH).",
)
@click.option("--python", metavar="PATH", help="Python interpreter of vLLM or PyTorch.")
@click.option(
    "--also",
    metavar="A,B",
    help="Further settings of the engine, e.g. Q8_0,Q6_K; "
    "none: with llama.cpp and vLLM, the plan alone.",
)
@click.option(
    "--base",
    metavar="FILE",
    help="With FILE.gguf: the same model in BF16 or F16, to measure the loss against.",
)
@click.option(
    "--depths", metavar="A,B", help="Also time decode after so many tokens of context each."
)
@click.option("--quick", is_flag=True, help="Fewer tokens and repeats: a 0.5B in 2 minutes.")
@click.option(
    "--text", metavar="FILE", help="Text for the loss (default: a text that every Python has)."
)
@click.option(
    "--model",
    metavar="MODEL",
    help="Directory or configuration of the plan's model, where it is not bundled.",
)
@click.option("--device", metavar="DEVICE", help="Device to predict for (default: this machine).")
@click.option(
    "--prompt-tokens",
    type=INTEGER,
    help="Input tokens (default: 448, fewer on a slow machine).",
)
@click.option("--output-tokens", type=INTEGER, help="Output tokens (default: 64).")
@click.option("--threads", type=INTEGER, help="Threads of the engine (default: cores).")
@click.option(
    "--repeats", type=INTEGER, help="Repeats per timing; the minimum counts (default: 5)."
)
@click.option("--chunks", type=INTEGER, help="Text chunks for the loss (default: 16).")
@click.option("--kl-context", type=INTEGER, help="Tokens per chunk (default: 512).")
@click.option("--step-seconds", type=NUMBER, help="Time limit of a step (default: 1800).")
@click.option(
    "--learn-from",
    metavar="DIR,DIR",
    help="Folders of earlier runs to learn from too.",
)
@options("profile", "imatrix", "hardware_dir", "json", "quiet")
def verify_command(
    plan_file: str,
    checkpoint: str | None,
    also: str | None,
    depths: str | None,
    learn_from: str | None,
    as_json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Run a plan or a file with a real engine on this machine: predicted beside measured.

    CHECKPOINT is the model in BF16 or F16: a GGUF file for llama.cpp, a safetensors folder for
    vLLM and PyTorch. It is quantized as the plan says. FILE.gguf alone is timed as it is.
    """
    from planner.cli.files import print_json
    from planner.lab.verifying.verify import verify
    from planner.report.view.verb_words import verb_phrases

    def tell(step: str) -> None:
        if not quiet:
            click.echo(f"{step} …", err=True)

    verification = verify(
        plan_file,
        checkpoint,
        also=_listed("--also", also),
        depths=[_tokens(word) for word in _listed("--depths", depths)],
        learn_from=_listed("--learn-from", learn_from),
        progress=tell,
        **given,
    )
    if as_json:
        print_json(verification.to_dict())
    else:
        print_answer(verification)
    if not quiet:
        words, files = verb_phrases("verify", language()), ", ".join(verification.files)
        click.echo(words("stderr.wrote", folder=given["output"], files=files), err=True)


def _tokens(word: str) -> int:
    value = INTEGER.convert(word, None, None)
    if value < 0:
        raise Hinted(say("below_zero", flag="--depths", value=word), say("numbers_with_commas"))
    return int(value)


def _listed(flag: str, text: str | None) -> list[str]:
    if text is None:
        return []
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted(say("is_empty", flag=flag), say("names_with_commas"))
    return names
