"""Ctrl-C, SIGTERM and SIGHUP end a command: by unwinding, and where that takes longer, without
waiting for it.

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

from planner.base.system import ENDING_SIGNALS, kill

SIGNALLED = 128
"""The exit code of a process that a signal ended, less the signal's number."""
SECONDS = 1.0
_DONE = b"\0"
_SHOW_CURSOR, _CLEAR_LINE = "\x1b[?25h", "\r\x1b[2K"
_said, _leaving = threading.Event(), threading.Event()
_spared = threading.Event()
_received: list[int] = []
"""Signals that asked for the end; the first counts."""


@contextlib.contextmanager
def ends_on_interrupt() -> Iterator[None]:
    """Within the block one signal that asks for the end raises KeyboardInterrupt, and ends the
    process where it has not ended soon, be it after the block. One that is ignored (``nohup``) or
    handled by a caller stays as it is. On Windows Python's own KeyboardInterrupt is all there is.
    """
    usual = {
        ending_signal: signal.getsignal(ending_signal)
        for ending_signal in ENDING_SIGNALS
        if signal.getsignal(ending_signal)
        is (signal.default_int_handler if ending_signal == signal.SIGINT else signal.SIG_DFL)
    }
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_watch, args=(reader, frozenset(usual)), daemon=True)
    watch.start()

    def raise_once(number: int, _frame: FrameType | None) -> None:
        for (
            ending_signal
        ) in usual:  # a second signal must not cut short what tidies up after the first
            signal.signal(ending_signal, lambda _signal, _frame: None)
        _raise(number)

    for one in usual:
        signal.signal(one, raise_once)
    try:
        yield
    finally:
        if not _received:
            for one, handler in usual.items():
                signal.signal(one, handler)
            signal.set_wakeup_fd(before)
            os.write(writer, _DONE)
            watch.join()
            os.close(reader)
            os.close(writer)


@contextlib.contextmanager
def first_interrupt_stops() -> Iterator[None]:
    """Within the block the first Ctrl-C raises KeyboardInterrupt for what keeps its work on it, and
    the command goes on; the next one ends it, as does any after the block."""
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield
        return

    def stop_once(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, usual)
        raise KeyboardInterrupt

    _spared.set()
    signal.signal(signal.SIGINT, stop_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
        _spared.clear()


def was_interrupted() -> bool:
    """Whether a signal came: what fails after it fails because of it, in whatever words (a library
    that is being loaded says that it cannot be)."""
    return bool(_received)


def interrupted_code() -> int:
    """The exit code: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP."""
    return SIGNALLED + (_received[0] if _received else signal.SIGINT)


def say_interrupted() -> None:
    """What ended the process, on stderr, unless it is being ended by the thread, which says it
    too."""
    if not _leaving.is_set():
        _said.set()
        _write(_word())


def _word() -> str:
    number = interrupted_code() - SIGNALLED
    return (
        "interrupted\n" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}\n"
    )


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def _raise(number: int) -> None:
    """Raise KeyboardInterrupt. What cannot pass the exception on (a callback from C) does not print
    it either."""
    _received.append(number)
    sys.unraisablehook = lambda _problem: None
    threading.excepthook = lambda _problem: None
    raise KeyboardInterrupt


def _watch(reader: int, heard: frozenset[int]) -> None:
    """Wait for the end of the block or for a signal of ``heard``; after it, end the process unless
    it ends before."""
    while (byte := os.read(reader, 1)) != _DONE:
        if byte[0] == signal.SIGINT and _spared.is_set():
            _spared.clear()
        elif byte[0] in heard:
            time.sleep(SECONDS)
            _received.append(byte[0])
            leave()


def _end_workers() -> None:
    """Kill the processes that this one has started, and give back their semaphores. One that is
    just being started is in no list of multiprocessing and would complain on stderr that nobody
    tells it what to do, as would the one that watches semaphores, and an engine's program would run
    on: the system names them."""
    if "multiprocessing" in sys.modules:
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
    child_pids: list[int] = []
    for place in glob.glob(f"/proc/{os.getpid()}/task/*/children"):
        with contextlib.suppress(OSError, ValueError), open(place, encoding="ascii") as file:
            child_pids += map(int, file.read().split())
    return child_pids


def leave() -> None:
    """End the process and its workers with the exit code of what interrupted it.

    Nothing is waited for, and Python's own end is passed by: it would turn an interrupt that it
    has seen into a signal.
    """
    from planner.base.atomic_files import remove_drafts

    _leaving.set()
    remove_drafts()
    _end_workers()
    if os.isatty(2):  # a bar may have hidden the cursor
        _write(_CLEAR_LINE + _SHOW_CURSOR)
    if not _said.is_set():
        _write(_word())
    os._exit(interrupted_code())
