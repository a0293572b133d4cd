"""The synthetic tensors have the statistics they claim, and depend on the seed alone."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from planner.quality import synthetic
from planner.quality.synthetic import LINEAR_KINDS, Draws, activations, keys, values, weights


def kurtosis(x: np.ndarray) -> float:
    squares = x.astype(np.float64) ** 2
    return float((squares**2).mean() / squares.mean() ** 2)


def test_streams_are_fixed_bits():
    """Holds the generator to the same integers in every version of numpy."""
    draws = Draws(1, "a")
    assert draws.integers(3).tolist() == [15223, 59337, 23542]
    digest = hashlib.sha256(weights("mlp-down", 3).tobytes()).hexdigest()
    assert digest.startswith("ed384d9da3732881")


def test_seed_and_label_make_independent_streams():
    first = weights("mla-q", 1)
    assert (first == weights("mla-q", 1)).all()
    assert abs(np.corrcoef(first.ravel(), weights("mla-q", 2).ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(first.ravel(), weights("mla-kv", 1).ravel())[0, 1]) < 0.02


def test_normal_and_student_moments():
    draws = Draws(5, "moments")
    z, t = draws.normal(200_000), draws.student(200_000)
    assert abs(z.mean()) < 0.01
    assert z.std() == pytest.approx(1, abs=0.01)
    assert kurtosis(z) == pytest.approx(2.85, abs=0.05)
    assert t.std() == pytest.approx(1, abs=0.03)
    assert 5 < kurtosis(t) < 12


@pytest.mark.parametrize("kind", [k for k, s in LINEAR_KINDS.items() if s.measured])
def test_input_kurtosis_is_near_the_measured_one(kind):
    found = np.median([kurtosis(activations(kind, seed)) for seed in range(5)])
    assert found == pytest.approx(LINEAR_KINDS[kind].kurtosis, rel=0.4)


def test_outlier_channels_are_few_and_steady():
    x = np.abs(activations("attention-qkv", 4))
    ratio = np.median(x, axis=0) / np.median(x)
    assert (ratio > 8).sum() == 1
    assert synthetic.outlier_magnitude(LINEAR_KINDS["experts-down"]) == 1.0


def test_keys_have_outlier_channels_and_values_do_not():
    def spread(x):
        return np.median(np.abs(x), axis=1).max() / np.median(np.abs(x))

    assert spread(keys(1)) > 5
    assert spread(values(1)) < 2


def test_an_outlier_channel_varies_about_its_magnitude_as_it_would_about_zero():
    """Its values are m · (1 + J·t), t what the channel holds where it is no outlier."""
    shape = replace(synthetic.CACHE, tokens=32)
    plain = synthetic.latents(5, replace(shape, key_outliers=0))
    found = synthetic.latents(5, shape)
    where = np.flatnonzero((found != plain).any(axis=0))
    assert where.size == shape.key_outliers
    assert where.min() >= shape.latent  # the latent itself has none
    assert found[:, where] == pytest.approx(
        shape.key_magnitude + shape.key_magnitude * synthetic.JITTER * plain[:, where], rel=1e-12
    )
