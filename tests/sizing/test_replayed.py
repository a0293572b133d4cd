"""Sized deployments held to the scheduler: whose figures are told, and what a replay decides."""

from functools import cache
from typing import Any

import pytest

import planner
from planner.sizing.capacity_record import Capacity
from planner.sizing.replayed import BEYOND

RANKS: dict[str, Any] = {
    "model": "qwen3-30b-a3b",
    "device": "h200-sxm",
    "tp": 1,
    "dp": 4,
    "ep": 4,
    "isl": 1000,
    "osl": 250,
    "context": 1250,
    "kv": "bf16",
    "schemes": ["bf16"],
    "engine": "vllm",
}
DENSE: dict[str, Any] = {
    **RANKS,
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "dp": 1,
    "ep": 1,
}


@cache
def of_ranks(rate: float = 29.0, limit: float = 0.02) -> Capacity:
    return planner.capacity(**RANKS, rate=rate, tpot_seconds=limit)


def test_attention_ranks_get_the_devices_that_the_scheduler_needs() -> None:
    found = of_ranks()
    assert found.replay is not None
    assert found.replay.replaced
    assert found.replay.off["TPOT"] < -BEYOND
    assert found.devices > 4
    fewer = planner.replay(
        **{k: v for k, v in RANKS.items() if k != "schemes"},
        scheme="bf16",
        devices=4,
        rate=29.0,
        count=1500,
    )
    assert fewer.replay.percentiles.tpot_seconds.p90.value > 0.02


def test_the_figures_are_those_of_the_replay() -> None:
    found = of_ranks()
    played = planner.replay(
        **{k: v for k, v in RANKS.items() if k != "schemes"},
        scheme="bf16",
        devices=found.devices,
        rate=29.0,
        count=2500,
    ).replay.percentiles
    assert found.tpot_seconds.value == pytest.approx(played.tpot_seconds.p90.value, rel=0.1)
    assert found.ttft_seconds.value == pytest.approx(played.ttft_seconds.p90.value, rel=0.15)


def test_the_basis_is_told() -> None:
    (note,) = [item for item in of_ranks().assumptions if item.key == "replay"]
    assert "the formulas were -" in note.value
    assert of_ranks().to_dict()["replay"]["replaced"] is True


def test_formulas_stay_where_they_agree() -> None:
    found = planner.capacity(**DENSE, rate=1.2, tpot_seconds=0.02)
    assert found.replay is not None
    assert not found.replay.replaced
    assert max(map(abs, found.replay.off.values())) <= BEYOND


def test_tails_grow_with_their_percentile() -> None:
    tails = of_ranks().tails
    for name in ("ttft_seconds", "tpot_seconds", "e2e_seconds"):
        values = [getattr(point, name) for point in tails]
        assert values == sorted(values)
