"""The laws that every entrance keeps: how it may end, how large, and what it touches; in `make
fuzz` also how long.

An audit hook sees every file that is opened for writing, every rename and removal, every socket and
every process, whichever library does it. The hook stays in the process and is silent outside
:func:`watched`.
"""

import contextlib
import io
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_SECONDS = 2.0
"""CPU time, judged by `make fuzz` alone: a test judges none, as a slow machine must not fail it."""
MOST_BYTES = 1 << 30
LONGEST_LINE = 1200
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.rename": 2,
    "os.remove": 1,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.truncate": 1,
    "os.chmod": 1,
    "shutil.rmtree": 1,
}
_FORBIDDEN = (
    "socket.",
    "subprocess.",
    "os.system",
    "os.exec",
    "os.fork",
    "os.posix_spawn",
    "pickle.find_class",
    "ctypes.dlopen",
    "ftplib.",
    "http.",
    "urllib.",
    "smtplib.",
)


class LawError(AssertionError):
    """A law does not hold."""


@dataclass
class Watch:
    """What happened between the two ends of :func:`watched`."""

    written: set[str] = field(default_factory=set)
    forbidden: list[str] = field(default_factory=list)
    seconds: float = 0.0
    grown_bytes: int = 0


judges_time = False
_active: list[Watch] = []
_installed: list[bool] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _active:
        return
    if event == "open":
        path, _, flags = arguments
        if (
            isinstance(path, str | bytes | os.PathLike)
            and isinstance(flags, int)
            and flags & _WRITING
        ):
            _active[-1].written.add(os.path.abspath(os.fsdecode(path)))
    elif event in _CHANGES:
        for path in arguments[: _CHANGES[event]]:
            if isinstance(path, str | bytes | os.PathLike):
                _active[-1].written.add(os.path.abspath(os.fsdecode(path)))
    elif event.startswith(_FORBIDDEN):
        _active[-1].forbidden.append(event)


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """Record what the block writes, forbidden events, its CPU time [s] and growth of its peak."""
    if not _installed:
        sys.addaudithook(_hook)
        _installed.append(True)
    watch = Watch()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _active.append(watch)
    begun = time.process_time()
    try:
        yield watch
    finally:
        watch.seconds = time.process_time() - begun
        _active.pop()
        now = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        watch.grown_bytes = (now - peak) * 1024


def check(watch: Watch, allowed: Path, *, most_seconds: float = MOST_SECONDS) -> None:
    """Raise LawError where ``watch`` saw a law broken; files may be written under ``allowed``."""
    outside = sorted(
        path
        for path in watch.written
        if path != os.devnull
        and not Path(path).is_relative_to(allowed)
        and "__pycache__" not in path
    )
    if outside:
        raise LawError(f"written outside its folder: {outside}")
    if watch.forbidden:
        raise LawError(f"touched {sorted(set(watch.forbidden))}")
    if judges_time and watch.seconds > most_seconds:
        raise LawError(f"took {watch.seconds:.2f} s of CPU time, more than {most_seconds} s")
    if watch.grown_bytes > MOST_BYTES:
        raise LawError(f"grew by {watch.grown_bytes} bytes")


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str


def command(
    words: Sequence[str],
    folder: Path,
    *,
    may_write: Sequence[str] = (),
    most_seconds: float = MOST_SECONDS,
) -> Ended:
    """Run one command line in ``folder`` within this process and hold it to the laws.

    ``may_write`` are the names in ``folder`` that it may leave there.

    Raises:
        LawError: another exit code, an error without its two lines, unprintable text in them, an
            answer beside an error, a file that was not asked for, or a law of :func:`check`.
    """
    from planner.cli.main import run

    before = set(os.listdir(folder))
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        watched() as watch,
    ):
        code = run(list(words))
    check(watch, folder, most_seconds=most_seconds)
    ended = Ended(code, out.getvalue(), err.getvalue())
    left = set(os.listdir(folder)) - before - set(may_write)
    if left:
        raise LawError(f"left {sorted(left)}")
    _check_ending(ended, words)
    return ended


def reader(read: Callable[[], object], folder: Path, *, most_seconds: float = MOST_SECONDS) -> bool:
    """Hold a function that reads files in ``folder`` to the laws; whether it took them.

    Raises:
        LawError: as :func:`command`. Any other exception than the planner's own passes through.
    """
    from planner.base.errors import PlannerError

    refused = None
    with watched() as watch:
        try:
            read()
        except PlannerError as error:
            refused = error
    check(watch, folder, most_seconds=most_seconds)
    if refused is not None and not refused.message.strip():
        raise LawError("refused without a reason")
    if refused is not None and not refused.hint.strip():
        raise LawError(f"refused without a hint: {refused.message[:200]!r}")
    return refused is None


def _check_ending(ended: Ended, words: Sequence[str]) -> None:
    if ended.code not in (0, 1, 2):
        raise LawError(f"exit code {ended.code}")
    if "Traceback" in ended.err:
        raise LawError(ended.err)
    errors = [line for line in ended.err.split("\n") if line.startswith("error: ")]
    hints = [line for line in ended.err.split("\n") if line.startswith("hint: ")]
    if ended.code == 0 and errors:
        raise LawError(f"exit 0 with {errors}")
    tripped = ended.code == 1 and "failed: " in ended.err
    if ended.code != 0 and not tripped and (len(errors) != 1 or len(hints) != 1):
        raise LawError(f"exit {ended.code} with {ended.err!r}")
    if ended.code == 2 and ended.out:
        raise LawError(f"an answer beside an error: {ended.out[:200]!r}")
    for line in (*errors, *hints):
        check_line(line)


def check_line(line: str) -> None:
    """Raise LawError where a line cannot be shown on a terminal as it is, or has no end."""
    if len(line) > LONGEST_LINE:
        raise LawError(f"a line of {len(line)} characters: {line[:200]!r}")
    if not line.isprintable():
        raise LawError(f"not printable: {line[:300]!r}")
