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
    PassWork,
    exchange_seconds,
    overlapped_seconds,
    pass_seconds,
    total_seconds,
)
from planner.quality.prior import load_prior

BATCH = np.array([1.0, 16.0, 128.0])
NONE = np.zeros(3)


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


def test_verified_tokens_share_the_read_of_the_cache() -> None:
    one = pass_seconds(wide(), PassWork(BATCH, NONE, 1152.0, 1.0))
    two = pass_seconds(wide(), PassWork(BATCH, NONE, 1152.0, 1.0, verified=2.0))
    np.testing.assert_allclose(two["kv-latent"], one["kv-latent"])
    assert np.all(two["experts-gate-up"] > one["experts-gate-up"])
    assert np.all(total_seconds(two) < 2 * total_seconds(one))


def test_prompts_on_every_rank_cost_the_experts_more() -> None:
    one = pass_seconds(wide(), PassWork(NONE[:1], np.ones(1), 1.0, 1024.0))
    all_ = pass_seconds(wide(), PassWork(NONE[:1], np.ones(1), 1.0, 1024.0, reading=8.0))
    assert all_["experts-gate-up"] > one["experts-gate-up"]
    assert all_["attention-out"] == pytest.approx(one["attention-out"])


def test_overlap_hides_no_more_than_the_exchange() -> None:
    work = PassWork(BATCH, NONE, 1152.0, 1.0)
    half = PassWork(BATCH / 2, NONE, 1152.0, 1.0)
    split = overlapped_seconds(wide(), work)
    parts, talk = total_seconds(pass_seconds(wide(), half)), exchange_seconds(wide(), half)
    assert np.all(talk > 0)
    np.testing.assert_allclose(split[1:], np.maximum(2 * (parts - talk), 2 * talk)[1:])
    assert split[0] == pytest.approx(float(total_seconds(pass_seconds(wide(), work))[0]))


@pytest.mark.parametrize("engine", ["tensorrt-llm", "vllm"])
def test_gathering_engines_pay_for_the_bytes_of_all_tokens_and_no_more(engine: str) -> None:
    prompt = PassWork(NONE[:2], np.array([1.0, 2.0]), 1.0, 8192.0)
    gathered = exchange_seconds(wide(engine), prompt)
    layers = 58
    # 7 of 8 parts arrive once in FP8 with FP32 scales a 128, and leave once in BF16, at 336 GB/s
    wire = layers * 7 / 8 * 8192 * 7168 * (1 + 4 / 128 + 2) / 336e9
    assert gathered[0] == pytest.approx(wire, rel=0.25)
    assert gathered[1] == pytest.approx(2 * gathered[0], rel=0.1)
    assert gathered[0] < 0.2 * exchange_seconds(wide("sglang"), prompt)[0]
