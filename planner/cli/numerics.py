"""``plan numerics``: the error of a real layer's shape under each scheme, split by cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.answers import print_answer, print_view
from planner.cli.language import language
from planner.cli.progress import working
from planner.cli.refusals import say
from planner.cli.types import INTEGER, Hinted, options

DEFAULT_SCHEMES = "bf16,fp8-tensor,fp8-block,int8-w8a8,nvfp4,int4-w4a16"


@click.command("numerics")
@click.argument("model", required=False)
@click.option("--module", "module", metavar="KIND", help="Module kind, e.g. attention-out.")
@click.option(
    "--schemes",
    metavar="A,B",
    default=DEFAULT_SCHEMES,
    show_default=True,
    help="Schemes to compare.",
)
@click.option(
    "--rules",
    metavar="PRESET",
    help="Casts and scales of a library or device in place "
    "of the schemes' own: modelopt, torchao, compressed-tensors …",
)
@click.option(
    "--recipes",
    is_flag=True,
    help="Also recipes of the schemes: four-over-six, "
    "16 × 16 blocks, Hadamard rotation, stochastic rounding.",
)
@click.option("--units", metavar="A,B", help="Matrix units (default: one of each family).")
@click.option("--tokens", type=INTEGER, default=32, show_default=True, help="Sampled tokens.")
@click.option("--outputs", type=INTEGER, default=64, show_default=True, help="Sampled outputs.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the tensors.")
@click.option("--svg", metavar="FILE.svg", help="Also draw it.")
@click.option("--list-units", is_flag=True, help="Matrix units and what each was verified against.")
@options("json")
def numerics_command(**given: Any) -> None:
    """Rounding and accumulation error of one layer of MODEL under each scheme.

    Inputs are synthetic tensors with the statistics of the module kind and the layer's K.
    """
    from planner.cli.files import check_drawing, print_json, write_atomically

    if given["list_units"]:
        _list_units(given["as_json"])
        return
    if given["model"] is None or given["module"] is None:
        raise Hinted(
            say("needs_module"),
            say("example", command="plan lab numerics deepseek-v3 --module attention-out"),
        )
    if given["svg"]:
        check_drawing(Path(given["svg"]), flag="--svg")
    import planner

    with working("adding up as every matrix unit does"):
        result = planner.layer_error(
            given["model"],
            module=given["module"],
            schemes=_names(given["schemes"]),
            units=_names(given["units"]),
            tokens=given["tokens"],
            outputs=given["outputs"],
            seed=given["seed"],
            rules=given["rules"],
            recipes=given["recipes"],
        )
    if given["svg"]:
        from planner.plot.draw import chart_svg
        from planner.report.charts.error_charts import layer_errors_chart

        drawn = chart_svg(layer_errors_chart(result))
        write_atomically(Path(given["svg"]), drawn, suffixes=(".svg",), flag="--svg")
    if given["as_json"]:
        print_json(result.to_dict())
        return
    print_answer(result)


def _list_units(as_json: bool) -> None:
    from planner.cli.files import print_json
    from planner.numerics.unit_catalog import units_as_data
    from planner.report.view.numerics import units_view

    units = units_as_data()
    if as_json:
        print_json(units)
    else:
        print_view(units_view(units, language()))


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        raise Hinted(say("empty_names"), say("example", command="bf16,fp8-block"))
    return names
