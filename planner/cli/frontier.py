"""``plan frontier``: loss against throughput against memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.answers import print_answer
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
    help="Number of loss and memory budgets.",
)
@click.option("--map", "map", is_flag=True, help="Also map the best plan by context and batch.")
@click.option("--svg", metavar="FILE.svg", help="Also draw it.")
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
    "no_learned",
    *PRINTED,
)
def frontier_command(**given: Any) -> None:
    """Pareto-optimal plans of MODEL on DEVICE in loss, throughput and memory."""
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
        print_answer(frontier)
