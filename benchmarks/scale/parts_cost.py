"""What the measured parts cost, and cells of tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scale.simulation import Costs, Ran, Task
from benchmarks.scale.work import matrices, plans
from planner.lookup import load_model

MEASURED = Path(__file__).with_name("measured.json")
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
STORAGES = (1e9, 5e9, 20e9)
WAY_SECONDS, START_SECONDS, JOURNAL_SECONDS, READER = 0.001, 10.0, 0.001, 5e8


@cache
def measured() -> dict[str, Any]:
    """The parts."""
    found: dict[str, Any] = json.loads(MEASURED.read_text(encoding="utf-8"))
    return found


def costs() -> Costs:
    """The parts of this program and of Dask, and what is assumed of a cluster."""
    few, many = measured()["dask"]["few"], measured()["dask"]["many"]
    return Costs(
        client_message_seconds=(few["client_ms"] - many["client_ms"]) / 1e3,
        client_seconds=many["client_ms"] / 1e3 + JOURNAL_SECONDS,
        scheduler_message_seconds=(few["scheduler_ms"] - many["scheduler_ms"]) / 1e3,
        scheduler_seconds=many["scheduler_ms"] / 1e3,
        worker_seconds=few["worker_ms"] / 1e3,
        way_seconds=WAY_SECONDS,
        start_seconds=START_SECONDS,
    )


def before() -> Costs:
    """The same when every task was a message of its own, and the client waited for the scheduler's
    answer to it."""
    old = measured()["dask_before"]["many"]
    return Costs(
        client_message_seconds=(old["client_ms"] + old["scheduler_ms"]) / 1e3 + JOURNAL_SECONDS,
        at_once=1,
        worker_seconds=old["worker_ms"] / 1e3,
        way_seconds=WAY_SECONDS,
        start_seconds=START_SECONDS,
    )


@cache
def sweep_parts() -> tuple[list[Task], list[Task]]:
    """Parts of the sweep in the order of its questions, and with the largest models first."""
    return plans(measured()["sample"])


def sweep_tasks() -> list[Task]:
    """Parts of the sweep as a cluster is given them."""
    return sweep_parts()[1]


@cache
def profile_tasks() -> tuple[Task, ...]:
    """Matrices of DeepSeek-V3 in BF16."""
    one = measured()["matrix"]
    each = float(np.median(one["seconds"])) / (one["bytes"] / 2)
    return tuple(matrices(load_model("deepseek-v3"), each))


def profile_costs(**more: Any) -> Costs:
    """As :func:`costs`; a worker loads compiled kernels first, and reads."""
    return replace(
        costs(),
        start_seconds=START_SECONDS + measured()["matrix"]["first_seconds"],
        reader_bytes_per_second=READER,
        **more,
    )


def work_hours(tasks: Sequence[Task]) -> float:
    """Core hours of the tasks."""
    return sum(task.seconds for task in tasks) / 3600


def row(ran: Ran, workers: int, tasks: Sequence[Task], price: float) -> tuple[str, ...]:
    """Cells of a run: time, price, share of the workers' time that is work, tail, servers."""
    hours = ran.wall_seconds / 3600
    used = work_hours(tasks) / (hours * workers)
    return (
        f"{workers}",
        span(ran.wall_seconds),
        f"{hours * workers * price:.2f}",
        f"{used:.0%}",
        f"{ran.last_seconds:.1f} s",
        f"{ran.client_seconds / ran.wall_seconds:.1%}",
        f"{ran.scheduler_seconds / ran.wall_seconds:.1%}",
    )


def span(seconds: float) -> str:
    """Seconds as people say them."""
    if seconds >= 2 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.0f} s"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """As Markdown; all columns but the first to the right."""
    return [
        "| " + " | ".join(head) + " |",
        "|---" + "|---:" * (len(head) - 1) + "|",
        *("| " + " | ".join(cells) + " |" for cells in rows),
        "",
    ]
