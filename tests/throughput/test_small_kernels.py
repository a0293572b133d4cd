"""Small kernels follow the checkpoint's norms and what a stack fuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.throughput.collectives import fabric
from planner.throughput.elementwise_kernels import layer_norms, small_kernels
from planner.throughput.linear import Machine, kernel_arrays
from planner.throughput.points import decode_phase, points

DEVICE = resolve_device("h200-sxm")


def seconds(spec: ModelSpec, stack: str, tp: int, batch: int) -> tuple[float, float]:
    """(time apart from communication, communication) of an average layer."""
    machine = Machine(
        DEVICE.bandwidth_bytes_per_s.value,
        kernel_arrays(DEVICE, ["bf16"], experts=False),
        None,
        fabric(DEVICE),
        (stack,),
    )
    pts = points([Layout(tp, 1, 1, 1)], [(0, batch)])
    found = small_kernels(spec, machine, DEVICE, pts, decode_phase(pts, 1024.0))
    talk = float(found.communication[0, 0])
    return float(found.total()[0, 0]) - talk, talk


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("llama-3.1-70b", (2, 0, 0, 0)),
        ("qwen3-32b", (2, 2, 0, 0)),
        ("deepseek-v3", (2, 0, 0, 2)),
        ("minimax-m2.5", (2, 0, 2, 0)),
    ],
)
def test_norms_are_counted_by_what_they_act_on(name: str, kinds: tuple[int, ...]) -> None:
    norms = layer_norms(resolve_model(name))
    assert (norms.residual, norms.head, norms.wide, norms.other) == pytest.approx(kinds)


def test_the_all_reduce_of_a_stack_takes_the_norms() -> None:
    llama = resolve_model("llama-3.1-70b")
    assert seconds(llama, "trtllm", 8, 8)[0] < 0.6 * seconds(llama, "vllm", 8, 8)[0]
    assert seconds(llama, "trtllm", 1, 8)[0] == pytest.approx(seconds(llama, "vllm", 1, 8)[0])


def test_norms_over_all_heads_reduce_between_ranks() -> None:
    wide = resolve_model("minimax-m2.5")
    assert seconds(wide, "vllm", 4, 8)[1] > 0
    assert seconds(wide, "vllm", 1, 8)[1] == 0
    assert seconds(resolve_model("qwen3-32b"), "vllm", 4, 8)[1] == 0


@given(st.integers(1, 4096), st.sampled_from([1, 2, 4, 8]))
def test_more_rows_never_take_less(batch: int, tp: int) -> None:
    spec = resolve_model("qwen3-32b")
    assert seconds(spec, "vllm", tp, batch)[0] <= seconds(spec, "vllm", tp, 2 * batch)[0]
    physical = batch * 16.0 * spec.hidden_size / DEVICE.bandwidth_bytes_per_s.value
    assert seconds(spec, "vllm", tp, batch)[0] > physical


def test_without_norms_only_the_other_kernels_remain() -> None:
    spec = resolve_model("llama-3.1-70b")
    bare = replace(spec, rows=tuple(r for r in spec.rows if r.kind != "norm"))
    assert seconds(bare, "vllm", 1, 8)[0] < seconds(spec, "vllm", 1, 8)[0]
