"""``plan compare``: schemes × devices × models as one table."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.progress import working
from planner.cli.refusals import say
from planner.cli.types import LATENCY, LAYOUT, PRINTED, WORKLOAD, Hinted, options

if TYPE_CHECKING:
    from planner.planning.what_if.compared import Compared

NOTHING = 1
HTML, CSV = (".html", ".htm"), (".csv",)


@click.command("compare")
@click.argument("model", metavar="MODEL[,MODEL...]")
@click.argument("device", metavar="DEVICE[,DEVICE...]")
@click.option(
    "--price", metavar="[DEVICE=]USD,...", help="USD per device-hour, for all or by device."
)
@options(
    *LAYOUT,
    *WORKLOAD,
    "objective",
    *LATENCY,
    "max_loss",
    "schemes",
    "kv",
    "memory_bytes",
    "engine",
    "scenario",
    "hardware_dir",
    "no_learned",
)
@click.option("--csv", "csv_file", metavar="FILE.csv", help="Also write every row and column.")
@click.option("--report", metavar="FILE.html", help="Also write a page.")
@click.option("--all", "everything", is_flag=True, help="Every row, not the twelve that decide.")
@options("verbose", *PRINTED)
def compare_command(model: Any, device: str, csv_file: str | None, **given: Any) -> int:
    """What to take, and on which device? One recommendation a device, with its alternatives.

    Each row has its own best engine, layout, batch and cache; with --all every format.
    """
    from planner.cli.files import check_target, print_json, write_atomically
    from planner.cli.run import question_arguments, timed

    report, everything = given.pop("report"), given.pop("everything")
    for file, suffixes, flag in ((csv_file, CSV, "--csv"), (report, HTML, "--report")):
        if file is not None:
            check_target(Path(file), suffixes=suffixes, flag=flag)
    price = prices(given.pop("price"))
    arguments = question_arguments(given)
    with timed(given["timings"]):
        from planner.api import compare as api_compare

        with working("pricing schemes on devices", quiet=given["quiet"]):
            models = _names(model) if isinstance(model, str) else model
            comparison = api_compare.compare(models, _names(device), price=price, **arguments)
        if csv_file is not None:
            write_atomically(Path(csv_file), table(comparison), suffixes=CSV, flag="--csv")
        if report is not None:
            from planner.report.render.compared_page import compared_page

            write_atomically(Path(report), compared_page(comparison, language()), suffixes=HTML)
        if given["as_json"]:
            print_json(comparison.to_dict())
        else:
            from planner.report.view.compared_view import compared_view

            view = compared_view(comparison, language(), everything=everything)
            print_view(view, details=given["verbose"])
    return 0 if any(row.feasible for row in comparison.rows) else NOTHING


def table(comparison: Compared) -> str:
    """Every row and column as CSV; an empty cell where there is nothing to tell."""
    from planner.base.csv_text import csv_cell

    rows, out = comparison.cells(), io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: csv_cell(value) for name, value in row.items()} for row in rows)
    return out.getvalue()


def prices(text: str | None) -> float | dict[str, float] | None:
    """``2.5``, or ``h100-sxm=2.5,h200-sxm=3.6``."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if len(parts) == 1 and "=" not in parts[0]:
        return _number(parts[0])
    pairs = [part.partition("=") for part in parts]
    if not parts or not all(mark and name.strip() for name, mark, _ in pairs):
        raise Hinted(
            say("not_understood", flag="--price", value=repr(text)),
            say("example", command="--price 2.5, --price h100-sxm=2.5,h200-sxm=3.6"),
        )
    names = [name.strip() for name, _, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise Hinted(say("named_twice", flag="--price", name=name), say("one_price"))
    return dict(zip(names, (_number(value) for _, _, value in pairs), strict=True))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise Hinted(
            say("not_a_number", flag="--price", value=repr(text)),
            say("for_example", flag="--price", value=2.5),
        ) from None
    if not 0 < value < float("inf"):
        raise Hinted(say("out_of_range", flag="--price", value=text), say("usd_above_0"))
    return value


def _names(text: str) -> list[str]:
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted(
            say("names_nothing", text=repr(text)),
            say("example", command="plan compare llama-3.1-8b l40s,h100-sxm"),
        )
    return names
