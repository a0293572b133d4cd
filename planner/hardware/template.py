"""A short device file after a device of the catalogue: ``plan devices NAME --template``."""

from __future__ import annotations

import json
from collections.abc import Iterator

from planner.base.units import GIB
from planner.hardware.profile import DeviceProfile, Quantity
from planner.hardware.short import EXAMPLES

_SIZES = (("T", 1e12), ("G", 1e9), ("M", 1e6))
_WORDS = {"B": "B", "B/s": "B/s", "FLOP/s": "FLOPS", "OP/s": "OPS"}
_MOST_DIGITS = 6


def device_template(device: DeviceProfile) -> str:
    """The TOML text: five numbers of ``device`` to be changed, the rest from its class."""
    return "\n".join(_lines(device)) + "\n"


def class_of(device: DeviceProfile) -> str:
    """The class that ``device`` inherits from, else the one that is like it."""
    if device.kind == "cpu":
        return "cpu"
    if device.unified_memory:
        return "unified"
    if device.classes:
        return device.classes[0]
    return "gpu-gddr" if device.memory_type.startswith("GDDR") else "gpu-hbm"


def _lines(device: DeviceProfile) -> Iterator[str]:
    yield f"# A device of your own, after {device.id}. Change what differs, then: plan MODEL FILE"
    yield "# What is not here comes from the class that it inherits from: gpu-hbm, gpu-gddr,"
    yield "# unified (GPU and CPU share one memory) or cpu. `plan list devices FILE` shows all."
    yield f"name = {json.dumps('My ' + device.name, ensure_ascii=False)}"
    yield f'inherits = "{class_of(device)}"'
    if device.kind == "accelerator":
        yield 'kind = "accelerator"'
    yield f'memory = "{_short(device.label_bytes)}"'
    yield f'bandwidth = "{_short(device.bandwidth_bytes_per_s)}"'
    yield "# Which rules of engines hold."
    if device.compute_capability:
        yield f'compute_capability = "{device.compute_capability}"'
    elif device.platform and device.platform != "cpu":
        yield f'platform = "{device.platform}"'
        if device.target:
            yield f'target = "{device.target}"'
    else:
        yield '# platform = "rocm"   or cuda (compute_capability = "8.9"), metal, tpu …'
    yield f"devices_per_node = {device.devices_per_node}"
    yield f"scale_up_devices = {device.scale_up_devices}"
    for key, figure in (("power", device.power_watts), ("price", device.price_usd_per_hour)):
        unit = "W" if key == "power" else "USD/h"
        yield (
            f'{key} = "{figure.value:.6g} {unit}"'
            if figure is not None
            else f'# {key} = "{EXAMPLES[unit]}"'
        )
    yield from ("", "# Dense, as the matrix units multiply them: sparse headlines are twice that.")
    yield from _rates(device)
    link = device.links.scale_up_bytes_per_s
    if link is not None:
        yield from (
            "",
            "# Between devices, a direction.",
            "[links]",
            f'scale_up = "{_short(link)}"',
        )
    yield from (
        "",
        "# Its measured kernels stand in for yours, with a wider interval:",
        "# [transfer]",
        f'# device = "{device.id}"',
    )


def _rates(device: DeviceProfile) -> Iterator[str]:
    """Rates by unit where a CPU has several; else by format."""
    units = dict.fromkeys(unit for unit, _ in device.rates)
    if device.kind == "cpu":
        for unit in units:
            yield f"[rates.{unit}]"
            for (mine, name), rate in device.rates.items():
                if mine == unit:
                    yield f'{name} = "{_short(rate.dense)}"'
        return
    yield "[rates]"
    for name in dict.fromkeys(name for _, name in device.rates):
        fastest = device.rate(name)
        assert fastest is not None
        if f"rates.{fastest.unit}.{name}" not in device.taken:
            yield f'{name} = "{_short(fastest.dense)}"'


def _short(figure: Quantity) -> str:
    if figure.unit == "B" and figure.value % GIB == 0:
        return f"{figure.value / GIB:.0f} GiB"
    for prefix, size in _SIZES:
        if figure.value >= size and (figure.unit not in ("B", "B/s") or prefix != "T"):
            return f"{figure.value / size:.{_MOST_DIGITS}g} {prefix}{_WORDS[figure.unit]}"
    return f"{figure.value:.{_MOST_DIGITS}g} {figure.unit}"
