"""What a plan on a CPU says of the time between its kernels, and of products that are emulated."""

from __future__ import annotations

from planner.messages.message import Note, message
from planner.planning.space.model import CostModel
from planner.throughput.cpu_host import host_source
from planner.throughput.torch_cpu import emulated, rules


def cpu_notes(model: CostModel) -> list[Note]:
    """Nothing on accelerators, and where the engine's own time is not in the data."""
    question, seconds = model.question, model.machine.host_seconds
    found = []
    if seconds:
        found.append(
            Note(
                "time between kernels",
                message("assumptions.s_layer", x=f"{seconds * 1e6:.0f}"),
                f"{question.engine} on the cores that compute: "
                + host_source(
                    question.device, question.spec, question.engine, eager=question.eager
                ),
            )
        )
    for name in question.schemes:
        cost = emulated(question.engine, question.device, name)
        if cost is not None:
            rule = rules()["scaled_mm"]
            found.append(
                Note(
                    f"kernel of {name}",
                    f"{rule['kernel']}: {cost.text.partition(' (')[0]}",
                    message("assumptions.weights_are_widened_in_every", s=rule["source"]),
                )
            )
    return found
