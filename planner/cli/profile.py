"""``plan profile``: measure a checkpoint, tensor by tensor."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from planner.cli.answers import print_view
from planner.cli.ignored import ignore_keys_option, key_names, say_ignored
from planner.cli.language import language
from planner.cli.types import INTEGER, PRINTED, options

if TYPE_CHECKING:
    from planner.lab.profiling.jobs import MatrixJob


@click.command("profile")
@click.argument("checkpoint")
@click.option(
    "--tier",
    metavar="NAME",
    help="T0 learned | T1 probe-random | T2 probe-format | T3 "
    "measured (default T0; T3 with --scores).",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Instead of --tier: a few backward passes on text; wider intervals.",
)
@click.option(
    "-o", "--output", metavar="FILE", help="Profile to write (default: MODEL.profile.json here)."
)
@options("schemes")
@click.option("--workers", type=INTEGER, help="Processes (default: all cores).")
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Dask cluster: tcp://HOST:PORT, or local (--workers processes).",
)
@click.option(
    "--seed",
    type=INTEGER,
    default=1,
    show_default=True,
    help="Seed of synthetic inputs and random tokens.",
)
@click.option(
    "--inputs", metavar="DIR", help="Measured inputs: KIND.LAYER.npy, attention.LAYER.npz."
)
@click.option("--routing", metavar="FILE.csv", help="Token counts by layer,expert.")
@click.option(
    "--scores",
    metavar="FILE",
    help="Losses measured elsewhere: CSV, ModelOpt, ExLlamaV2 or V3, AutoRound, or the "
    "GGUF Tool Suite (by Thireus and its contributors).",
)
@click.option(
    "--tokens",
    type=INTEGER,
    help="Tokens that the model runs on (T1, T2, T3: default 192; --quick: default 384).",
)
@click.option("--text", metavar="FILE", help="T2, T3, --quick: prose, or .npy of token ids.")
@click.option(
    "--probe",
    metavar="SCHEME",
    help="T2: the scheme whose loss is measured (default int4-w4a16-g32); --quick: whose error "
    "is taken (default nvfp4).",
)
@click.option(
    "--static-scales",
    is_flag=True,
    help="T1, T2, T3: fixed input scales for fp8-tensor and int8-w8a8.",
)
@click.option(
    "--smoothquant",
    type=float,
    metavar="STRENGTH",
    help="T1, T2, T3: SmoothQuant from 0 to 1 for int8-w8a8.",
)
@click.option(
    "--imatrix",
    metavar="FILE",
    help="T0: importance matrix of llama-imatrix; weighs "
    "errors, and ggml's types are written with it.",
)
@ignore_keys_option()
@options(*PRINTED)
def profile_command(
    checkpoint: str,
    tier: str | None,
    output: str | None,
    schemes: str | None,
    as_json: bool,
    quiet: bool,
    timings: bool,
    **given: Any,
) -> None:
    """How much quality each format costs in each layer of CHECKPOINT, measured.

    The same command resumes an interrupted run.
    """
    from planner.cli.files import print_json
    from planner.cli.progress import bar
    from planner.cli.run import timed

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # before numpy loads: sums in one order, a core a worker
    with timed(timings):
        from planner.lab.profiling import profile as api_profile
        from planner.messages.words import in_language
        from planner.quality.profile_file import as_dict
        from planner.report.view.profile import profile_view
        from planner.report.view.verb_words import verb_phrases

        lang = language()
        words = verb_phrases("profile", lang)

        def say(kind: str, text: str) -> None:
            if not quiet:
                click.echo(words(f"stderr.{kind}", text=in_language(text, lang)), err=True)

        given["ignore_keys"] = keys = key_names(given["ignore_keys"])
        if keys:
            say_ignored(keys, checkpoint)
        target = output or api_profile.default_output(checkpoint, keys)
        with bar("matrices", quiet=quiet) as tell:

            def progress(done: int, total: int, job: MatrixJob | None) -> None:
                tell(done, total, "" if job is None else f"{job.kind} of layer {job.layer}")

            profile = api_profile.profile(
                checkpoint,
                tier=tier,
                output=target,
                progress=progress,
                schemes=None if schemes is None else [s for s in schemes.split(",") if s.strip()],
                notify=lambda line: say("note", line),
                **given,
            )
        if as_json:
            print_json(as_dict(profile))
        else:
            print_view(profile_view(profile, target, lang))
        for note in profile.notes:
            say("assumption", note)
