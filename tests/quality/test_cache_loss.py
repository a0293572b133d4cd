"""The law of what caches lose: length, windows, states, and rotation's error."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats.kv import GGML_CACHES
from planner.models.catalog import bundled_model
from planner.quality.cache_loss import CacheLaw
from planner.quality.prior import cache_error, load_prior
from planner.quality.sensitivity.predict import sensitivities
from planner.quality.sensitivity.records import Matrix

PRIOR = load_prior()
LAW = CacheLaw({"kv-k": 1.5, "kv-v": 0.5}, 0.5, 0.25, 4096.0, 3.0)
TOKENS = st.integers(min_value=1, max_value=1 << 24)


@given(TOKENS, TOKENS)
def test_more_is_lost_over_longer_contexts(one: int, other: int) -> None:
    less, more = sorted((one, other))
    assert PRIOR.caches.growth > 0
    assert PRIOR.caches.length_factor(less) <= PRIOR.caches.length_factor(more)
    if less < more:
        assert LAW.length_factor(less) < LAW.length_factor(more)


@given(TOKENS, st.integers(min_value=1, max_value=1 << 20))
def test_a_window_loses_no_more_than_its_entries_do(context: int, window: int) -> None:
    assert LAW.length_factor(context, window) == LAW.length_factor(min(context, window))
    assert LAW.length_factor(context, window) <= LAW.length_factor(context)


def test_the_reference_length_is_one_and_sixteen_times_as_long_is_twice_as_much() -> None:
    assert LAW.length_factor(4096) == 1.0
    assert LAW.length_factor(16 * 4096) == pytest.approx(2.0)


def test_a_cache_weighs_less_beside_recurrent_states() -> None:
    plain = (Matrix("attn_output", "attention-out", 0),)
    mixed = (*plain, Matrix("linear_attn", "linear-attention", 1))
    known = sensitivities(bundled_model("qwen3-8b"))
    alone, beside = (
        LAW.alpha(replace(known, matrices=m, alpha=(2.0,) * len(m)), "kv-k", 0)
        for m in (plain, mixed)
    )
    assert alone == 3.0
    assert beside == 1.5
    dense, hybrid = (sensitivities(bundled_model(m)) for m in ("qwen3-8b", "qwen3.5-27b"))
    own = [PRIOR.caches.alpha(found, "kv-k", 3) for found in (dense, hybrid)]
    assert None not in own
    assert own[0] > own[1] > 0


@pytest.mark.parametrize("layout", GGML_CACHES)
def test_rotation_lowers_the_error_of_keys_with_outliers(layout: str) -> None:
    plain = cache_error(PRIOR, "kv-k", layout)
    rotated = cache_error(PRIOR, "kv-k", layout, rotated=True)
    assert plain is not None
    assert rotated is not None
    assert rotated < 0.8 * plain
    if layout == "q4_0":
        assert rotated < plain / 2


@pytest.mark.parametrize("layout", GGML_CACHES)
def test_keys_err_more_than_values_in_every_type(layout: str) -> None:
    for rotated in (False, True):
        keys, values = (
            cache_error(PRIOR, kind, layout, rotated=rotated) for kind in ("kv-k", "kv-v")
        )
        assert keys is not None
        assert values is not None
        assert keys > 2 * values > 0


def test_a_plain_cache_has_no_error_and_no_latent_is_rotated() -> None:
    for layout in ("bf16", "fp16", "fp32"):
        for kind in ("kv-k", "kv-v", "kv-latent"):
            assert cache_error(PRIOR, kind, layout) == 0.0
            assert cache_error(PRIOR, kind, layout, rotated=True) == 0.0
    assert cache_error(PRIOR, "kv-latent", "q4_0", rotated=True) == cache_error(
        PRIOR, "kv-latent", "q4_0"
    )
    assert cache_error(PRIOR, "kv-k", "made-up") is None
