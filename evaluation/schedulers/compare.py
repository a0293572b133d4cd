"""The planner's passes beside those that an engine's scheduler formed of the same trace."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

from evaluation.schedulers.golden import Batch, Recorded, batch_of
from planner.base.records import record
from planner.scheduler.run import run
from planner.throughput.scheduling import Scheduling

DATA = Path(__file__).resolve().parents[2] / "tests" / "scheduler" / "data"
SCHEDULINGS = {
    "Scheduler": Scheduling(),
    "AsyncScheduler": Scheduling(ahead=1),
    "event_loop_normal": Scheduling(),
    "event_loop_overlap": Scheduling(ahead=1),
    "llama-server": Scheduling(),
}
"""How what the engine calls its scheduler is said here; the host takes no time."""


@record
class Compared:
    """One trace: passes of both, the first that differs (None: none does), and evictions."""

    recorded: Recorded
    batches: tuple[Batch, ...]
    preempted: int
    differs: int | None

    @property
    def equal(self) -> bool:
        return self.differs is None and self.preempted == self.recorded.preempted


def compare(recorded: Recorded) -> Compared:
    """Play the trace through the planner's scheduler."""
    trace = recorded.trace
    found: list[Batch] = []
    served = run(
        trace.stream(),
        trace.rules(),
        trace.costs(),
        SCHEDULINGS[recorded.scheduler],
        record=lambda members: found.append(batch_of(members)),
    )
    pairs = zip_longest(found, recorded.batches)
    differs = next((at for at, (ours, theirs) in enumerate(pairs) if ours != theirs), None)
    return Compared(recorded, tuple(found), int(served.preempted.sum()), differs)
