"""``plan sensitivity``: what an error in each matrix of a model costs."""

from __future__ import annotations

from pathlib import Path

import click

from planner.cli.answers import print_answer
from planner.cli.refusals import say
from planner.cli.types import Hinted, options


@click.command("sensitivity")
@click.argument("model")
@click.option(
    "--names",
    metavar="NAMES",
    default="module",
    show_default=True,
    help="module (by kind and layer) | gguf (by tensor).",
)
@click.option(
    "--exclude",
    "exclude_models",
    multiple=True,
    metavar="A,B",
    help="Measured models or families to leave out.",
)
@click.option("--plot", metavar="FILE.svg", help="Also draw it.")
@options("json")
def sensitivity_command(
    model: str, names: str, exclude_models: tuple[str, ...], plot: str | None, as_json: bool
) -> None:
    """What an error in each matrix of MODEL costs, in nats per unit of error power.

    From KL divergences measured tensor by tensor by Thireus, GGUF Tool Suite and its contributors
    (github.com/Thireus/GGUF-Tool-Suite).
    """
    from planner.api import sensitivity as api_sensitivity
    from planner.cli.files import check_drawing, print_json, write_atomically

    if plot is not None:
        check_drawing(Path(plot), flag="--plot")
    alpha_table = api_sensitivity.sensitivity_table(
        model, exclude_models=_listed(exclude_models), names=names
    )
    if plot is not None:
        from planner.plot.draw import chart_svg
        from planner.report.charts.loss_map import loss_map_of_table

        write_atomically(
            Path(plot), chart_svg(loss_map_of_table(alpha_table)), suffixes=(".svg",), flag="--plot"
        )
    if as_json:
        print_json(alpha_table.to_dict())
        return
    print_answer(alpha_table)


def _listed(given: tuple[str, ...]) -> list[str]:
    """The names of every ``--exclude``, each of which may have several."""
    names = [part.strip() for text in given for part in text.split(",") if part.strip()]
    if given and not names:
        raise Hinted(
            say("is_empty", flag="--exclude"),
            say("for_example", flag="--exclude", value="DeepSeek-V3"),
        )
    return names
