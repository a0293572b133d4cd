"""Entry point, default verb, and the mapping of errors to two lines and an exit code."""

from __future__ import annotations

import difflib
import gc
import sys
from collections.abc import Sequence

import click

from planner import __version__
from planner.cli import commands
from planner.errors import PlannerError

INTERRUPTED = 130
LONGEST = 1000
EPILOG = ("Exit codes: 0 ok, 1 no feasible plan, 2 usage or input, 130 interrupted. "
          "`plan MODEL DEVICE` is short for `plan plan MODEL DEVICE`.")


class DefaultVerb(click.Group):
    """A group that reads ``plan MODEL DEVICE`` as ``plan plan MODEL DEVICE``."""

    default = "plan"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands \
                and args[0] not in ("--help", "-h", "--version"):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


@click.group(cls=DefaultVerb, epilog=EPILOG,
             context_settings={"help_option_names": ["-h", "--help"]}, no_args_is_help=True)
@click.version_option(__version__, prog_name="plan")
def cli() -> None:
    """Which number format should each layer of a model take on a device?

    Give a model and a device: `plan deepseek-v3 h100-sxm --context 131072`.
    """


for _command in commands.ALL:
    cli.add_command(_command)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    gc.disable()  # a short process: collecting costs more than it frees
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code. Errors become two lines on stderr."""
    try:
        words = list(args) if args is not None else sys.argv[1:]
        code = cli.main(args=words or ["--help"], prog_name="plan", standalone_mode=False)
        return code if isinstance(code, int) else 0  # click returns what a command exits with
    except PlannerError as error:
        return _fail(error.message, error.hint, error.exit_code)
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.NoSuchOption as error:
        close = difflib.get_close_matches(error.option_name, _flags(error.ctx), n=3)
        hint = f"did you mean {', '.join(close)}?" if close else _help_hint(error.ctx)
        return _fail(f"unknown option {error.option_name}", hint, 2)
    except click.UsageError as error:
        hint = getattr(error, "hint", "") or _help_hint(error.ctx)
        return _fail(error.format_message(), hint, 2)
    except click.ClickException as error:
        return _fail(error.format_message(), "", 2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'file'}: {error.strerror or error}",
                     "check the path and its permissions", 2)


def _flags(ctx: click.Context | None) -> list[str]:
    if ctx is None:
        return []
    return [o for p in ctx.command.params for o in p.opts if o.startswith("--")]


def _help_hint(ctx: click.Context | None) -> str:
    return f"see `{ctx.command_path if ctx is not None else 'plan'} --help`"


def _fail(message: str, hint: str, code: int) -> int:
    click.echo("error: " + _line(message), err=True)
    click.echo("hint: " + _line(hint or "see `plan --help`"), err=True)
    return code


def _line(text: str) -> str:
    """One line of at most ``LONGEST`` characters that a terminal shows and does not obey: what a
    file holds may be in it, escape sequences and reversed text included."""
    words = " ".join(text.split())
    safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words[:LONGEST + 1])
    return safe if len(words) <= LONGEST else safe[:LONGEST - 1] + "…"
