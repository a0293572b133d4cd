"""Releases that store modules in different schemes are priced as they are, and re-quantised."""

from dataclasses import replace

import pytest

from planner.base.errors import UnsupportedError
from planner.lookup import load_model
from planner.models.inventory import Inventory
from tests.support.theory import estimate, plan

FOUR_BIT = {
    "gpt-oss-20b": ("h100-sxm", {"attention-qkv": "bf16", "experts-down": "mxfp4-w4a16"}),
    "gpt-oss-120b": ("a100-sxm", {"attention-qkv": "bf16", "experts-down": "mxfp4-w4a16"}),
    "kimi-k2.5": ("h200-sxm", {"mla-q": "bf16", "experts-down": "int4-w4a16-g32"}),
    "deepseek-v3.1-nvfp4": ("b200-sxm", {"mla-q": "bf16", "experts-down": "nvfp4"}),
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("name", FOUR_BIT)
def test_a_mixed_release_keeps_every_module_as_stored(name: str) -> None:
    device, some = FOUR_BIT[name]
    found = estimate(name, device)
    for kind, scheme in some.items():
        assert {u.scheme for u in found.units if u.kind == kind} == {scheme}, kind
    spec = load_model(name)
    main = sum(p.bytes for p in Inventory(spec).patterns if p.part == "main")
    whole = sum(u.weight_bytes for u in found.units)
    assert whole == pytest.approx(main, rel=2e-4)  # scales of activations, packed shapes
    weight_only = all(
        "w4a16" in u.scheme or u.scheme == "bf16"
        for u in found.units
        if u.kv_layout is None and u.kind in some
    )
    assert (found.quality.loss == 0) == weight_only


def test_one_scheme_everywhere_is_still_what_scheme_asks_for() -> None:
    found = estimate("gpt-oss-20b", "h100-sxm", scheme="fp8-block", engine="any")
    linear = {u.scheme for u in found.units if u.kind.startswith(("attention", "experts"))}
    assert linear == {"fp8-block"}
    assert found.quality.relative == pytest.approx(1.0)


def test_the_release_is_a_baseline_of_its_own() -> None:
    found = plan("gpt-oss-20b", "h100-sxm", devices=1, batch=16)
    first = found.baselines[0]
    assert first.name == "published checkpoint"
    assert first.feasible
    assert first.loss == 0
    alike = {b.name: b for b in plan("llama-3.1-8b", "h100-sxm", devices=1, batch=16).baselines}
    assert replace(alike["published checkpoint"], name="bf16") == alike["bf16"]


def test_a_scheme_of_the_release_that_the_device_lacks_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="'nvfp4' on h100-sxm"):
        estimate("deepseek-v3.1-nvfp4", "h100-sxm")
    assert estimate("deepseek-v3.1-nvfp4", "h100-sxm", scheme="nvfp4-w4a16").quality.loss > 0


@pytest.mark.exhaustive
def test_baselines_are_looked_for_over_every_layout_and_batch() -> None:
    """Not among the neighbours of the winner alone: BF16 fits one H100, at a smaller batch."""
    found = plan("llama-3.1-8b", "h100-sxm", devices=1)
    assert found.workload.batch > 100
    half = next(b for b in found.baselines if b.name == "bf16")
    alone = estimate("llama-3.1-8b", "h100-sxm", scheme="bf16", devices=1)
    assert half.feasible
    assert half.batch == pytest.approx(alone.workload.batch, abs=2)
    assert half.output_tokens_per_second == pytest.approx(
        alone.performance.output_tokens_per_second.value, rel=0.03
    )


@pytest.mark.exhaustive
def test_every_plan_names_the_recipes_people_follow() -> None:
    newer = plan("deepseek-v2-lite", "h100-sxm", devices=1)
    rows = {b.name: b for b in newer.baselines}
    assert rows["deepseek-v3 recipe"].tpot_seconds == rows["fp8-block"].tpot_seconds
    assert "fp16 attention, int8 experts" not in rows
    older = {b.name: b for b in plan("deepseek-v2-lite", "a100-sxm", devices=1).baselines}
    mix = older["fp16 attention, int8 experts"]
    assert mix.feasible
    assert older["bf16"].loss < mix.loss < older["int8-w8a8"].loss
    for name in ("deepseek-v3 recipe", "fp8-block", "fp8-tensor"):
        assert not older[name].feasible
        assert "no FP8" in older[name].reason


@pytest.mark.exhaustive
def test_a_gain_inside_the_interval_of_the_times_has_its_chance() -> None:
    result = plan("llama-3.1-8b", "h100-sxm", devices=1)
    time = result.performance.tpot_seconds
    inside = 0.0005 < result.comparison.gain < time.high / time.value - 1
    assert not inside or " in 10 " in result.comparison.text
