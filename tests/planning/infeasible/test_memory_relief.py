"""What would make a question of memory fit: layouts, devices, caches, formats, else the gap."""

from collections.abc import Mapping
from typing import Any

import pytest
from support.questions import SMALL

import planner
from planner.base.units import format_bytes
from planner.formats.schemes import SCHEMES
from planner.lookup import load_device, load_model
from planner.memory.answer import MemoryProposal
from planner.memory.breakdown import Breakdown, Use, breakdown
from planner.memory.caches import KvOf
from planner.memory.resident import FormatOf
from planner.placement.layout import Layout
from planner.planning.infeasible.memory_relief import (
    MemoryQuestion,
    memory_proposals,
    memory_way_out,
)
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


BF16: tuple[FormatOf, str | KvOf] = (WIDE["bf16"], "bf16")


def told(
    usable: int,
    of: Breakdown,
    formats: Mapping[str, FormatOf] = BOTH,
    chosen: tuple[FormatOf, str | KvOf] = BF16,
    **more: Any,
) -> tuple[tuple[MemoryProposal, ...], str]:
    memory = MemoryQuestion(more.pop("spec", SPEC), more.pop("device", DEVICE), usable)
    caches = more.pop("caches", CACHES)
    found = memory_proposals(memory, of, formats, caches, chosen, **more)
    return found, memory_way_out(memory, of, formats, caches, found)


def test_more_devices_go_before_formats_that_lose() -> None:
    wide, narrow = (split(n).fullest.total_bytes for n in ("bf16", "int8-w8a8"))
    assert narrow < wide
    found, text = told(narrow, split("bf16"))
    kinds = [one.kind for one in found]
    assert kinds == sorted(kinds, key=["layout", "devices", "cache", "format"].index)
    (last,) = (one for one in found if one.kind == "format")
    assert (last.flags, last.bytes_per_device) == ("--scheme int8-w8a8", narrow)
    assert found[0].kind == "devices"
    assert text.startswith(f"{found[0].flags} on {found[0].devices} devices fits: ")
    assert all(one.bytes_per_device <= narrow for one in found)


def test_as_many_devices_as_hold_it_and_no_more() -> None:
    two = min(
        split("bf16", la).fullest.total_bytes for la in (Layout(2, 1, 1, 1), Layout(1, 1, 2, 1))
    )
    assert two < split("bf16").fullest.total_bytes
    found, _ = told(two, split("bf16"), WIDE)
    assert {one.devices for one in found} == {2}
    assert min(one.bytes_per_device for one in found) == two


def test_what_no_layout_holds_is_said() -> None:
    found, text = told(1 << 20, split("bf16"), WIDE)
    assert found == ()
    assert "are missing, and more devices do not hold it" in text


@pytest.mark.parametrize("formats", [{}, {"none": format_of("bf16")}])
def test_without_formats_nothing_is_promised(formats: dict[str, FormatOf]) -> None:
    _, text = told(1 << 20, split("bf16"), formats)
    assert "fits" not in text


def test_another_layout_of_the_same_devices_goes_before_everything_else() -> None:
    """It proposed weights and caches of 4 bits where data parallelism holds the release."""
    shape: dict[str, Any] = {"batch": 64, "context": 32768}
    asked = planner.memory_use("deepseek-v3", "h200-sxm", devices=8, tp=8, **shape)
    assert not asked.fits
    first = asked.proposals[0]
    assert (first.kind, first.flags, first.devices) == ("layout", "--tp 1 --dp 8 --ep 8", 8)
    assert asked.way_out == f"{first.flags} fits: {format_bytes(first.bytes_per_device)} a device"
    followed = planner.memory_use("deepseek-v3", "h200-sxm", dp=8, ep=8, **shape)
    assert followed.fits
    assert followed.parts.fullest.total_bytes == first.bytes_per_device
    assert followed.usable_bytes - first.bytes_per_device > 10 << 30
    assert not any(one.kind == "format" for one in asked.proposals[:3])


@pytest.mark.parametrize(
    ("model", "device", "asked"),
    [
        ("qwen3-32b", "rtx-4090", {}),
        ("llama-3.1-70b", "h100-sxm", {}),
        ("deepseek-v3", "h200-sxm", {"tp": 8, "batch": 64, "context": 32768}),
    ],
)
def test_every_proposal_fits_with_the_bytes_that_it_tells(
    model: str, device: str, asked: dict[str, int]
) -> None:
    found = planner.memory_use(model, device, **asked)  # type: ignore[arg-type]
    assert found.proposals
    for one in found.proposals:
        words = one.flags.split()
        changed: dict[str, Any] = {
            flag.removeprefix("--"): int(value) if value.isdigit() else value
            for flag, value in zip(words[::2], words[1::2], strict=True)
        }
        again = planner.memory_use(model, device, **{**asked, **changed})
        assert again.fits, one.flags
        assert again.parts.fullest.total_bytes == one.bytes_per_device
        assert again.parts.layout.ranks == one.devices


def test_stages_that_nobody_asked_for_come_last() -> None:
    both = max(
        split("bf16", la).fullest.total_bytes for la in (Layout(2, 1, 1, 1), Layout(1, 1, 2, 1))
    )
    found, _ = told(both, split("bf16"), WIDE)
    assert [one.flags for one in found] == ["--tp 2", "--pp 2"]


def test_a_layout_that_is_not_allowed_is_not_proposed() -> None:
    spec, device = load_model("deepseek-v3"), load_device("h200-sxm")
    released = weight_formats(spec, None, None)[0]
    use = Use(32768, 64, 8192)
    wide, narrow = (
        breakdown(spec, layout, use, format_of=released, kv="bf16", device=device)
        for layout in (Layout(8, 1, 1, 1), Layout(1, 8, 1, 8))
    )
    usable = narrow.fullest.total_bytes
    asked: dict[str, Any] = {"spec": spec, "device": device, "chosen": (released, "bf16")}
    found, text = told(usable, wide, {"released": released}, **asked)
    assert text == f"--tp 1 --dp 8 --ep 8 fits: {format_bytes(usable)} a device"
    kept, _ = told(
        usable, wide, {"released": released}, allowed=lambda layout: layout.dp == 1, **asked
    )
    assert found[0].kind == "layout"
    assert not any("--dp" in one.flags for one in kept)
