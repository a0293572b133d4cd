"""The nested search of the prior's settings: what is left out has no say."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.left_out import score
from evaluation.prior_search import as_csv, drawn, left_out_scores, measured, searched, worth
from planner.quality.sensitivity.kld_data import kld_models
from planner.quality.sensitivity.prior_fit import joined, prior_without
from planner.quality.sensitivity.prior_settings import (
    PATH,
    RANGES,
    chosen_settings,
    settings_without,
)

FAMILY = "Kimi-K2"


@pytest.mark.exhaustive
def test_a_family_is_scored_as_a_fit_without_it_predicts_it() -> None:
    """The block of the inverse says what a new fit of the other models does."""
    prior = prior_without(frozenset(m.name for m in kld_models() if m.family == FAMILY))
    (model,) = [m for m in measured() if m.model.family == FAMILY]
    beta = prior.of_family(model.model.structure, FAMILY)
    logs = joined(model.observed.x, model.observed.first, beta) + model.expected
    expected = score(logs, model.signal, model.noise)
    ((rank, factor),) = left_out_scores(measured(), settings_without([FAMILY]))[FAMILY]
    assert rank == pytest.approx(expected.rank, abs=1e-6)
    assert factor == pytest.approx(expected.factor, rel=1e-6)


@pytest.mark.exhaustive
def test_the_scores_of_a_family_do_not_know_its_measurements() -> None:
    """Other signals of a family change the scores of others, and how it is scored, but no
    prediction of it: turned around, its rank correlation changes sign."""
    settings = settings_without([FAMILY])
    turned = [
        replace(
            m,
            signal=1 / np.maximum(m.signal, 1e-9),
            said=replace(m.said, values=-m.said.values),
        )
        if m.model.family == FAMILY
        else m
        for m in measured()
    ]
    ((before, _),) = left_out_scores(measured(), settings)[FAMILY]
    ((after, _),) = left_out_scores(turned, settings)[FAMILY]
    assert before > 0.5
    assert after < -0.5


@pytest.mark.exhaustive
def test_the_better_half_is_better() -> None:
    models = [m for m in measured() if m.model.family != FAMILY]
    draws = drawn(9, 4)
    worths = [worth(models, s) for s in draws]
    kept = [draws[n] for n in np.argsort(worths)[-2:].tolist()]
    found = searched(models, draws)
    for name in RANGES:
        mean = np.sqrt(kept[0][name] * kept[1][name])
        assert found[name] == pytest.approx(mean, rel=0.01)


def test_draws_lie_in_their_ranges_and_repeat() -> None:
    assert drawn(3, 5) == drawn(3, 5) != drawn(4, 5)
    for settings in drawn(3, 5):
        assert all(least <= settings[n] <= most for n, (least, most) in RANGES.items())


def test_the_file_is_what_it_is_written_from() -> None:
    assert as_csv(chosen_settings()) == PATH.read_text(encoding="utf-8")
