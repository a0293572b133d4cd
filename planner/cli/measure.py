"""``plan measure``: time this machine's operators."""

from __future__ import annotations

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.progress import bar
from planner.cli.refusals import say
from planner.cli.types import Hinted, options

INCOMPLETE = 2
"""The exit code where a part failed; what the others measured is kept."""


@click.command("measure")
@click.option(
    "-o",
    "--output",
    metavar="DIR",
    default="measured",
    show_default=True,
    help="New or empty folder for the results.",
)
@click.option("--quick", is_flag=True, help="About 20 seconds instead of 2 to 3 minutes.")
@click.option(
    "--only",
    metavar="A,B",
    help="Operators: bandwidth, gemm, attention, conversion, quantise, calls (all).",
)
@click.option(
    "--engine-dir",
    metavar="DIR",
    help="The folder of a built llama.cpp (default: PLAN_LLAMA_CPP, the PATH, the Python "
    "package llama_cpp).",
)
@click.option("--force", is_flag=True, help="Replace an earlier measurement in DIR.")
@options("json", "quiet")
def measure_command(
    output: str,
    quick: bool,
    only: str | None,
    engine_dir: str | None,
    force: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Time this machine's kernels, so that plans for the device host use measured figures."""
    import planner
    from planner.messages.words import in_language
    from planner.report.view.measure import measure_view
    from planner.report.view.verb_words import verb_phrases

    lang = language()
    words = verb_phrases("measure", lang)

    def tell_of(kind: str, name: str, reason: str) -> None:
        text = words(f"stderr.{kind}", name=name, why=in_language(reason, lang))
        click.echo(text, err=True)

    def notify(line: str) -> None:
        if not quiet:
            click.echo(words("stderr.note", text=in_language(line, lang)), err=True)

    with bar("measuring", quiet=quiet) as tell:
        measurement = planner.measure(
            output,
            quick=quick,
            only=_operators(only),
            engine_dir=engine_dir,
            force=force,
            progress=tell,
            notify=notify,
        )
    if not quiet:
        for name, why in measurement.skipped:
            tell_of("not_measured", name, why)
        for name, why in measurement.unfitted:
            tell_of("not_fitted", name, why)
        click.echo(words("stderr.wrote", folder=measurement.folder), err=True)
    for name, why in measurement.failed:
        tell_of("failed", name, why)
    if as_json:
        from planner.cli.files import print_json

        print_json(
            {
                "folder": str(measurement.folder),
                "seconds": round(measurement.seconds, 1),
                "rows": list(measurement.rows),
                "fits": list(measurement.fits),
                "skipped": [{"name": n, "reason": w} for n, w in measurement.skipped],
                "unfitted": [{"name": n, "reason": w} for n, w in measurement.unfitted],
                "failed": [{"name": n, "reason": w} for n, w in measurement.failed],
            }
        )
    else:
        print_view(measure_view(measurement.rows, str(measurement.folder), lang))
    if measurement.failed:
        raise click.exceptions.Exit(INCOMPLETE)


def _operators(text: str | None) -> list[str] | None:
    """The names of ``--only``; None where it is not given."""
    if text is None:
        return None
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted(
            say("is_empty", flag="--only"),
            say("for_example", flag="--only", value="bandwidth,gemm"),
        )
    return names
