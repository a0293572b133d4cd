"""The simulation of a cluster obeys what no cluster can break."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.examples import examples

from benchmarks.scale.simulation import Costs, Task, simulate

SECONDS = st.lists(st.floats(0.01, 50), min_size=1, max_size=60)
WORKERS = st.integers(1, 24)
PARTS = Costs(0.02, 0.004, 0.03, 0.003, 0.01, 0.002, 3.0)


def tasks_of(seconds: list[float]) -> list[Task]:
    return [Task(one) for one in seconds]


@settings(max_examples=examples(20, 300), deadline=None)
@given(SECONDS)
def test_one_worker_takes_the_sum_of_its_parts(seconds: list[float]) -> None:
    assert simulate(tasks_of(seconds), 1).wall_seconds == pytest.approx(sum(seconds))
    costs = Costs(worker_seconds=0.5, start_seconds=2.0)
    assert simulate(tasks_of(seconds), 1, costs).wall_seconds == pytest.approx(
        2.0 + sum(seconds) + 0.5 * len(seconds)
    )


@settings(max_examples=examples(20, 300), deadline=None)
@given(SECONDS, WORKERS)
def test_never_faster_than_the_longest_task_or_the_work_divided(
    seconds: list[float], workers: int
) -> None:
    for costs in (Costs(), PARTS):
        ran = simulate(tasks_of(seconds), workers, costs)
        least = costs.start_seconds + max(max(seconds), sum(seconds) / workers)
        assert ran.wall_seconds >= least - 1e-9
        assert ran.work_seconds == pytest.approx(sum(seconds) + costs.worker_seconds * len(seconds))
        assert ran.wall_seconds >= ran.client_seconds
    assert (
        simulate(tasks_of(seconds), workers).wall_seconds
        <= sum(seconds) / workers + max(seconds) + 1e-9
    )  # Graham's bound


@settings(max_examples=examples(20, 300), deadline=None)
@given(SECONDS, WORKERS)
def test_more_workers_and_cheaper_parts_are_never_slower(
    seconds: list[float], workers: int
) -> None:
    tasks = tasks_of(seconds)
    assert simulate(tasks, workers + 1).wall_seconds <= simulate(tasks, workers).wall_seconds + 1e-9
    assert (
        simulate(tasks, workers).wall_seconds <= simulate(tasks, workers, PARTS).wall_seconds + 1e-9
    )


def test_losses_repeat_work_and_are_never_faster_on_average() -> None:
    tasks = tasks_of([float(n % 7 + 1) for n in range(200)])
    walls = []
    for rate in (0.0, 30.0, 120.0, 360.0):
        runs = [
            simulate(tasks, 8, PARTS, losses_per_worker_hour=rate, seed=seed) for seed in range(12)
        ]
        walls.append(np.mean([ran.wall_seconds for ran in runs]))
        assert all((ran.losses > 0) == (ran.lost_seconds > 0) for ran in runs)
        assert all(
            ran.work_seconds == pytest.approx(sum(t.seconds for t in tasks) + 2.0) for ran in runs
        )
        if rate:
            wanted = rate / 3600 * np.mean([ran.work_seconds + ran.lost_seconds for ran in runs])
            assert np.mean([ran.losses for ran in runs]) == pytest.approx(wanted, rel=0.35)
    assert walls == sorted(walls)
    assert walls[-1] > 1.2 * walls[0]


def test_storage_that_all_share_bounds_the_run() -> None:
    tasks = [Task(0.1, read_bytes=1e9)] * 100
    slow = simulate(tasks, 50, Costs(storage_bytes_per_second=2e9, reader_bytes_per_second=1e9))
    assert slow.storage_seconds == pytest.approx(50.0)
    assert slow.wall_seconds == pytest.approx(50.1, rel=0.05)
    free = simulate(tasks, 50, Costs(reader_bytes_per_second=1e9))
    assert free.wall_seconds == pytest.approx(2 * 1.1)


def test_messages_of_one_task_hold_many_workers_back() -> None:
    tasks = [Task(1.0)] * 2000
    single = simulate(tasks, 200, Costs(client_message_seconds=0.02, at_once=1))
    many = simulate(tasks, 200, Costs(client_message_seconds=0.02))
    assert single.wall_seconds == pytest.approx(2000 * 2 * 0.02, rel=0.55)
    assert single.wall_seconds > 3 * many.wall_seconds
