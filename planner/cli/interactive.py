"""``--interactive``: the what-if page of a report, its grid planned with a bar on a terminal."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.progress import bar
from planner.cli.refusals import say, spoken
from planner.cli.types import BESIDE, Hinted

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan
    from planner.planning.what_if.grid import Grid

HTML = (".html", ".htm")


def check_interactive(
    interactive: bool, grid: Sequence[str], out: str | None, *, flag: str, resume: bool = True
) -> None:
    """Refuse what cannot be made before anything is planned.

    Raises:
        Hinted: a grid without a page, or a page without an HTML file.
        InputError: a grid that is not one, or a file that cannot be written.
    """
    if grid and not interactive:
        raise Hinted(say("grid_alone"), say("add", what="--interactive"))
    if not interactive:
        if not resume:
            raise Hinted(say("resume_alone"), say("add", what="--interactive"))
        return
    if out is None or Path(out).suffix.lower() not in HTML:
        raise Hinted(say("interactive_html"), say("add", what=f"{flag} FILE.html"))
    from planner.cli.files import check_target
    from planner.planning.what_if.grid_axes import parse_grid

    check_target(Path(out), suffixes=HTML, flag=flag)
    parse_grid(grid)


def check_host(given: Mapping[str, Any]) -> None:
    """Refuse a host, which no grid has, before anything is planned.

    Raises:
        Hinted: one is given.
    """
    if any(given[name] is not None for name in BESIDE):
        raise Hinted(say("interactive_host"), say("leave_out", flag="--interactive"))


def journal_of(out: str) -> Path:
    """The file beside a page that keeps what is planned until the page is written."""
    return Path(f"{out}.journal")


def planned_grid(
    plan: Plan,
    grid: Sequence[str],
    arguments: dict[str, Any],
    *,
    quiet: bool,
    out: str,
    resume: bool = True,
) -> Grid:
    """The grid around ``plan`` for the page ``out``; unless ``quiet`` a terminal shows how many
    positions are planned and the time left, and stderr is told how long it took, and where an
    interrupted run goes on."""
    from planner.api.what_if import what_if
    from planner.planning.what_if.grid import PlannedPoint

    begun = time.perf_counter()
    with bar("positions of the what-if page", quiet=quiet) as tell:
        planned = what_if(
            base=plan,
            grid=grid,
            journal=journal_of(out),
            resume=resume,
            progress=lambda done, total: tell(done, total, ""),
            notify=lambda line: (
                None if quiet else click.echo(spoken(say("note", text=line)), err=True)
            ),
            **arguments,
        )
    if not quiet:
        plans = sum(isinstance(point, PlannedPoint) for point in planned.points)
        click.echo(
            f"what-if page: {len(planned.points):,} positions, {plans:,} with a plan, planned "
            f"in {time.perf_counter() - begun:.1f} s",
            err=True,
        )
    return planned
