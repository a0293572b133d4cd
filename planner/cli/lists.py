"""``plan list files``, ``plan list engines`` and ``plan list workloads``."""

from __future__ import annotations

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.types import options


@click.command("files")
@click.argument("model")
@options("json")
def files_command(model: str, as_json: bool) -> None:
    """Files that are published of MODEL, with their sizes and what fetches them."""
    from planner.api.published_files import published_files

    files = published_files(model)
    if as_json:
        from planner.cli.files import print_json

        print_json([file.to_dict() for file in files])
        return
    from planner.report.view.published_files import files_view

    print_view(files_view(files, language()))


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
