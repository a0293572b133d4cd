"""``plan frontier``: loss against throughput against memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.progress import working
from planner.cli.types import INTEGER, options, rule_names, scheme_names


@click.command("frontier")
@click.argument("model")
@click.argument("device")
@click.option("--points", type=INTEGER, default=50, show_default=True,
              help="Budgets of loss and memory that are tried.")
@click.option("--map", "map", is_flag=True,
              help="Also the best plan at every context and batch.")
@click.option("--svg", metavar="FILE.svg", help="Also draw the frontier.")
@options("devices", "tp", "dp", "pp", "ep", "context", "isl", "osl", "batch", "ttft_ms", "tpot_ms",
         "memory_bytes", "schemes", "kv", "engine", "profile", "untie", "drop_policies",
         "hardware_dir", "json", "quiet", "timings")
def frontier_command(as_json: bool, quiet: bool, timings: bool, svg: str | None,
                     schemes: str | None, drop_policies: str | None, **given: Any) -> None:
    """Plans of MODEL on DEVICE that no other equals in loss, throughput and memory."""
    from planner.cli.files import print_json, write_whole
    from planner.cli.run import timed

    names, dropped = scheme_names(schemes), rule_names(drop_policies)
    for flag in ("ttft", "tpot"):
        value = given.pop(f"{flag}_ms")
        given[f"{flag}_seconds"] = value * 1e-3 if value is not None else None
    if given["kv"] is None:
        given.pop("kv")
    with timed(timings):
        from planner.api import frontier as api_frontier

        with working("moving the limits on loss and memory", quiet=quiet):
            found = api_frontier.frontier(given.pop("model"), given.pop("device"), schemes=names,
                                          drop_policies=dropped, **given)
        if svg is not None:
            from planner.plot.tradeoff import frontier_svg

            write_whole(Path(svg), frontier_svg(found), suffixes=(".svg",), flag="--svg")
        if as_json:
            print_json(found.to_dict())
            return
        from planner.report.terminal.frontier import frontier_text

        click.echo(frontier_text(found), nl=False)
