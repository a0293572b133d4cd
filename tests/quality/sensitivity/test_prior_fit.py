"""The learned prior: what is shipped is what the fit gives."""

import json

import numpy as np
import pytest

from planner.quality.sensitivity.kld_data import kld_models
from planner.quality.sensitivity.prior_fit import (
    NARROW_MEAN,
    PATH,
    VARIANCES,
    as_json,
    fit_prior,
    learned_prior,
    logarithms,
    narrowed,
    prior_without,
)
from planner.quality.sensitivity.records import Matrix

FITTED = [m for m in kld_models() if m.fitted]


def test_the_shipped_prior_is_the_fit() -> None:
    """To four digits: other processors may round the last one differently."""
    made, shipped = (
        json.loads(text) for text in (as_json(fit_prior(FITTED)), PATH.read_text(encoding="utf-8"))
    )
    assert made.keys() == shipped.keys()
    assert made["columns"] == shipped["columns"]
    for part in ("families", "models"):
        assert list(made[part]) == list(shipped[part])
    pairs = [(made["shared"], shipped["shared"])]
    pairs += [
        (made[part][name], shipped[part][name])
        for part in ("families", "models")
        for name in made[part]
    ]
    for ours, theirs in pairs:
        for key in ours.keys() | theirs.keys():
            assert ours.get(key, 0.0) == pytest.approx(theirs.get(key, 0.0), rel=5e-3, abs=2e-3)


def test_the_prior_has_every_fitted_model_and_no_other() -> None:
    prior = learned_prior()
    assert prior.models == {m.name for m in FITTED}
    assert "GLM-4.7-Flash" not in prior.models
    assert set(prior.fit.families) == {m.family for m in FITTED}


def test_excluding_what_was_not_fitted_changes_nothing() -> None:
    assert prior_without(frozenset({"GLM-4.7-Flash"})) is learned_prior()
    assert prior_without(frozenset()) is learned_prior()


def test_the_head_weighs_more_than_a_matrix_of_the_stack() -> None:
    """In every measured model the head lost many times what a median matrix did."""
    prior = learned_prior()
    assert prior.fit.shared[prior.columns["outside:head"]] > 1.0
    assert prior.fit.shared[prior.columns["outside:tied"]] > 1.0


def test_every_group_of_features_has_variances() -> None:
    groups = {name.split(":")[0] for name in learned_prior().columns}
    assert groups == set(VARIANCES)


def test_signals_below_their_noise_count_as_it() -> None:
    y, variance = logarithms([1.0, 0.001, -5.0], [0.1, 0.1, 0.1])
    assert y == pytest.approx(np.log([1.0, 0.1, 0.1]))
    assert variance == pytest.approx([0.01, 1.0, 1.0])


def test_fewer_outputs_weigh_less() -> None:
    expected = narrowed(
        [Matrix("attn_k", "attention-qkv", 3, np.log(0.25)), Matrix("attn_q", "attention-qkv", 3)]
    )
    assert expected == pytest.approx([NARROW_MEAN * np.log(0.25), 0.0])
    assert expected[0] < 0
