"""``plan claims``: what an article says, recomputed."""

from __future__ import annotations

import click

from planner.cli.answers import print_view
from planner.cli.language import language
from planner.cli.refusals import say
from planner.cli.types import Hinted, options


@click.command("claims")
@click.option("--only", metavar="A,B", help="Some claims, for example 3,13b,r1.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@options("json")
def claims_command(only: str | None, markdown: bool, as_json: bool) -> None:
    """Are an article's claims on FP8 and INT8 for DeepSeek right? Each is recomputed."""
    if markdown and as_json:
        raise Hinted(say("exclude_each_other", one="--markdown", other="--json"), say("leave_one"))
    names = None
    if only is not None:
        names = [part.strip().lower() for part in only.split(",") if part.strip()]
        if not names:
            raise Hinted(
                say("is_empty", flag="--only"), say("for_example", flag="--only", value="3,13b,r1")
            )
    from planner.lab.article.claims import claims

    data = claims(only=names).to_dict()
    if as_json:
        from planner.cli.files import print_json

        print_json(data)
        return
    if markdown:
        from planner.lab.article.text import claims_markdown

        click.echo(claims_markdown(data), nl=False)
        return
    from planner.report.view.claims import claims_view

    print_view(claims_view(data, language()))
