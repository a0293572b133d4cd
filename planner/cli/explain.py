"""``plan explain``: why a scheme is or is not faster for one module."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.types import INTEGER, Hinted, options


@click.command("explain")
@click.argument("model")
@click.argument("device")
@click.option("--module", metavar="KIND|NAME", required=True,
              help="Module kind or unit, for example mlp-down or experts-down.middle.")
@click.option("--scheme", metavar="SCHEME", help="The scheme to explain (default: the fastest).")
@options("schemes", "kv")
@click.option("--tp", type=INTEGER, default=1, show_default=True, help="Attention tensor parallel.")
@click.option("--dp", type=INTEGER, default=1, show_default=True, help="Attention data parallel.")
@click.option("--ep", type=INTEGER, default=1, show_default=True,
              help="Expert parallel; divides tp·dp.")
@options("context", "isl", "osl", "batch", "engine", "hardware_dir", "json", "quiet")
def explain_command(as_json: bool, quiet: bool, schemes: str | None, **given: Any) -> None:
    """The time of one module of MODEL on DEVICE under each scheme, and where their order changes.
    """
    from planner import api_explain
    from planner.report.explain_text import explain_assumptions, explain_text

    names = None
    if schemes is not None:
        names = [part.strip() for part in schemes.split(",") if part.strip()]
        if not names:
            raise Hinted("--schemes is empty", "for example --schemes bf16,fp8-block")
    found = api_explain.explain(given.pop("model"), given.pop("device"), schemes=names, **given)
    if as_json:
        from planner.cli.run import print_json

        print_json(found.to_dict())
    else:
        click.echo(explain_text(found), nl=False)
    if not quiet:
        click.echo(explain_assumptions(found), nl=False, err=True)
