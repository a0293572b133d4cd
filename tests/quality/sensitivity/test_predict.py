"""Sensitivities of a model: from sisters, relatives or the learned prior."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from planner.base.errors import UnknownNameError
from planner.models.catalog import resolve_model
from planner.quality.sensitivity import estimate, prior_fit
from planner.quality.sensitivity import predict as predicting
from planner.quality.sensitivity.estimate import carried
from planner.quality.sensitivity.features import CLASSES, matrices_of
from planner.quality.sensitivity.kld_data import (
    CREDIT,
    RELATIVE,
    SISTER,
    bands_of,
    kld_models,
    known_levels,
    points_of,
    subject_of,
    subject_of_measured,
)
from planner.quality.sensitivity.measured_names import excluded_models
from planner.quality.sensitivity.predict import LEARNED, TIED_HEAD, predict, sensitivities
from planner.quality.sensitivity.records import KldMatch, KldPoint, Sensitivities

MODELS = {m.name: m for m in kld_models()}
GLM = frozenset(m.name for m in kld_models() if m.family == "GLM-4")


@pytest.fixture
def no_memory() -> Iterator[None]:
    """Answers on changed data are not kept."""
    prior_fit.prior_without.cache_clear()
    yield
    prior_fit.prior_without.cache_clear()


def answer(model_id: str, excluded: frozenset[str] = frozenset()) -> Sensitivities:
    spec = resolve_model(model_id)
    return predict(subject_of(spec), matrices_of(spec), excluded)


@pytest.mark.parametrize(
    "model_id",
    [
        "deepseek-v3",
        "qwen3-8b",
        "llama-3.1-8b",
        "smollm2-135m",
        "qwen3.5-397b-a17b",
        "gpt-oss-20b",
        "deepseek-v4-flash",
    ],
)
def test_sensitivities_sum_to_the_level(model_id: str) -> None:
    found = sensitivities(resolve_model(model_id))
    assert sum(found.alpha) == pytest.approx(found.level)
    assert min(found.alpha) > 0
    assert sum(found.by_unit.values()) == pytest.approx(found.level)


def test_what_the_answer_says_of_itself() -> None:
    sister, learned = answer("deepseek-r1"), answer("llama-3.1-8b")
    assert sister.tier == "family(DeepSeek-V3)"
    assert "DeepSeek-V3.1-Terminus (same structure" in sister.text
    assert learned.tier == LEARNED
    for found, kind in ((sister, SISTER), (learned, LEARNED)):
        assert CREDIT in found.text
        assert f"{bands_of(kind).rank:.2f}" in found.text
        assert found.bands == bands_of(kind).classes
        assert found.mix_band == bands_of(kind).mix
        assert CREDIT in found.sources[0]
    relative = answer("qwen3-8b")
    assert "by relative depth" in relative.text
    assert relative.bands == bands_of(RELATIVE).classes


def test_a_tied_matrix_splits_into_head_and_embedding() -> None:
    found = answer("smollm2-135m")
    by_kind = {m.kind: a for m, a in zip(found.matrices, found.alpha, strict=True)}
    assert by_kind["head"] / by_kind["embedding"] == pytest.approx(TIED_HEAD / (1 - TIED_HEAD))


def test_a_baseline_of_four_bits_and_a_match_without_a_level_widen_the_level() -> None:
    assert answer("deepseek-v3").level_band >= predicting.COARSE_BAND > bands_of(SISTER).level
    assert answer("qwen3.5-27b").level_band == bands_of(SISTER).level
    flash = MODELS["GLM-4.7-Flash"]
    found = predict(subject_of_measured(flash), [p.matrices[0] for p in points_of(flash.name)])
    assert found.tier == "family(GLM-4-Flash)"
    assert found.level_band == max(bands_of(SISTER).level, bands_of(LEARNED).level)


def test_a_sister_is_followed_matrix_by_matrix() -> None:
    """The head is a quarter of what V3.1-Terminus loses; its largest matrix is the sister's."""
    found = answer("deepseek-v3")
    share = np.array(found.alpha) / found.level
    points = points_of("DeepSeek-V3.1-Terminus")
    total = sum(p.signal_nats for p in points)
    largest = max(points, key=lambda p: p.signal_nats)
    assert largest.matrices[0].kind == "head"
    assert share[[m.kind for m in found.matrices].index("head")] == pytest.approx(
        largest.signal_nats / total, rel=0.15
    )


def test_less_is_carried_to_another_size() -> None:
    assert carried(0.0) == 1.0
    assert carried(np.log(2)) > 0.8 > carried(np.log(6)) > carried(np.log(8)) > 0


def scrambled(
    of: Callable[[str], tuple[KldPoint, ...]],
    names: frozenset[str],
) -> Callable[[str], tuple[KldPoint, ...]]:
    """Points with other signals, for the models ``names``."""

    def changed(name: str) -> tuple[KldPoint, ...]:
        points = of(name)
        if name not in names:
            return points
        values = [p.signal_nats for p in points]
        return tuple(
            replace(p, signal_nats=v) for p, v in zip(points, reversed(values), strict=True)
        )

    return changed


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("model_id", "excluded", "same"),
    [
        ("glm-4.6", GLM, True),
        ("glm-4.6", frozenset({"Kimi-K2-Thinking"}), False),
        ("llama-3.1-8b", GLM, True),
    ],
)
@pytest.mark.usefixtures("no_memory")
def test_excluded_models_contribute_nothing(
    model_id: str, excluded: frozenset[str], same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other figures of the excluded models, and other levels, change no answer; those of models
    that are not excluded do."""
    before = answer(model_id, excluded)
    prior_fit.prior_without.cache_clear()
    changed = scrambled(points_of, GLM)
    models = tuple(
        replace(m, level=m.level and 9 * m.level) if m.name in GLM else m for m in kld_models()
    )
    levels = tuple(replace(k, level=9 * k.level) if k.name in GLM else k for k in known_levels())
    for module in (estimate, prior_fit):
        monkeypatch.setattr(module, "points_of", changed)
    for module in (estimate, prior_fit, predicting):
        monkeypatch.setattr(module, "kld_models", lambda: models)
    monkeypatch.setattr(predicting, "known_levels", lambda: levels)
    after = answer(model_id, excluded)
    assert (after.alpha == before.alpha) is same
    assert (after.level == before.level) is same


@pytest.mark.exhaustive
def test_an_exclusion_moves_a_model_to_the_next_match() -> None:
    sisters = excluded_models(["GLM-4.6"])
    assert sisters == {"GLM-4.6"}
    assert "GLM-4.5, GLM-4.7" in answer("glm-4.6", sisters).text
    family = excluded_models(["glm-4"])
    assert excluded_models(["GLM"]) == family | {"GLM-4.7-Flash", "GLM-5.1"}, "how names begin"
    assert family == GLM
    assert answer("glm-4.6", family).tier == LEARNED
    assert excluded_models([]) == frozenset()


def test_an_unknown_exclusion_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        excluded_models(["GLM-4.6", "gpt-9"])
    assert "gpt-9" in str(caught.value)
    assert all(name in caught.value.hint for name in ("GLM-4", "DeepSeek-V3.1-Terminus"))


def test_two_families_that_match_equally_widen_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(MODELS["GLM-4.7"], family="Other")
    match = KldMatch(SISTER, (MODELS["GLM-4.6"], other), 0.0)
    one = answer("glm-4.6")
    monkeypatch.setattr(predicting, "find_match", lambda *_: match)
    both = answer("glm-4.6")
    assert both.tier == "family(GLM-4+Other)"
    assert "GLM-4 and Other" in both.text
    assert all(both.bands[name] > one.bands[name] for name in CLASSES)
