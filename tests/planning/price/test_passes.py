"""Laws of one forward pass of an assignment."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from planner.hardware.catalog import resolve_device
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout
from planner.planning.price.recipe import SchemeSet, recipe_assignment
from planner.planning.price.step import (
    Assignment,
    PassSeconds,
    Serving,
    overlapped_seconds,
    pass_seconds,
    rank_points,
    step_times,
)
from planner.quality.prior import load_prior
from planner.throughput.points import decode_phase, mixed_phase

BATCH = np.array([1.0, 16.0, 128.0])
NONE = np.full(1, 1e-9)


@cache
def wide(engine: str = "any") -> Assignment:
    return recipe_assignment(
        resolve_model("deepseek-v3"),
        resolve_device("h200-sxm"),
        Layout(1, 8, 1, 8),
        SchemeSet("fp8-block", "fp8-block", "bf16"),
        load_prior(),
        isl=1024,
        osl=256,
        engine=engine,
    )


@cache
def grouped() -> Assignment:
    return recipe_assignment(
        resolve_model("llama-3.1-8b"),
        resolve_device("h100-sxm"),
        Layout(),
        SchemeSet("bf16", "bf16", "bf16"),
        load_prior(),
        isl=1024,
        osl=256,
    )


def decoding(verified: float = 1.0) -> PassSeconds:
    at = rank_points(wide(), BATCH)
    return pass_seconds(wide(), at, decode_phase(at, 1152.0, verified))


def reading(isl: int, prompts: float = 1.0, ranks: float = 1.0, engine: str = "any") -> PassSeconds:
    at = rank_points(wide(engine), NONE)
    phase = mixed_phase(at, 1.0, isl, isl, prompts, ranks)
    return pass_seconds(wide(engine), at, phase)


def test_verified_tokens_share_the_read_of_the_cache() -> None:
    at = rank_points(grouped(), BATCH)
    read, again = (
        pass_seconds(grouped(), at, decode_phase(at, 8192.0, verified)).by_kind["kv-k"]
        for verified in (1.0, 2.0)
    )
    np.testing.assert_allclose(again[1:], read[1:], rtol=0.05)
    one, two = decoding(), decoding(2.0)
    assert np.all(two.by_kind["kv-latent"] < 2 * one.by_kind["kv-latent"])
    assert np.all(two.by_kind["experts-gate-up"] > one.by_kind["experts-gate-up"])
    assert np.all(two.total < 2 * one.total)


def test_prompts_on_every_rank_cost_the_experts_more() -> None:
    one, every = reading(1024).by_kind, reading(1024, ranks=8.0).by_kind
    assert every["experts-gate-up"] > one["experts-gate-up"]
    assert every["attention-out"] == pytest.approx(one["attention-out"])


def test_overlap_hides_no_more_than_the_exchange() -> None:
    at, half = rank_points(wide(), BATCH), rank_points(wide(), BATCH / 2)
    split = overlapped_seconds(wide(), at, lambda pts, share: decode_phase(pts, 1152.0))
    one = pass_seconds(wide(), half, decode_phase(half, 1152.0))
    assert np.all(one.exchange > 0)
    hidden = np.maximum(2 * (one.total - one.exchange), 2 * one.exchange)
    np.testing.assert_allclose(split[1:], hidden[1:])
    assert split[0] == pytest.approx(float(decoding().total[0]))


@pytest.mark.parametrize("engine", ["tensorrt-llm", "vllm"])
def test_gathering_engines_pay_for_the_bytes_of_all_tokens_and_no_more(engine: str) -> None:
    first, second = (reading(8192, prompts, engine=engine).exchange[0] for prompts in (1.0, 2.0))
    layers = 58
    # 7 of 8 parts arrive once in FP8 with FP32 scales a 128, and leave once in BF16, at 336 GB/s
    wire = layers * 7 / 8 * 8192 * 7168 * (1 + 4 / 128 + 2) / 336e9
    assert first == pytest.approx(wire, rel=0.25)
    assert second == pytest.approx(2 * first, rel=0.1)
    assert first < 0.2 * reading(8192, engine="sglang").exchange[0]


@pytest.mark.parametrize(("most", "other"), [(7.0, 512.0), (100.0, 1000.0)])
def test_times_do_not_depend_on_the_largest_batch_of_their_table(most: float, other: float) -> None:
    few, many = (step_times(wide(), Serving(1024, 256, top, 8192)) for top in (most, other))
    for batch in (0.5, 1.0, 3.7, most):
        assert few.step(batch) == many.step(batch)
        assert few.with_prompt(batch, 0.5) == many.with_prompt(batch, 0.5)
