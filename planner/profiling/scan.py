"""The scan of all tensors: in this process or in several, every result journalled as it lands."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from planner.errors import DataError
from planner.numerics.tiles import FloatArray
from planner.profiling.jobs import Job
from planner.profiling.journal import Journal
from planner.profiling.measure import Settings, measure

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS",
                    "NUMBA_NUM_THREADS")
QUEUED = 4  # jobs waiting for each worker
Landed = Callable[[Job], None]


def scan(jobs: Sequence[Job], settings: Settings, journal: Journal, *, workers: int,
         inputs: Path | None, landed: Landed) -> None:
    """Measure every job that is not in ``journal``; ``landed`` is told of each.

    ``inputs`` is a folder of ``<unit or tensor>.npy`` files, real inputs of the layers.

    Raises:
        DataError: the journal cannot be written, or a worker was killed; results stay.
    """
    left = [job for job in jobs if job.id not in journal.done]
    by_id = {job.id: job for job in left}
    results = _alone(left, settings, inputs) if workers == 1 \
        else _together(left, settings, inputs, workers, journal)
    for record in results:
        journal.append(record)
        landed(by_id[record["id"]])


def _alone(jobs: Sequence[Job], settings: Settings, inputs: Path | None,
           ) -> Iterator[dict[str, Any]]:
    for job in jobs:
        yield measure(job, settings, inputs_of(job, inputs))


def _together(jobs: Sequence[Job], settings: Settings, inputs: Path | None, workers: int,
              journal: Journal) -> Iterator[dict[str, Any]]:
    """Results in the order in which they come; at most ``QUEUED`` jobs a worker are under way."""
    queue = iter(jobs)
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_start,
                               initargs=(settings, inputs))
    try:
        with _one_thread_each():
            running: set[Future[dict[str, Any]]] = set()
            for job in queue:
                running.add(pool.submit(_work, job))
                if len(running) < QUEUED * workers:
                    continue
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                yield from (future.result() for future in done)
    except BrokenProcessPool:
        raise DataError(
            f"a worker process was killed; the {len(journal.done)} tensors measured so far are "
            f"kept in {journal.path}",
            hint="run the same command again: it goes on from there (fewer --workers need less "
                 "memory)") from None
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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


_MINE: dict[str, Any] = {}


def _start(settings: Settings, inputs: Path | None) -> None:
    _MINE["settings"], _MINE["inputs"] = settings, inputs


def _work(job: Job) -> dict[str, Any]:
    return measure(job, _MINE["settings"], inputs_of(job, _MINE["inputs"]))


def inputs_of(job: Job, folder: Path | None) -> FloatArray | None:
    """The inputs kept for a tensor, or for its unit; None where there are none."""
    if folder is None:
        return None
    for name in (job.id, f"{job.kind}.{job.layer}"):
        path = folder / f"{name.replace('/', '_')}.npy"
        if path.exists():
            values: FloatArray = np.load(path)
            return values
    return None
