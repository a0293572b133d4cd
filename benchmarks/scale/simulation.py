"""A run on a cluster, event by event: a client, a scheduler, workers, storage, and their losses.

The client keeps ``QUEUED`` tasks under way for a worker. It fetches all results that are there at
once and sends as many tasks in one message, as ``planner.jobs.cluster`` does: both it and the
scheduler pay for each message and for each task. The scheduler gives a free worker the oldest task
and hears twice of each. A task reads its bytes through a storage that all workers share,
then computes. A worker that is lost takes its task with it, which starts again elsewhere, before
all others; a new one comes after ``start_seconds``.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.jobs.cluster import AT_ONCE
from planner.jobs.workers import QUEUED


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of the parts: of client and scheduler for each message and each task in it, of a
    worker beside the task itself, on the way from one to another, until a worker is there; tasks in
    a message at most; bytes a second of the storage, of all and of one reader."""

    client_message_seconds: float = 0.0
    client_seconds: float = 0.0
    scheduler_message_seconds: float = 0.0
    scheduler_seconds: float = 0.0
    worker_seconds: float = 0.0
    way_seconds: float = 0.0
    start_seconds: float = 0.0
    at_once: int = AT_ONCE
    storage_bytes_per_second: float = np.inf
    reader_bytes_per_second: float = np.inf


@dataclass(frozen=True, slots=True)
class Task:
    """Seconds of work, and bytes that it reads before."""

    seconds: float
    read_bytes: float = 0.0


@dataclass(slots=True)
class Ran:
    """What a simulated run took: wall seconds, work done, work lost, workers lost, and how long
    client, scheduler and storage were busy. ``last_seconds``: from when no task was left to
    give until the end."""

    wall_seconds: float = 0.0
    work_seconds: float = 0.0
    lost_seconds: float = 0.0
    losses: int = 0
    client_seconds: float = 0.0
    scheduler_seconds: float = 0.0
    storage_seconds: float = 0.0
    last_seconds: float = 0.0


class _Server:
    """One thing after the other."""

    def __init__(self) -> None:
        self.free, self.busy = 0.0, 0.0

    def until(self, now: float, seconds: float) -> float:
        """When it has done what came now."""
        self.free = max(self.free, now) + seconds
        self.busy += seconds
        return self.free


class _Run:
    """The state of a run, and what happens in it."""

    def __init__(
        self,
        tasks: Sequence[Task],
        workers: int,
        costs: Costs,
        losses_per_worker_hour: float,
        seed: int,
    ) -> None:
        self.tasks, self.costs, self.workers = tasks, costs, workers
        self.mean_life = np.inf if not losses_per_worker_hour else 3600 / losses_per_worker_hour
        self.draw = np.random.default_rng(seed)
        self.scheduler, self.storage = _Server(), _Server()
        self.waiting, self.serving = 0, False
        self.ready: deque[int] = deque()
        self.idle: deque[int] = deque()
        self.events: list[tuple[float, int, str, int, int]] = []
        self.count = self.sent = self.done = self.under_way = 0
        self.ran = Ran()
        self.last_given = 0.0

    def at(self, time: float, what: str, worker: int = -1, number: int = -1) -> None:
        """Let something happen later."""
        self.count += 1
        heapq.heappush(self.events, (time, self.count, what, worker, number))

    def serve(self, now: float) -> None:
        """The client, where it is free, begins with what has landed and what there is room for."""
        room = min(
            QUEUED * self.workers - self.under_way + self.waiting, len(self.tasks) - self.sent
        )
        fetched = min(self.waiting, self.costs.at_once)
        sent = max(0, min(room, self.costs.at_once))
        if self.serving or not (fetched or sent):
            return
        self.serving = True
        seconds = self.costs.client_message_seconds + max(fetched, sent) * self.costs.client_seconds
        self.ran.client_seconds += seconds
        self.waiting -= fetched
        self.under_way += sent - fetched
        self.at(now + seconds, "served", fetched, sent)

    def served(self, now: float, fetched: int, sent: int) -> None:
        """The client has ended a message: results are kept, tasks are on their way."""
        self.done += fetched
        self.serving = False
        if fetched:
            self.ran.wall_seconds = now
        for n in range(sent):
            first = self.costs.scheduler_message_seconds if n == 0 else 0.0
            arrived = self.scheduler.until(now, first + self.costs.scheduler_seconds / 2)
            self.at(arrived, "ready", number=self.sent)
            self.sent += 1
        self.serve(now)

    def give(self, now: float) -> None:
        """Free workers take tasks that wait."""
        while self.ready and self.idle:
            worker, number = self.idle.popleft(), self.ready.popleft()
            self.last_given = now
            begun = now + self.costs.way_seconds
            seconds = self.seconds(begun, self.tasks[number])
            life = self.draw.exponential(self.mean_life) if self.mean_life < np.inf else np.inf
            if life < seconds:
                self.ran.losses += 1
                self.ran.lost_seconds += life
                self.at(begun + life, "lost", worker, number)
                self.at(begun + life + self.costs.start_seconds, "free", worker)
            else:
                self.ran.work_seconds += seconds
                self.at(begun + seconds, "ended", worker, number)

    def seconds(self, now: float, task: Task) -> float:
        """How long a worker has a task."""
        read = 0.0
        if task.read_bytes:
            shared = self.storage.until(now, task.read_bytes / self.costs.storage_bytes_per_second)
            read = max(shared - now, task.read_bytes / self.costs.reader_bytes_per_second)
        return read + self.costs.worker_seconds + task.seconds

    def happened(self, now: float, what: str, worker: int, number: int) -> None:
        """One event."""
        if what == "ready":
            self.ready.append(number)
        elif what == "free":
            self.idle.append(worker)
        elif what == "lost":
            self.ready.appendleft(number)
        else:
            told = self.scheduler.until(
                now + self.costs.way_seconds, self.costs.scheduler_seconds / 2
            )
            self.at(told, "free", worker)
            self.at(told + self.costs.way_seconds, "landed")

    def whole(self) -> Ran:
        """From the start to the last result."""
        for worker in range(self.workers):
            self.at(self.costs.start_seconds, "free", worker)
        self.serve(0.0)
        while self.done < len(self.tasks):
            now, _, what, worker, number = heapq.heappop(self.events)
            if what == "landed":
                self.waiting += 1
                self.serve(now)
            elif what == "served":
                self.served(now, worker, number)
            else:
                self.happened(now, what, worker, number)
                self.give(now)
        self.ran.scheduler_seconds = self.scheduler.busy
        self.ran.storage_seconds = self.storage.busy
        self.ran.last_seconds = self.ran.wall_seconds - self.last_given
        return self.ran


def simulate(
    tasks: Sequence[Task],
    workers: int,
    costs: Costs = Costs(),
    *,
    losses_per_worker_hour: float = 0.0,
    seed: int = 1,
) -> Ran:
    """Run ``tasks`` in their order on ``workers``."""
    return _Run(tasks, workers, costs, losses_per_worker_hour, seed).whole()
