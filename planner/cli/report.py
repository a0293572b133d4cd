"""``plan report``: a page or a Markdown text from a plan file; the same for ``--report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.language import chosen_language, language
from planner.cli.types import WHERE, Hinted, options

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan
    from planner.planning.what_if.grid import Grid
    from planner.report.view.content import ReportExtras

PAGES = (".html", ".htm")
MARKDOWN = (".md", ".markdown")
SUFFIXES = (*PAGES, *MARKDOWN)
MAX_PAGE_BYTES = 64 << 20


@click.command("report")
@click.argument("plan_file", metavar="PLAN.json")
@click.option(
    "-o", "out", metavar="FILE", help="Write FILE.html or FILE.md (default: Markdown on stdout)."
)
@options("interactive", "grid", "resume", "hardware_dir", "quiet")
def report_command(
    plan_file: str,
    out: str | None,
    interactive: bool,
    grid: tuple[str, ...],
    resume: bool,
    hardware_dir: str | None,
    quiet: bool,
) -> None:
    """Write a report of a plan file (from --json): one HTML page, or Markdown.

    PLAN.json may also be such a page; it is made again from the data inside.
    """
    from planner.cli.files import check_target, write_atomically
    from planner.cli.interactive import check_interactive, journal_of, planned_grid
    from planner.planning.plan.file import read_plan

    if out is not None:
        check_target(Path(out), suffixes=SUFFIXES, flag="-o")
    check_interactive(interactive, grid, out, flag="-o", resume=resume)
    if Path(plan_file).suffix.lower() in PAGES:
        if hardware_dir is not None and not interactive:
            raise Hinted("--hardware-dir: a page has its device inside", "leave it out")
        plan, beside, own = _read_page(Path(plan_file))
    else:
        from planner import __version__
        from planner.api.report import report_extras as gathered

        plan, own = read_plan(plan_file), "en"
        beside = gathered(plan, version=__version__, hardware_dir=hardware_dir)
    around = None
    if interactive:
        from planner.planning.what_if.around_file import around_file

        around = planned_grid(
            plan,
            grid,
            {**around_file(plan), "hardware_dir": hardware_dir},
            quiet=quiet,
            out=str(out),
            resume=resume,
        )
    text = rendered(
        plan, beside, ".md" if out is None else Path(out).suffix, chosen_language() or own, around
    )
    if out is None:
        click.echo(text, nl=False)
        return
    write_atomically(Path(out), text, suffixes=SUFFIXES, flag="-o")
    if interactive:
        journal_of(out).unlink(missing_ok=True)
    if not quiet:
        click.echo(out)


def _read_page(path: Path) -> tuple[Plan, ReportExtras, str]:
    """A page's plan, what is told beside it, and its language.

    Raises:
        InputError: no such file.
        DataError: not a page that this version wrote.
    """
    from planner.base.errors import DataError, InputError
    from planner.base.files import read_bounded
    from planner.report.render.embedded import HINT, read_page

    if not path.is_file():
        raise InputError(f"page {str(path)!r} does not exist", hint="write one with --report")
    too_large = DataError(f"page {str(path)!r} is larger than {MAX_PAGE_BYTES} bytes", hint=HINT)
    try:
        text = read_bounded(path, MAX_PAGE_BYTES, too_large).decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"page {str(path)!r} is not UTF-8", hint=HINT) from None
    return read_page(text, str(path))


def write_report(
    plan: Plan,
    out: str,
    *,
    requested: str = "",
    scenario: str | None = None,
    hardware_dir: str | None = None,
    around: Grid | None = None,
) -> None:
    """Write ``out`` whole or not at all; its ending says whether as HTML or Markdown.

    Raises:
        InputError: another ending, or no such folder.
        OSError: the file cannot be written.
    """
    from planner.cli.files import check_target, write_atomically

    path = Path(out)
    check_target(path, suffixes=SUFFIXES, flag="--report")
    text = report_of(
        plan,
        path.suffix,
        requested=requested,
        scenario=scenario,
        hardware_dir=hardware_dir,
        around=around,
    )
    write_atomically(path, text, suffixes=SUFFIXES)


def report_of(
    plan: Plan,
    suffix: str,
    *,
    requested: str,
    scenario: str | None,
    hardware_dir: str | None,
    around: Grid | None,
) -> str:
    """The report of an answer for a file ending, with what the program gathers beside it."""
    from planner import __version__
    from planner.api.report import report_extras as gathered

    extras = gathered(
        plan, requested=requested, version=__version__, scenario=scenario, hardware_dir=hardware_dir
    )
    return rendered(plan, extras, suffix, language(), around)


def rendered(
    plan: Plan, extras: ReportExtras, suffix: str, lang: str, around: Grid | None = None
) -> str:
    """The report's text for a file ending; HTML has a what-if page where a grid is given."""
    if suffix.lower() in MARKDOWN:
        from planner.report.render.markdown import markdown

        return markdown(plan, lang, extras)
    from planner.report.render.html import page
    from planner.report.render.interactive import interactive

    return page(plan, lang, extras, interactive(around, plan, lang) if around is not None else None)


GIVEN = (click.core.ParameterSource.COMMANDLINE, click.core.ParameterSource.DEFAULT_MAP)
"""By a flag, or by ``planner.toml``: another folder has none."""


def question_command(context: click.Context) -> str:
    """The question as it was typed: the verb and what was given, surface flags left out."""
    from shlex import quote

    words: list[str] = [
        "plan",
        *([context.command.name or ""] if context.command.name != "plan" else []),
    ]
    for parameter in context.command.params:
        name, value = parameter.name or "", context.params.get(parameter.name or "")
        source = context.get_parameter_source(name)
        if name in WHERE or source not in GIVEN:
            continue
        if isinstance(parameter, click.Argument):
            words.append(quote(str(value)))
            continue
        flag = next(o for o in parameter.opts if o.startswith("--"))
        words += [flag] if value is True else [flag, quote(_plain(value))]
    return " ".join(words)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
