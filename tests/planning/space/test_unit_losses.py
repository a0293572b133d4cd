"""Losses of units under the prior: what they count in, uniform schemes, bands."""

import numpy as np
import pytest
from support.questions import model_of

from planner.errors import UnsupportedError
from planner.planning.space.losses import (
    band_factor,
    flips,
    indistinguishable,
    loss_table,
    loss_word,
    quality,
    uniform_loss,
    unit_loss,
)


def test_uniform_fp8_block_is_the_unit_of_loss() -> None:
    model = model_of("llama-3.1-8b")
    assert uniform_loss(model, "fp8-block") == pytest.approx(1.0)
    assert uniform_loss(model, "bf16") == 0.0
    assert uniform_loss(model, "int4-w4a16") > 1.0
    assert loss_word(model) == "relative to uniform fp8-block"


def test_a_uniform_loss_is_the_sum_over_layers() -> None:
    model = model_of("llama-3.1-8b")
    table, column = loss_table(model), model.choices.index("int4-w4a16")
    total = sum(table[i, column] * u.count for i, u in enumerate(model.units)
                if u.role == "module")
    assert total == pytest.approx(uniform_loss(model, "int4-w4a16"))


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
            assert unit_loss(model, unit, "fp8-block") \
                == table[i, model.question.schemes.index("fp8-block")] > 0


def test_what_has_no_loss_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="has no loss"):
        uniform_loss(model_of("llama-3.1-8b"), "ternary")


def test_the_band_lies_around_the_loss_and_is_wider_for_dropped_rules() -> None:
    model = model_of()
    band, wide = band_factor(model), model.prior.rule_band
    assert wide > band > 1
    plain, ruled = quality(model, 2.0), quality(model, 2.0, 0.5)
    assert (plain.low, plain.high) == pytest.approx((2.0 / band, 2.0 * band))
    assert ruled.low == pytest.approx(1.5 / band + 0.5 / wide)
    assert ruled.high == pytest.approx(1.5 * band + 0.5 * wide)
    assert plain.flips is flips(model, 2.0) is None


def test_losses_nearer_than_the_band_are_called_equal() -> None:
    model = model_of()
    assert indistinguishable(model, 1.0, 1.0)
    assert not indistinguishable(model, 1.0, 10 * band_factor(model) ** 2)
