"""A plan of llama.cpp against what llama-quantize makes under one word."""

from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import planner
from planner.models.catalog import bundled_model
from planner.planning.engines.mixes import (
    engine_mixes,
    fitted_scheme,
    mix_places,
    substitute_scheme,
)
from planner.planning.question.engine_questions import engine_questions
from planner.planning.question.given_values import GivenValues
from planner.planning.question.named import mix_problem, schemes_of, usable_mixes
from planner.planning.question.question import Question
from planner.planning.question.resolve import build_question
from planner.planning.search.uniform import uniform_choice
from planner.planning.space.model import build_model
from planner.quality.prior import load_prior

MIXES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "IQ4_XS", "Q3_K_M", "Q2_K")
ENGINE, DEVICE = "llama.cpp", "xeon-6980p"
PLACE = {"devices": 1, "context": 512, "batch": 1, "engine": ENGINE}


def mixed_plans(model: str) -> dict[str, planner.Plan]:
    """What each of some mixtures comes to, as far as it can be made."""
    question = question_of(model)
    able = build_model(question, load_prior())
    return {
        name: planner.estimate(model, DEVICE, scheme=name, **PLACE)
        for name in usable_mixes(question)
        if name in MIXES and uniform_choice(able, name, "bf16") is not None
    }


def question_of(model: str) -> Question:
    engine = planner.memory.engines.catalog.parse_engine(ENGINE)
    question = build_question(
        bundled_model(model),
        planner.load_device(DEVICE),
        GivenValues(batch=1, devices=1),
        None,
        uniform=None,
        given=None,
        engine=engine,
    )
    return engine_questions(question)[0]


@pytest.mark.exhaustive
@pytest.mark.parametrize("model", ["smollm2-135m", "gemma-3-270m"])
def test_no_mixture_is_better_under_a_limit_on_bytes(model: str) -> None:
    """Whatever fits: the plan's loss is at most that of every mixture of no more bytes."""
    mixes = mixed_plans(model)
    assert {"Q8_0", "Q6_K"} <= set(mixes)
    sizes = {name: plan.memory_per_device.total_bytes for name, plan in mixes.items()}

    @settings(max_examples=4, deadline=None, phases=[Phase.generate])
    @given(st.sampled_from(sorted(sizes.values())), st.integers(0, 1 << 20), st.booleans())
    def holds(size: int, more: int, exact: bool) -> None:
        limit = size + more
        plan = planner.plan(
            model,
            DEVICE,
            objective="quality",
            memory_bytes=limit,
            exact=exact,
            max_loss="9 nats",
            **PLACE,
        )
        assert plan.memory_per_device.total_bytes <= limit
        least = min(mixes[name].quality.loss for name in sizes if sizes[name] <= limit)
        assert plan.quality.loss <= least * (1 + 1e-9)

    holds()


def test_a_mixture_is_priced_to_the_byte() -> None:
    """Q8_0 of SmolLM2-135M: 34 bytes for 32 weights of every matrix, tied table once; norms."""
    plan = planner.estimate("smollm2-135m", DEVICE, scheme="Q8_0", **PLACE)
    spec = bundled_model("smollm2-135m")
    matrices = sum(row.elements * row.copies for row in spec.rows if row.is_matrix)
    rest = sum(u.weight_bytes for u in plan.units if u.kind == "norm")
    assert sum(u.weight_bytes for u in plan.units) == matrices // 32 * 34 + rest
    assert next(u.weight_bytes for u in plan.units if u.kind == "head") == 0
    assert {u.unit for u in plan.units} >= {"attention-qkv.v.first", "mlp-gate-up.gate.last"}


def test_units_tell_apart_what_mixtures_do() -> None:
    """Every mixture gives each unit one scheme: none is an approximation."""
    for model in ("smollm2-135m", "llama-3.1-8b", "mixtral-8x7b", "qwen3-30b-a3b"):
        question = question_of(model)
        units = build_model(question, load_prior()).units
        for name in engine_mixes():
            places = mix_places(question.spec, name)
            for unit in units if places else ():
                if unit.role == "module":
                    assert (
                        len(
                            {
                                places[unit.kind, unit.part, layer].scheme
                                for layer in unit.layers or (-1,)
                            }
                        )
                        == 1
                    )


def test_rows_of_no_whole_blocks_take_the_fallback_of_their_type() -> None:
    modules = {m.kind: m for m in build_model(question_of("smollm2-135m"), load_prior()).planned}
    assert fitted_scheme(modules["attention-out"], "ggml-q6_k") == "ggml-q8_0"
    assert fitted_scheme(modules["mlp-down"], "ggml-q6_k") == "ggml-q6_k"
    assert substitute_scheme("ggml-q6_k", [80]) == "fp16"
    plan = planner.estimate("smollm2-135m", DEVICE, scheme="ggml-q6_k", **PLACE)
    assert {u.scheme for u in plan.units if u.kind == "attention-out"} == {"ggml-q8_0"}
    assert any(
        a.key == "fallback" and "ggml-q8_0 for ggml-q6_k" in a.value for a in plan.assumptions
    )


def test_a_mixture_that_is_none_says_why() -> None:
    question = question_of("smollm2-135m")
    assert "importance matrix" in mix_problem(question, "IQ2_XS")
    assert not mix_problem(question, "Q8_0")
    assert "no choice" in mix_problem(replace(question, schemes=("bf16",)), "Q8_0")
    with pytest.raises(planner.PlannerError, match=r"a mixture of llama\.cpp"):
        planner.estimate("smollm2-135m", "h100-sxm", scheme="Q8_0", engine="vllm")


@pytest.mark.exhaustive
def test_the_plan_is_told_beside_the_engines_default() -> None:
    plan = planner.plan("llama-3.2-1b", DEVICE, **PLACE)
    rows = {one.name: one for one in plan.baselines}
    assert rows["llama.cpp default"].feasible
    assert "beside llama.cpp's default (Q4_K_M)" in plan.comparison.text
    assert rows["Q4_K_M"].loss == rows["llama.cpp default"].loss


def test_a_mixture_takes_other_types_with_an_importance_matrix() -> None:
    question = question_of("llama-3.1-8b")
    assert set(schemes_of("Q4_0", question)) == {"ggml-q4_0", "ggml-q6_k"}
    weighed = replace(question, imatrix=True)
    assert set(schemes_of("Q4_0", weighed)) == {"ggml-q4_0", "ggml-q4_1", "ggml-q6_k"}


def test_losses_with_an_importance_matrix_are_not_those_without() -> None:
    """One after the other in a process: what is kept of a question is of it alone."""
    question = question_of("smollm2-135m")
    weighed = replace(question, imatrix=True)
    plain, other = (build_model(q, load_prior()) for q in (question, weighed))
    place = (
        next(i for i, unit in enumerate(plain.units) if unit.kind == "mlp-down"),
        question.schemes.index("ggml-q4_0"),
    )
    assert other.layer_loss[place] < plain.layer_loss[place]
