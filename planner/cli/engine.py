"""``plan engine``: which engines are on this machine, and what installs them."""

from __future__ import annotations

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.types import options


@click.command("engine")
@click.argument("name", required=False)
@click.option(
    "--engine-dir",
    metavar="DIR",
    help="Folder of llama.cpp's programs (else PLAN_LLAMA_CPP, else PATH).",
)
@options("json")
def engine_command(name: str | None, engine_dir: str | None, as_json: bool) -> None:
    """What is here of the engine NAME, and what installs it; without NAME, of every engine.

    Nothing is installed or fetched.
    """
    import planner
    from planner.report.view.engine import engine_view, engines_view

    if name is None:
        engines = planner.engines(engine_dir=engine_dir)
        if as_json:
            from planner.cli.files import print_json

            print_json([one.to_dict() for one in engines])
            return
        print_view(engines_view(engines, language()))
        return
    engine = planner.engine(name, engine_dir=engine_dir)
    if as_json:
        from planner.cli.files import print_json

        print_json(engine.to_dict())
        return
    print_view(engine_view(engine, language()))
