"""Every refusal names its limit, and the change it suggests is enough."""

import re
from typing import Any

import pytest

from planner.base.errors import InfeasibleError, InputError, PlannerError
from planner.planning.plan.record import Plan
from tests.support.theory import estimate, plan


def refused(model: str, device: str, **asked: Any) -> InfeasibleError:
    with pytest.raises(InfeasibleError) as caught:
        plan(model, device, **asked)
    assert caught.value.exit_code == 1
    assert caught.value.hint
    return caught.value


def number(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    assert found, text
    return found[1]


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("llama-3.2-1b", {"devices": 1}),
        ("llama-3.1-8b", {}),
        ("deepseek-v2-lite", {"devices": 2, "batch": 16}),
        ("llama-3.1-8b", {"devices": 4, "pp": 4, "batch": 16}),
        pytest.param("deepseek-v3", {"context": 32768}, marks=pytest.mark.exhaustive),
    ],
)
def test_tpot(model: str, asked: dict[str, Any]) -> None:
    error = refused(model, "h100-sxm", tpot_seconds=1e-4, **asked)
    assert error.message.startswith("tpot ")
    enough = float(number(error.hint, r"raise --tpot-ms to ([\d.]+)")) * 1e-3
    assert plan(model, "h100-sxm", tpot_seconds=enough, **asked).units
    refused(model, "h100-sxm", tpot_seconds=enough * 0.995, **asked)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model", "asked"),
    [
        ("llama-3.2-1b", {"devices": 1}),
        ("deepseek-v2-lite", {"devices": 2, "isl": 4000, "batch": 16}),
    ],
)
def test_ttft(model: str, asked: dict[str, Any]) -> None:
    error = refused(model, "h100-sxm", ttft_seconds=1e-3, **asked)
    assert error.message.startswith("ttft ")
    enough = float(number(error.hint, r"raise --ttft-ms to ([\d.]+)")) * 1e-3
    assert plan(model, "h100-sxm", ttft_seconds=enough, **asked).units
    refused(model, "h100-sxm", ttft_seconds=enough * 0.8, **asked)


def test_max_loss_names_a_scheme_or_a_device_count() -> None:
    error = refused("llama-3.1-70b", "l40s", devices=1, max_loss="fp8-block", batch=1)
    assert error.message.startswith("max-loss fp8-block ")
    scheme = number(error.hint, r"--max-loss ([\w-]+)")
    assert plan("llama-3.1-70b", "l40s", devices=1, max_loss=scheme, batch=1).units
    devices = int(number(error.hint, r"--devices (\d+)"))
    assert plan("llama-3.1-70b", "l40s", devices=devices, max_loss="fp8-block", batch=1).units


def test_memory_names_a_device_count() -> None:
    error = refused("llama-3.1-405b", "a100-sxm", devices=1, max_loss="int4-w4a16")
    assert error.message.startswith("memory")
    devices = int(number(error.hint, r"--devices (\d+)"))
    assert plan("llama-3.1-405b", "a100-sxm", devices=devices, max_loss="int4-w4a16").units


def test_memory_names_a_context_where_no_device_can_be_added() -> None:
    asked: dict[str, Any] = {"batch": 8, "max_loss": "int8-w8a8", "schemes": ["bf16"]}
    error = refused("deepseek-v2-lite", "jetson-agx-orin-64gb", context=163840, kv="bf16", **asked)
    assert error.message.startswith("memory")
    assert int(number(error.hint, r"--batch (\d+)")) < 8
    del asked["batch"]
    error = refused(
        "deepseek-v2-lite",
        "jetson-agx-orin-64gb",
        context=163840,
        memory_bytes=31 << 30,
        kv="int8-token",
        **asked,
    )
    context = int(number(error.hint, r"--context (\d+)"))
    found = plan(
        "deepseek-v2-lite",
        "jetson-agx-orin-64gb",
        context=context,
        kv="int8-token",
        memory_bytes=31 << 30,
        **asked,
    )
    assert found.memory_per_device.total_bytes <= found.memory_per_device.usable_bytes


@pytest.mark.sample(1)
@pytest.mark.parametrize("limit", [1 << 20, 10**8, 10**9])
def test_memory_bytes_is_named(limit: int) -> None:
    error = refused("llama-3.2-1b", "h100-sxm", devices=1, memory_bytes=limit)
    assert "memory-bytes" in error.message or "memory-bytes" in error.hint
    enough = int(number(error.hint, r"raise --memory-bytes to (\d+)"))
    found = plan("llama-3.2-1b", "h100-sxm", devices=1, memory_bytes=enough)
    assert limit < found.memory_per_device.total_bytes <= enough


def test_several_limits_at_once_still_say_what_to_do() -> None:
    error = refused("llama-3.1-8b", "h100-sxm", devices=1, tpot_seconds=1e-5, ttft_seconds=1e-5)
    assert "tpot" in error.message
    assert "ttft" in error.message


def test_estimate_refuses_too() -> None:
    with pytest.raises(InfeasibleError, match="memory") as caught:
        estimate("llama-3.1-405b", "h100-sxm", devices=4)
    devices = int(number(caught.value.hint, r"--devices (\d+)"))
    assert devices > 4
    assert estimate("llama-3.1-405b", "h100-sxm", devices=devices).units


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"tp": 3}, "tp 3"),
        ({"devices": 8, "tp": 16}, "exceeds"),
        ({"devices": 8, "dp": 2}, "replicas"),
        ({"devices": 2, "pp": 2, "batch": 3}, "multiple"),
        ({"tp": 2, "devices": 3}, "does not divide"),
    ],
)
def test_what_does_not_divide_is_an_error_of_input(asked: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        plan("llama-3.1-8b", "h100-sxm", **asked)
    assert caught.value.exit_code == 2
    assert caught.value.hint


@pytest.mark.parametrize(
    "asked",
    [
        {"context": 0},
        {"isl": -1},
        {"batch": 0},
        {"devices": 10**9},
        {"osl": 5},
        {"context": 1},
        {"context": 131073},
        {"isl": 100, "osl": 100, "context": 150},
        {"tpot_seconds": 0.0},
        {"ttft_seconds": float("nan")},
        {"tpot_seconds": float("inf")},
        {"memory_bytes": -5},
        {"objective": "speed"},
        {"schemes": []},
        {"schemes": ["fp9"]},
        {"schemes": ["nvfp4"]},
        {"kv": "fp9"},
        {"kv": "fp8-ds-mla"},
        {"kv": "nvfp4"},
        {"max_loss": -0.3},
        {"max_loss": "3 apples"},
        {"max_loss": "fp9"},
        {"engine": "no-such"},
        {"profile": "x"},
        {"scenario": "none-such"},
        {"hardware_dir": "/none/such"},
        {"ep": 2},
    ],
)
def test_every_bad_value_is_refused_with_a_hint(asked: dict[str, Any]) -> None:
    with pytest.raises(PlannerError) as caught:
        plan("llama-3.1-8b", "h100-sxm", **asked)
    assert caught.value.exit_code == 2
    assert caught.value.message.strip()
    assert caught.value.hint.strip()


def test_no_group_is_invented_without_a_link() -> None:
    with pytest.raises(InputError, match="no link") as caught:
        plan("deepseek-v2-lite", "jetson-agx-orin-64gb", devices=2, pp=2)
    assert caught.value.hint
    found: Plan = plan("deepseek-v2-lite", "jetson-agx-orin-64gb", devices=2)
    assert (found.device.count, found.layout.replicas) == (2, 2)
