"""Signs of life on stderr: only on a terminal, only for work that takes longer than a second."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

AFTER_SECONDS = 1.0
Tell = Callable[[int, int, str], None]
"""Told (done, total, what): ``total`` 0 where it is not known yet."""


def on_terminal(quiet: bool = False) -> bool:
    """Whether something that moves may be drawn on stderr."""
    return not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def working(
    what: str,
    *,
    quiet: bool = False,
    after_seconds: float = AFTER_SECONDS,
) -> Iterator[None]:
    """A spinner with ``what`` while the block runs, from its second second on; then it is
    erased."""
    if not on_terminal(quiet):
        yield
        return
    spinner = _Spinner(what)
    timer = threading.Timer(after_seconds, spinner.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        spinner.stop()


class _Spinner:
    """Starts in the timer's thread and stops in the caller's; once stopped it never starts."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._lock = threading.Lock()
        self._ended = False
        self._end: Callable[[], None] = lambda: None

    def start(self) -> None:
        with self._lock:
            if self._ended:
                return
            status = _console().status(f"{self._what} …", spinner="line")
            status.start()
            self._end = status.stop

    def stop(self) -> None:
        with self._lock:
            self._ended = True
            self._end()


@contextmanager
def bar(unit: str, *, quiet: bool = False) -> Iterator[Tell]:
    """A progress bar that is told how far it is; nothing where stderr is no terminal."""
    if not on_terminal(quiet):
        yield lambda done, total, what: None
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_console(), transient=True) as shown:
        task = shown.add_task(unit, total=None)
        yield lambda done, total, what: shown.update(
            task, completed=done, total=total or None, description=what or unit
        )


def _console() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)
