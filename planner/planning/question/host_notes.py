"""What an answer says of a device that was detected: what was seen, what assumed, what measured."""

from __future__ import annotations

from collections.abc import Iterator

from planner.hardware.profile import DeviceProfile, Quantity
from planner.messages.message import Note, joined, message

MACHINE, BANDWIDTH, UNMEASURED = "this machine", "memory bandwidth", "not measured"
BUSY_KEY = "measured while busy"
NO_UNIT = "not multiplied here"
"""Keys of the assumptions."""
EXACT = message("assumptions.plan_measure_o_dir_then")
BUSY = "other programs were running"
"""How the caution begins that a machine was not idle when it was measured."""
_GPU = "this machine has a GPU, "


def is_machine(device: DeviceProfile) -> bool:
    """Whether the device is a machine that was looked at, not one of the catalogue."""
    return device.capacity_bytes.kind == "detected"


def host_notes(device: DeviceProfile) -> Iterator[Note]:
    """(key, value, reason) of each; none for a device of the catalogue."""
    if not is_machine(device):
        return
    unit = next(iter(device.rates))[0]
    name, _, cores = device.name.removeprefix("this machine: ").rpartition(", ")
    count = cores.split(" ")[0]
    seen = message(
        "assumptions.core_gib" if count == "1" else "assumptions.cores_gib",
        name=name,
        n=count,
        unit=unit,
        b=f"{device.capacity_bytes.value / 2**30:.1f}",
    )
    measured = sorted({name for name, quantity in _figures(device) if quantity.kind == "measured"})
    drawn = device.bandwidth_bytes_per_s
    if measured:
        yield Note(
            MACHINE,
            seen,
            message("assumptions.measured_here_measured", measured=", ".join(measured)),
        )
    else:
        yield Note(MACHINE, seen, message("assumptions.detected", exact=EXACT))
    if drawn.kind == "assumed" and drawn.low is not None and drawn.high is not None:
        drawn_by = joined(
            [
                message("assumptions.cores_draw", n=count, core=device.architecture),
                message("assumptions.channels_are_not_told_plan"),
            ]
        )
        yield Note(
            BANDWIDTH,
            message(
                "assumptions.gb_s_to_assumed",
                v=f"{drawn.value / 1e9:.0f}",
                low=f"{drawn.low / 1e9:.0f}",
                high=f"{drawn.high / 1e9:.0f}",
            ),
            message("assumptions.it_sets_pace", note=drawn_by),
        )
    if measured:
        rest = sorted({name for name, quantity in _figures(device) if quantity.kind == "assumed"})
        if rest:
            yield Note(
                UNMEASURED, ", ".join(rest), message("assumptions.assumed_plan_devices_host_shows")
            )
    if device.unsupported:
        no_products = message("devices.has_no_integer_dot_products", x=device.architecture)
        reasons = [
            no_products if reason == no_products else reason
            for reason in dict.fromkeys(device.unsupported.values())
        ]
        yield Note(NO_UNIT, ", ".join(device.unsupported), joined(reasons))
    for caution in device.cautions:
        if caution.startswith(BUSY):
            yield Note(BUSY_KEY, caution.partition(":")[0], caution.partition(": ")[2])
        if caution.startswith(_GPU):
            yield Note(
                "GPU",
                caution.removeprefix(_GPU).partition(":")[0],
                caution.partition(": ")[2] or message("assumptions.host_is_cpu"),
            )


def _figures(device: DeviceProfile) -> Iterator[tuple[str, Quantity]]:
    """Figures that set times, with a name for people."""
    yield BANDWIDTH, device.bandwidth_bytes_per_s
    for name, reached in device.achieved.items():
        yield (
            f"{name} products"
            if not name.startswith(("attention", "moe", "elementwise"))
            else name,
            reached.compute_fraction,
        )
    for name, rate in device.conversion.items():
        yield f"conversion from {name}", rate
