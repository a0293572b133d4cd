"""Results show themselves: a frame and a fragment of HTML."""

from collections.abc import Callable
from typing import Any

import pytest

import planner
from tests.support import theory

RESULTS: dict[str, Callable[[], Any]] = {
    "inventory": lambda: planner.inventory("deepseek-v3"),
    "train": lambda: planner.train("llama-3.1-8b", "h100-sxm", devices=8, zero=3),
    "experts": lambda: planner.experts("qwen3-30b-a3b", "jetson-agx-orin-32gb", batch=4, skew=1.0),
    "experts without a device": lambda: planner.experts("deepseek-v3", batch=4),
    "layer_error": lambda: planner.layer_error(
        "smollm2-135m",
        module="mlp-down",
        tokens=4,
        outputs=4,
        schemes=["fp8-block"],
        units=["hopper-wgmma"],
    ),
    "validate": lambda: planner.validate(only="op_quantize"),
    "memory": lambda: planner.memory_use("llama-3.1-8b", "h100-sxm", pp=2),
    "memory without a device": lambda: planner.memory_use("llama-3.1-8b"),
    "serve": lambda: planner.serve(
        "llama-3.1-8b", "h100-sxm", devices=1, concurrency=8, scheme="fp8-tensor", isl=512, osl=128
    ),
    "frontier": lambda: theory.frontier("qwen2.5-0.5b", "l40s", devices=1, points=2, map=True),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_itself(name: str) -> None:
    result = RESULTS[name]()
    assert len(result.to_frame()) > 0
    assert "<table" in result._repr_html_()
    assert not [own for own in dir(result) if own.startswith("plot")]


def test_parts_of_training_add_up() -> None:
    frame = planner.train("llama-3.1-8b", "h100-sxm", devices=8, pp=2, zero=1).to_frame()
    parts = frame.drop(columns=["stage", "total_bytes"]).sum(axis=1)
    assert list(parts) == list(frame.total_bytes)
    assert len(frame) == 2


def test_parts_of_memory_add_up() -> None:
    frame = planner.memory_use("llama-3.1-8b", "h100-sxm", pp=2).to_frame()
    parts = frame.drop(columns=["stage", "devices", "total_bytes"]).sum(axis=1)
    assert list(parts) == list(frame.total_bytes)
    assert len(frame) == 2


def test_rows_of_validation_are_those_of_its_groups() -> None:
    found = planner.validate(only="op_quantize")
    frame = found.to_frame()
    assert len(frame) == sum(g.n_rows for g in found.groups)
    assert frame.predicted.notna().sum() == sum(g.n for g in found.groups)
