"""Experts on the host's CPU: never below what its memory and the link allow."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, UnsupportedError
from planner.hardware.catalog import resolve_device
from planner.throughput.offload import LayerWork, cpu_experts
from planner.throughput.residency import host_link

CPU = resolve_device("xeon-platinum-8480")
LINK = host_link(resolve_device("h100-sxm"))
WORK = LayerWork(
    tokens=1.0,
    hidden=7168,
    pairs=8.0,
    touched=8.0,
    elements=3 * 7168 * 2048,
    expert_bytes=3 * 7168 * 2048,
)


@given(st.integers(1, 64))
def test_no_layer_is_faster_than_memory_and_link(tokens: int) -> None:
    touched = min(8.0 * tokens, 256.0)
    work = replace(WORK, tokens=float(tokens), pairs=8.0 * tokens, touched=touched)
    found = cpu_experts(CPU, "fp8-block", work, LINK)
    physical = (
        touched * work.expert_bytes / CPU.bandwidth_bytes_per_s.value
        + 2 * tokens * 7168 * 2 / LINK.bytes_per_s
    )
    assert found.seconds > physical
    assert min(found.compute, found.memory, found.conversion, found.floor) >= 0


def test_two_sockets_halve_what_memory_takes_and_add_a_reduction() -> None:
    one, two = (cpu_experts(CPU, "bf16", WORK, LINK, sockets=n) for n in (1, 2))
    assert two.memory == pytest.approx(one.memory / 2)
    assert one.reduce == 0 < two.reduce
    assert one.bound == "memory"


def test_what_no_host_can_do_is_an_error() -> None:
    with pytest.raises(UnsupportedError, match="is no CPU"):
        cpu_experts(resolve_device("h100-sxm"), "bf16", WORK, LINK)
    with pytest.raises(InputError, match="3 sockets"):
        cpu_experts(CPU, "bf16", WORK, LINK, sockets=3)
    with pytest.raises(UnsupportedError):
        cpu_experts(CPU, "nvfp4", WORK, LINK)
