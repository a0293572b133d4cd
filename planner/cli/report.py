"""``plan report``: a page or a Markdown text from a plan file; the same for ``--report``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.types import options

if TYPE_CHECKING:
    from planner.planning.plan import Plan

MARKDOWN = (".md", ".markdown")
SUFFIXES = (".html", ".htm", *MARKDOWN)
SURFACE_ONLY = ("as_json", "report", "quiet", "timings")


@click.command("report")
@click.argument("plan_file", metavar="PLAN.json")
@click.option("-o", "out", metavar="FILE", help="Write FILE.html or FILE.md (default: Markdown on "
              "stdout).")
@click.option("--lang", metavar="en|zh", default="en", show_default=True, help="Language.")
@options("hardware_dir", "quiet")
def report_command(plan_file: str, out: str | None, lang: str, hardware_dir: str | None,
                   quiet: bool) -> None:
    """A report from a plan file (the output of --json): one HTML page, or Markdown."""
    from planner.cli.run import read_plan
    from planner.report.phrases import phrases

    phrases(lang)  # an unknown language is refused before anything else is read
    plan = read_plan(plan_file)
    if out is None:
        click.echo(rendered(plan, ".md", lang, hardware_dir=hardware_dir), nl=False)
        return
    write_report(plan, out, lang, flag="-o", hardware_dir=hardware_dir)
    if not quiet:
        click.echo(out)


def write_report(plan: Plan, out: str, lang: str, *, flag: str, asked: str = "",
                 hardware_dir: str | None = None) -> None:
    """Write ``out`` whole or not at all; its ending says whether as HTML or Markdown.

    Raises:
        InputError: another ending, or no such folder.
        OSError: the file cannot be written.
    """
    from planner.cli.run import check_target, write_whole

    path = Path(out)
    check_target(path, suffixes=SUFFIXES, flag=flag)
    text = rendered(plan, path.suffix.lower(), lang, asked=asked, hardware_dir=hardware_dir)
    write_whole(path, text, suffixes=SUFFIXES, flag=flag)


def rendered(plan: Plan, suffix: str, lang: str, *, asked: str = "",
             hardware_dir: str | None = None) -> str:
    """The report's text for a file ending."""
    from planner import __version__
    from planner.api_report import operators
    from planner.report.content import Beside

    beside = Beside(operators(plan, hardware_dir=hardware_dir), asked, __version__)
    if suffix in MARKDOWN:
        from planner.report.markdown import markdown

        return markdown(plan, lang, beside)
    from planner.report.html import page

    return page(plan, lang, beside)


def asked_command(context: click.Context) -> str:
    """The question as it was typed: the verb and what was given, surface flags left out."""
    from shlex import quote

    words: list[str] = ["plan", *([context.command.name or ""] if context.command.name != "plan"
                                  else [])]
    for parameter in context.command.params:
        name, value = parameter.name or "", context.params.get(parameter.name or "")
        source = context.get_parameter_source(name)
        if name in SURFACE_ONLY or source is not click.core.ParameterSource.COMMANDLINE:
            continue
        if isinstance(parameter, click.Argument):
            words.append(quote(str(value)))
            continue
        flag = next(o for o in parameter.opts if o.startswith("--"))
        words += [flag] if value is True else [flag, quote(_plain(value))]
    return " ".join(words)


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
