"""What practice names: published deployments as a question takes them, and what is conventional."""

from dataclasses import replace
from typing import Any

import pytest
from support.choices import choice_of

from planner.placement.layout import Layout
from planner.planning.practice.recipes import KINDS, Recipe, recipes_for
from planner.planning.question.input import QuestionInput
from planner.planning.question.named import RELEASED
from planner.planning.search import practised as module
from planner.planning.search.practised import (
    MOST,
    cache_here,
    conventions,
    layout_here,
    published,
    scheme_here,
)
from planner.planning.space.model import CostModel, build_model
from planner.quality.prior import load_prior

FOUR = Layout(tp=4)


def ways(model: str, device: str, engine: str, **more: Any) -> list[CostModel]:
    """The ways of an engine to serve a model."""
    questions = QuestionInput(model=model, device=device, engine=engine, **more).questions()
    return [build_model(question, load_prior()) for question in questions]


def recipe(**changes: Any) -> Recipe:
    """A published deployment of a dense model on 4 devices."""
    rows = recipes_for("llama-3.1-70b")
    base = next(r for r in rows if (r.tp, r.devices, r.layout) == (4, 4, "tp"))
    return replace(base, **changes)


@pytest.mark.parametrize(
    ("devices", "layout"), [(2, Layout(tp=2)), (4, FOUR), (8, FOUR), (12, FOUR), (16, FOUR)]
)
def test_a_published_layout_is_repeated_or_made_anew_over_all_devices(
    devices: int, layout: Layout
) -> None:
    """As it stands on as many devices and their multiples, else of its class over all."""
    (model, *_) = ways("llama-3.1-70b", "h100-sxm", "vllm", devices=devices)
    assert layout_here(recipe(), model.question) == layout
    assert layout_here(recipe(layout="pools"), model.question) is None


def test_a_layout_of_more_devices_shrinks_within_its_class() -> None:
    (model, *_) = ways("deepseek-v3", "h200-sxm", "sglang", devices=8)
    wide: dict[str, Any] = {"tp": 16, "dp": 1, "pp": 1, "ep": 16, "devices": 16, "workers": 1}
    assert layout_here(recipe(**wide, layout="tp+ep"), model.question) == Layout(tp=8, ep=8)
    assert layout_here(
        recipe(**{**wide, "tp": 1, "dp": 16}, layout="attention dp"), model.question
    ) == Layout(dp=8, ep=8)
    assert layout_here(recipe(**{**wide, "ep": 1}, layout="replicas"), model.question) == Layout(
        tp=8
    )


def test_where_no_number_of_devices_is_given_a_layout_stays_as_published() -> None:
    (model, *_) = ways("llama-3.1-70b", "h100-sxm", "vllm")
    assert not model.question.devices_given
    assert layout_here(recipe(), model.question) == FOUR
    assert layout_here(recipe(tp=64, devices=64), model.question) is None
    (fixed, *_) = ways("llama-3.1-70b", "h100-sxm", "vllm", devices=8, tp=2)
    assert layout_here(recipe(), fixed.question) is None, "the question fixes another degree"


@pytest.mark.parametrize(
    ("model", "device", "engine", "weights"),
    [
        ("gpt-oss-120b", "h100-sxm", "vllm", "mxfp4-w4a16"),
        ("gpt-oss-20b", "h100-sxm", "vllm", "mxfp4-w4a16"),
        ("kimi-k2-instruct", "h200-sxm", "sglang", "fp8-block"),
        ("kimi-k2-thinking", "h200-sxm", "sglang", "int4-w4a16-g32"),
        ("deepseek-v3", "h200-sxm", "sglang", "fp8-block"),
    ],
)
def test_a_recipe_of_the_released_format_is_as_released(
    model: str, device: str, engine: str, weights: str
) -> None:
    mine = [r for r in recipes_for(model) if r.weights == weights]
    assert mine
    models = ways(model, device, engine, devices=16 if "kimi" in model else 8)
    assert {scheme_here(one, models) for one in mine} == {RELEASED}
    other = replace(mine[0], weights="nvfp4")
    assert scheme_here(other, models) != RELEASED, "another format"
    assert scheme_here(replace(other, weights=""), models) == RELEASED


def test_a_format_in_a_word_is_the_kind_that_releases_have_most() -> None:
    models = ways("llama-3.1-70b", "h100-sxm", "vllm", devices=8)
    assert scheme_here(recipe(weights="fp8"), models) == "fp8-block"
    assert scheme_here(recipe(weights="fp8-channel"), models) == "fp8-channel"
    assert scheme_here(recipe(weights="bf16"), models) == RELEASED
    assert scheme_here(recipe(weights="int4-w4a16"), models) == "int4-w4a16"
    stored = ways("deepseek-v3", "h200-sxm", "sglang", devices=8)
    assert scheme_here(recipe(weights="fp8"), stored) == RELEASED
    assert scheme_here(recipe(weights="bf16"), stored) != RELEASED


def test_a_cache_that_is_not_named_is_the_default() -> None:
    models = ways("llama-3.1-70b", "h100-sxm", "vllm", devices=8)
    assert [cache_here(name, models) for name in ("", "bf16", "fp8")] == ["bf16", "bf16", "fp8"]
    fixed = ways("llama-3.1-70b", "h100-sxm", "vllm", devices=8, kv="fp8")
    assert cache_here("", fixed) == "fp8", "the only one"


def test_published_deployments_come_the_strongest_source_first() -> None:
    for model, device, engine, devices in (
        ("deepseek-v3", "h200-sxm", "sglang", 8),
        ("llama-3.1-70b", "h100-sxm", "vllm", 8),
        ("gpt-oss-120b", "h100-sxm", "vllm", 1),
    ):
        models = ways(model, device, engine, devices=devices)
        some = published(models)
        assert 1 <= len(some) <= MOST
        assert len({(one.layout, one.scheme, one.kv) for one in some}) == len(some)
        sources = [one.recipe for one in some if one.recipe is not None]
        assert len(sources) == len(some)
        assert {r.engine for r in sources} == {engine}
        order = [(r.device != device, KINDS.index(r.kind)) for r in sources]
        assert order == sorted(order)
        assert all(devices % one.layout.ranks == 0 for one in some)


def test_what_is_conventional_is_as_released_with_the_default_cache() -> None:
    models = ways("deepseek-v3", "h200-sxm", "sglang", devices=8)
    some = list(conventions(models))
    assert {(one.scheme, one.kv) for one in some} == {(RELEASED, "bf16")}
    assert Layout(tp=8) in {one.layout for one in some}
    assert all(one.recipe is None for one in some)
    assert all(one.layout.ranks == 8 and one.layout.pp == 1 for one in some)
    plain = {one.scheme for one in conventions(ways("qwen3-30b-a3b", "l40s", "vllm", devices=4))}
    assert RELEASED in plain
    assert all(name == RELEASED or name.startswith("fp8") for name in plain)


@pytest.mark.parametrize(
    ("model", "device", "engine", "devices"),
    [("gpt-oss-20b", "h100-sxm", "vllm", 1), ("llama-3.1-8b", "h100-sxm", "vllm", 1)],
)
def test_a_published_deployment_is_the_conventional_plan(
    model: str, device: str, engine: str, devices: int
) -> None:
    choice = choice_of(model, device, devices=devices, engine=engine)
    base = choice.options[choice.conventional]
    assert base.rival.kind == "recipe"
    assert base.rival.recipe is not None
    assert base.rival.recipe.engine == engine
    assert base.rival.formats == 0
    kinds = [one.rival.kind for one in choice.options]
    assert kinds.index("recipe") < kinds.index("conventional") < kinds.index("optimum")


@pytest.mark.parametrize(
    ("counts", "is_fp8"),
    [
        ((("bf16", 29), ("fp8-block", 28), ("fp8", 6)), True),
        ((("fp8-block", 28), ("bf16", 27)), True),
        ((("bf16", 29), ("fp8-block", 20), ("fp8", 9)), False),
        ((("nvfp4", 9), ("fp8-channel", 4), ("fp8-block", 4), ("bf16", 3)), False),
        ((), False),
    ],
)
def test_fp8_counts_however_it_is_scaled(
    counts: tuple[tuple[str, int], ...], is_fp8: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more BF16 recipe is no reason to leave FP8, whose kinds are published 34 times."""
    monkeypatch.setattr(module, "published_formats", lambda *_: counts)
    models = ways("llama-4-maverick", "h200-sxm", "vllm", devices=8)
    schemes = {practised.scheme for practised in conventions(models)}
    assert ("fp8-block" in schemes) is is_fp8
    assert RELEASED in schemes
