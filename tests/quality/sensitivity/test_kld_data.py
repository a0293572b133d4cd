"""The shipped measurements: every model of the index has points, levels and bands."""

import tomllib

import pytest

from planner.base.errors import UnknownNameError
from planner.quality.sensitivity.features import CLASSES, MEASURED_KINDS
from planner.quality.sensitivity.kld_data import (
    CREDIT,
    DATA,
    KINDS,
    SOURCE,
    bands_of,
    kld_models,
    known_levels,
    points_of,
)
from planner.quality.sensitivity.records import OUTSIDE, KldModel


@pytest.mark.parametrize("model", kld_models(), ids=lambda m: m.name)
def test_points_lie_in_their_model(model: KldModel) -> None:
    points = points_of(model.name)
    matrices = [m for p in points for m in p.matrices]
    assert len(matrices) == len({m.name for m in matrices}), "a matrix is in one point"
    assert {m.kind for m in matrices} <= MEASURED_KINDS
    assert all(m.layer == OUTSIDE or 0 <= m.layer < model.structure.layers for m in matrices)
    assert sum(p.signal_nats for p in points) > 0
    assert min(p.noise_nats for p in points) > 0
    assert model.qtype
    assert "_bn" not in model.qtype
    assert model.reason if not (model.fitted and model.levelled) else True


def test_an_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(UnknownNameError) as caught:
        points_of("GLM-4.8")
    assert "GLM-4.7" in caught.value.hint


def test_kinds_are_those_that_sensitivities_have() -> None:
    assert set(KINDS.values()) == MEASURED_KINDS


def test_what_was_left_out_has_its_reason() -> None:
    index = tomllib.loads((DATA / "kld_models.toml").read_text(encoding="utf-8"))
    names = {entry["name"]: entry["reason"] for entry in index["left_out"]}
    assert "faulty" in names["gemma-4-31B-it"]
    assert all(names.values())


def test_the_credit_stands_in_every_source() -> None:
    for text in (
        SOURCE,
        (DATA / "kld_models.toml").read_text(encoding="utf-8"),
        (DATA / "kld" / "bands.json").read_text(encoding="utf-8"),
    ):
        assert CREDIT in text
    assert all(name in CREDIT for name in ("Thireus", "GGUF Tool Suite", "its contributors"))


def test_levels_of_models_without_profiles_are_known_too() -> None:
    names = [k.name for k in known_levels()]
    assert "SmolLM2-135M-Instruct" in names
    assert len(names) == len(set(names))


@pytest.mark.parametrize("kind", ["learned", "sister", "relative"])
def test_bands_have_every_class(kind: str) -> None:
    bands = bands_of(kind)
    assert list(bands.classes) == list(CLASSES)
    assert min(*bands.classes.values(), bands.factor, bands.mix, bands.level) > 1


def test_nearer_matches_have_narrower_bands() -> None:
    learned, sister, relative = (bands_of(k) for k in ("learned", "sister", "relative"))
    assert learned.factor > relative.factor > sister.factor
    assert learned.rank < relative.rank < sister.rank
    assert all(learned.classes[c] > sister.classes[c] for c in CLASSES)
