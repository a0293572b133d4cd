"""``plan list engines`` and ``plan list workloads``."""

from __future__ import annotations

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.types import options


@click.command("engines")
@options("json")
def engines_command(as_json: bool) -> None:
    """Supported engines and their known versions."""
    from planner.planning.engines.defaults import engine_rows

    rows = engine_rows()
    if as_json:
        from planner.cli.files import print_json

        print_json(rows)
        return
    from planner.report.view.lists import engines_view

    print_view(engines_view(rows, language()))


@click.command("workloads")
@options("json")
def workloads_command(as_json: bool) -> None:
    """Bundled workloads: tokens in and out, with their source."""
    from planner.workloads import load_workload, workload_ids

    workloads = [load_workload(name) for name in workload_ids()]
    if as_json:
        from planner.cli.files import print_json

        print_json([one.to_dict() for one in workloads])
        return
    from planner.report.view.lists import workloads_view

    print_view(workloads_view(workloads, language()))
