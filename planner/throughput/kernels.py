"""What a device runs each scheme on: unit peak, achieved fractions, floor, conversion, or why not.

A scheme is executed natively (the unit multiplies its formats), weight-only (weights converted to
the compute format on the way), by ggml's kernels (:mod:`planner.throughput.ggml`) or, on a CPU, by
conversion in software. Anything else is refused with the reason; nothing falls back.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.formats.schemes import scheme as scheme_by_id
from planner.formats.sizes import bits_per_element
from planner.formats.spec import Scheme, TensorFormat
from planner.hardware.profile import Achieved, DeviceProfile
from planner.messages.message import Text, message
from planner.throughput.ggml import (
    classes,
    engine_runs,
    ggml_compute,
    ggml_refusal,
    runs_on_ggml,
)

MOE_CLASS = {
    "fp32": "moe-bf16",
    "bf16": "moe-bf16",
    "fp16": "moe-bf16",
    "fp8-tensor": "moe-fp8",
    "fp8-block": "moe-fp8",
    "mxfp8": "moe-fp8",
    "int8": "moe-int8",
    "w8a16": "moe-w8a16",
    "w4a16": "moe-w4a16",
    "nvfp4": "moe-nvfp4",
    "mxfp4": "moe-nvfp4",
}
WEIGHT_ONLY_CLASS = {8: "w8a16", 4: "w4a16"}
WEIGHT_ONLY_OF = {
    "fp8-tensor": "fp8-w8a16",
    "fp8-channel": "fp8-w8a16",
    "fp8-block": "fp8-w8a16",
    "fp8-block-ue8m0": "fp8-w8a16",
    "mxfp8": "fp8-w8a16",
    "int8-w8a8": "int8-w8a16",
    "nvfp4": "nvfp4-w4a16",
    "mxfp4": "mxfp4-w4a16",
    "mxfp4-w4a8": "mxfp4-w4a16",
}
"""The scheme whose kernel runs where an engine widens the weights of another and leaves
activations in 16 bits: the same elements, scales of another size at most."""
_CONVERSION_KEY = {
    "e4m3fn": "fp8",
    "e5m2": "fp8",
    "int8": "int8",
    "int4": "int4",
    "int3": "int4",
    "int2": "int4",
}
"""2 and 3 bits take the instructions of 4: a mask and a packed product for two values."""
_LOOKED_UP = ("nf4", "fp4")
_WRITTEN_AND_READ = 4.0
"""Bytes that a weight moves again where it is widened to 16 bits before the product: one write, one
read."""


@record
class Kernel:
    """How one scheme runs on one device.

    ``peak_flop_per_s`` is the dense peak of the compute format; fractions and floors are those of
    the kernel class. ``conversion_elements_per_s`` is inf where nothing is converted.
    ``activation_bytes`` are bytes an activation element, scales included. ``path`` says native,
    weight-only, software or storage (ggml types; their time is :func:`ggml_parts`').
    """

    scheme: str
    path: str
    unit: str
    peak_flop_per_s: float
    compute_fraction: float
    bandwidth_fraction: float
    floor_seconds: float
    conversion_elements_per_s: float
    activation_bytes: float
    kinds: tuple[str, ...]


def conversion_key(fmt: TensorFormat) -> str:
    """The key of a device's ``conversion`` table for weights stored in ``fmt``."""
    if fmt.element == "e2m1" and fmt.scale is not None:
        return "nvfp4" if fmt.scale.tensor_scale else "mxfp4"
    return _CONVERSION_KEY.get(fmt.element, fmt.element)


def widened_first(scheme: Scheme) -> bool:
    """Whether weights are widened in memory before the product of several rows, as bitsandbytes
    does with its 4-bit codes (autograd/_functions.py, matmul_4bit: gemv_4bit of a single row, else
    dequantize_4bit and a 16-bit product)."""
    return scheme.weight.block_type in _LOOKED_UP


def refusal(device: DeviceProfile, scheme: Scheme) -> Text:
    """Why ``device`` cannot execute ``scheme``; empty if it can."""
    if scheme.path == "storage" and not runs_on_ggml(scheme):
        return message("devices.storage_format", scheme=scheme.id)
    if runs_on_ggml(scheme) and (why := ggml_refusal(device, scheme)):
        return why
    if (
        scheme.path == "native"
        and not runs_on_ggml(scheme)
        and device.rate(scheme.compute) is None
        and not _software(device, scheme)
    ):
        return device.why_not(scheme.compute)
    if scheme.path == "weight-only":
        if device.rate(scheme.compute) is None:
            return device.why_not(scheme.compute)
        key = conversion_key(scheme.weight)
        if key not in device.conversion:
            return message("devices.has_no_conversion_rate_for", device=device.id, key=key)
    missing = [c for c in _needed(device, scheme) if c not in device.achieved]
    if missing:
        return message("devices.no_achieved_fractions", d=device.id, c=missing[0])
    return ""


def _software(device: DeviceProfile, scheme: Scheme) -> bool:
    """FP8 on a CPU: both operands are widened to BF16 by vector code before the matrix unit."""
    return (
        device.kind == "cpu"
        and scheme.compute == "fp8"
        and "fp8" in device.conversion
        and device.rate("bf16") is not None
    )


def _class(device: DeviceProfile, scheme: Scheme) -> str:
    if runs_on_ggml(scheme):
        return classes(device, scheme)[0]
    if scheme.path == "native" and device.rate(scheme.compute) is None:
        return WEIGHT_ONLY_CLASS[8]
    return scheme.kernel


def _classes(device: DeviceProfile, scheme: Scheme) -> tuple[str, str]:
    dense = _class(device, scheme)
    return dense, MOE_CLASS[dense]


def _needed(device: DeviceProfile, scheme: Scheme) -> tuple[str, ...]:
    """The classes whose achieved figures a scheme's time takes."""
    class_names = _classes(device, scheme)
    if not runs_on_ggml(scheme):
        return class_names
    reading = classes(device, scheme)[1]
    return (*class_names, reading, "moe-" + reading)


def kernel(device: DeviceProfile, scheme_id: str, *, experts: bool = False) -> Kernel:
    """The kernel of a scheme on a device, for dense GEMMs or for grouped expert GEMMs.

    Raises:
        UnsupportedError: the device cannot execute the scheme; the message gives the reason.
    """
    scheme = scheme_by_id(scheme_id)
    why = refusal(device, scheme)
    if why:
        raise UnsupportedError(
            message("engines.scheme_on", x=scheme.id, d=device.id, y=why),
            hint="see `plan list devices` for the formats each device multiplies",
        )
    compute = ggml_compute(device, scheme) if runs_on_ggml(scheme) else scheme.compute
    software = scheme.path == "native" and device.rate(compute) is None
    rate = device.rate("bf16" if software else compute)
    assert rate is not None
    dense, grouped = _classes(device, scheme)
    reached: Achieved = device.achieved[grouped if experts else dense]
    converts = software or scheme.path == "weight-only"
    conversion = (
        device.conversion[conversion_key(scheme.weight)].value if converts else float("inf")
    )
    if widened_first(scheme):
        conversion = min(
            conversion,
            device.bandwidth_bytes_per_s.value
            * reached.bandwidth_fraction.value
            / _WRITTEN_AND_READ,
        )
    used = {rate.dense.kind, reached.compute_fraction.kind, reached.bandwidth_fraction.kind}
    return Kernel(
        scheme=scheme.id,
        path="software" if software else scheme.path,
        unit=rate.unit,
        peak_flop_per_s=rate.dense.value,
        compute_fraction=reached.compute_fraction.value,
        bandwidth_fraction=reached.bandwidth_fraction.value,
        floor_seconds=reached.floor_seconds.value,
        conversion_elements_per_s=conversion,
        activation_bytes=bits_per_element(scheme.activation) / 8,
        kinds=tuple(sorted(used)),
    )


def kept_for_their_engine(engine: str, names: Sequence[str]) -> dict[str, str]:
    """{scheme: reason} of the types that ``engine`` is not known to multiply as they are modelled:
    plans for it take them where they are named only."""
    if engine_runs(engine):
        return {}
    return {
        name: "a type of llama.cpp: choose it with --engine llama.cpp, or name it"
        for name in names
        if runs_on_ggml(scheme_by_id(name))
    }


def legal_schemes(
    device: DeviceProfile, wanted: Sequence[str]
) -> tuple[list[str], dict[str, Text]]:
    """Split ``wanted`` into the executable schemes and {scheme: reason} for the others."""
    legal: list[str] = []
    refused: dict[str, Text] = {}
    for name in wanted:
        why = refusal(device, scheme_by_id(name))
        if why:
            refused[name] = why
        else:
            legal.append(name)
    return legal, refused
