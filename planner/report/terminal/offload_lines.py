"""Where the weights of a plan live, where some are in the memory of a host."""

from __future__ import annotations

from planner.planning.plan.record import OffloadInfo, Plan, layer_range
from planner.units import GIB, format_seconds

DEVICE = "gpu"


def offload_lines(plan: Plan) -> list[str]:
    """What is on the device and what in host memory, and where a step spends its time; nothing
    where all is on the device."""
    found = plan.offload
    if found is None:
        return []
    step = found.step_seconds
    spent = (
        f"step: device {format_seconds(step.device)}, link {format_seconds(step.link)}"
        if found.mode == "fetched"
        else f"step: device {format_seconds(step.device)}, host {format_seconds(step.host)}, "
        f"link {format_seconds(step.link)}"
    )
    prompts = "" if found.prompt_mode == found.mode else f", {found.prompt_mode} for prompts"
    return [
        f"host memory, {found.sockets} × {found.host}: {_what(found)}; "
        f"{found.host_bytes / GIB:.1f} of {found.memory_bytes / GIB:.1f} GiB, "
        f"{found.mode} there{prompts}".replace("fetched there", "fetched over the link"),
        spent,
    ]


def place_of(plan: Plan, place: str) -> str:
    """The cell of a row of the table."""
    assert plan.offload is not None
    return place or DEVICE


def _what(found: OffloadInfo) -> str:
    if found.places == "experts":
        layers = len(found.layers)
        return (
            f"{found.experts_in_host // layers} experts of each of {layers} layers, "
            f"{found.experts_on_device // layers} on the device serve "
            f"{found.hit_rate:.0%} of the picks"
        )
    kinds = "experts" if found.experts_in_host else "layers" if len(found.kinds) > 2 else "MLP"
    return (
        f"{kinds} of layers {layer_range(found.layers)} ({found.hit_rate:.0%} of them on the "
        "device)"
    )
