"""``--interactive``: the what-if page of a report, its grid planned with a bar on a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.types import Hinted

if TYPE_CHECKING:
    from planner.planning.plan.record import Plan
    from planner.planning.whatif.grid import Grid

HTML = (".html", ".htm")


def check_interactive(interactive: bool, grid: Sequence[str], out: str | None, *,
                      flag: str) -> None:
    """Refuse what cannot be made before anything is planned.

    Raises:
        Hinted: a grid without a page, or a page without an HTML file.
        InputError: a grid that is not one, or a file that cannot be written.
    """
    if grid and not interactive:
        raise Hinted("--grid sets the positions of the what-if page", "add --interactive")
    if not interactive:
        return
    if out is None or Path(out).suffix.lower() not in HTML:
        raise Hinted("--interactive makes an HTML page", f"add {flag} FILE.html")
    from planner.cli.files import check_target
    from planner.planning.whatif.grid_axes import parse_grid

    check_target(Path(out), suffixes=HTML, flag=flag)
    parse_grid(grid)


def planned_grid(plan: Plan, grid: Sequence[str], arguments: dict[str, Any], *,
                 quiet: bool) -> Grid:
    """The grid around ``plan``; how long it took is told on stderr unless ``quiet``."""
    from planner.api.what_if import what_if
    from planner.planning.whatif.grid import Planned

    begun = time.perf_counter()
    with _progress(quiet) as progress:
        found = what_if(base=plan, grid=grid, progress=progress, **arguments)
    if not quiet:
        plans = sum(isinstance(point, Planned) for point in found.points)
        click.echo(f"what-if page: {len(found.points):,} positions, {plans:,} with a plan, planned "
                   f"in {time.perf_counter() - begun:.1f} s", err=True)
    return found


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal, nothing elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("what-if page", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
