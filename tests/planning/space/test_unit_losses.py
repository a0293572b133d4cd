"""Losses of units under T0: what they count in, uniform schemes, bands."""

import numpy as np
import pytest
from support.questions import model_of

from planner.base.errors import UnsupportedError
from planner.models.catalog import resolve_model
from planner.planning.space import losses
from planner.planning.space.losses import (
    additive_loss,
    band_factor,
    format_loss,
    loss_table,
    loss_word,
    saturated_loss,
    total_band,
    uniform_loss,
    unit_alpha,
    unit_loss,
)
from planner.planning.space.printed_loss import indistinguishable, quality
from planner.planning.space.quantised import quantised_release, quantiser_share
from planner.quality.floor import floor_of
from planner.quality.meaning import p99_of, top1_agreement, word_of
from planner.quality.quantisers import loss_factor
from tests.support import theory


def test_uniform_fp8_block_is_the_unit_of_relative_loss() -> None:
    model = model_of("llama-3.1-8b")
    eight = uniform_loss(model, "fp8-block")
    assert model.norm == eight > 0
    assert quality(model, eight).relative == pytest.approx(1.0)
    floor = model.floor.value_nats
    assert quality(model, 3 * eight).relative == pytest.approx(
        (3 * eight + floor) / (eight + floor)
    )
    assert uniform_loss(model, "bf16") == 0.0
    assert uniform_loss(model, "int4-w4a16") > eight
    assert loss_word(model) == "nats of mean KL"


def test_a_loss_is_the_mean_of_alpha_over_the_layers_times_the_error() -> None:
    model = model_of("llama-3.1-8b")
    unit = next(u for u in model.units if u.kind == "mlp-down" and len(u.layers) > 2)
    alphas = [model.sensitivity.by_unit["mlp-down", n] for n in unit.layers]
    error = model.prior.error["bf16"]["mlp-down"]["int4-w4a16"]
    assert unit_alpha(model, unit) == pytest.approx(sum(alphas) / len(alphas))
    rounded = sum(alphas) / len(alphas) * error
    assert format_loss(model, unit, "int4-w4a16") == pytest.approx(rounded)


def test_weights_of_a_calibrated_release_lose_what_its_quantiser_leaves() -> None:
    model = model_of("llama-3.1-8b")
    unit = next(u for u in model.units if u.kind == "mlp-down")
    release = quantised_release(model, unit, "int4-w4a16")
    assert release is not None
    assert release.made is not None
    assert release.made.quantiser == "GPTQ"
    share = loss_factor("GPTQ", "int4-w4a16")
    assert 0.5 < share < 1
    rounded = format_loss(model, unit, "int4-w4a16")
    assert unit_loss(model, unit, "int4-w4a16") == pytest.approx(share * rounded)
    for scheme in ("fp8-tensor", "int8-w8a8", "nvfp4-w4a16"):  # rounded, unknown, unpublished
        assert quantiser_share(model, unit, scheme) == 1.0


def test_what_an_accumulator_adds_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama-3.1-8b")
    unit = next(u for u in model.units if u.kind == "mlp-down")
    found = []
    for added in (0.0, 0.5):
        monkeypatch.setattr(losses, "accumulator_error", lambda *_, added=added: added)
        found.append(unit_loss(model, unit, "fp8-tensor"))
    assert found[1] == pytest.approx(found[0] + 0.5 * unit_alpha(model, unit))


def test_above_the_knee_losses_no_longer_add_up() -> None:
    model = model_of("llama-3.1-8b")
    floor = model.floor.value_nats
    assert saturated_loss(model, 0.2) == 0.2 + floor
    grown = 0.9 * 3**model.sensitivity.saturation
    assert saturated_loss(model, 0.9) == pytest.approx(grown + floor)
    assert additive_loss(model, saturated_loss(model, 0.9)) == pytest.approx(0.9)


def test_a_uniform_loss_is_the_sum_over_layers() -> None:
    model = model_of("llama-3.1-8b")
    table, column = loss_table(model), model.choices.index("int4-w4a16")
    total = sum(table[i, column] * u.count for i, u in enumerate(model.units) if u.role == "module")
    share = loss_factor("GPTQ", "int4-w4a16")  # of the public release; a limit is of rounding
    assert total == pytest.approx(share * uniform_loss(model, "int4-w4a16"))


def test_the_table_has_schemes_for_modules_and_layouts_for_caches() -> None:
    model = model_of()
    table, schemes = loss_table(model), len(model.question.schemes)
    for i, unit in enumerate(model.units):
        known = ~np.isnan(table[i])
        if unit.role == "released":
            assert not known.any()
        elif unit.role == "cache":
            assert not known[:schemes].any()
            assert table[i, schemes + model.question.kv.index("bf16")] == 0.0
        else:
            assert not known[schemes:].any()
            assert table[i, model.question.schemes.index("bf16")] == 0.0
            assert (
                unit_loss(model, unit, "fp8-block")
                == table[i, model.question.schemes.index("fp8-block")]
                > 0
            )


def test_what_has_no_loss_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="has no loss"):
        uniform_loss(model_of("llama-3.1-8b"), "ternary")


def test_the_band_lies_around_the_loss_and_is_wider_for_dropped_rules() -> None:
    model = model_of()
    band, wide = total_band(model), model.prior.rule_band
    assert wide > band > 1
    plain, ruled = quality(model, 0.02), quality(model, 0.02, 0.005)
    floor = model.floor
    assert plain.loss == pytest.approx(floor.value_nats + 0.02)
    assert plain.low == pytest.approx(floor.low_nats + 0.02 / band)
    assert plain.high == pytest.approx(floor.high_nats + 0.02 * band)
    assert ruled.low == pytest.approx(floor.low_nats + 0.015 / band + 0.005 / wide)
    assert ruled.high == pytest.approx(floor.high_nats + 0.015 * band + 0.005 * wide)
    told = plain.loss
    assert (plain.word, plain.top1) == (word_of(told), top1_agreement(told))
    assert plain.p99 == p99_of(told) > told


def test_losses_nearer_than_the_band_are_called_equal() -> None:
    model = model_of()
    assert indistinguishable(model, 1.0, 1.0)
    assert not indistinguishable(model, 1.0, 10 * band_factor(model) ** 2)


def test_only_kinds_that_were_never_measured_widen_the_band() -> None:
    def band(*dropped: str) -> float:
        plan = theory.plan(
            "qwen3-30b-a3b",
            "h100-sxm",
            devices=1,
            batch=8,
            objective="memory",
            max_loss=0.1,
            schemes=("bf16", "int8-w8a16"),
            kv="bf16",
            drop_policies=dropped,
        )
        assert any(u.kind in dropped and u.loss > 0 for u in plan.units) is bool(dropped)
        floor = floor_of(resolve_model("qwen3-30b-a3b"))
        return (plan.quality.high - floor.high_nats) / (plan.quality.loss - floor.value_nats)

    assert band("head", "embedding") == pytest.approx(band())
    assert band("router") > band() * (1 + 1e-9)
