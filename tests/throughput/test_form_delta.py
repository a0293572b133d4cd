"""Kernels of gated delta nets: by hand, laws of price, and which set a stack takes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.lookup import load_device
from planner.models.catalog import resolve_model
from planner.throughput.delta_kernels import delta_model, kernel_of
from planner.throughput.forms.delta import PARAMETERS, STRUCTURE, DeltaShape, delta_parts
from planner.throughput.points import Points, decode_phase, prefill_phase
from planner.throughput.recurrent import recurrent_certainty, recurrent_parts
from planner.throughput.silicon import Chip, chip

H200 = load_device("h200-sxm")
FIGURES = chip(H200)
VARIANTS = tuple(PARAMETERS)
LINEAR = resolve_model("qwen3-next-80b-a3b").attention[1]


def figures() -> Chip:
    assert FIGURES is not None
    return FIGURES


def start(variant: str, fused: float = 0.0) -> dict[str, float]:
    return {p.name: p.start for p in PARAMETERS[variant]} | {
        p.name: fused for p in STRUCTURE.get(variant, ())
    }


def shape(batch: float = 1, length: float = 1, heads: float = 32) -> DeltaShape:
    return DeltaShape(
        np.asarray(batch),
        np.asarray(length),
        np.asarray(heads / 2),
        np.asarray(heads),
        128.0,
        128.0,
    )


def seconds(variant: str, of: DeltaShape, *, fused: float = 0.0, cold: bool = True) -> float:
    return float(delta_parts(start(variant, fused), figures(), variant, of, cold=cold).total())


def test_a_step_reads_and_writes_the_state() -> None:
    p = start("recurrent")
    moved = 2 * 256 * 32 * 128 * 128 * 4
    memory = moved / (p["bandwidth_fraction"] * figures().bandwidth)
    assert seconds("recurrent", shape(256)) == pytest.approx(p["floor_seconds"] + memory)


def test_a_fused_chain_of_chunks_takes_whole_waves() -> None:
    p = start("chunk", 1.0)
    one = seconds("chunk", shape(1, 8192, heads=2), fused=1.0)
    assert one == pytest.approx(
        p["floor_seconds"] + p["load_seconds"] + 128 * p["step_seconds"], rel=0.03
    )
    full = seconds("chunk", shape(132 / 32, 8192), fused=1.0)
    over = seconds("chunk", shape(136 / 32, 8192), fused=1.0)
    assert over > 1.5 * full


def test_the_state_of_a_small_batch_stays_in_the_cache_of_a_replay() -> None:
    assert seconds("recurrent", shape(4), cold=False) < seconds("recurrent", shape(4))
    assert seconds("recurrent", shape(1024), cold=False) == pytest.approx(
        seconds("recurrent", shape(1024)), rel=1e-3
    )


@given(
    variant=st.sampled_from(VARIANTS),
    fused=st.sampled_from([0.0, 1.0]),
    batch=st.integers(1, 512),
    length=st.integers(1, 65536),
    heads=st.sampled_from([2, 8, 32]),
    more=st.sampled_from(["batch", "length", "heads"]),
    factor=st.integers(2, 5),
)
def test_more_work_never_takes_less_time(
    variant: str, fused: float, batch: int, length: int, heads: int, more: str, factor: int
) -> None:
    base = {"batch": batch, "length": length, "heads": heads}
    larger = base | {more: base[more] * factor}
    for cold in (True, False):
        assert seconds(variant, shape(**larger), fused=fused, cold=cold) >= seconds(
            variant, shape(**base), fused=fused, cold=cold
        ) * (1 - 1e-9)


def test_parameters_of_another_kernel_are_refused() -> None:
    with pytest.raises(DataError, match="linear-attention chunk"):
        delta_parts(start("recurrent"), figures(), "chunk", shape(), cold=True)


def points(slot: int, tp: int) -> Points:
    one = np.ones(1)
    return Points(np.zeros(1, dtype=np.int64), one * tp, one, one, one, one * slot)


def test_an_engine_takes_its_own_kernels_and_others_say_transferred() -> None:
    assert recurrent_certainty(LINEAR, H200, ["vllm"], decode=True).basis == "fitted"
    own, lent = (kernel_of(H200, [s], "chunk") for s in ("vllm", "unknown"))
    assert own is not None
    assert lent is not None
    assert lent[2].basis == "transferred"
    assert lent[2].sigma > own[2].sigma
    assert delta_model(H200, [], decode=True) is None
    assert (
        recurrent_certainty(
            LINEAR, load_device("jetson-agx-thor-t5000"), ["vllm"], decode=True
        ).basis
        == "prior"
    )


@pytest.mark.parametrize("stack", ["vllm", "sglang", "trtllm"])
def test_a_layer_of_a_model_is_near_what_it_must_move(stack: str) -> None:
    pts = points(256, 4)
    step = recurrent_parts(LINEAR, H200, pts, decode_phase(pts, 1000), [stack])
    least = 2 * 256 * 8 * 128 * 128 * 4 / H200.bandwidth_bytes_per_s.value
    assert least < float(step.total()[0, 0]) < 2.5 * least
    short, long = (
        float(
            recurrent_parts(LINEAR, H200, pts, prefill_phase(pts, n, 8192), [stack]).total()[0, 0]
        )
        for n in (8192, 32768)
    )
    assert long / short == pytest.approx(4.0)
