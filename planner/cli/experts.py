"""``plan experts``: distinct experts of a step, residency, fetch time."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.answers import print_answer, print_notes
from planner.cli.types import INTEGER, options


@click.command("experts")
@click.argument("model")
@click.argument("device", required=False)
@click.option(
    "--batch",
    type=INTEGER,
    default=1,
    show_default=True,
    help="Tokens per step.",
)
@click.option(
    "--skew",
    type=click.FLOAT,
    default=0.0,
    show_default=True,
    help="Power law of popularity: 0 uniform, 1 Zipf.",
)
@click.option("--popularity", metavar="FILE", help="Measured expert loads: one per line, or JSON.")
@click.option("--requests", type=INTEGER, help="Requests the tokens belong to.")
@click.option(
    "--correlation",
    type=click.FLOAT,
    default=0.0,
    show_default=True,
    help="How alike tokens of one request route, 0 to 1.",
)
@click.option("--ep", type=INTEGER, default=1, show_default=True, help="Expert-parallel ranks.")
@click.option(
    "--redundant",
    type=click.INT,
    default=0,
    show_default=True,
    help="Redundant copies of the hottest experts.",
)
@options("memory_bytes")
@click.option("--host-bytes", type=INTEGER, help="Host memory for experts (default: enough).")
@click.option(
    "--link", metavar="NAME", default="pcie", show_default=True, help="pcie | nvlink-c2c."
)
@click.option("--host-cpu", metavar="CPU", help="Compute the experts on this CPU.")
@click.option("--sockets", type=INTEGER, default=1, show_default=True, help="CPU sockets.")
@click.option(
    "--context",
    type=INTEGER,
    default=4096,
    show_default=True,
    help="Cached tokens per sequence.",
)
@options("hardware_dir", "json", "quiet")
def experts_command(as_json: bool, quiet: bool, **given: Any) -> None:
    """How many experts a step of MODEL touches, where they fit, and the time to fetch them."""
    from planner.planning.serving import expert_use as api_experts

    answer = api_experts.experts(given.pop("model"), given.pop("device"), **given)
    if as_json:
        from planner.cli.files import print_json

        print_json(answer.to_dict())
    else:
        print_answer(answer)
    if not quiet:
        print_notes(answer.assumptions)
