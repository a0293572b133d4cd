"""What would make a question of memory fit: smaller formats, then more devices, else the gap."""

from collections.abc import Mapping
from typing import Any

import pytest
from support.questions import SMALL

import planner
from planner.base.units import format_bytes
from planner.formats.schemes import SCHEMES
from planner.lookup import load_device, load_model
from planner.memory.breakdown import Breakdown, Use, breakdown
from planner.memory.resident import FormatOf
from planner.placement.layout import Layout
from planner.planning.infeasible.memory_relief import MemoryQuestion, memory_way_out
from planner.planning.inspect.stored_formats import weight_formats

SPEC, DEVICE = load_model(SMALL), load_device("h100-sxm")
ALONE = Layout(1, 1, 1, 1)
CACHES = {"bf16": "bf16"}


def format_of(name: str) -> FormatOf:
    return lambda kind, layer: SCHEMES[name].weight if kind.startswith(("mlp", "att")) else None


WIDE: Mapping[str, FormatOf] = {"bf16": format_of("bf16")}
BOTH = {**WIDE, "int8-w8a8": format_of("int8-w8a8")}


def split(name: str, layout: Layout = ALONE) -> Breakdown:
    return breakdown(
        SPEC, layout, Use(2048, 8, 1024), format_of=BOTH[name], kv="bf16", device=DEVICE
    )


def test_a_smaller_format_that_fits_is_named() -> None:
    wide, narrow = (split(n).fullest.total_bytes for n in ("bf16", "int8-w8a8"))
    assert narrow < wide
    told = memory_way_out(MemoryQuestion(SPEC, DEVICE, narrow), split("bf16"), BOTH, CACHES)
    assert told == f"--scheme int8-w8a8 fits: {format_bytes(narrow)} a device"


def test_more_devices_hold_what_one_does_not() -> None:
    whole = split("bf16").fullest.total_bytes
    two = min(
        split("bf16", la).fullest.total_bytes for la in (Layout(2, 1, 1, 1), Layout(1, 1, 2, 1))
    )
    assert two < whole
    told = memory_way_out(MemoryQuestion(SPEC, DEVICE, two), split("bf16"), WIDE, CACHES)
    gap = format_bytes(whole - two)
    assert told.startswith(f"{gap} a device are missing; 2 devices hold it (--")


def test_what_no_layout_holds_is_said() -> None:
    told = memory_way_out(MemoryQuestion(SPEC, DEVICE, 1 << 20), split("bf16"), WIDE, CACHES)
    assert "and more devices do not hold it" in told


@pytest.mark.parametrize("formats", [{}, {"none": format_of("bf16")}])
def test_without_formats_nothing_is_promised(formats: dict[str, FormatOf]) -> None:
    told = memory_way_out(MemoryQuestion(SPEC, DEVICE, 1 << 20), split("bf16"), formats, CACHES)
    assert "fits" not in told


def test_another_layout_of_the_same_devices_goes_before_other_formats() -> None:
    """It proposed weights and caches of 4 bits where data parallelism holds the release."""
    shape: dict[str, Any] = {"batch": 64, "context": 32768}
    asked = planner.memory_use("deepseek-v3", "h200-sxm", tp=8, **shape)
    assert not asked.fits
    assert asked.way_out.startswith("--tp 1 --dp 8 --ep 8 fits: ")
    followed = planner.memory_use("deepseek-v3", "h200-sxm", dp=8, ep=8, **shape)
    assert followed.fits
    assert asked.way_out.endswith(f"{format_bytes(followed.parts.fullest.total_bytes)} a device")


def test_a_layout_that_is_not_allowed_is_not_proposed() -> None:
    spec, device = load_model("deepseek-v3"), load_device("h200-sxm")
    released = weight_formats(spec, None, None)[0]
    use = Use(32768, 64, 8192)
    wide, narrow = (
        breakdown(spec, layout, use, format_of=released, kv="bf16", device=device)
        for layout in (Layout(8, 1, 1, 1), Layout(1, 8, 1, 8))
    )
    memory = MemoryQuestion(spec, device, narrow.fullest.total_bytes)
    formats, chosen = {"released": released}, (released, "bf16")
    told = memory_way_out(memory, wide, formats, CACHES, chosen)
    assert told == f"--tp 1 --dp 8 --ep 8 fits: {format_bytes(memory.usable)} a device"
    kept = memory_way_out(memory, wide, formats, CACHES, chosen, lambda layout: layout.dp == 1)
    assert "fits" not in kept
