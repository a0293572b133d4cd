"""Figures of every result but the plan, and what each function refuses."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from support import sweeps
from support.fleets import made
from support.wheels import ROOT, clean_environment

import planner
from planner import plot
from planner.base.errors import InputError
from planner.plot import functions
from planner.sweeping.sweep import frame
from tests.support import theory

NAME = "planner.plot.functions"
HEAVY = {"numpy", "pandas", "pydantic", "matplotlib", "scipy", "highspy"}


@cache
def frontier() -> Any:
    return theory.frontier("qwen2.5-0.5b", "l40s", devices=1, points=2, map=True)


RESULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "inventory": (lambda: planner.inventory("deepseek-v3"), "tensor_bytes"),
    "train": (lambda: planner.train("llama-3.1-8b", "h100-sxm", devices=8, zero=3), "memory"),
    "experts": (
        lambda: planner.experts("qwen3-30b-a3b", "jetson-agx-orin-32gb", batch=4, skew=1.0),
        "residency",
    ),
    "experts without a device": (lambda: planner.experts("deepseek-v3", batch=4), "residency"),
    "layer_error": (
        lambda: planner.layer_error(
            "smollm2-135m",
            module="mlp-down",
            tokens=4,
            outputs=4,
            schemes=["fp8-block"],
            units=["hopper-wgmma"],
        ),
        "layer_errors",
    ),
    "validate": (lambda: planner.validate(only="op_quantize"), "validation_errors"),
    "memory": (lambda: planner.memory_use("llama-3.1-8b", "h100-sxm", pp=2), "memory"),
    "memory without a device": (lambda: planner.memory_use("llama-3.1-8b"), "memory"),
    "serve": (
        lambda: planner.serve(
            "llama-3.1-8b",
            "h100-sxm",
            devices=1,
            concurrency=8,
            scheme="fp8-tensor",
            isl=512,
            osl=128,
        ),
        "serving",
    ),
    "sensitivity": (lambda: planner.sensitivity("smollm2-135m"), "sensitivity"),
    "compare": (
        lambda: planner.compare("smollm2-135m", "l40s", schemes=["bf16", "fp8-channel"]),
        "compare",
    ),
    "fleet": (made, "fleet"),
    "sweep": (lambda: frame(sweeps.grid()), "sweep"),
    "frontier": (frontier, "frontier"),
    "map": (frontier, "phase_map"),
}
TAKEN = {
    "formats": "Plan",
    "time": "Plan",
    "uniform": "Plan",
    "roofline": "Plan",
    "users": "Plan",
    "sensitivity": "Plan, a DataFrame, a ModelSpec or a name",
    "memory": "Plan, a MemoryAnswer or a TrainingMemory",
    "frontier": "Plan or a Frontier",
    "phase_map": "Frontier",
    "serving": "ServingAnswer",
    "residency": "ExpertUse",
    "tensor_bytes": "Inventory",
    "layer_errors": "LayerNumerics",
    "validation_errors": "Validation",
    "compare": "Compared",
    "fleet": "Fleet",
    "alternatives": "Plan",
    "sweep": "DataFrame",
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_drawn(name: str) -> None:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    make, function = RESULTS[name]
    result, draw = make(), getattr(plot, function)
    assert isinstance(draw(result), Axes)
    mine = Figure().add_subplot()
    assert draw(result, ax=mine) is mine
    assert mine.has_data()
    with pytest.raises(InputError, match="ax = 'here'") as refused:
        draw(result, ax="here")
    assert refused.value.hint == "ax is an Axes or None"


def test_every_figure_is_listed() -> None:
    drawn = {n for n, f in vars(functions).items() if getattr(f, "__module__", "") == NAME}
    assert set(plot.__all__) == set(TAKEN) == {name for name in drawn if name[0] != "_"}
    assert dir(plot) == sorted(plot.__all__)
    with pytest.raises(AttributeError, match="no_such_figure"):
        _ = plot.no_such_figure


@pytest.mark.parametrize("name", TAKEN)
def test_a_figure_says_what_it_takes(name: str) -> None:
    draw = getattr(plot, name)
    assert inspect.getdoc(draw)
    of = next(iter(inspect.signature(draw).parameters))
    models = ("plan.json", planner.load_model("smollm2-135m"))
    for wrong in (None, 5, *(() if name == "sensitivity" else models)):
        with pytest.raises(InputError, match=f"^{of} = ") as refused:
            draw(wrong)
        assert refused.value.hint.partition(" is a")[2].lstrip("n ") == TAKEN[name]


def test_the_figure_of_one_result_refuses_another() -> None:
    with pytest.raises(InputError, match="Inventory") as refused:
        plot.memory(planner.inventory("smollm2-135m"))
    assert refused.value.hint == "result is a Plan, a MemoryAnswer or a TrainingMemory"


def test_a_map_that_was_not_asked_for_is_refused() -> None:
    found = theory.frontier("qwen2.5-0.5b", "l40s", devices=1, points=2)
    with pytest.raises(InputError, match="no map"):
        plot.phase_map(found)


def test_a_frontier_is_priced_already() -> None:
    with pytest.raises(InputError, match="hardware_dir"):
        plot.frontier(frontier(), hardware_dir="folder")


def modules_after(code: str) -> set[str]:
    """The names of all modules that ``code`` imported in a process of its own."""
    script = f"import json, sys, planner; {code}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        env={**clean_environment(), "PYTHONPATH": str(ROOT)},
    )
    return set(json.loads(done.stdout))


def test_importing_the_module_is_light() -> None:
    names = modules_after("planner.plot; dir(planner.plot)")
    assert names & HEAVY == set()
    ours = {name for name in names if name.startswith("planner.")}
    assert ours == {"planner.plot", "planner.base", "planner.base.display"}


def test_a_function_is_not_replaced_by_a_module_of_its_name() -> None:
    code = "; ".join(f"assert callable(planner.plot.{name}), {name!r}" for name in TAKEN)
    assert "matplotlib" not in modules_after(f"{code}; {code}")


@pytest.mark.exhaustive
def test_pyplot_is_never_loaded() -> None:
    names = modules_after("planner.plot.tensor_bytes(planner.inventory('smollm2-135m'))")
    assert "matplotlib.figure" in names
    assert "matplotlib.pyplot" not in names
