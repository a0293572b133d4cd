"""What would make a question of memory fit: smaller formats, then more devices, else the gap."""

from collections.abc import Mapping

import pytest
from support.questions import SMALL

from planner.base.units import format_bytes
from planner.formats.schemes import SCHEMES
from planner.lookup import load_device, load_model
from planner.memory.breakdown import Breakdown, Use, breakdown
from planner.memory.resident import FormatOf
from planner.placement.layout import Layout
from planner.planning.infeasible.memory_relief import MemoryQuestion, memory_way_out

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
