"""A refusal for memory names what is enough: formats, devices, or another device; else the gap."""

import re

import pytest

from planner.base.errors import InfeasibleError
from planner.planning.inspect.memory import memory
from tests.support.theory import estimate, plan


def refused(model: str, device: str, **asked: object) -> InfeasibleError:
    with pytest.raises(InfeasibleError) as caught:
        plan(model, device, **asked)  # type: ignore[arg-type]
    return caught.value


def test_no_formats_are_asked_for_where_all_were_allowed() -> None:
    error = refused("kimi-k2", "jetson-agx-orin-64gb")
    found = re.search(r"needs at least ([\d.]+) GiB .* ([\d.]+) GiB usable", error.message)
    assert found
    short = float(found[1]) - float(found[2])
    assert error.hint.startswith(f"{short:.2f} GiB a device are missing even with the smallest")
    assert "--schemes" not in error.hint
    other = re.search(r"it fits on (\d+) × ([\w-]+)$", error.hint)
    assert other
    count, name = int(other[1]), other[2]
    assert plan("kimi-k2", name, devices=count, batch=1).units
    with pytest.raises(InfeasibleError):
        plan("kimi-k2", name, devices=count // 2, batch=1)


def test_formats_that_were_not_allowed_are_named_where_they_fit() -> None:
    error = refused("llama-3.1-70b", "jetson-agx-orin-64gb", schemes=["bf16"])
    assert error.hint.startswith("allow more formats")
    assert plan("llama-3.1-70b", "jetson-agx-orin-64gb", max_loss="int4-w4a16").units
    with pytest.raises(InfeasibleError) as caught:
        estimate("llama-3.1-70b", "jetson-agx-orin-64gb", scheme="int8-w8a8")
    assert caught.value.hint.startswith("allow more formats")


def test_an_engine_is_named_with_its_formats() -> None:
    error = refused("llama-3.1-70b", "jetson-orin-nano-8gb", engine="vllm")
    assert "of that vllm" not in error.hint
    assert "that vllm serves on jetson-orin-nano-8gb" in error.hint


@pytest.mark.parametrize("model", ["llama-3.1-70b", "qwen3-32b"])
def test_memory_names_more_devices_then_formats_that_fit(model: str) -> None:
    device = "h100-sxm" if "70" in model else "l40s"
    answer = memory(model, device)
    assert not answer.fits
    assert re.match(r"--tp \d+ on \d+ devices fits: ", answer.way_out)
    last = answer.proposals[-1]
    found = re.fullmatch(r"--scheme (\S+)(?: --kv (\S+))?", last.flags)
    assert found
    assert memory(model, device, scheme=found[1], kv=found[2] or "auto").fits


def test_memory_names_a_layout_that_holds_it() -> None:
    answer = memory("deepseek-v3", "h100-sxm")
    found = re.match(r"--tp (\d+) --ep (\d+) on (\d+) devices fits: ", answer.way_out)
    assert found
    held = memory("deepseek-v3", "h100-sxm", tp=int(found[1]), ep=int(found[2]))
    assert held.fits
    assert held.parts.layout.ranks == int(found[3])


def test_memory_of_a_lone_device_says_that_it_is_alone() -> None:
    hint = memory("kimi-k2", "jetson-agx-orin-64gb").way_out
    assert "GiB a device are missing even with" in hint
    assert "has no link for more devices" in hint


def test_the_formats_that_are_offered_begin_with_the_release_s_own() -> None:
    """Blocks of FP8 do not divide every matrix of the model; FP32 would be a plan as well."""
    with pytest.raises(InfeasibleError, match="no scheme among fp8-block is legal") as caught:
        estimate("qwen3-next-80b-a3b", "h100-sxm", devices=8, tp=8, scheme="fp8-block")
    assert caught.value.hint == "allow more formats: --scheme bf16"
