"""The scan of all tensors: in this process, in several or on a cluster, every result journalled as
it lands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from planner.base.errors import DataError
from planner.jobs.journal import Journal
from planner.jobs.workers import LostWorkerError, Where, in_processes
from planner.lab.profiling.jobs import MatrixJob
from planner.lab.profiling.measure import ScanSettings, measure
from planner.models.imatrix import ImportanceMatrix, load_imatrix
from planner.numerics.tiles import FloatArray

Landed = Callable[[MatrixJob], None]


def scan(
    jobs: Sequence[MatrixJob],
    settings: ScanSettings,
    journal: Journal,
    *,
    where: Where,
    inputs: Path | None,
    landed: Landed,
    imatrix: Path | None = None,
) -> None:
    """Measure every job that is not in ``journal``; ``landed`` is told of each.

    ``inputs`` is a folder of ``<unit or tensor>.npy`` files, real inputs of the layers; ``imatrix``
    a file of llama-imatrix.

    Raises:
        DataError: the journal cannot be written, or a worker was killed (on a cluster: every
            worker that took a tensor); results stay.
    """
    left = [job for job in jobs if job.id not in journal.done]
    by_id = {job.id: job for job in left}
    try:
        for record in _records(left, settings, where, inputs, imatrix):
            journal.append(record)
            landed(by_id[record["id"]])
    except LostWorkerError as error:
        raise DataError(
            f"{error.message}; the {len(journal.done)} tensors measured so far are "
            f"kept in {journal.path}",
            hint=error.hint,
        ) from None


def _records(
    jobs: Sequence[MatrixJob],
    settings: ScanSettings,
    where: Where,
    inputs: Path | None,
    imatrix: Path | None,
) -> Iterator[dict[str, Any]]:
    if not jobs:
        return iter(())
    if where.cluster is not None:
        return _on_cluster(jobs, settings, where.cluster, where.workers, inputs, imatrix)
    if where.workers == 1:
        return (
            measure(job, settings, inputs_of(job, inputs), importance_of(job, imatrix))
            for job in jobs
        )
    return in_processes(
        _work, jobs, workers=where.workers or 1, start=_start, arguments=(settings, inputs, imatrix)
    )


def _on_cluster(
    jobs: Sequence[MatrixJob],
    settings: ScanSettings,
    address: str,
    workers: int | None,
    inputs: Path | None,
    imatrix: Path | None,
) -> Iterator[dict[str, Any]]:
    from planner.jobs.cluster import connected, on_cluster

    parcels = (
        ScanTask(job, settings, inputs_of(job, inputs), importance_of(job, imatrix)) for job in jobs
    )
    with connected(address, workers=workers) as client:
        yield from on_cluster(client, _work_there, parcels)


@dataclass(frozen=True, slots=True)
class ScanTask:
    """One job for a worker of a cluster; its inputs and their importance go along, since those
    files may be on this machine alone."""

    job: MatrixJob
    settings: ScanSettings
    inputs: FloatArray | None
    importance: FloatArray | None


_MINE: dict[str, Any] = {}


def _start(settings: ScanSettings, inputs: Path | None, imatrix: Path | None) -> None:
    _MINE["settings"], _MINE["inputs"], _MINE["imatrix"] = settings, inputs, imatrix


def _work(job: MatrixJob) -> dict[str, Any]:
    return measure(
        job,
        _MINE["settings"],
        inputs_of(job, _MINE["inputs"]),
        importance_of(job, _MINE["imatrix"]),
    )


def _work_there(parcel: ScanTask) -> dict[str, Any]:
    """As :func:`_work`; a checkpoint that this worker does not see is no unreadable tensor.

    Raises:
        DataError: the checkpoint's file is not here.
    """
    from socket import gethostname

    place = parcel.job.weight.file
    if not Path(place).is_file():
        raise DataError(
            f"{place}: not on the worker's machine {gethostname()}",
            hint="workers need the checkpoint under the same path",
        )
    return measure(parcel.job, parcel.settings, parcel.inputs, parcel.importance)


def inputs_of(job: MatrixJob, folder: Path | None) -> FloatArray | None:
    """The inputs [tokens, columns] kept for a tensor, or for its unit; None where there are
    none."""
    if folder is None:
        return None
    for name in (job.id, f"{job.kind}.{job.layer}"):
        path = folder / f"{name.replace('/', '_')}.npy"
        if path.exists():
            values: FloatArray = np.load(path)
            return values
    return None


@lru_cache(maxsize=4)
def _matrix(path: Path) -> ImportanceMatrix:
    return load_imatrix(path)


def importance_of(job: MatrixJob, imatrix: Path | None) -> FloatArray | None:
    """The mean squares of a matrix's inputs [columns]; None where the file has no entry for it."""
    if imatrix is None:
        return None
    return _matrix(imatrix).of(job.template, job.layer, job.expert, job.columns)
