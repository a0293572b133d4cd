"""``plan list engines`` and ``plan list workloads``."""

from __future__ import annotations

import click

from planner.cli.types import options


@click.command("engines")
@options("json")
def engines_command(as_json: bool) -> None:
    """Supported engines and their known versions."""
    from planner.report.terminal.lists import engine_rows, engines_table

    rows = engine_rows()
    if as_json:
        from planner.cli.files import print_json

        print_json(rows)
        return
    click.echo(engines_table(rows), nl=False)


@click.command("workloads")
@options("json")
def workloads_command(as_json: bool) -> None:
    """Bundled workloads: tokens in and out, with their source."""
    from planner.report.terminal.lists import workload_row, workloads_table
    from planner.workloads import load_workload, workload_ids

    workloads = [load_workload(name) for name in workload_ids()]
    if as_json:
        from planner.cli.files import print_json

        print_json([workload_row(one) for one in workloads])
        return
    click.echo(workloads_table(workloads), nl=False)
