"""Two groups of commands: ``plan list`` shows what is known, ``plan lab`` what measures and checks.

Their commands are those of the program; they are also found by their bare names, which no page
lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import click

LISTS = {
    "models": "bundled models; WORDs filter by name",
    "devices": "bundled devices; with NAME, every figure with its source",
    "formats": "schemes, element formats, KV cache layouts",
    "files": "published files of MODEL: GGUF, MLX, AWQ, FP8 and others, with sizes",
    "engines": "engines, their versions, and where each runs",
    "workloads": "workloads: tokens in and out, with their source",
    "scenarios": "bundled deployment scenarios",
}
LAB = {
    "validate": "how far off predictions are, against measured tables",
    "calibrate": "fit kernels to timings of your device",
    "sensitivity": "what an error in each matrix costs, from measured models",
    "numerics": "rounding and accumulation error of a real layer shape",
    "experts": "how many experts a step touches, and where they fit",
    "train": "memory of a training step",
    "claims": "an article's claims, recomputed",
    "schema": "JSON Schema of the plan file",
}
HIDDEN = frozenset((*LISTS, *LAB))
"""Commands that the page of ``plan`` leaves to the groups."""


@click.pass_context
def _show_page(context: click.Context) -> None:
    """The page of a group that is called without a command."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


class CommandGroup(click.Group):
    """Commands of the program under another name."""

    def __init__(self, name: str, text: str, lines: Mapping[str, str]) -> None:
        super().__init__(
            name, help=text, invoke_without_command=True, callback=_show_page, no_args_is_help=False
        )
        self.lines = lines

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, in the order of the page."""
        return list(self.lines)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The program's command of that name."""
        root = ctx.find_root().command
        assert isinstance(root, click.Group)
        return root.commands[cmd_name] if cmd_name in self.lines else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is called. Raises UsageError with the nearest names."""
        if args and args[0] not in self.lines and not args[0].startswith("-"):
            from planner.base.errors import UnknownNameError

            raise UnknownNameError(f"plan {self.name} command", args[0], self.lines)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A line each."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.lines.items()))


list_command = CommandGroup("list", "What is known: models, devices, formats and so on.", LISTS)
lab_command = CommandGroup("lab", "What measures, checks and explains the numbers.", LAB)


def help_command(show: Callable[[click.Context, tuple[str, ...]], str]) -> click.Command:
    """``plan help [COMMAND]``; ``show`` makes the page."""

    @click.command("help", options_metavar="")
    @click.argument("words", nargs=-1, metavar="[COMMAND]")
    @click.pass_context
    def command(context: click.Context, words: tuple[str, ...]) -> None:
        """Show the help of a command with all its options."""
        click.echo(show(context.find_root(), words))

    return command
