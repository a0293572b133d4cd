"""Models released in BF16 on devices without BF16 products: engines serve them in FP16 there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from planner.hardware.profile import DeviceProfile
from planner.messages.message import Note, message
from planner.models.plain import plain_type
from planner.models.spec import ModelSpec

KEY = "served in"


def served_in_fp16(
    spec: ModelSpec,
    device: DeviceProfile,
) -> tuple[ModelSpec, DeviceProfile, tuple[Note, ...]]:
    """(``spec`` with its BF16 tensors in FP16, ``device`` with FP16's figures for 16-bit kernels, a
    note) where ``device`` multiplies FP16 and no BF16; as they are elsewhere."""
    half = device.rate("fp16")
    if half is None or device.rate("bf16") is not None:
        return spec, device, ()
    reached = dict(device.achieved)
    if "fp16" in reached:
        reached.setdefault("bf16", reached["fp16"])
    device = replace(
        device,
        achieved=MappingProxyType(reached),
        rates=MappingProxyType({**device.rates, (half.unit, "bf16"): replace(half, format="bf16")}),
    )
    if plain_type(spec) != "bf16":
        return spec, device, ()
    spec = replace(
        spec,
        rows=tuple(replace(row, dtype="fp16") if row.dtype == "bf16" else row for row in spec.rows),
    )
    return (
        spec,
        device,
        (
            Note(
                KEY,
                "FP16",
                message(
                    "structure.semicolons",
                    parts=(
                        message("structure.named", name=device.id, text=device.why_not("bf16")),
                        message("assumptions.values_beyond_65_504_overflow"),
                    ),
                ),
            ),
        ),
    )


def fp16_caches(layouts: Sequence[str]) -> tuple[str, ...]:
    """Cache layouts with FP16 in the place of BF16: a server has one type."""
    return tuple(dict.fromkeys("fp16" if name == "bf16" else name for name in layouts))
