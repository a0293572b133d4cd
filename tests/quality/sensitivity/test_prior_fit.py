"""The learned prior: what is shipped is what the fit gives."""

import json

import numpy as np
import pytest

from planner.quality.sensitivity.kld_data import kld_models
from planner.quality.sensitivity.prior_fit import (
    NARROW_MEAN,
    PATH,
    as_json,
    fit_prior,
    learned_prior,
    logarithms,
    narrowed,
    prior_without,
)
from planner.quality.sensitivity.records import Matrix

DEVIATIONS = ("kinds", "families", "models")
FITTED = [m for m in kld_models() if m.fitted]


def test_the_shipped_prior_is_the_fit() -> None:
    """To four digits: other processors may round the last one differently."""
    made, shipped = (
        json.loads(text) for text in (as_json(fit_prior(FITTED)), PATH.read_text(encoding="utf-8"))
    )
    assert made.keys() == shipped.keys()
    assert made["columns"] == shipped["columns"]
    for part in DEVIATIONS:
        assert list(made[part]) == list(shipped[part])
    pairs = [(made["shared"], shipped["shared"])]
    pairs += [(made[part][name], shipped[part][name]) for part in DEVIATIONS for name in made[part]]
    for ours, theirs in pairs:
        for key in ours.keys() | theirs.keys():
            assert ours.get(key, 0.0) == pytest.approx(theirs.get(key, 0.0), rel=5e-3, abs=2e-3)


def test_the_prior_has_every_fitted_model_and_no_other() -> None:
    prior = learned_prior()
    assert prior.models == {m.name for m in FITTED}
    assert len(FITTED) == 20
    assert "GLM-4.7-Flash" in prior.models
    assert set(prior.fit.kinds) == {"dense", "experts", "dense layers lead"}
    assert set(prior.fit.families) == {m.family for m in FITTED}


def test_excluding_what_was_not_fitted_changes_nothing() -> None:
    assert prior_without(frozenset({"no model"})) is learned_prior()
    assert prior_without(frozenset()) is learned_prior()


def test_the_head_weighs_more_than_a_matrix_of_the_stack() -> None:
    """In every measured model the head lost many times what a median matrix did."""
    prior = learned_prior()
    assert prior.fit.shared[prior.columns["outside:head"]] > 1.0
    assert prior.fit.shared[prior.columns["outside:tied"]] > 1.0


@pytest.mark.parametrize(
    ("structure", "stem", "kind", "falls"),
    [("DeepSeek-V3.1-Terminus", "attn_output", "attention-out", 0.7),
     ("DeepSeek-V3.1-Terminus", "ffn_down_shexp", "shared-down", 0.7),
     ("GLM-4.5", "attn_output", "attention-out", 0.7)],
)  # fmt: skip
def test_the_prior_of_networks_with_leading_dense_layers_falls_with_depth(
    structure: str, stem: str, kind: str, falls: float
) -> None:
    """What acts on every token loses less in the last sixth than in the second, and routed experts
    lose that much less by less; without the family's own measurements."""
    model = next(m for m in kld_models() if m.name == structure)
    family = frozenset(m.name for m in kld_models() if m.family == model.family)
    prior = prior_without(family)
    beta = prior.of_family(model.structure, model.family)
    layers = (model.structure.layers // 4, model.structure.layers * 9 // 10)
    early, late = prior.predict([Matrix(stem, kind, n) for n in layers], model.structure, beta)
    routed = prior.predict(
        [Matrix("ffn_down_exps", "experts-down", n) for n in layers], model.structure, beta
    )
    assert early - late > falls
    assert early - late > routed[0] - routed[1]


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
