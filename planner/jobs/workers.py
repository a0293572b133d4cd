"""Work spread over processes of this machine, and what every kind of worker has in common."""

from __future__ import annotations

import copyreg
import io
import os
import pickle
import signal
import sys
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import connection, get_context, parent_process, resource_tracker
from types import MappingProxyType, ModuleType
from typing import Any, TypeVar

from planner.base.errors import DataError
from planner.base.system import POSIX_SIGNALS, interrupt_blocked, pool_size, usable_cpus

Item = TypeVar("Item")
Result = TypeVar("Result")
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
QUEUED = 4
"""Items under way for each worker."""
ORPHANED = 3
"""Exit status of a worker whose parent is gone."""


class LostWorkerError(DataError):
    """A worker was killed, or the cluster is gone; what has landed is kept."""


@dataclass(frozen=True, slots=True)
class Where:
    """What works: ``workers`` processes of this machine (1: this one), or a Dask ``cluster``
    (``local`` starts one of ``workers`` processes, None: a core each)."""

    workers: int | None = 1
    cluster: str | None = None


def own_version() -> str:
    """The version of this program."""
    from importlib.metadata import version

    return version("precision-planner")


def cores() -> int:
    """Cores that this process may use."""
    return max(1, len(usable_cpus()))


def in_processes(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    start: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """Results of ``function`` in the order in which they come, from ``workers`` new processes.

    Each process first calls ``start(*arguments)``; it ends with this one, even where this one is
    killed. Where the results are not taken to the end (an interrupt, an error), the processes are
    killed: what they work on is not waited for.

    Raises:
        LostWorkerError: a worker was killed.
    """
    with _processes([pool_size(workers)], start, arguments) as (pool,):
        yield from _windowed(pool, function, items, QUEUED * workers)


def lines_in_processes(
    function: Callable[[Item], Result],
    lines: Iterable[Sequence[Item]],
    *,
    workers: int,
    start: Callable[..., None] | None = None,
    arguments: tuple[Any, ...] = (),
) -> Iterator[Result]:
    """As :func:`in_processes`, where the items of a line are those of one process, in their order:
    what it remembers of one serves the next.

    Raises:
        LostWorkerError: a worker was killed.
    """
    left = iter(lines)
    running: dict[Future[Result], int] = {}
    with _processes([1] * workers, start, arguments) as pools:
        while True:
            busy = list(running.values())
            for at, pool in enumerate(pools):
                if busy.count(at) > 1:
                    continue
                for item in next(left, ()):
                    with _started():
                        running[pool.submit(function, item)] = at
            if not running:
                return
            done = wait(running, return_when=FIRST_COMPLETED).done
            for future in [running_future for running_future in running if running_future in done]:
                del running[future]
                yield future.result()


@contextmanager
def _processes(
    each: Sequence[int], start: Callable[..., None] | None, arguments: tuple[Any, ...]
) -> Iterator[list[ProcessPoolExecutor]]:
    """Pools of so many processes each, which are killed where the block does not end."""
    with interrupt_held():  # their locks start the process that watches semaphores
        pools = [
            ProcessPoolExecutor(
                count,
                mp_context=get_context("spawn"),
                initializer=_start,
                initargs=(start, arguments),
            )
            for count in each
        ]
    ended = False
    try:
        with _one_thread_each():
            yield pools
        for pool in pools:
            pool.shutdown(wait=True)
        ended = True
    except BrokenProcessPool:
        raise LostWorkerError(
            "a worker process was killed",
            hint="run the same command again: it goes on from there (fewer "
            "--workers need less memory)",
        ) from None
    finally:
        for pool in pools:
            if not ended:
                for process in tuple((pool._processes or {}).values()):
                    process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


def _windowed(
    pool: ProcessPoolExecutor, function: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Iterator[Result]:
    running: set[Future[Result]] = set()
    for item in items:
        with _started():
            running.add(pool.submit(function, item))
        if len(running) < most:
            continue
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)
    while running:
        done, running = wait(running, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in done)


@contextmanager
def _started() -> Iterator[None]:
    with interrupt_held(), script_hidden():
        yield


_HIDING = threading.Lock()
_HIDDEN: list[ModuleType] = []


@contextmanager
def script_hidden() -> Iterator[None]:
    """A process that starts in the block does not run the script that started this one, which it
    would where a script calls a verb outside of ``if __name__ == "__main__":``. Nothing that is
    sent to a process is of that script. Blocks may overlap: the last to end shows it again."""
    with _HIDING:
        if not _HIDDEN:
            script, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
        else:
            script = _HIDDEN[0]
        _HIDDEN.append(script)
    try:
        yield
    finally:
        with _HIDING:
            script = _HIDDEN.pop()
            if not _HIDDEN:
                sys.modules["__main__"] = script


@contextmanager
def interrupt_held() -> Iterator[None]:
    """A process that starts in the block, or from a thread that does, does not see Ctrl-C, nor that
    the terminal was closed, which the terminal tells to all: this one ends it."""
    if POSIX_SIGNALS:  # Windows has no such process
        with interrupt_blocked():
            resource_tracker.ensure_running()  # it lets Ctrl-C through again
    with interrupt_blocked():
        yield


def _start(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    if not POSIX_SIGNALS:  # it was not held when this process began
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    if start is not None:
        start(*arguments)


def _end_with(sentinel: int) -> None:
    """End this process when its parent has ended: it would wait for work for ever."""
    connection.wait([sentinel])
    os._exit(ORPHANED)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Children inherit one thread for each numeric library: they share the machine, and sums have
    one order."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def packed(value: object) -> bytes:
    """``value`` as bytes for another process; read-only mappings, which pickle refuses, too.

    They are compressed: a device with all its fitted kernels goes along with every part, and a
    fifth of its bytes is left (208 to 36 kB)."""
    out = io.BytesIO()
    pickler = pickle.Pickler(out, protocol=pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = copyreg.dispatch_table.copy()
    pickler.dispatch_table[MappingProxyType] = _reduce_mapping
    pickler.dump(value)
    return zlib.compress(out.getvalue())


@lru_cache(maxsize=256)
def unpacked(content: bytes) -> Any:
    """What :func:`packed` was given; the same bytes give the same object, so that caches that are
    keyed by it stay warm. Only for bytes that this program made."""
    return pickle.loads(zlib.decompress(content))


def _reduce_mapping(value: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _read_only, (dict(value),)


def _read_only(values: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)
