"""Factors of calibrated quantisers over rounding to nearest, from published tables."""

from math import log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats.schemes import SCHEMES
from planner.quality.quantisers import (
    LEAST_MODELS,
    ROUNDING,
    QuantiserLoss,
    factors_of,
    loss_factor,
    quantiser_factor,
    quantiser_losses,
)


def row(model: str, rounded: float, value: float, metric: str = "accuracy") -> QuantiserLoss:
    base = {"accuracy": 60.0, "perplexity": 5.0, "kl": 0.0}[metric]
    return QuantiserLoss(model, "int4-w4a16", "AWQ", metric, base, rounded, value, "s")


def test_a_share_is_of_what_rounding_loses_in_each_metric() -> None:
    assert row("m", 58.0, 59.0).share == pytest.approx(0.5)
    assert row("m", 6.0, 5.5, "perplexity").share == pytest.approx(log(1.1) / log(1.2))
    assert row("m", 0.04, 0.01, "kl").share == pytest.approx(0.25)


def test_a_quantiser_that_is_worse_has_a_share_above_one() -> None:
    assert row("m", 58.0, 57.0).share == pytest.approx(1.5)


def test_where_rounding_loses_nothing_measurable_there_is_no_share() -> None:
    assert row("m", 59.6, 59.9).share is None
    assert row("m", 60.4, 59.9).share is None
    assert row("m", 5.0, 5.1, "perplexity").share is None


def test_a_factor_is_the_median_over_models_that_count_once() -> None:
    rows = [row("a", 58, 59), *[row("b", 58, 58.5)] * 7, row("c", 58, 59.8)]
    found = quantiser_factor("AWQ", "int4-w4a16", rows)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.1, 0.75))
    assert (found.models, found.sources) == (3, ("s",))
    assert found.is_applied
    few = quantiser_factor("AWQ", "int4-w4a16", rows[:1])
    assert few is not None
    assert not few.is_applied


@given(st.lists(st.floats(50, 59.4), min_size=1, max_size=6), st.floats(40, 60))
def test_a_factor_lies_among_its_models(rounded: list[float], value: float) -> None:
    rows = [row(str(n), each, value) for n, each in enumerate(rounded)]
    found = quantiser_factor("AWQ", "int4-w4a16", rows)
    assert found is not None
    assert found.low <= found.value <= found.high
    assert found.models == len(rounded)


def test_the_shipped_table_has_known_schemes_and_sources() -> None:
    for one in quantiser_losses():
        assert one.scheme in SCHEMES
        assert one.source
        assert one.metric in ("perplexity", "accuracy", "kl")


def test_four_bit_quantisers_in_the_order_that_their_authors_measured() -> None:
    """AutoRound before AWQ before GPTQ before plain rounding."""
    names = [f.quantiser for f in factors_of("int4-w4a16")]
    assert [n for n in names if n in ("AutoRound", "AWQ", "GPTQ")] == ["AutoRound", "AWQ", "GPTQ"]
    assert all(f.models >= LEAST_MODELS and f.value < 1 for f in factors_of("int4-w4a16"))
    assert loss_factor("AWQ", "int4-w4a16") == pytest.approx(0.65, abs=0.05)


def test_a_factor_that_predicts_no_model_better_than_none_is_not_applied() -> None:
    found = quantiser_factor("AutoRound", "nvfp4")
    assert found is not None
    assert found.models >= LEAST_MODELS
    assert found.off_left_out is not None
    assert found.off_without is not None
    assert found.off_left_out >= found.off_without
    assert not found.is_applied
    assert loss_factor("AutoRound", "nvfp4") == 1.0
    assert "AutoRound" not in [f.quantiser for f in factors_of("nvfp4")]


def test_models_that_agree_are_predicted_by_each_other() -> None:
    rows = [
        QuantiserLoss(f"m{i}", "nvfp4", "q", "kl", 0.0, rounded, 0.6 * rounded, "s")
        for i, rounded in enumerate((0.1, 0.2, 0.4))
    ]
    found = quantiser_factor("q", "nvfp4", rows)
    assert found is not None
    assert found.off_left_out == pytest.approx(0.0, abs=1e-12)
    assert found.off_without == pytest.approx(0.4)
    assert found.is_applied
    alone = quantiser_factor("q", "nvfp4", rows[:1])
    assert alone is not None
    assert alone.off_left_out is None


def test_what_is_not_known_changes_nothing() -> None:
    assert loss_factor(ROUNDING, "nvfp4") == 1.0
    assert loss_factor("SmoothQuant and GPTQ", "int8-w8a8") == 1.0
    assert quantiser_factor("AWQ", "fp8-block") is None
    assert factors_of("fp8-block") == ()
    one = quantiser_factor("GPTQ", "mxfp4")
    assert one is not None
    assert one.models < LEAST_MODELS
    assert loss_factor("GPTQ", "mxfp4") == 1.0
