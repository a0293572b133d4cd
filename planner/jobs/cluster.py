"""Work spread over a Dask cluster: one that runs somewhere, or one started here.

Every wait has an end: an address that does not answer, a cluster without workers and workers that
run another version are errors. A killed worker's items are given to the others.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from planner.errors import InputError, MissingPackageError, PlannerError
from planner.jobs.workers import QUEUED, LostWorkerError, Where, cores, interrupt_held, own_version

if TYPE_CHECKING:
    from distributed import Client, Future

_AGAIN = "start it again, then run the same command: it goes on from there"

Item = TypeVar("Item")
Result = TypeVar("Result")
LOCAL = "local"
CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 30.0
IDLE_SECONDS = 60.0
"""How long a cluster may be without any worker before the run gives up."""
_ADDRESS = re.compile(r"(tcp|tls)://[^\s/]+:\d{1,5}")
_HINT = "start one with `dask scheduler` and `dask worker ADDRESS`, or use --cluster local"


def where(workers: int | None, cluster: str | None) -> Where:
    """The place for ``workers`` (default: a core each) or ``cluster``.

    Raises:
        InputError: fewer than one worker, or an address that cannot be one.
    """
    if workers is not None and workers < 1:
        raise InputError(f"workers = {workers} is out of range", hint="1 or more")
    if cluster is None:
        return Where(workers or cores())
    return Where(workers, check_address(cluster))


def check_address(address: str) -> str:
    """``local``, ``tcp://HOST:PORT`` or ``tls://HOST:PORT``.

    Raises:
        InputError: something else. MissingPackageError: distributed is not installed.
    """
    if address != LOCAL and not _ADDRESS.fullmatch(address):
        raise InputError(f"cluster {address!r} is not an address",
                         hint="local, or an address such as tcp://10.0.0.5:8786")
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise MissingPackageError("distributed", extra="distributed") from None
    return address


@contextmanager
def connected(address: str, *, workers: int | None) -> Iterator[Client]:
    """A client of the cluster at ``address``; with ``local`` of one that is started here with
    ``workers`` processes (default: the cores) and ends with the block.

    Raises:
        InputError: nobody answers there, no worker comes, or a worker runs another version.
    """
    check_address(address)
    from distributed import Client, LocalCluster

    if address == LOCAL:
        with interrupt_held():
            made = LocalCluster(n_workers=workers or cores(), threads_per_worker=1, processes=True,
                                dashboard_address=None, silence_logs=logging.CRITICAL,
                                host="127.0.0.1")
        with made as started, Client(started) as client:
            yield _checked(client, address)
        return
    if workers is not None:
        raise InputError(f"workers = {workers} and cluster {address} exclude each other: the "
                         "cluster has its own", hint="leave --workers out")
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError):
        raise InputError(f"cluster {address}: nobody answers within {CONNECT_SECONDS:.0f} s",
                         hint=_HINT) from None
    except Exception as error:  # another protocol gives any kind of error
        raise InputError(f"cluster {address}: what answers is no Dask scheduler "
                         f"({type(error).__name__})", hint=_HINT) from None
    with client:
        yield _checked(client, address)


def _checked(client: Client, address: str) -> Client:
    """Wait for a worker, and compare versions.

    Raises:
        InputError: none comes, or one cannot do this program's work.
    """
    mine = own_version()
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError:
        raise InputError(f"cluster {address} has no worker after {WORKERS_SECONDS:.0f} s",
                         hint="start one with `dask worker ADDRESS`") from None
    try:
        found = client.run(_told)
    except Exception as error:
        raise InputError(f"cluster {address}: a worker cannot import precision-planner: {error}",
                         hint=f"install precision-planner {mine} where the workers run") \
            from None
    for worker, (version, threads) in sorted(found.items()):
        if version != mine:
            raise InputError(f"worker {worker} runs precision-planner {version}, this is "
                             f"{mine}", hint="install the same version everywhere")
        if threads != "1":
            raise InputError(f"worker {worker}: numeric libraries may use several threads, so that "
                             "the order of sums is not fixed",
                             hint="start workers with OMP_NUM_THREADS=1, or with a nanny, which "
                                  "sets it")
    return client


def _told() -> tuple[str, str]:
    """(version of this program, threads of numeric libraries) on a worker."""
    return own_version(), os.environ.get("OMP_NUM_THREADS", "")


def on_cluster(client: Client, function: Callable[[Item], Result], items: Iterable[Item],
               ) -> Iterator[Result]:
    """Results of ``function`` in the order in which they come.

    A result is fetched as soon as it is there. An item whose worker is killed is given to another;
    one that has killed several is given up.

    Raises:
        LostWorkerError: an item killed its workers, or the cluster is gone.
    """
    running: set[Future[Any]] = set()
    queue, more = iter(items), True
    while more or running:
        while more and len(running) < QUEUED * max(1, _threads(client)):
            try:
                running.add(client.submit(_one_at_a_time, function, next(queue), pure=False))
            except StopIteration:
                more = False
        if running:
            done = _landed(client, running)
            running -= done
            yield from (_result(future) for future in done)


_LOCK = threading.Lock()


def _one_at_a_time(function: Callable[[Item], Result], item: Item) -> Result:
    """A process works on one item at a time, however many threads its worker has: caches and the
    solver's output are the process's."""
    with _LOCK:
        return function(item)


def _threads(client: Client) -> int:
    return sum(client.nthreads().values())


def _landed(client: Client, running: set[Future[Any]]) -> set[Future[Any]]:
    """Those of ``running`` that have ended, at least one."""
    from distributed import wait

    empty_since = time.monotonic()
    while True:
        try:
            return set(wait(list(running), timeout=5, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            pass
        except Exception as error:  # the scheduler is gone: its futures are cancelled
            raise LostWorkerError(f"the cluster is gone ({type(error).__name__})",
                                  hint=_AGAIN) from None
        if client.status != "running":
            raise LostWorkerError("the cluster is gone", hint=_AGAIN)
        if client.nthreads():
            empty_since = time.monotonic()
        elif time.monotonic() - empty_since > IDLE_SECONDS:
            raise LostWorkerError(f"the cluster has had no worker for {IDLE_SECONDS:.0f} s",
                                  hint=_AGAIN)


def _result(future: Future[Any]) -> Any:
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return future.result()
    except KilledWorker as error:
        raise LostWorkerError(f"one item killed every worker that took it ({error})",
                              hint="give the workers more memory, or fewer of them, and "
                                   "run the same command again") from None
    except (CancelledError, FutureCancelledError, OSError) as error:
        if isinstance(error, PlannerError):
            raise
        raise LostWorkerError(f"the cluster is gone ({type(error).__name__})",
                              hint=_AGAIN) from None
    finally:
        future.release()
