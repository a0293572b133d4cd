"""One writer at a time, by a file that the system locks: a lock ends with its process."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from planner.base.atomic_files import gone_at_the_end, removed, telling
from planner.base.errors import DataError

if TYPE_CHECKING:
    from filelock import BaseFileLock


def held_lock(lock: Path, target: Path) -> BaseFileLock:
    """Keep other runs from ``target`` until this process gives the lock back or ends.

    Raises:
        DataError: another run has it. OSError: it cannot be made.
    """
    from filelock import FileLock, Timeout

    file_lock = FileLock(lock, timeout=0, thread_local=False)
    try:
        with telling(target):
            file_lock.acquire()
    except Timeout:
        raise DataError(
            f"{target}: another run is writing it", hint="wait for it, or name another one with -o"
        ) from None
    gone_at_the_end(lock)
    return file_lock


def give_back(lock: BaseFileLock) -> None:
    """Let others in. The lock's file goes before it is free, so that none is left."""
    with contextlib.suppress(OSError):  # some systems keep a file that is open
        removed(Path(lock.lock_file))
    lock.release()
