"""Where a search looks first: layouts, caches and engines that are published or were measured."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.lookup import load_device
from planner.memory.engines.catalog import parse_engine
from planner.placement.layout import Layout
from planner.planning.engines.layouts import layout_rules
from planner.planning.practice.recipes import KINDS, recipes_for
from planner.planning.price.evidence import served_caches
from planner.planning.question.input import QuestionInput
from planner.planning.question.question import Question
from planner.planning.search.conventional import (
    STRENGTH,
    UNCONVENTIONAL,
    by_preference,
    conventional_first,
    recipes_here,
    strength,
)
from planner.planning.space.layouts import considered, possible_layouts, unconventional

DEEPSEEK = ("deepseek-v3", "h200-sxm")
DENSE = ("llama-3.1-70b", "h100-sxm")


def asked(model: str, device: str, **more: Any) -> tuple[Question, ...]:
    return QuestionInput(model=model, device=device, **more).questions()


def of_engine(questions: tuple[Question, ...], engine: str) -> tuple[Question, ...]:
    return tuple(q for q in questions if q.engine == engine)


@pytest.mark.parametrize("place", [DEEPSEEK, DENSE])
@pytest.mark.parametrize("devices", [8, 16])
def test_no_pipeline_stages_inside_a_domain(place: tuple[str, str], devices: int) -> None:
    every = asked(*place, devices=devices, engine="vllm")[0]
    domain = every.node_devices
    assert domain == 8
    first = next(conventional_first((every,)))[0]
    kept, all_of_them = possible_layouts(first), possible_layouts(every)
    assert set(kept) < set(all_of_them)
    assert any(layout.pp > 1 and layout.tp * layout.dp < domain for layout in all_of_them)
    for layout in kept:
        assert layout.pp == 1 or (layout.tp * layout.dp) % domain == 0
        assert layout.ep in (1, layout.tp * layout.dp)
    assert any(layout.pp > 1 for layout in kept) == (devices > domain)


def test_each_layout_that_is_left_out_says_which_flag_prices_it() -> None:
    first = next(conventional_first(asked(*DEEPSEEK, devices=8, engine="vllm")))[0]
    free = replace(first, conventional=False)
    possible = set(possible_layouts(free))
    left_out = {layout: why for layout, why in considered(first) if why and layout in possible}
    assert left_out
    for layout, why in left_out.items():
        assert "no guide recommends" in why
        flag = "pp" if layout.pp > 1 else "ep"
        assert f"--{flag} prices" in why
        fixed = {**first.fixed, "pp": layout.pp, "ep": layout.ep}
        assert layout in possible_layouts(replace(first, fixed=fixed)), "what is fixed is taken"


@pytest.mark.parametrize(("name", "count"), [("pp", 2), ("pp", 4), ("ep", 2), ("ep", 4)])
def test_a_degree_that_is_given_is_searched(name: str, count: int) -> None:
    more: dict[str, Any] = {name: count}
    for questions in conventional_first(asked(*DEEPSEEK, devices=8, engine="vllm", **more)):
        layouts = possible_layouts(questions[0])
        assert layouts
        assert {getattr(layout, name) for layout in layouts} == {count}


@given(
    tp=st.sampled_from((1, 2, 4, 8, 16)),
    dp=st.sampled_from((1, 2, 4, 8)),
    pp=st.sampled_from((1, 2, 3, 4)),
    share=st.sampled_from((1, 2, 4)),
)
def test_only_stages_and_experts_make_a_layout_unconventional(
    tp: int, dp: int, pp: int, share: int
) -> None:
    question = asked(*DEEPSEEK, devices=8, engine="vllm")[0]
    stage = tp * dp
    ep = max(stage // share, 1)
    rules = layout_rules(parse_engine("vllm"), question.device)
    assert rules["tp"].takes != "one"
    why = unconventional(question, Layout(tp, dp, pp, ep), rules)
    split = pp > 1 and stage % 8 != 0
    assert ("pipeline stages" in why) == split
    assert ("experts over" in why) == (not split and ep not in (1, stage))
    fixed = replace(question, fixed={**question.fixed, "pp": pp, "ep": ep})
    assert unconventional(fixed, Layout(tp, dp, pp, ep), rules) == ""


def test_an_engine_that_splits_no_tensors_has_stages() -> None:
    """llama.cpp places layers: its stages are all that it has."""
    first = next(
        conventional_first(asked("llama-3.1-70b", "rtx-4090", devices=2, engine="llama.cpp"))
    )
    assert any(layout.pp == 2 for layout in possible_layouts(first[0]))


def test_caches_that_nobody_served_or_published_come_second() -> None:
    questions = asked(*DENSE, devices=8, engine="vllm")
    first, second = conventional_first(questions)
    assert [replace(q, notes=()) for q in second] == [replace(q, notes=()) for q in questions]
    assert all(q.notes[-1] == UNCONVENTIONAL for q in second), "that it is not, is said"
    assert not any(UNCONVENTIONAL in q.notes for q in first)
    before, after = ({name for q in tier for name in q.kv} for tier in (first, second))
    assert "int8-token" in after - before
    served = served_caches("vllm", "Hopper")
    assert "fp8" in before & served
    published = {r.kv for r in recipes_here(questions[0]) if r.engine == "vllm"}
    assert before <= {"bf16", "fp16", "fp32"} | served | published
    assert all(q.conventional for q in first)
    assert not any(q.conventional for q in second)


def test_a_cache_that_is_named_is_searched() -> None:
    for tier in conventional_first(asked(*DENSE, devices=8, engine="vllm", kv="int8-token")):
        assert {name for q in tier for name in q.kv} == {"int8-token"}


@pytest.mark.parametrize("more", [{"allow_unmeasured": True}, {"engine": "any"}])
def test_what_needs_no_evidence_is_searched_at_once(more: dict[str, Any]) -> None:
    questions = asked(*DENSE, **{"devices": 8, "engine": "vllm", **more})
    assert list(conventional_first(questions)) == [questions]


@pytest.mark.parametrize(
    ("model", "device", "devices", "engine"),
    [
        ("deepseek-v3", "h200-sxm", 8, "sglang"),
        ("gpt-oss-120b", "h100-sxm", 1, "vllm"),
        ("qwen3-235b-a22b", "mi300x", 8, "vllm"),
    ],
)
def test_the_engine_of_a_guide_goes_first(
    model: str, device: str, devices: int, engine: str
) -> None:
    questions = asked(model, device, devices=devices)
    groups = by_preference(questions)
    assert [q for group in groups for q in group if q.engine == engine] == list(groups[0])
    assert sorted(q.engine for group in groups for q in group) == sorted(
        q.engine for q in questions
    )
    assert all(len({q.engine for q in group}) == 1 for group in groups)
    best = {
        name: max(
            (
                strength(r, device)
                for r in recipes_for(model)
                if r.engine == name and (r in recipes_here(questions[0]))
            ),
            default=0.0,
        )
        for name in {q.engine for q in questions}
    }
    assert best[engine] == max(best.values()) == STRENGTH["guide"]
    # The order of the questions does not matter.
    assert by_preference(tuple(reversed(questions)))[0][0].engine == engine


def test_one_engine_is_one_group() -> None:
    questions = asked(*DENSE, devices=8, engine="vllm")
    assert by_preference(questions) == [questions]


def test_the_strength_of_a_published_deployment() -> None:
    assert list(STRENGTH) == list(KINDS)
    assert sorted(STRENGTH.values(), reverse=True) == list(STRENGTH.values())
    guide = next(r for r in recipes_for("deepseek-v3") if r.kind == "guide")
    here = replace(guide, device="h200-sxm")
    assert strength(here, "h200-sxm") == 1.0
    assert strength(replace(guide, device="nvidia"), "h200-sxm") == 0.5
    assert strength(replace(here, kind="sweep"), "h200-sxm") == 0.25


def test_recipes_are_of_the_device_or_of_its_maker() -> None:
    (question, *_) = asked(*DEEPSEEK, devices=8)
    mine = {r.device for r in recipes_here(question)}
    assert {"h200-sxm"} < mine <= {"h200-sxm", "nvidia"}
    (amd, *_) = asked("deepseek-v3", "mi300x", devices=8)
    assert "nvidia" not in {r.device for r in recipes_here(amd)}
    assert "mi300x" in {r.device for r in recipes_here(amd)}


def test_what_a_maker_sells_as_accelerators_is_no_recipe_for_its_processors() -> None:
    (question, *_) = asked("qwen3-8b", "ryzen-9-5950x-64gb")
    assert recipes_here(replace(question, device=load_device("mi300x")))
    assert not recipes_here(question)


def test_engines_that_nothing_speaks_for_are_searched_together() -> None:
    questions = asked("qwen3-8b", "core-i9-14900k-64gb")
    assert len({q.engine for q in questions}) > 1
    assert by_preference(questions) == [questions]
    assert by_preference(tuple(reversed(questions))) == [tuple(reversed(questions))]
