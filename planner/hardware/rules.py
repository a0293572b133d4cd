"""What must hold between the values of one profile, beyond their types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from planner.base.errors import nearest_names

if TYPE_CHECKING:
    from planner.hardware.schema import ProfileText, QuantityText, RateText

FORMATS = (
    "fp32",
    "tf32",
    "bf16",
    "fp16",
    "fp8",
    "int8",
    "int4",
    "mxfp8",
    "mxfp6",
    "mxfp4",
    "nvfp4",
)
KERNEL_CLASSES = (
    "fp32",
    "bf16",
    "fp16",
    "fp8-tensor",
    "fp8-block",
    "int8",
    "w8a16",
    "w4a16",
    "nvfp4",
    "mxfp4",
    "mxfp8",
    "moe-bf16",
    "moe-fp8",
    "moe-int8",
    "moe-w8a16",
    "moe-w4a16",
    "moe-nvfp4",
    "attention-prefill",
    "attention-decode",
    "elementwise",
)

RANGES = {
    "FLOP/s": (1e6, 1e21),
    "OP/s": (1e6, 1e21),
    "B": (1e-3, 1e18),
    "B/s": (1e3, 1e18),
    "1": (1e-4, 1.0),
    "s": (1e-12, 1e3),
    "elements/s": (1e3, 1e21),
    "W": (1e-3, 1e7),
    "USD/h": (1e-6, 1e7),
    "count": (1.0, 1e7),
    "exp/s": (1e3, 1e21),
}
"""What a quantity can be by its unit [least, most], far beyond any device: outside, times overflow.
"""
LARGEST_PARAMETER = 1e21

Problem = tuple[str, str, str]
"""Dotted key, what is wrong, the fix."""


def problems(profile: ProfileText, *, stem: str) -> Iterator[Problem]:
    """Yield every broken rule of ``profile``, which was read from the file ``<stem>.toml``."""
    if profile.id != stem:
        yield (
            "id",
            f"{profile.id!r} differs from the file name {stem!r}",
            f'rename the file to {profile.id}.toml or set id = "{stem}"',
        )
    yield from _names(profile)
    for key, quantity, units in quantities(profile):
        yield from _quantity(key, quantity, units, profile)
    yield from _rates(profile)
    yield from _fits(profile)
    yield from _topology(profile)


def quantities(profile: ProfileText) -> Iterator[tuple[str, QuantityText, tuple[str, ...]]]:
    """Every number of the profile with its dotted key and the units allowed there."""
    memory, links = profile.memory, profile.links
    optional: list[tuple[str, QuantityText | None, str]] = [
        ("memory.label", memory.label, "B"),
        ("memory.driver", memory.driver, "B"),
        ("memory.capacity", memory.capacity, "B"),
        ("memory.usable_fraction", memory.usable_fraction, "1"),
        ("memory.bandwidth", memory.bandwidth, "B/s"),
        ("links.scale_up", links.scale_up, "B/s"),
        ("links.scale_up_floor", links.scale_up_floor, "s"),
        ("links.scale_out", links.scale_out, "B/s"),
        ("links.scale_out_floor", links.scale_out_floor, "s"),
        ("links.host", links.host, "B/s"),
        ("power", profile.power, "W"),
        ("price", profile.price, "USD/h"),
    ]
    for key, quantity, unit in optional:
        if quantity is not None:
            yield key, quantity, (unit,)
    for key, rate in _each_rate(profile):
        units = ("OP/s",) if key.rsplit(".", 1)[1].startswith("int") else ("FLOP/s",)
        yield f"{key}.dense", rate.dense, units
        if rate.sparse is not None:
            yield f"{key}.sparse", rate.sparse, units
    for name, reached in profile.achieved.items():
        yield f"achieved.{name}.compute_fraction", reached.compute_fraction, ("1",)
        yield f"achieved.{name}.bandwidth_fraction", reached.bandwidth_fraction, ("1",)
        yield f"achieved.{name}.floor_seconds", reached.floor_seconds, ("s",)
    for name, quantity in profile.conversion.items():
        yield f"conversion.{name}", quantity, ("elements/s",)
    for name, mode in profile.power_modes.items():
        yield f"power_modes.{name}.watts", mode.watts, ("W",)
        yield f"power_modes.{name}.compute", mode.compute, ("1",)
        yield f"power_modes.{name}.bandwidth", mode.bandwidth, ("1",)
    if profile.silicon is not None:
        yield "silicon.multiprocessors", profile.silicon.multiprocessors, ("count",)
        yield "silicon.l2", profile.silicon.l2, ("B",)
        if profile.silicon.exp is not None:
            yield "silicon.exp", profile.silicon.exp, ("exp/s",)


def _each_rate(profile: ProfileText) -> Iterator[tuple[str, RateText]]:
    for unit, formats in profile.rates.items():
        for name, rate in formats.items():
            yield f"rates.{unit}.{name}", rate


def _names(profile: ProfileText) -> Iterator[Problem]:
    for key, _ in _each_rate(profile):
        yield from _known(key, FORMATS, "number format")
    for name in profile.unsupported:
        yield from _known(f"unsupported.{name}", FORMATS, "number format")
    for name in profile.conversion:
        yield from _known(f"conversion.{name}", FORMATS, "number format")
    for name in profile.achieved:
        yield from _known(f"achieved.{name}", KERNEL_CLASSES, "kernel class")


def _known(key: str, names: tuple[str, ...], what: str) -> Iterator[Problem]:
    name = key.rsplit(".", 1)[1]
    if name not in names:
        yield key, f"{name!r} is no {what}", nearest_names(name, names)


def _quantity(
    key: str, quantity: QuantityText, units: tuple[str, ...], profile: ProfileText
) -> Iterator[Problem]:
    if quantity.unit not in units:
        yield (
            f"{key}.unit",
            f"{quantity.unit!r} does not measure this",
            f"use {' or '.join(map(repr, units))}",
        )
    if quantity.source not in profile.sources:
        yield (
            f"{key}.source",
            f"{quantity.source!r} is not declared in [sources]",
            nearest_names(quantity.source, profile.sources),
        )
    if quantity.value <= 0:
        yield (
            f"{key}.value",
            f"{quantity.value} is not positive",
            "leave out what the device lacks and say why in [unsupported]",
        )
    elif quantity.unit == "1" and quantity.value > 1:
        yield f"{key}.value", f"the fraction {quantity.value} exceeds 1", "write 0.85 for 85 %"
    elif not RANGES[quantity.unit][0] <= quantity.value <= RANGES[quantity.unit][1]:
        least, most = RANGES[quantity.unit]
        yield (
            f"{key}.value",
            f"{quantity.value} {quantity.unit} is no figure of a device",
            f"it is from {least:g} to {most:g} {quantity.unit}",
        )
    elif quantity.unit == "B" and not float(quantity.value).is_integer():
        yield f"{key}.value", f"{quantity.value} B is no whole number of bytes", "round it down"
    low = quantity.value if quantity.low is None else quantity.low
    high = quantity.value if quantity.high is None else quantity.high
    if not low <= quantity.value <= high:
        yield (
            f"{key}.value",
            f"{quantity.value} lies outside low {low} … high {high}",
            "widen the range or choose a value inside it",
        )


def _rates(profile: ProfileText) -> Iterator[Problem]:
    for key, rate in _each_rate(profile):
        if rate.sparse is not None and rate.sparse.value < rate.dense.value:
            yield (
                f"{key}.sparse",
                "the sparse rate is below the dense one",
                "dense is the rate without 2:4 pruning; were the two swapped?",
            )
        name = key.rsplit(".", 1)[1]
        if name in profile.unsupported:
            yield (
                f"unsupported.{name}",
                f"{name} has a rate too",
                f"remove {key} or unsupported.{name}",
            )


def _fits(profile: ProfileText) -> Iterator[Problem]:
    seen: set[tuple[str, str, str]] = set()
    for i, fit in enumerate(profile.fitted):
        key = (fit.operator, fit.stack, fit.variant)
        if key in seen:
            yield f"fitted.{i}", f"{' '.join(key)} appears twice", "keep one set"
        seen.add(key)
        if not fit.parameters and not fit.table:
            yield (
                f"fitted.{i}",
                "has neither parameters nor a table",
                "run plan lab calibrate again",
            )
        figures = [*fit.parameters.values(), *(v for row in fit.table.values() for v in row)]
        if any(abs(value) > LARGEST_PARAMETER for value in figures):
            yield (
                f"fitted.{i}",
                f"a figure is above {LARGEST_PARAMETER:g}",
                "run plan lab calibrate again",
            )
        if fit.source not in profile.sources:
            yield (
                f"fitted.{i}.source",
                f"{fit.source!r} is not declared in [sources]",
                nearest_names(fit.source, profile.sources),
            )


def _topology(profile: ProfileText) -> Iterator[Problem]:
    if profile.scale_up_devices > 1 and profile.links.scale_up is None:
        yield (
            "links.scale_up",
            f"missing, yet scale_up_devices is {profile.scale_up_devices}",
            "state the bandwidth per device and direction, or set scale_up_devices = 1",
        )
    if (profile.links.scale_up is None) != (profile.links.scale_up_floor is None):
        yield (
            "links.scale_up_floor",
            "a link needs both its bandwidth and its floor",
            "add the one that is missing",
        )
    if (profile.links.scale_out is None) != (profile.links.scale_out_floor is None):
        yield (
            "links.scale_out_floor",
            "a link needs both its bandwidth and its floor",
            "add the one that is missing",
        )
