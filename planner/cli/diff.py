"""``plan diff``: two plan files compared, and a gate for continuous integration."""

from __future__ import annotations

import click

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
    help='Exit 1 where this holds, for example "tpot>+5%"; may be repeated.',
)
@options("json", "quiet")
def diff_command(old: str, new: str, fail_if: tuple[str, ...], as_json: bool, quiet: bool) -> None:
    """Compare two plan files of one model: figures, settings, schemes.

    Metrics: tpot, ttft, throughput, loss, memory, weights. A sign compares the change (+5%, +2ms),
    no sign the new value.
    """
    from planner.api.diff import diff
    from planner.cli.files import print_json
    from planner.planning.plan.file import read_plan
    from planner.report.terminal.diff import diff_dict, diff_text

    difference = diff(read_plan(old), read_plan(new), fail_if=fail_if)
    if as_json:
        print_json(diff_dict(difference))
    else:
        click.echo(diff_text(difference), nl=False)
    if difference.tripped:
        if not quiet:
            click.echo("failed: " + ", ".join(g.text for g in difference.tripped), err=True)
        raise click.exceptions.Exit(TRIPPED)
