"""Models that others measured: their structures, and how near they are to a plan's model."""

from dataclasses import replace

import pytest

from planner.messages.message import message
from planner.models.catalog import catalog, resolve_model
from planner.quality.measured_models import (
    ALIKE,
    FAMILY,
    MOST_TIMES,
    SAME,
    MeasuredModel,
    Subject,
    measured_models,
    subject_of,
)

OURS = Subject("ours-8b", "llama", 128256, 32, 4096, 0, 8_000_000_000, "bf16")
THEIRS = MeasuredModel(
    "Theirs-8B", ("ours-8b",), ("llama", "llama_moe"), (128256,), 32, 4096, 0, 8e9, "config.json"
)


def test_bundled_models_have_the_structure_that_the_table_states() -> None:
    stated = {(model, id) for model in measured_models().values() for id in model.ids}
    assert len(stated) > 15
    for model, id in stated:
        subject = subject_of(resolve_model(id))
        assert id in catalog()
        assert model.relation(subject) == SAME, model
        assert model.parameters == pytest.approx(subject.parameters, rel=0.01)


def described(model: MeasuredModel, subject: Subject) -> str:
    """How a published change says on what it was measured."""
    text = message(model.relation_id(subject), f="nvfp4", m=model.name, c="MMLU −1 pt")
    return text.removeprefix("nvfp4 on ").removesuffix(": MMLU −1 pt")


def test_a_model_is_the_same_by_name_and_structure() -> None:
    assert THEIRS.relation(OURS) == SAME
    assert described(THEIRS, OURS) == "Theirs-8B"
    other = replace(OURS, id="tuned-8b")
    assert THEIRS.relation(other) == ALIKE
    assert described(THEIRS, other) == "Theirs-8B, same structure"
    assert THEIRS.relation(replace(OURS, layers=40)) == FAMILY, "a name alone is not enough"


@pytest.mark.parametrize(
    "change", [{"layers": 40}, {"hidden_size": 5120}, {"model_type": "llama_moe"}, {"experts": 8}]
)
def test_another_structure_is_of_the_family_at_most(change: dict[str, int | str]) -> None:
    assert THEIRS.relation(replace(OURS, **change)) == FAMILY


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mistral"},
        {"vocab_size": 32000},
        {"layers": 80, "parameters": int(65e9)},
        {"layers": 16, "parameters": int(0.9e9)},
    ],
)
def test_another_family_or_a_far_size_says_nothing(change: dict[str, int | str]) -> None:
    assert THEIRS.relation(replace(OURS, **change)) is None


def test_size_and_kind_are_said() -> None:
    larger = replace(OURS, layers=80, parameters=int(8e9 * MOST_TIMES))
    smaller = replace(OURS, layers=16, parameters=int(2e9))
    assert described(THEIRS, larger) == "Theirs-8B, a smaller model of the family"
    assert described(THEIRS, smaller) == "Theirs-8B, a larger model of the family"
    assert described(THEIRS, replace(OURS, layers=33)) == "Theirs-8B, a model of the family"
    sparse = replace(OURS, model_type="llama_moe", experts=8, parameters=int(30e9))
    assert described(THEIRS, sparse) == "Theirs-8B, a smaller dense model of the family"
    moe = replace(THEIRS, experts=8, parameters=8e9)
    assert described(moe, replace(OURS, layers=33)) == "Theirs-8B, an MoE model of the family"


def test_a_model_of_unknown_structure_is_near_nothing() -> None:
    lite = measured_models()["DeepSeek-V3-Lite"]
    assert all(lite.relation(subject_of(resolve_model(id))) is None for id in catalog())
