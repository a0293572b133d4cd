"""Attention of llama.cpp on CPUs: by hand, laws, and who gets it."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.hardware.catalog import resolve_device
from planner.models.catalog import bundled_model
from planner.throughput.ggml_attention import core_parts, ggml_attention
from planner.throughput.points import Points, decode_phase, prefill_phase
from tests.support import theory

XEON = resolve_device("xeon-6980p")
CYCLES = 128 * 2.0e9
LLAMA = bundled_model("llama-3.2-1b").attention[0]


def one_point():
    """One sequence on one device."""
    one = np.ones(1)
    return Points(layout=np.zeros(1, dtype=np.int64), tp=one, dp=one, pp=one, ep=one, slot=one)


def seconds(kind, layouts, phase, device=XEON):
    costs = ggml_attention(device, "llama.cpp")
    assert costs is not None
    return core_parts(costs, LLAMA, kind, layouts, device, one_point(), phase)


def test_a_step_by_hand():
    """32 heads of 64 over 1,000 entries, one query: cycles an element of a key."""
    found = seconds("kv-k", ["fp16", "bf16"], decode_phase(one_point(), 1000))
    assert found.compute[0].tolist() == pytest.approx(
        [1000 * 32 * 64 * c / CYCLES for c in (0.45, 0.57)]
    )
    floor = XEON.achieved["attention-decode"].floor_seconds.value
    assert found.launch[0, 0] == pytest.approx(floor / 2)


def test_a_prompt_by_hand():
    """Tiles for F16 with the diagonal computed whole; BF16 one query at a time."""
    found = seconds("kv-v", ["fp16", "bf16"], prefill_phase(one_point(), 512, 512))
    pairs = 512 * 513 / 2
    assert found.compute[0].tolist() == pytest.approx(
        [(pairs + 512 * 32) * 32 * 64 * 0.14 / CYCLES, pairs * 32 * 64 * 0.57 / CYCLES]
    )


def test_few_tokens_have_no_tiles():
    found = seconds("kv-k", ["fp16"], prefill_phase(one_point(), 63, 512))
    assert found.compute[0, 0] == pytest.approx(63 * 64 / 2 * 32 * 64 * 0.45 / CYCLES)


@given(st.sampled_from(["kv-k", "kv-v"]), st.integers(64, 4096), st.integers(1, 512))
def test_laws(kind, length, more):
    """More tokens take longer; never below the bytes of the cache; BF16 never beats F16."""
    for phase in (decode_phase, lambda p, n: prefill_phase(p, n, 512)):
        small, large = (
            seconds(kind, ["fp16", "bf16"], phase(one_point(), n)).total()
            for n in (length, length + more)
        )
        assert (large >= small).all()
        assert (small[:, 1] >= small[:, 0]).all()
        bytes_ = length * LLAMA.kv_heads * LLAMA.head_dim * 2
        assert small[0, 0] >= bytes_ / XEON.bandwidth_bytes_per_s.value


def test_half_the_clock_takes_twice_as_long():
    slow = replace(
        XEON,
        rates=dict(XEON.rates)
        | {
            ("avx512", "int8"): replace(
                XEON.rates["avx512", "int8"],
                dense=replace(
                    XEON.rates["avx512", "int8"].dense,
                    value=XEON.rates["avx512", "int8"].dense.value / 2,
                ),
            )
        },
    )
    one, two = (
        seconds("kv-k", ["fp16"], decode_phase(one_point(), 999), device).compute
        for device in (XEON, slow)
    )
    assert np.allclose(two, 2 * one)


def test_who_gets_it():
    assert ggml_attention(XEON, "vllm") is None
    assert ggml_attention(resolve_device("l40s"), "llama.cpp") is None

    def ttft(engine, kv):
        return theory.estimate(
            "llama-3.2-1b",
            "xeon-6980p",
            scheme="bf16",
            devices=1,
            batch=1,
            isl=2048,
            osl=64,
            kv=kv,
            engine=engine,
        ).performance.ttft_seconds.value

    assert ttft("llama.cpp", "bf16") > ttft("llama.cpp", "fp16")
    assert ttft("pytorch", "bf16") == pytest.approx(ttft("pytorch", "fp16"))
