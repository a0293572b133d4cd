"""``plan frontier``: loss against throughput against memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.progress import working
from planner.cli.types import FREEDOM, INTEGER, LATENCY, LAYOUT, PRINTED, WORKLOAD, options


@click.command("frontier")
@click.argument("model")
@click.argument("device")
@click.option(
    "--points",
    type=INTEGER,
    default=50,
    show_default=True,
    help="Budgets of loss and memory that are tried.",
)
@click.option("--map", "map", is_flag=True, help="Also the best plan at every context and batch.")
@click.option("--svg", metavar="FILE.svg", help="Also draw the frontier.")
@options(
    *LAYOUT,
    *WORKLOAD,
    *LATENCY,
    "memory_bytes",
    "schemes",
    "kv",
    "engine",
    "profile",
    *FREEDOM,
    "hardware_dir",
    *PRINTED,
)
def frontier_command(**given: Any) -> None:
    """Plans of MODEL on DEVICE that no other equals in loss, throughput and memory."""
    from planner.cli.files import check_drawing, print_json, write_atomically
    from planner.cli.run import question_arguments, timed

    arguments, svg = question_arguments(given), given["svg"]
    if svg is not None:
        check_drawing(Path(svg), flag="--svg")
    with timed(given["timings"]):
        from planner.api import frontier as api_frontier

        with working("moving the limits on loss and memory", quiet=given["quiet"]):
            frontier = api_frontier.frontier(given["model"], given["device"], **arguments)
        if svg is not None:
            from planner.plot.draw import chart_svg
            from planner.report.charts.tradeoff_charts import frontier_chart

            write_atomically(
                Path(svg), chart_svg(frontier_chart(frontier)), suffixes=(".svg",), flag="--svg"
            )
        if given["as_json"]:
            print_json(frontier.to_dict())
            return
        from planner.report.terminal.frontier import frontier_text

        click.echo(frontier_text(frontier), nl=False)
