"""The published deployment that is told where none keeps the limits, and what keeps it out."""

from __future__ import annotations

from typing import Any

import planner
from planner.planning.plan.recommendation import PublishedPlan


def recipe_of(model: str, device: str, **given: Any) -> PublishedPlan:
    said = planner.plan(model, device, **given).recommendation
    assert said is not None
    assert said.recipe is not None
    assert said.recipe.source
    return said.recipe


def test_a_recipe_that_keeps_the_limits_is_an_option() -> None:
    recipe = recipe_of("llama-3-70b", "a100-sxm", devices=2, engine="vllm", tpot_seconds="none")
    assert recipe.engine == "vllm"
    assert not recipe.why_not or recipe.gain is not None


def test_a_recipe_that_is_too_slow_names_its_least_time() -> None:
    recipe = recipe_of("llama-3-70b", "a100-sxm", devices=2, engine="vllm", tpot_seconds=0.045)
    assert recipe.gain is None
    assert recipe.probability_better is None
    assert recipe.tpot_seconds is not None
    assert recipe.tpot_seconds > 0.045
    least = f"{1e3 * recipe.tpot_seconds:.3g} ms"
    assert recipe.why_not == f"tpot is {least} at least, the limit is 45 ms"


def test_a_recipe_of_more_devices_is_told_without_figures() -> None:
    recipe = recipe_of("qwen3-32b", "rtx-4090", devices=1)
    assert recipe.why_not == "it is for 2 devices"
    assert (recipe.output_tokens_per_second, recipe.tpot_seconds, recipe.loss) == (None,) * 3


def test_a_recipe_of_another_engine_is_told() -> None:
    recipe = recipe_of("qwen3-vl-8b", "h100-sxm", devices=1, engine="vllm")
    assert recipe.engine == "sglang"
    assert (
        recipe.why_not == "sglang does not serve this here, or is not among the engines asked for"
    )


def test_a_recipe_that_does_not_fit_says_so() -> None:
    recipe = recipe_of("gemma-7b", "l4", devices=1, engine="vllm", context=8192)
    assert recipe.why_not == "it does not fit at these lengths"
    assert recipe.output_tokens_per_second is None
