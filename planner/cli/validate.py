"""``plan validate``: predictions against measured tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.progress import working
from planner.cli.types import options

if TYPE_CHECKING:
    from planner.lab.validation.records import Validation


@click.command("validate")
@click.option(
    "--data",
    metavar="DIR",
    help="Folder of measured CSV tables (default: the bundled sample).",
)
@click.option("--only", metavar="A,B", help="Kinds of table, or file names without ending.")
@click.option(
    "--rows",
    metavar="FILE.csv",
    help="Also write one line per measured row.",
)
@click.option("--plot", metavar="FILE.svg", help="Also draw predicted against measured.")
@options("json", "quiet")
def validate_command(
    data: str | None,
    only: str | None,
    rows: str | None,
    plot: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """How far off are predictions? Compares them with measured tables, group by group."""
    from pathlib import Path

    from planner.lab.validation.run import validate

    if rows is not None:
        from planner.cli.files import check_target

        check_target(Path(rows), suffixes=(".csv",), flag="--rows")
    if plot is not None:
        from planner.cli.files import check_drawing

        check_drawing(Path(plot), flag="--plot")
    with working("predicting the measured rows", quiet=quiet):
        report = validate(Path(data) if data is not None else None, only=only)
    if rows is not None:
        from planner.cli.files import write_atomically

        write_atomically(Path(rows), _rows_text(report), suffixes=(".csv",), flag="--rows")
    if plot is not None:
        _plot(report, plot)
    if data is None and not quiet:
        from planner.report.columns import wrapped
        from planner.report.view.verb_words import verb_phrases

        sample = verb_phrases("validate", language())("stderr.sample")
        click.echo("\n".join(wrapped(sample, "  ")), err=True)
    if as_json:
        from planner.cli.files import print_json

        print_json(report.to_dict())
        return
    from planner.lab.validation.grouping import people
    from planner.report.view.validate import validate_view

    headlines, kinds, groups, worst, uncovered = people(report)
    print_view(validate_view(headlines, kinds, groups, worst, uncovered, language()))


def _rows_text(report: Validation) -> str:
    """CSV of every measured row. Text that a spreadsheet would compute gets an apostrophe."""
    import csv
    import io

    from planner.base.csv_text import csv_cell
    from planner.lab.validation.records import ROW_COLUMNS

    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(ROW_COLUMNS)
    for row in report.rows():
        lines.writerow([csv_cell(value) for value in row.values()])
    return out.getvalue()


def _plot(report: Validation, name: str) -> None:
    from pathlib import Path

    from planner.base.errors import InputError
    from planner.cli.files import write_atomically
    from planner.plot.draw import chart_svg
    from planner.report.charts.error_charts import panels, predicted_chart

    drawn = panels(report.outcomes)
    if not drawn:
        raise InputError("nothing to draw: no row has a prediction", hint="leave out --plot")
    charts = map(predicted_chart, drawn)
    text = chart_svg(*charts, title="Predicted against measured", size=8)
    write_atomically(Path(name), text, suffixes=(".svg",), flag="--plot")
