"""``plan fleet``: several models on a stock of devices."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import click

from planner.cli.language import language
from planner.cli.progress import bar
from planner.cli.types import INTEGER, PRINTED, options

if TYPE_CHECKING:
    from planner.sizing.fleet.fleet_record import Fleet

HTML, CSV = (".html", ".htm"), (".csv",)


@click.command("fleet")
@click.argument("file", metavar="FILE.toml")
@options("hardware_dir")
@click.option("--csv", "csv_file", metavar="FILE.csv", help="Also write one row per pool.")
@click.option("--report", metavar="FILE.html", help="Also write a page.")
@click.option("--workers", type=INTEGER, help="Processes (default: all cores).")
@options(*PRINTED)
def fleet_command(
    file: str,
    hardware_dir: str | None,
    csv_file: str | None,
    report: str | None,
    workers: int | None,
    as_json: bool,
    quiet: bool,
    timings: bool,
) -> None:
    """Which models run on which of your devices, within their limits: an optimal assignment.

    FILE.toml lists models, request rates, limits and devices with prices: docs/guide/fleet.md.
    """
    from planner.cli.files import check_target, print_json, write_atomically
    from planner.cli.run import timed

    for target, suffixes, flag in ((csv_file, CSV, "--csv"), (report, HTML, "--report")):
        if target is not None:
            check_target(Path(target), suffixes=suffixes, flag=flag)
    with timed(timings):
        from planner.report.terminal.fleet import fleet_assumptions, fleet_text
        from planner.sizing.fleet.read import fleet_question
        from planner.sizing.fleet.run import answer_fleet

        question = fleet_question(file, hardware_dir)
        if not quiet:
            click.echo(f"note: {question.size}", err=True)
        with bar("plans", quiet=quiet) as tell:
            fleet = answer_fleet(question, tell, workers=workers)
        if csv_file is not None:
            write_atomically(Path(csv_file), table(fleet), suffixes=CSV, flag="--csv")
        if report is not None:
            from planner.report.render.fleet_page import fleet_page

            write_atomically(Path(report), fleet_page(fleet, language()), suffixes=HTML)
        if as_json:
            print_json(fleet.to_dict())
        else:
            click.echo(fleet_text(fleet), nl=False)
        if not quiet:
            click.echo(fleet_assumptions(fleet), nl=False, err=True)


def table(fleet: Fleet) -> str:
    """Every pool as a row of CSV; an empty cell where there is nothing to tell."""
    from planner.base.csv_text import csv_cell

    rows, out = fleet.cells(), io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()
