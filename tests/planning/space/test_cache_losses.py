"""Losses of caches in plans: unchanged ones are 0, longer contexts lose more, rotation by build,
keys and values apart, the same whether models are shared or not."""

from math import fsum

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.questions import model_of

from planner.base.errors import InputError, UnsupportedError
from planner.models.catalog import bundled_model
from planner.planning.plan.record import Plan
from planner.planning.space.model import MODELS, CostModel
from planner.quality.floor import floor_of
from tests.support.theory import estimate

MODEL = "qwen3-8b"


def priced(kv: str, context: int = 32_768, engine: str = "llama.cpp") -> Plan:
    return estimate(MODEL, "h100-sxm", kv=kv, context=context, engine=engine)


def cached(model: CostModel, layout: str) -> float:
    column = len(model.question.schemes) + model.question.kv.index(layout)
    return fsum(
        model.layer_loss[i, column] * u.count
        for i, u in enumerate(model.units)
        if u.role == "cache"
    )


@pytest.mark.parametrize("layout", ["bf16", "fp16", "fp32"])
def test_an_unquantised_cache_loses_nothing_at_any_length(layout: str) -> None:
    for context in (4096, 32_768):
        assert cached(model_of(MODEL, kv=layout, context=context), layout) == 0.0


@settings(max_examples=20, deadline=None)
@given(st.integers(1024, 40_960), st.integers(1024, 40_960))
def test_more_is_lost_over_longer_contexts(one: int, other: int) -> None:
    less, more = sorted((one, other))
    base = model_of(MODEL, kv="fp8", context=4096)
    lost = [
        cached(base.with_question(model_of(MODEL, kv="fp8", context=c).question), "fp8")
        for c in (less, more)
    ]
    assert 0 < lost[0] <= lost[1]
    if less < more:
        assert lost[0] < lost[1]


def test_a_model_that_is_shared_has_the_losses_of_each_context() -> None:
    base = model_of(MODEL, kv="fp8", context=4096)
    far = model_of(MODEL, kv="fp8", context=32_768)
    shared = base.with_question(far.question)
    assert cached(shared, "fp8") == cached(far, "fp8") > cached(base, "fp8")
    assert shared.with_question(base.question).question is base.question
    assert cached(shared.with_question(base.question), "fp8") == cached(base, "fp8")
    back = shared.with_question(base.question).with_question(far.question)
    assert back.of_contexts is base.of_contexts, "no chain of copies"
    assert base.of_contexts[32_768].layer_loss is back.layer_loss
    assert len(base.of_contexts) <= MODELS


def test_keys_and_values_are_priced_apart_in_bytes_and_in_loss() -> None:
    eight, four = priced("q8_0"), priced("q4_0")
    keys, values = priced("q8_0/q4_0"), priced("q4_0/q8_0")
    layouts = {(u.kind, u.kv_layout) for u in keys.units if u.kv_layout}
    assert layouts == {("kv-k", "q8_0"), ("kv-v", "q4_0")}
    each = [p.kv_cache.bytes_per_token for p in (eight, keys, values, four)]
    assert each == [78_336, 59_904, 59_904, 41_472]
    assert eight.quality.loss < keys.quality.loss < values.quality.loss < four.quality.loss


def test_a_build_before_the_rotation_loses_more_in_four_bits() -> None:
    before, since = (priced("q4_0", engine=f"llama.cpp@b{n}").quality.loss for n in (8000, 9000))
    assert before > 2 * since > 0


def test_the_band_of_a_cache_is_that_of_caches_beside_that_of_the_floor() -> None:
    plan, floor = priced("q4_0"), floor_of(bundled_model(MODEL))
    grown = fsum(unit.loss for unit in plan.units)
    assert plan.quality.loss == pytest.approx(floor.value_nats + grown)
    assert plan.quality.low == pytest.approx(floor.low_nats + grown / 3.2)
    assert plan.quality.high == pytest.approx(floor.high_nats + grown * 3.2)


def test_a_cache_of_four_bits_warns_of_long_reasoning() -> None:
    def warned(plan: Plan) -> list[str]:
        return [str(n.reason) for n in plan.assumptions if n.key == "4-bit cache"]

    (text,) = warned(priced("q4_0"))
    assert "AIME25" in text
    told = " ".join(str(priced("q4_0")).split())
    assert "4-bit caches: long reasoning loses more than nats" in told
    assert "4-bit cache" not in str(priced("q8_0"))
    assert "16.2" in text
    assert warned(priced("q8_0")) == []
    assert warned(priced("fp16")) == []
    (text,) = warned(estimate(MODEL, "b200-sxm", kv="nvfp4"))
    assert "40.0" in text
    assert "0.09" in text


def test_names_of_two_layouts_are_checked() -> None:
    with pytest.raises(InputError, match="3 layouts"):
        priced("q8_0/q4_0/q4_0")
    with pytest.raises(UnsupportedError):
        priced("q8_0/q4_0", engine="vllm")
    with pytest.raises(UnsupportedError, match="one type a server"):
        estimate(MODEL, "h100-sxm", kv="fp8/bf16", engine="vllm")
    with pytest.raises(UnsupportedError, match="int4-channel"):
        priced("fp16/int4-channel", engine="any")
