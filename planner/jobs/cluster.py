"""Work spread over a Dask cluster: one that runs somewhere, or one started here.

Every wait has an end: an address that does not answer, a cluster without workers and workers that
run another version are errors. A killed worker's items are given to the others.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from itertools import islice
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from planner.base.errors import DataError, InputError, MissingPackageError, PlannerError
from planner.jobs.workers import (
    QUEUED,
    LostWorkerError,
    Where,
    cores,
    interrupt_held,
    own_version,
    script_hidden,
)

if TYPE_CHECKING:
    from distributed import Client, Future, Nanny

_AGAIN = "start it again, then run the same command: it goes on from there"

Item = TypeVar("Item")
Result = TypeVar("Result")
LOCAL = "local"
CONNECT_SECONDS = 10.0
WORKERS_SECONDS = 30.0
COUNTED_SECONDS = 1.0
LOOK_SECONDS = 5.0
AT_ONCE = 64
"""Items that are sent or fetched in one message, at most: what has ended is not kept from the
journal for longer."""
IDLE_SECONDS = 60.0
"""How long a cluster may be without any worker before the run gives up."""
MOST_GREETING = 1 << 20
_ADDRESS = re.compile(r"(tcp|tls)://[^\s/]+:(\d{1,5})")
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
    known = _ADDRESS.fullmatch(address)
    if address != LOCAL and (known is None or not 0 < int(known[2]) < 1 << 16):
        raise InputError(
            f"cluster {address!r} is not an address",
            hint="local, or an address such as tcp://10.0.0.5:8786",
        )
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
            made = LocalCluster(
                n_workers=workers or cores(),
                threads_per_worker=1,
                worker_class=_own_nanny(),
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                host="127.0.0.1",
            )
        with made as started, Client(started) as client:
            yield _checked(client, address)
        return
    if workers is not None:
        raise InputError(
            f"workers = {workers} and cluster {address} exclude each other: the "
            "cluster has its own",
            hint="leave --workers out",
        )
    _check_greeting(address)
    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, TimeoutError):
        raise InputError(
            f"cluster {address}: nobody answers within {CONNECT_SECONDS:.0f} s", hint=_HINT
        ) from None
    except Exception as error:  # another protocol gives any kind of error
        certificates = "tls:// needs certificates: distributed.comm.tls in Dask's configuration"
        raise InputError(
            f"cluster {address}: what answers is no Dask scheduler ({type(error).__name__})",
            hint=_HINT if address.startswith("tcp") else certificates,
        ) from None
    with client:
        yield _checked(client, address)


def _check_greeting(address: str) -> None:
    """Refuse what is no scheduler. One speaks first, in frames whose count begins the message; a
    client takes the words of another protocol for such a count, and waits for ever. Where nobody
    answers yet is the client's to find out.

    Raises:
        InputError: something else answers there.
    """
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    if protocol != "tcp":
        return
    with (
        suppress(ConnectionError, socket.gaierror),
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS) as probe,
    ):
        try:
            greeting = probe.makefile("rb").read(8)
        except TimeoutError:
            greeting = b""
        if len(greeting) < 8 or int.from_bytes(greeting, "little") >= MOST_GREETING:
            raise InputError(f"cluster {address}: what answers is no Dask scheduler", hint=_HINT)


def _own_nanny() -> type[Nanny]:
    """What starts a worker here, and again where it is killed: without the script that called."""
    from distributed import Nanny

    class OwnNanny(Nanny):  # type: ignore[misc, unused-ignore]
        async def instantiate(self) -> Any:
            with script_hidden():
                return await super().instantiate()

    return OwnNanny


def _checked(client: Client, address: str) -> Client:
    """Wait for a worker, and compare versions.

    Raises:
        InputError: none comes, or one cannot do this program's work.
    """
    mine = own_version()
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError:
        raise InputError(
            f"cluster {address} has no worker after {WORKERS_SECONDS:.0f} s",
            hint="start one with `dask worker ADDRESS`",
        ) from None
    for who, ask in (("the scheduler", client.run_on_scheduler), ("a worker", client.run)):
        try:
            environments = ask(_own_environment)
        except Exception as error:
            said = str(error).strip().partition("\n")[0] or type(error).__name__
            raise InputError(
                f"cluster {address}: {who} cannot import precision-planner: {said}",
                hint=f"install precision-planner {mine} where the scheduler and the workers run",
            ) from None
    for worker, environment in sorted(environments.items()):
        if (problem := _unfit(environment, mine)) is not None:
            raise InputError(f"worker {worker} {problem[0]}", hint=problem[1])
    return client


def _own_environment() -> tuple[str, str]:
    """(version of this program, threads of numeric libraries) on a worker."""
    return own_version(), os.environ.get("OMP_NUM_THREADS", "")


def on_cluster(
    client: Client, function: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Result]:
    """Results of ``function`` in the order in which they come.

    A result is fetched as soon as it is there, with all others that are. An item whose worker is
    killed is given to another; one that has killed several is given up.

    Raises:
        LostWorkerError: an item killed its workers, or the cluster is gone.
    """
    queue, landed = iter(items), SimpleQueue[Any]()
    under_way, more, room = 0, True, _Room(client)
    while True:
        while more and (free := room.wanted() - under_way) > 0:
            given = list(islice(queue, min(free, AT_ONCE)))
            more = bool(given)
            for future in _sent(client, function, given):
                future.add_done_callback(landed.put)
            under_way += len(given)
        if not under_way:
            return
        done = _landed(client, landed)
        under_way -= len(done)
        yield from _results(client, done)


def _sent(
    client: Client, function: Callable[[Item], Result], given: Sequence[Item]
) -> list[Future[Any]]:
    """Items in one message, however large their inputs are."""
    import dask

    work = partial(_one_at_a_time, function, own_version())
    with (
        dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}),
        _raising_lost(),
    ):
        futures: list[Future[Any]] = client.map(work, given, pure=False)
    return futures


class _Room:
    """How many items may be under way. Workers are counted once a second: to ask the scheduler
    for every item would take longer than to pass it on."""

    def __init__(self, client: Client) -> None:
        self._client, self._wanted, self._asked = client, 0, -math.inf

    def wanted(self) -> int:
        """Items for the workers that there are."""
        if (now := time.monotonic()) - self._asked >= COUNTED_SECONDS:
            self._wanted, self._asked = QUEUED * max(1, _threads(self._client)), now
        return self._wanted


def _threads(client: Client) -> int:
    with _raising_lost():
        return sum(client.nthreads().values())


_LOCK = threading.Lock()


def _one_at_a_time(function: Callable[[Item], Result], version: str, item: Item) -> Result:
    """A process works on one item at a time, however many threads its worker has: caches and the
    solver's output are the process's.

    Raises:
        DataError: a worker that came later than the run began cannot do its work, or it cannot
            read or write what the item needs: as an error of the system that would be told as a
            lost cluster.
    """
    with _LOCK:
        if (problem := _problem(version)) is not None:
            raise DataError(
                f"a worker on {socket.gethostname()} that came later {problem[0]}", hint=problem[1]
            )
        try:
            return function(item)
        except OSError as error:
            raise DataError(
                f"a worker on {socket.gethostname()}: {error}",
                hint="files must be there, under the same path, where workers run",
            ) from None


@lru_cache(maxsize=16)
def _problem(version: str) -> tuple[str, str] | None:
    """Why this worker cannot work for a run of ``version``, and the way out."""
    return _unfit(_own_environment(), version)


def _unfit(environment: tuple[str, str], version: str) -> tuple[str, str] | None:
    running, threads = environment
    if running != version:
        return (
            f"runs precision-planner {running}, this is {version}",
            "install the same version everywhere",
        )
    if threads != "1":
        return (
            "has numeric libraries that may use several threads, so that the order of sums is "
            "not fixed",
            "start workers with OMP_NUM_THREADS=1, or with a nanny, which sets it",
        )
    return None


def _landed(client: Client, landed: SimpleQueue[Future[Any]]) -> list[Future[Any]]:
    """All that have ended, at least one."""
    empty_since = time.monotonic()
    while True:
        try:
            done = [landed.get(timeout=LOOK_SECONDS)]
            break
        except Empty:
            pass
        if client.status != "running":
            raise LostWorkerError("the cluster is gone", hint=_AGAIN)
        with _raising_lost():
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if any(map(_takes_work, workers)):
            empty_since = time.monotonic()
        elif time.monotonic() - empty_since > IDLE_SECONDS:
            raise _without_workers(list(workers))
    with suppress(Empty):
        while len(done) < AT_ONCE:
            done.append(landed.get_nowait())
    return done


def _takes_work(worker: Mapping[str, Any]) -> bool:
    """Dask pauses a worker whose memory is four fifths full: it ends what it has begun, and begins
    nothing else."""
    executing = worker.get("metrics", {}).get("task_counts", {}).get("executing", 0)
    return worker.get("status") == "running" or executing > 0


def _without_workers(paused: Sequence[Mapping[str, Any]]) -> LostWorkerError:
    if not paused:
        return LostWorkerError(
            f"the cluster has had no worker for {IDLE_SECONDS:.0f} s", hint=_AGAIN
        )
    limit = min(worker.get("memory_limit") or 0 for worker in paused)
    return LostWorkerError(
        f"no worker has taken work for {IDLE_SECONDS:.0f} s: their memory is full (limit "
        f"{limit / 1e6:.0f} MB)",
        hint="start workers with a higher limit (1 GB each is enough), "
        "then run the same command: it goes on from there",
    )


def _results(client: Client, done: Sequence[Future[Any]]) -> Iterator[Any]:
    """What has ended, fetched together; those that failed come last, as the first of them ends
    the run."""
    sound = [future for future in done if future.status == "finished"]
    with _raising_lost():
        results = client.gather(sound)
    for future in sound:
        future.release()
    yield from results
    for future in done:
        if future not in sound:
            with _raising_lost():
                result = future.result()
            yield result


@contextmanager
def _raising_lost() -> Iterator[None]:
    """Errors of a cluster in the block are lost workers.

    Raises:
        LostWorkerError: an item killed its workers, or the cluster is gone.
    """
    from concurrent.futures import CancelledError

    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        yield
    except KilledWorker as error:
        raise LostWorkerError(
            f"one item killed every worker that took it ({error})",
            hint="give the workers more memory, or fewer of them, and run the same command again",
        ) from None
    except (CancelledError, FutureCancelledError, OSError) as error:
        if isinstance(error, PlannerError):
            raise
        raise LostWorkerError(
            f"the cluster is gone ({type(error).__name__})", hint=_AGAIN
        ) from None
