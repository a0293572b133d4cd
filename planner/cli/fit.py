"""``plan fit``: models and published files that suit a machine."""

from __future__ import annotations

import click

from planner.cli.answers import print_answer
from planner.cli.types import INTEGER, options


@click.command("fit")
@click.argument("device", required=False, default="host", metavar="[DEVICE]")
@click.option(
    "--use",
    metavar="USE",
    default="chat",
    help="chat (default) | coding | long | reasoning | edge.",
)
@click.option("--engine", help="llama.cpp | mlx | vllm (default: all that run on DEVICE).")
@click.option("--top", "count", type=INTEGER, default=10, help="How many files (default: 10).")
@options("json")
def fit_command(device: str, use: str, engine: str | None, count: int, as_json: bool) -> None:
    """Models and published files that suit DEVICE, the best first.

    DEVICE is a name, a profile or `host` (default), this machine. Each model is shown with the file
    that loses least of those that fit and decode quickly enough for the use.
    """
    import planner

    answer = planner.fit(device, use=use, engine=engine, count=count)
    if as_json:
        from planner.cli.files import print_json

        print_json(answer.to_dict())
        return
    print_answer(answer)
