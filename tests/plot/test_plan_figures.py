"""Figures of a plan: drawn on axes that pyplot does not know, from the plan file alone."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from shutil import copyfile
from xml.etree import ElementTree

import pytest
from support.wheels import ROOT

import planner
from planner import plot
from planner.base.errors import InputError
from planner.planning.plan.record import Plan
from tests.support import theory

DEVICE = "h100-sxm"
FIGURES = ("formats", "memory", "time", "uniform", "roofline", "frontier", "users", "sensitivity")
PRICED = ("roofline", "frontier", "users", "sensitivity")


@cache
def plan() -> Plan:
    return theory.plan("qwen3-30b-a3b", DEVICE, context=4096, devices=1)


@cache
def small() -> Plan:
    return theory.plan(
        "qwen2.5-0.5b", DEVICE, schemes=["bf16", "fp8-block"], context=1024, devices=1
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn(name: str) -> None:
    axes = getattr(plot, name)(small())
    assert small().model.id in axes.get_title(loc="left")
    assert axes.patches or axes.lines


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_the_file_is_that_of_the_plan(name: str) -> None:
    figure = getattr(plot, name)
    assert figure(planner.read_plan(small().to_dict()))._repr_svg_() == figure(small())._repr_svg_()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_drawn_on_axes_that_are_given(name: str) -> None:
    from matplotlib.figure import Figure

    mine = Figure().add_subplot()
    assert getattr(plot, name)(small(), ax=mine) is mine
    assert mine.has_data()


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", PRICED)
def test_figures_that_price_again_read_the_given_folder(name: str, tmp_path: Path) -> None:
    """A plan on a device that only the folder has is drawn with the folder, and refused without."""
    copyfile(ROOT / "hardware_profiles" / f"{DEVICE}.toml", tmp_path / "mine.toml")
    text = (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert f'id = "{DEVICE}"' in text
    (tmp_path / "mine.toml").write_text(
        text.replace(f'id = "{DEVICE}"', 'id = "mine"', 1).replace(
            "aliases = [", 'aliases = ["of-mine"] #', 1
        ),
        encoding="utf-8",
    )
    own = theory.estimate(
        "qwen2.5-0.5b",
        "mine",
        scheme="bf16",
        context=1024,
        batch=4,
        devices=1,
        hardware_dir=tmp_path,
    )
    figure = getattr(plot, name)
    assert "mine" in figure(own, hardware_dir=tmp_path).get_title(loc="left")
    with pytest.raises(InputError, match="mine"):
        figure(own)


@pytest.mark.exhaustive
def test_a_notebook_shows_the_same_figure_for_the_same_plan() -> None:
    one, other = (plot.users(small())._repr_svg_() for _ in range(2))
    assert one == other
    ElementTree.fromstring(one)


@pytest.mark.exhaustive
def test_memory_is_what_the_device_holds() -> None:
    drawn = plot.memory(plan())
    assert sum(p.get_width() for p in drawn.patches) == pytest.approx(
        plan().memory_per_device.capacity_bytes / 2**30
    )


def test_time_is_of_a_step_or_of_a_prompt() -> None:
    step, prompt = plot.time(plan()), plot.time(plan(), phase="prefill")
    assert ": decode, TPOT" in step.get_title(loc="left")
    assert ": prefill, TTFT" in prompt.get_title(loc="left")
    with pytest.raises(InputError, match="phase") as refused:
        plot.time(plan(), "training")
    assert "decode" in refused.value.hint


@pytest.mark.exhaustive
def test_no_figure_touches_pyplot() -> None:
    code = (
        "import sys\nimport planner\nplan = planner.estimate("
        "'qwen2.5-0.5b', 'h100-sxm', context=1024, batch=1, devices=1)\n"
        f"for name in {FIGURES}:\n"
        "    getattr(planner.plot, name)(plan)._repr_svg_()\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
