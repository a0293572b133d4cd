"""What operating systems do differently: processors, groups of processes, held signals.

Everything here works on Linux, macOS and Windows; the rest of the package asks here and names no
call that one of them lacks (a test looks).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

WINDOWS = sys.platform == "win32"
POSIX_SIGNALS = hasattr(signal, "pthread_sigmask")
ENDING_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if POSIX_SIGNALS
)
"""What asks a process to end: Ctrl-C, `kill` and service managers, a terminal that is closed. Empty
where Python's own KeyboardInterrupt is all there is (Windows)."""
MOST_PROCESSES = 61
"""Of one pool on Windows, which waits for no more objects at once."""


def is_path(text: str) -> bool:
    """Whether a text is written as a path: it has a slash, on Windows a backslash or a drive."""
    return "/" in text or is_windows_path(text)


def is_windows_path(text: str) -> bool:
    """Whether a text can only be a path on this system, which is Windows: it has a backslash or
    begins with a drive."""
    return WINDOWS and ("\\" in text or text[1:2] == ":")


def pool_size(workers: int) -> int:
    """How many of so many processes one pool may have."""
    return min(workers, MOST_PROCESSES) if WINDOWS else workers


def usable_cpus() -> tuple[int, ...]:
    """Ids of the processors that this process may use, in order; all where the system does not say
    which."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def load_average() -> float | None:
    """Programs that wanted a processor during the last minute; None where nobody counts them."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def end_group(process: subprocess.Popen[bytes] | subprocess.Popen[str]) -> None:
    """Kill a process that was started with ``start_new_session=True``, and all its children."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            import subprocess

            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(process.pid)],
                check=False,
                stdin=subprocess.DEVNULL,
                capture_output=True,
            )
            process.kill()


def kill(process_id: int) -> None:
    """Kill one process at once.

    Raises:
        OSError: there is none, or it is another user's.
    """
    os.kill(process_id, getattr(signal, "SIGKILL", signal.SIGTERM))  # which ends it on Windows


def children_seconds() -> float:
    """Processor time of all children that have ended [s]; 0 on Windows, which keeps none."""
    spent = os.times()
    return spent.children_user + spent.children_system


@contextlib.contextmanager
def interrupt_blocked() -> Iterator[None]:
    """Ctrl-C and a terminal that is closed wait until the block ends, and what starts in it never
    sees them; nothing where the system holds no signals."""
    if not POSIX_SIGNALS:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGHUP])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def reader_is_gone(number: int) -> bool:
    """Whether nobody reads what file ``number`` is written to any more; False where the system does
    not tell."""
    import select

    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    try:
        poll.register(number, 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except OSError:
        return False
