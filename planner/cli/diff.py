"""``plan diff``: two plan files compared, and a gate for continuous integration."""

from __future__ import annotations

import click

from planner.cli.answers import print_answer
from planner.cli.language import language
from planner.cli.types import options

TRIPPED = 1


@click.command("diff")
@click.argument("old")
@click.argument("new")
@click.option(
    "--fail-if",
    "fail_if",
    metavar="GATE",
    multiple=True,
    help='Exit 1 if this holds, e.g. "tpot>+5%"; repeatable.',
)
@options("json", "quiet")
def diff_command(old: str, new: str, fail_if: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """What changed between two plan files of a model: figures, settings, schemes.

    Gates use tpot, ttft, throughput, loss, memory or weights: with a sign the change (+5%, +2ms),
    without one the new value.
    """
    from planner.api.diff import diff
    from planner.cli.files import print_json
    from planner.planning.plan.file import read_plan
    from planner.report.view.verb_words import verb_phrases

    difference = diff(read_plan(old), read_plan(new), fail_if=fail_if)
    if as_json:
        print_json(difference.to_dict())
    else:
        print_answer(difference)
    if difference.tripped:
        if not quiet:
            click.echo(
                verb_phrases("diff", language())(
                    "stderr.failed", gates=", ".join(g.text for g in difference.tripped)
                ),
                err=True,
            )
        raise click.exceptions.Exit(TRIPPED)
