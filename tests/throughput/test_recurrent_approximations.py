"""Recurrences without measured kernels: what stands for them, by hand, and how sure it is."""

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.recurrent_configs import RELEASES

from planner.lookup import load_device
from planner.models.configuration import spec_from_bytes
from planner.models.spec import Attention
from planner.placement.cache_entries import state_bytes
from planner.placement.modules import linear_of
from planner.throughput.calibration import PRIOR
from planner.throughput.points import Points, decode_phase, prefill_phase
from planner.throughput.recurrent import APPROXIMATED, recurrent_certainty, recurrent_parts

H200 = load_device("h200-sxm")
NAMES = {"mamba2": "nemotron_3_nano", "kda": "kimi_linear", "mamba1": "jamba_v0_1",
         "conv": "lfm2_1_2b"}  # fmt: skip


@cache
def recurrence(rule: str) -> Attention:
    name = NAMES[rule]
    spec = spec_from_bytes(json.dumps(RELEASES[name]).encode(), "config.json", model_id=name,
                           public_name=name, source="", source_kind="file")  # fmt: skip
    return linear_of(spec, 0)


def points(slot: int, tp: int = 1) -> Points:
    one = np.ones(1)
    return Points(np.zeros(1, dtype=np.int64), one * tp, one, one, one, one * slot)


def step(attention: Attention, batch: int, tp: int = 1) -> float:
    at = points(batch, tp)
    return float(
        recurrent_parts(attention, H200, at, decode_phase(at, 4096.0), ["vllm"]).total()[0, 0]
    )


@pytest.mark.parametrize("rule", NAMES)
def test_an_approximation_has_a_name_and_a_wider_interval(rule: str) -> None:
    attention = recurrence(rule)
    assert attention.rule == rule
    for decode in (True, False):
        how = recurrent_certainty(attention, H200, ["vllm"], decode=decode)
        assert (how.basis, how.origin) == ("prior", APPROXIMATED[rule])
        assert how.sigma > PRIOR.sigma
    delta = replace(attention, rule="delta")
    assert recurrent_certainty(delta, H200, ["vllm"], decode=True).sigma < PRIOR.sigma


@pytest.mark.parametrize("rule", ["mamba2", "mamba1", "conv"])
def test_a_large_step_takes_what_reading_and_writing_the_state_takes(rule: str) -> None:
    attention = recurrence(rule)
    moved = 2 * state_bytes(attention, 1) * 4096
    least = moved / H200.bandwidth_bytes_per_s.value
    assert least < step(attention, 4096) < 4 * least + 1e-4


def test_a_prompt_of_mamba_costs_the_products_of_its_chunks() -> None:
    """64 heads of 64 wide and 128 states, 8 a group: 2·(64·(128/8 + 64) + 2·128·64) FLOP."""
    attention = recurrence("mamba2")
    at = points(1)
    found = recurrent_parts(attention, H200, at, prefill_phase(at, 65536, 65536), ["vllm"])
    flop = 65536 * 64 * 2 * (64 * (128 / 8 + 64) + 2 * 128 * 64)
    rate = H200.rate("bf16")
    assert rate is not None
    reached = H200.achieved["attention-prefill"].compute_fraction.value * rate.dense.value
    assert float(found.compute[0, 0]) == pytest.approx(flop / reached)


@given(rule=st.sampled_from(sorted(NAMES)), batch=st.integers(1, 512), factor=st.integers(2, 5))
def test_more_sequences_never_take_less_time(rule: str, batch: int, factor: int) -> None:
    attention = recurrence(rule)
    assert step(attention, batch * factor) >= step(attention, batch) * (1 - 1e-9)
