"""``plan sweep``: many questions, one table."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.types import INTEGER, PRINTED, options

FAILED = 1
FIGURES = (".html", ".htm", ".svg")


@click.command("sweep")
@click.argument("questions", metavar="FILE.toml")
@click.option("-o", "--output", metavar="OUT", help="Table to write: OUT.parquet or OUT.csv.")
@click.option("--workers", type=INTEGER, help="Processes (default: this one).")
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Dask cluster: tcp://HOST:PORT, or local (--workers processes).",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Resume an interrupted run from OUT.journal.",
)
@click.option("--force", is_flag=True, help="Replace the table.")
@click.option(
    "--price", metavar="[DEVICE=]USD,...", help="USD per device-hour, for all or by device."
)
@click.option("--report", metavar="FILE", help="Also write a page or chart: FILE.html or FILE.svg.")
@options("hardware_dir", "no_learned", *PRINTED)
def sweep_command(
    questions: str,
    output: str | None,
    workers: int | None,
    cluster: str | None,
    price: str | None,
    report: str | None,
    as_json: bool,
    quiet: bool,
    timings: bool,
    **given: Any,
) -> int:
    """Answer many questions at once: a table with one row each.

    The same command resumes an interrupted run.
    """
    from planner.cli.compare import prices
    from planner.cli.files import check_target, print_json, write_atomically
    from planner.cli.run import timed

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # before numpy loads: a core a worker
    if report is not None:
        check_target(Path(report), suffixes=FIGURES, flag="--report")
    with timed(timings):
        from planner.sweeping import sweep as api_sweep

        with _progress(quiet) as progress:
            answered_sweep = api_sweep.answers(
                questions,
                output=output,
                cluster=cluster,
                progress=progress,
                price=None if price is None else prices(price),
                workers=workers or (None if cluster is not None else 1),
                notify=lambda line: None if quiet else _note(line),
                **given,
            )
        columns = answered_sweep.columns
        if report is not None:
            from planner.report.render.sweep_page import sweep_report

            text = sweep_report(
                columns,
                Path(report).suffix.lower(),
                answered_sweep.title or Path(questions).name,
                language(),
            )
            write_atomically(Path(report), text, suffixes=FIGURES)
        if as_json:
            print_json(_rows(columns))
        else:
            from planner.report.view.sweep import sweep_view

            print_view(sweep_view(columns, output, language()))
    return FAILED if "failed" in columns["status"] else 0


def _note(text: str) -> None:
    from planner.messages.words import in_language
    from planner.report.columns import wrapped
    from planner.report.view.verb_words import verb_phrases

    lang = language()
    said = verb_phrases("sweep", lang)("stderr.note", text=in_language(text, lang))
    click.echo("\n".join(wrapped(said, "  ")), err=True)


def _rows(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """A mapping a row; empty cells are left out."""
    return [
        {name: value for name, value in zip(columns, cells, strict=True) if value is not None}
        for cells in zip(*columns.values(), strict=True)
    ]


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar with rate and time left on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("questions"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task("questions", total=None, rate="")

        def tell(done: int, total: int) -> None:
            speed = bar.tasks[task].speed
            bar.update(
                task, completed=done, total=total, rate="" if speed is None else f"{speed:,.3g}/s"
            )

        yield tell
