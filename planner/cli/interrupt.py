"""Ctrl-C ends a command: by unwinding, and where that takes longer, without waiting for it.

Python sees an interrupt between two steps of its own; a solver, a product of matrices or the end
of a pool of processes may be seconds away from the next. A thread is told of the signal at once
and ends the process when the command has not ended ``SECONDS`` later.
"""

from __future__ import annotations

import contextlib
import glob
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from planner.system import POSIX_SIGNALS, kill

INTERRUPTED = 130
SECONDS = 1.0
_DONE = b"\0"
_SHOW_CURSOR, _CLEAR_LINE = "\x1b[?25h", "\r\x1b[2K"
_interrupted, _said, _leaving = (threading.Event() for _ in range(3))


@contextlib.contextmanager
def ends_on_interrupt() -> Iterator[None]:
    """Within the block one interrupt raises KeyboardInterrupt, and ends the process where it has
    not ended soon, be it after the block. A signal that is ignored (``nohup``) or handled by a
    caller stays as it is. On Windows Python's own KeyboardInterrupt is all there is.
    """
    if not POSIX_SIGNALS or threading.current_thread() is not threading.main_thread() \
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader,), daemon=True)
    watch.start()
    signal.signal(signal.SIGINT, _raise_once)
    try:
        yield
    finally:
        if not _interrupted.is_set():
            signal.signal(signal.SIGINT, signal.default_int_handler)
            signal.set_wakeup_fd(before)
            os.write(writer, _DONE)
            watch.join()
            os.close(reader)
            os.close(writer)


def was_interrupted() -> bool:
    """Whether the signal came: what fails after it fails because of it, in whatever words (a
    library that is being loaded says that it cannot be)."""
    return _interrupted.is_set()


def say_interrupted() -> None:
    """One word on stderr, unless the process is being ended, which says it too."""
    if not _leaving.is_set():
        _said.set()
        _write("interrupted\n")


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def _raise_once(_signal: int, _frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; a second signal must not cut short what tidies up after the first.
    What cannot pass the exception on (a callback from C) does not print it either."""
    _interrupted.set()
    signal.signal(signal.SIGINT, lambda _signal, _frame: None)
    sys.unraisablehook = lambda _problem: None
    threading.excepthook = lambda _problem: None
    raise KeyboardInterrupt


def _watch(reader: int) -> None:
    """Wait for the end of the block or for the signal; after the signal, end the process unless it
    ends before."""
    while (byte := os.read(reader, 1)) != _DONE:
        if byte == bytes([signal.SIGINT]):
            time.sleep(SECONDS)
            leave()


def _end_workers() -> None:
    """Kill the processes that this one has started, and give back their semaphores. One that is
    just being started is in no list of multiprocessing and would complain on stderr that nobody
    tells it what to do, as would the one that watches semaphores: the system names them."""
    from multiprocessing import active_children, util

    with contextlib.suppress(Exception):  # the process ends, whatever state they are in
        for child in active_children():
            child.kill()
        util._run_finalizers(0)  # type: ignore[attr-defined]
    for _ in range(2):  # a thread may have been about to start another
        for child_id in _children():
            with contextlib.suppress(OSError):
                kill(child_id)


def _children() -> list[int]:
    """Ids of the processes that this one has started, where the system tells them."""
    found: list[int] = []
    for place in glob.glob(f"/proc/{os.getpid()}/task/*/children"):
        with contextlib.suppress(OSError, ValueError), open(place, encoding="ascii") as file:
            found += map(int, file.read().split())
    return found


def leave() -> None:
    """End the process and its workers with the exit code of an interrupt.

    Nothing is waited for, and Python's own end is passed by: it would turn an interrupt that it
    has seen into a signal.
    """
    from planner.drafts import remove_drafts

    _leaving.set()
    remove_drafts()
    if "multiprocessing" in sys.modules:
        _end_workers()
    if os.isatty(2):  # a bar may have hidden the cursor
        _write(_CLEAR_LINE + _SHOW_CURSOR)
    if not _said.is_set():
        _write("interrupted\n")
    os._exit(INTERRUPTED)
