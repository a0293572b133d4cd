"""``plan fleet``: several models on a stock of devices."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.language import language
from planner.cli.progress import bar
from planner.cli.refusals import say, spoken
from planner.cli.types import INTEGER, PRINTED, options

if TYPE_CHECKING:
    from planner.sizing.fleet.fleet_record import Fleet

CSV = (".csv",)


@click.command("fleet")
@click.argument("file", metavar="FILE.toml")
@options("hardware_dir", "no_learned")
@click.option("--csv", "csv_file", metavar="FILE.csv", help="Also write one row per pool.")
@click.option("--workers", type=INTEGER, help="Processes (default: all cores).")
@options("report", "verbose", "assumptions", *PRINTED)
def fleet_command(file: str, workers: int | None, **given: Any) -> None:
    """Which models run on which of your devices, within their limits: an optimal assignment.

    FILE.toml lists models, request rates, limits and devices with prices: docs/guide/fleet.md.
    """
    from planner.cli.answers import print_answer, print_notes
    from planner.cli.files import check_target, print_json, write_atomically
    from planner.cli.report import SUFFIXES
    from planner.cli.run import check_output_flags, timed

    check_output_flags(given)
    csv_file, report, quiet = given["csv_file"], given["report"], given["quiet"]
    for target, suffixes, flag in ((csv_file, CSV, "--csv"), (report, SUFFIXES, "--report")):
        if target is not None:
            check_target(Path(target), suffixes=suffixes, flag=flag)
    with timed(given["timings"]):
        from planner.sizing.fleet.read import fleet_question
        from planner.sizing.fleet.run import answer_fleet

        question = fleet_question(file, given["hardware_dir"], no_learned=given["no_learned"])
        if not quiet:
            click.echo(spoken(say("note", text=question.size)), err=True)
        with bar("plans", quiet=quiet) as tell:
            fleet = answer_fleet(question, tell, workers=workers)
        if csv_file is not None:
            write_atomically(Path(csv_file), table(fleet), suffixes=CSV, flag="--csv")
        if report is not None:
            _write_report(fleet, report)
        if given["as_json"]:
            print_json(fleet.to_dict())
        else:
            print_answer(fleet, details=given["verbose"])
        if given["assumptions"]:
            print_notes(fleet.assumptions)


def _write_report(fleet: Fleet, file: str) -> None:
    from planner.cli.files import write_atomically
    from planner.cli.report import PAGES, SUFFIXES
    from planner.report.render.fleet_page import fleet_markdown, fleet_page

    made = fleet_page if Path(file).suffix.lower() in PAGES else fleet_markdown
    write_atomically(Path(file), made(fleet, language()), suffixes=SUFFIXES)


def table(fleet: Fleet) -> str:
    """Every pool as a row of CSV; an empty cell where there is nothing to tell."""
    from planner.base.csv_text import csv_cell

    rows, out = fleet.cells(), io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()
