"""Shipped family profiles: what the points and the fit give, for every matrix."""

import numpy as np
import pytest

from planner.lab.tables.family_profiles import profiled_matrices
from planner.quality.sensitivity.estimate import log_alphas
from planner.quality.sensitivity.kld_data import (
    PROFILES,
    family_profile,
    find_match,
    kld_models,
    subject_of_measured,
)
from planner.quality.sensitivity.records import KldModel

FIRST = [
    m
    for n, m in enumerate(kld_models())
    if m.structure not in [other.structure for other in kld_models()[:n]]
]


@pytest.mark.parametrize("model", FIRST, ids=lambda m: m.name)
def test_a_profile_is_the_estimate(model: KldModel) -> None:
    subject, matrices = subject_of_measured(model), profiled_matrices(model)
    shipped = family_profile(model.name)
    assert set(shipped) == {(m.stem, m.layer) for m in matrices}
    made = log_alphas(subject, find_match(subject, kld_models()), matrices, frozenset())
    assert np.array([shipped[m.stem, m.layer] for m in matrices]) == pytest.approx(made, abs=5e-3)


def test_there_is_one_profile_a_structure() -> None:
    assert {path.stem for path in PROFILES.iterdir()} == {m.name for m in FIRST}
    assert family_profile("GLM-4.6") == {}, "it is in GLM-4.5's, of the same structure"
