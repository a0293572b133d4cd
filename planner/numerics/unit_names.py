"""The matrix unit of a device, by the names that people and profiles give devices.

A device has several: the one here is what its libraries multiply floats with, and ``int8-imma`` (on
tensor cores) for integers. Generations: NVIDIA CUDA GPU compute capability table; AMD ROCm
accelerator and GPU hardware specifications; Intel ARK.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from planner.errors import UnknownNameError
from planner.numerics.matrix_units import Unit

_MAKERS = re.compile(r"^(nvidia|amd|intel|geforce|tesla|quadro|instinct|jetson|drive)-")
_NAMES: tuple[tuple[str, str], ...] = (
    (r"(g?h[128]00|h20|hopper|sm-?90a?)", "hopper-wgmma"),
    (
        r"(g?b[123]00|hgx-b\d+|blackwell|sm-?10[03]a?|sm-?110a?|t[45]000|agx-thor.*|thor.*)",
        "blackwell-tcgen05",
    ),
    (
        r"(rtx-50\d0(-?ti)?|rtx-pro-\d{4}.*|gb10|dgx-spark|spark|sm-?12[01]a?|blackwell-rtx)",
        "blackwell-geforce",
    ),
    (
        r"(a100|a800|a30|a10g?|a40|a16|a2|rtx-a\d000|rtx-30\d0(-?ti)?|orin|agx-orin.*|orin-.*|sm-?8[067])",
        "ampere",
    ),
    (r"(l4|l20|l40s?|rtx-40\d0(-?ti)?|rtx-\d000-ada|sm-?89)", "ada"),
    (r"(t4g?|rtx-20\d0(-?ti)?|titan-rtx|rtx-[4568]000|sm-?75)", "turing"),
    (r"(v100s?|titan-v|sm-?7[02])", "volta"),
    (r"(mi100|gfx908)", "cdna1"),
    (r"(mi210|mi250x?|gfx90a)", "cdna2"),
    (r"(mi300[axc]|mi308x?|mi325x?|gfx94[0-2])", "cdna3"),
    (r"(mi350x|mi355x|gfx950)", "cdna4"),
    (r"(xeon-(platinum-)?(84|85|69)\w+|sapphire-rapids|emerald-rapids|granite-rapids)", "amx-bf16"),
    (r"(epyc-9\w+|zen-?[45]|genoa|bergamo|turin)", "avx512-bf16"),
)
# Forms, memories and sizes that say nothing about the unit: "H100 80GB HBM3", "h200-sxm".
_SUFFIX = re.compile(r"(-(sxm\d?|pcie|nvl\d*|oam|hbm\w*|\d+gb|d|laptop|super|gpu|\d{2,3}))+$")
_PATTERNS = tuple((re.compile(pattern), id) for pattern, id in _NAMES)
_INTEGERS: Mapping[str, str] = {"amx-bf16": "amx-int8", "avx512-bf16": "avx512-vnni"}


def device_unit(name: str) -> str | None:
    """The id of the unit that a device of this name multiplies floats with, None where unknown."""
    text = re.sub(r"[\s_]+", "-", name.strip().lower())
    while True:
        shorter = _MAKERS.sub("", text)
        if shorter == text:
            break
        text = shorter
    for one in (text, _SUFFIX.sub("", text)):
        for pattern, id in _PATTERNS:
            if pattern.fullmatch(one):
                return id
    return None


def found_unit(name: str, units: Mapping[str, Unit], *, integers: bool = False) -> Unit:
    """The unit ``name``, or that of the device ``name``, of which ``integers`` takes the unit that
    multiplies them.

    Raises UnknownNameError for other names, and for devices whose unit is not emulated.
    """
    id = name.strip().lower().replace("_", "-")
    if id in units:
        return units[id]
    device = device_unit(name)
    if device is None:
        raise UnknownNameError(
            "unit", name, units, own="A device's name is taken too: 'h100', 'rtx-4090'."
        )
    if integers:
        device = _INTEGERS.get(device, device if device.startswith("cdna") else "int8-imma")
    if device not in units:
        raise UnknownNameError("unit", name, units, note=f"its unit, {device}, is not emulated")
    return units[device]
