"""Results show themselves: a frame, a fragment of HTML, and axes that pyplot does not know."""

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from support.wheels import ROOT, clean_environment

import planner
from planner.api.memory import memory
from planner.errors import InputError


@cache
def frontier() -> Any:
    return planner.frontier("qwen2.5-0.5b", "l40s", devices=1, points=2, map=True)


RESULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "inventory": (lambda: planner.inventory("deepseek-v3"), "plot_bytes"),
    "train": (lambda: planner.train("llama-3.1-8b", "h100-sxm", devices=8, zero=3), "plot_memory"),
    "experts": (lambda: planner.experts("qwen3-30b-a3b", "jetson-agx-orin-32gb", batch=4, skew=1.0),
                "plot_residency"),
    "experts without a device": (lambda: planner.experts("deepseek-v3", batch=4), "plot_residency"),
    "layer_error": (lambda: planner.layer_error(
        "smollm2-135m", module="mlp-down", tokens=4, outputs=4, schemes=["fp8-block"],
        units=["hopper-wgmma"]), "plot_errors"),
    "validate": (lambda: planner.validate(only="op_quantize"), "plot_errors"),
    "memory": (lambda: memory("llama-3.1-8b", "h100-sxm", pp=2), "plot_memory"),
    "memory without a device": (lambda: memory("llama-3.1-8b"), "plot_memory"),
    "serve": (lambda: planner.serve(
        "llama-3.1-8b", "h100-sxm", devices=1, concurrency=8, scheme="fp8-tensor", isl=512,
        osl=128), "plot_frontier"),
    "frontier": (frontier, "plot_frontier"), "map": (frontier, "plot_map"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_shows_itself(name: str) -> None:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    make, method = RESULTS[name]
    result = make()
    frame = result.to_frame()
    assert len(frame) > 0
    assert "<table" in result._repr_html_()
    drawn = getattr(result, method)()
    assert isinstance(drawn, Axes)
    mine = Figure().add_subplot()
    assert getattr(result, method)(mine) is mine
    assert mine.has_data()


def test_parts_of_training_add_up() -> None:
    frame = planner.train("llama-3.1-8b", "h100-sxm", devices=8, pp=2, zero=1).to_frame()
    parts = frame.drop(columns=["stage", "total_bytes"]).sum(axis=1)
    assert list(parts) == list(frame.total_bytes)
    assert len(frame) == 2


def test_parts_of_memory_add_up() -> None:
    frame = memory("llama-3.1-8b", "h100-sxm", pp=2).to_frame()
    parts = frame.drop(columns=["stage", "devices", "total_bytes"]).sum(axis=1)
    assert list(parts) == list(frame.total_bytes)
    assert len(frame) == 2


def test_rows_of_validation_are_those_of_its_groups() -> None:
    found = planner.validate(only="op_quantize")
    frame = found.to_frame()
    assert len(frame) == sum(g.n_rows for g in found.groups)
    assert frame.predicted.notna().sum() == sum(g.n for g in found.groups)


def test_a_map_that_was_not_asked_for_is_refused() -> None:
    found = planner.frontier("qwen2.5-0.5b", "l40s", devices=1, points=2)
    with pytest.raises(InputError, match="no map"):
        found.plot_map()


def test_pyplot_is_never_loaded() -> None:
    script = ("import json, sys, planner; planner.inventory('smollm2-135m').plot_bytes(); "
              "print(json.dumps(sorted(sys.modules)))")
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True,
                          text=True, env={**clean_environment(), "PYTHONPATH": str(ROOT)})
    names = set(json.loads(done.stdout))
    assert "matplotlib.figure" in names
    assert "matplotlib.pyplot" not in names
