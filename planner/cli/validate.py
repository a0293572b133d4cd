"""``plan validate``: predictions against measured tables."""

from __future__ import annotations

import click

from planner.cli.types import options


@click.command("validate")
@click.option("--data", metavar="DIR", default=".", show_default=True,
              help="Folder of measured tables (CSV).")
@click.option("--only", metavar="KIND", help="One kind of table, for example memory or op_gemm.")
@options("json")
def validate_command(data: str, only: str | None, as_json: bool) -> None:
    """Compare predictions with the measured tables of a folder, group by group."""
    from pathlib import Path

    from planner.validation.run import validate

    report = validate(Path(data), only=only)
    if as_json:
        from planner.cli.run import print_json

        print_json(report.to_dict())
        return
    from planner.report.validate_text import validate_text
    from planner.validation.grouping import people

    click.echo(validate_text(*people(report)), nl=False)
