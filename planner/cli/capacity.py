"""``plan capacity``: replicas for a rate of requests under a percentile service level."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.language import language
from planner.cli.progress import working
from planner.cli.types import INTEGER, PRINTED, RequestRate, options

if TYPE_CHECKING:
    from planner.sizing.capacity_record import Capacity

CSV = (".csv",)


@click.command("capacity")
@click.argument("model")
@click.argument("device", metavar="DEVICE[,DEVICE...]")
@click.option(
    "--rate",
    type=RequestRate(),
    required=True,
    metavar="N[/s|/min|/h|/day]",
    help="Request rate of the whole deployment.",
)
@options("ttft_ms", "tpot_ms", "e2e_ms")
@click.option(
    "--percentile",
    type=click.FLOAT,
    default=90.0,
    show_default=True,
    help="Share of requests that must keep limits without their own (p99:2000) [%].",
)
@click.option(
    "--router",
    metavar="NAME",
    default="least-loaded",
    show_default=True,
    help="least-loaded | round-robin | random.",
)
@click.option("--max-devices", type=INTEGER, help="Devices of a kind that you have.")
@click.option(
    "--price",
    metavar="[DEVICE=]USD,...",
    help="USD per device-hour, for all or by device (default: the profile's).",
)
@click.option(
    "--simulate", type=INTEGER, metavar="N", help="Check the answer with a replay of N requests."
)
@options(
    "tp",
    "dp",
    "pp",
    "ep",
    "context",
    "isl",
    "osl",
    "workload",
    "prefix_hit_rate",
    "slots",
    "max_loss",
    "schemes",
    "kv",
    "engine",
    "profile",
    "imatrix",
    "hardware_dir",
    "no_learned",
)
@click.option("--csv", "csv_file", metavar="FILE.csv", help="Also write every alternative.")
@options("report", "verbose", "assumptions", *PRINTED)
def capacity_command(csv_file: str | None, **given: Any) -> None:
    """How many devices serve a request rate of MODEL within percentile limits?

    Replicas, layout, formats, price per token, tails and energy; of several devices the cheapest.
    """
    from planner.cli.answers import print_answer, print_notes
    from planner.cli.compare import prices
    from planner.cli.files import check_target, print_json, write_atomically
    from planner.cli.run import check_output_flags, question_arguments, timed

    check_output_flags(given)
    if csv_file is not None:
        check_target(Path(csv_file), suffixes=CSV, flag="--csv")
    price = prices(given.pop("price"))
    arguments = question_arguments(given)
    with timed(given["timings"]):
        from planner.sizing import capacity as api_capacity

        with working("sizing replicas", quiet=given["quiet"]):
            capacity = api_capacity.capacity(
                given["model"], given["device"], price=price, **arguments
            )
        if csv_file is not None:
            write_atomically(Path(csv_file), table(capacity), suffixes=CSV, flag="--csv")
        if given["report"] is not None:
            _write_report(capacity, given["report"])
        if given["as_json"]:
            print_json(capacity.to_dict())
        else:
            print_answer(capacity, details=given["verbose"])
        if given["assumptions"]:
            print_notes(capacity.assumptions)


def _write_report(capacity: Capacity, file: str) -> None:
    from planner.cli.files import write_atomically
    from planner.cli.report import PAGES, SUFFIXES
    from planner.report.render.capacity_page import capacity_markdown, capacity_page

    made = capacity_page if Path(file).suffix.lower() in PAGES else capacity_markdown
    write_atomically(Path(file), made(capacity, language()), suffixes=SUFFIXES)


def table(capacity: Capacity) -> str:
    """Every option as a row of CSV; an empty cell where there is nothing to tell."""
    from planner.base.csv_text import csv_cell

    rows, out = capacity.cells(), io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()
