"""The devices that a question is about: how many are tried, and what there is of each."""

from __future__ import annotations

import math

from planner.base.errors import InputError
from planner.base.records import record
from planner.hardware.profile import DeviceProfile
from planner.hardware.segments import one_by_default
from planner.memory.engines.catalog import Engine
from planner.memory.usable import UsableMemory, usable_memory
from planner.messages.message import Note, message
from planner.models.spec import ModelSpec
from planner.placement.layout import device_counts
from planner.planning.engines.prefill_chunks import prefill_chunk
from planner.planning.question.given_values import GivenValues
from planner.planning.question.host_notes import is_machine
from planner.planning.question.scenario import Host
from planner.throughput.calibration import ANY_ENGINE

MAX_DEVICES = 64
ONE_DEVICE = Note("devices", "1", message("assumptions.one_device"))


@record
class HostDevices:
    """What devices are asked about, and what there is of each; ``more_sizes`` are tried where
    ``sizes``, a default, are too few; ``notes`` on their number."""

    sizes: tuple[int, ...]
    more_sizes: tuple[int, ...]
    node_devices: int
    capacity_bytes: int
    usable: UsableMemory
    price_per_hour: float | None
    notes: tuple[Note, ...]


def host_devices(
    spec: ModelSpec,
    device: DeviceProfile,
    host: Host,
    given_values: GivenValues,
    engine: Engine | None,
) -> HostDevices:
    """The devices of a question on their host."""
    _require_one_host(device, given_values)
    domain = host.scale_up_devices or device.scale_up_devices
    node = host.devices_per_node or device.devices_per_node
    sizes, notes = (
        ((1,), ())
        if is_machine(device) and given_values.devices is None
        else _sizes(given_values, max(domain, node))
    )
    more_sizes: tuple[int, ...] = ()
    if _one_by_default(device, given_values) and len(sizes) > 1:
        sizes, more_sizes, notes = (1,), sizes, (ONE_DEVICE,)
    if device.cards:
        sizes, more_sizes, notes = (1,), (), ()
    capacity = int(host.memory_bytes_per_device or device.capacity_bytes.value)
    server = engine.name if engine is not None else ANY_ENGINE
    usable = usable_memory(
        device,
        engine,
        spec,
        chunk_tokens=given_values.chunk_tokens or prefill_chunk(server, device).tokens,
        capacity_bytes=capacity,
        share=host.usable_fraction,
    )
    return HostDevices(
        tuple(sizes),
        more_sizes,
        max(node, min(domain, 8)),
        capacity,
        usable,
        None if device.price_usd_per_hour is None else device.price_usd_per_hour.value,
        tuple(notes),
    )


def _require_one_host(device: DeviceProfile, given_values: GivenValues) -> None:
    """Refuse a number or a layout of cards that a name spells one by one."""
    counts = {name: getattr(given_values, name) for name in ("devices", "tp", "dp", "pp", "ep")}
    said = next((name for name, value in counts.items() if (value or 1) > 1), None)
    if device.cards and said:
        raise InputError(
            f"{said} {counts[said]}: {device.id} is {len(device.cards)} cards already",
            hint=f"leave --{said} out; the name says every card",
        )


def _one_by_default(device: DeviceProfile, given_values: GivenValues) -> bool:
    """Whether one device is meant: nothing says how many, nor how they are laid out."""
    laid_out = any(getattr(given_values, name) for name in ("tp", "dp", "pp", "ep"))
    return one_by_default(device) and given_values.devices is None and not laid_out


def _sizes(given_values: GivenValues, domain: int) -> tuple[tuple[int, ...], tuple[Note, ...]]:
    """Device counts to try: those given, else 2^k and 3·2^k up to two domains, and their multiples
    of what --tp, --dp and --pp fix together; with a note of those that were not given."""
    if given_values.devices is not None:
        return (given_values.devices,), ()
    most = min(MAX_DEVICES, 2 * domain)
    counts = device_counts(most)
    fixed = math.prod(value or 1 for value in (given_values.tp, given_values.dp, given_values.pp))
    sizes = tuple(sorted({*counts, *(fixed * n for n in counts if fixed * n <= most)}))
    note = Note(
        "devices",
        message("assumptions.tried", a=", ".join(map(str, sizes))),
        message("assumptions.n_2_k_and_3_2"),
    )
    return sizes, (note,)
