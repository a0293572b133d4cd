"""``plan replay``: requests as they come, through a deployment's scheduler."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.language import language
from planner.cli.progress import bar
from planner.cli.types import INTEGER, NUMBER, PRINTED, RequestRate, options

if TYPE_CHECKING:
    from planner.planning.replay.record import ReplayAnswer

CSV = (".csv",)


@click.command("replay")
@click.argument("model", required=False)
@click.argument("device", required=False)
@click.option(
    "--rate",
    type=RequestRate(),
    metavar="N[/s|/min|/h|/day]",
    help="Requests come at this mean rate.",
)
@click.option(
    "--trace",
    metavar="FILE",
    help="Requests come as in this trace: Mooncake's JSON lines, or CSV with arrival_seconds, "
    "input_tokens, output_tokens.",
)
@click.option("--stages", metavar="LIST", help="Rates in turn, for example 600s@5/s,600s@10/s.")
@click.option("--scheme", metavar="SCHEME", help="One scheme (default: the published checkpoint).")
@click.option("--plan", "plan_file", metavar="FILE", help="Replay on this plan file.")
@click.option(
    "--arrivals",
    metavar="LAW",
    default="poisson",
    show_default=True,
    help="poisson | constant | gamma:CV | burst.",
)
@click.option(
    "--count", type=INTEGER, default=2000, show_default=True, help="Requests that come at --rate."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Draws arrivals and lengths.",
)
@click.option(
    "--lengths",
    metavar="NAME",
    help="Published lengths: arxiv-summarization, azure-code, azure-conv, bwb, "
    "mooncake-conversation, mooncake-synthetic, sharegpt.",
)
@click.option(
    "--router",
    metavar="NAME",
    default="least-loaded",
    show_default=True,
    help="least-loaded | round-robin | random.",
)
@options("chunk_tokens")
@click.option(
    "--slots-max",
    type=INTEGER,
    help="Requests that run at once (default: the engine's max_num_seqs).",
)
@click.option("--ttft-ms", type=NUMBER, help="Limit on time to first token [ms].")
@click.option("--tpot-ms", type=NUMBER, help="Limit on time per output token [ms].")
@click.option("--e2e-ms", type=NUMBER, help="Limit on a whole request [ms].")
@options(
    "devices",
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
    "memory_bytes",
    "kv",
    "measured_engine",
    "hardware_dir",
    "no_learned",
)
@options("prefill_workers", "decode_workers", "transfer_bytes_per_s")
@click.option("--csv", "csv_file", metavar="FILE.csv", help="Also write every request.")
@options("report", "verbose", "assumptions", *PRINTED)
def replay_command(csv_file: str | None, **given: Any) -> None:
    """Requests as they come to MODEL on DEVICE, pass by pass as the engine schedules.

    TTFT, ITL, TPOT, E2E and queue at percentiles, goodput within limits, the cache over time.
    """
    from planner.cli.answers import print_answer, print_notes
    from planner.cli.files import check_target, print_json, write_atomically
    from planner.cli.interrupt import first_interrupt_stops, interrupted_code
    from planner.cli.run import check_output_flags, question_arguments, timed

    check_output_flags(given)
    if csv_file is not None:
        check_target(Path(csv_file), suffixes=CSV, flag="--csv")
    arguments = question_arguments(given)
    with timed(given["timings"]):
        from planner.planning.replay.replay import replay

        with bar("requests", quiet=given["quiet"]) as tell, first_interrupt_stops():
            answer = replay(
                given["model"],
                given["device"],
                progress=lambda done, total: tell(done, total, ""),
                **arguments,
            )
        if csv_file is not None:
            write_atomically(Path(csv_file), table(answer), suffixes=CSV, flag="--csv")
        if given["report"] is not None:
            _write_report(answer, given["report"])
        if given["as_json"]:
            print_json(answer.to_dict())
        else:
            print_answer(answer, details=given["verbose"])
        if given["assumptions"]:
            print_notes(answer.assumptions)
        if not answer.replay.complete:
            # What was simulated is the answer; scripts are told that it is not all.
            raise click.exceptions.Exit(interrupted_code())


def _write_report(answer: ReplayAnswer, file: str) -> None:
    from planner.cli.files import write_atomically
    from planner.cli.report import PAGES, SUFFIXES
    from planner.report.render.replay_page import replay_markdown, replay_page

    made = replay_page if Path(file).suffix.lower() in PAGES else replay_markdown
    write_atomically(Path(file), made(answer, language()), suffixes=SUFFIXES)


def table(answer: ReplayAnswer) -> str:
    """Every request as a row of CSV, which ``--trace`` reads; an empty cell where there is no
    time."""
    from planner.base.csv_text import csv_cell
    from planner.planning.replay.request_table import COLUMNS

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([csv_cell(value) for value in row] for row in answer.requests.rows())
    return out.getvalue()
