"""Entry point, default verb, and the mapping of errors to two lines and an exit code."""

from __future__ import annotations

import errno
import gc
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from planner.base.errors import PlannerError, UnknownNameError
from planner.cli import commands
from planner.cli.completion import Completed, complete_values, completion_command
from planner.cli.groups import HIDDEN, help_command, lab_command, list_command
from planner.cli.help_pages import HelpfulCommand, help_page
from planner.cli.ignored import take_ignored_keys
from planner.cli.interrupt import (
    ends_on_interrupt,
    interrupted_code,
    leave,
    say_interrupted,
    was_interrupted,
)
from planner.cli.known import Commands
from planner.cli.language import expect_language, take_language
from planner.cli.online import take_online
from planner.cli.overview import SECTIONS, epilog, first_steps
from planner.cli.refusals import error_lines, say, unknown_name, usage_text
from planner.cli.spellings import ADVICE, accept_spellings
from planner.cli.streams import (
    ReaderGoneError,
    discard_output,
    flushed,
    is_standard_output,
    prepare_streams,
    until_reader_goes,
)
from planner.cli.types import refuse_empty

NUMERIC_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
EPILOG = (
    "Exit codes: 0 ok, 1 no feasible plan, 2 usage or input, 130 interrupted. "
    "`plan MODEL DEVICE` is short for `plan plan MODEL DEVICE`."
)


class DefaultVerb(click.Group):
    """A group that reads ``plan MODEL DEVICE`` as ``plan plan MODEL DEVICE``."""

    default = "plan"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h", "--version"):
            self._refuse_misspelt(args[0])
            args = [self.default, *args]
        with until_reader_goes():
            return super().parse_args(ctx, args)

    def _refuse_misspelt(self, word: str) -> None:
        from planner.models.catalog import is_model

        if word.startswith("-") or is_model(word):
            return
        from planner.models.common_names import is_common_name

        if not is_common_name(word):
            from planner.cli.suggest import unknown_command

            unknown_command(word, self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        with until_reader_goes():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Commands by task; one that no section or group names stands under Other."""
        named = {name for _, rows in SECTIONS for name in rows} | HIDDEN
        other = {
            name: self.commands[name].get_short_help_str(60)
            for name in self.commands
            if name not in named
        }
        for title, rows in (*SECTIONS, ("Other", other)):
            listed_commands = [(name, text) for name, text in rows.items() if name in self.commands]
            if listed_commands:
                with formatter.section(title):
                    formatter.write_dl(listed_commands)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """Commands, then what may come first in the default one: a model or its flags."""
        completion_items = super().shell_complete(ctx, incomplete)
        default = self.commands[self.default]
        if incomplete.startswith("-"):
            with default.make_context(self.default, [], parent=ctx, resilient_parsing=True) as sub:
                known = {item.value for item in completion_items}
                return completion_items + [
                    item
                    for item in default.shell_complete(sub, incomplete)
                    if item.value not in known
                ]
        model = next(p for p in default.params if isinstance(p.type, Completed))
        return (
            completion_items + model.shell_complete(ctx, incomplete)
            if incomplete
            else completion_items
        )


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    """Print the version and the dates of the data, and end."""
    if wanted and not context.resilient_parsing:
        from planner.cli.version import version_text

        click.echo(version_text(), nl=False)
        context.exit()


@click.group(
    cls=DefaultVerb,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
    invoke_without_command=True,
    subcommand_metavar="(MODEL DEVICE | COMMAND)",
)
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version, and how old the data are.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """What should you deploy: formats, engine and layout for a model on your devices?

    Give a model and a device: `plan deepseek-v3 h100-sxm --context 131072`.
    """
    if context.invoked_subcommand is None:
        click.echo(first_steps(), nl=False)


def _prepare(command: click.Command) -> click.Command:
    if isinstance(command, click.Group):
        return command
    command.epilog = epilog(command.name or "")
    complete_values(command)
    accept_spellings(command)
    take_ignored_keys(command)
    take_online(command)
    take_language(command)
    refuse_empty(command)
    return HelpfulCommand.of(command)


cli.commands = Commands(
    {
        command.name or "": command
        for command in (
            *commands.HERE,
            completion_command,
            list_command,
            lab_command,
            help_command(help_page),
        )
    },
    _prepare,
)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    gc.disable()  # a short process: collecting costs more than it frees
    for name in NUMERIC_THREADS:  # products are small here, and threads without work spin: 0.1 s
        os.environ.setdefault(name, "1")
    prepare_streams()
    try:
        with ends_on_interrupt():
            try:
                code = run(args)
            except BaseException:
                if not was_interrupted():
                    raise
                say_interrupted()
                code = interrupted_code()
            if code == interrupted_code():
                leave()
    except KeyboardInterrupt:  # while the block begins or ends, Python's own handler has it
        leave()
    sys.exit(code)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors become two lines on stderr."""
    words = list(args) if args is not None else sys.argv[1:]
    expect_language(words)
    try:
        code = cli.main(
            args=words, prog_name="plan", standalone_mode=False, terminal_width=_help_width()
        )
        flushed()
        return code if isinstance(code, int) else 0  # click returns what a command exits with
    except UnknownNameError as error:
        from planner.cli.suggest import in_order

        message, hint = unknown_name(error)
        return _fail(message, in_order(words, error) or hint, error.exit_code)
    except PlannerError as error:
        return _fail(error.text, error.way_out, error.exit_code, error.details)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.NoSuchOption as error:
        from difflib import get_close_matches

        advice = ADVICE.get(error.option_name.lstrip("-"))
        if advice is not None:
            return _fail(say("unknown_option", flag=error.option_name), say(advice), 2)
        close = get_close_matches(error.option_name, _flags(error.ctx), n=3)
        hint = say("did_you_mean", names=", ".join(close)) if close else _help_hint(error.ctx)
        return _fail(say("unknown_option", flag=error.option_name), hint, 2)
    except click.UsageError as error:
        from planner.cli.suggest import extra_words, surplus

        if (
            "unexpected extra argument" in error.message
            and (surplus_error := surplus(words, cli.commands)) is not None
        ):
            return _fail(*surplus_error, 2)
        hint = getattr(error, "hint", "") or extra_words(error, words) or _help_hint(error.ctx)
        return _fail(usage_text(error), hint, 2)
    except click.ClickException as error:
        return _fail(error.format_message(), "", 2)
    except (click.Abort, KeyboardInterrupt):
        say_interrupted()
        return interrupted_code()
    except (ReaderGoneError, BrokenPipeError):
        discard_output()
        return 0
    except OSError as error:
        if is_standard_output(error):
            discard_output(1)
            return _fail(
                say("standard_output", why=error.strerror or error),
                say("room_or_another_file"),
                2,
            )
        return _fail(
            f"{error.filename or 'file'}: {error.strerror or error}",
            say("room_or_another_place")
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else say("check_the_path"),
            2,
        )


def _help_width() -> int:
    """Columns of a help page: the terminal's, from 40 to 80."""
    return max(40, min(80, shutil.get_terminal_size((80, 24)).columns))


def _flags(ctx: click.Context | None) -> list[str]:
    if ctx is None:
        return []
    return [o for p in ctx.command.params for o in p.opts if o.startswith("--")]


def _help_hint(ctx: click.Context | None) -> str:
    return say("see_help", command=ctx.command_path if ctx is not None else "plan")


def _fail(message: str, hint: str, code: int, details: Sequence[str] = ()) -> int:
    if was_interrupted():
        say_interrupted()
        return interrupted_code()
    try:
        for line in error_lines(message, hint, details):
            click.echo(line, err=True)
    except OSError:  # nobody reads it; the exit code still tells
        discard_output(2)
    return code
