"""Schemes side by side as a picture."""

import pytest

import planner
from planner import plot
from planner.errors import InputError


def test_every_plan_is_a_point_and_the_recommended_one_is_named() -> None:
    found = planner.compare("qwen2.5-0.5b", ["l40s", "h100-sxm"], context=2048, engine="vllm")
    axes = plot.compare(found)
    drawn = [line for line in axes.lines if len(line.get_xdata())]
    assert len(drawn) == sum(row.feasible for row in found.rows)
    assert [text.get_text() for text in axes.texts] == ["recommended"] * 2
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["l40s", "h100-sxm"]
    assert found.plot().get_xlabel() == axes.get_xlabel()


@pytest.mark.exhaustive
def test_a_comparison_in_which_nothing_runs_is_refused() -> None:
    found = planner.compare("deepseek-v3", "l40s", devices=1)
    with pytest.raises(InputError, match="nothing of this comparison runs"):
        plot.compare(found)
