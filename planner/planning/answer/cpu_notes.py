"""What a plan on a CPU says of the time between its kernels."""

from __future__ import annotations

from planner.planning.plan.record import Assumption
from planner.planning.space.model import CostModel
from planner.throughput.cpu_host import host_source


def cpu_notes(model: CostModel) -> list[Assumption]:
    """Nothing on accelerators, and where the engine's own time is not in the data."""
    seconds = model.machine.host_seconds
    if not seconds:
        return []
    engine = model.question.engine
    return [Assumption("time between kernels", f"{seconds * 1e6:.0f} µs a layer",
                       f"{engine} on the cores that compute: {host_source(engine)}")]
