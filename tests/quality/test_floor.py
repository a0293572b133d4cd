"""Floors: what any change of a model loses, from whole models measured in q8_0."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.models.catalog import resolve_model
from planner.quality.floor import (
    DENSE,
    EXPERTS,
    Floor,
    KnownFloor,
    Scatter,
    floor_for,
    floor_of,
    known_floors,
    log_prediction,
    predicted_floor,
    scatter,
)
from planner.quality.sensitivity.kld_data import kld_models, subject_of_measured

SPREAD = Scatter(family=1.0, structure=0.5, own=0.3)
ONE = KnownFloor("one", "family", "one", routed=True, floor_nats=0.004)


def floor(name: str) -> Floor:
    return floor_of(resolve_model(name))


def test_a_mixture_of_experts_of_no_measured_family_has_what_mixtures_lose() -> None:
    found = floor("mixtral-8x7b")
    assert 0.002 <= found.value_nats <= 0.010
    assert found.low_nats < found.value_nats / 3
    assert found.high_nats > 3 * found.value_nats
    assert found.basis.id == "assumptions.floor_of_experts"


def test_dense_models_lose_less_and_are_known_better() -> None:
    dense, routed = floor("llama-3.1-8b"), floor("mixtral-8x7b")
    assert dense.value_nats < routed.value_nats / 2
    assert dense.high_nats / dense.low_nats < routed.high_nats / routed.low_nats
    assert dense.basis.id == "assumptions.floor_of_dense"


def test_sisters_give_their_own_shrunk_by_what_a_measurement_scatters() -> None:
    measured = [k.floor_nats for k in known_floors() if k.structure == "GLM-4.5"]
    found = floor("glm-4.7")
    assert min(measured) < found.value_nats < max(measured)
    assert found.basis.id == "assumptions.floor_of_sisters"
    assert found.high_nats / found.value_nats < 2


def test_a_relative_lies_between_its_family_and_its_class() -> None:
    model = next(m for m in kld_models() if m.name == "GLM-4.5-Air")
    own = next(k.floor_nats for k in known_floors() if k.name == model.name)
    without = floor_for(subject_of_measured(model), {model.name})
    assert without.basis.id == "assumptions.floor_of_relatives"
    stranger = floor("mixtral-8x7b").value_nats
    large = max(k.floor_nats for k in known_floors() if k.structure == "GLM-4.5")
    assert stranger < without.value_nats < large
    assert without.low_nats < own < without.high_nats


def test_what_is_excluded_tells_nothing() -> None:
    model = next(m for m in kld_models() if m.name == "GLM-4.5")
    family = frozenset(m.name for m in kld_models() if m.family == model.family)
    found = floor_for(subject_of_measured(model), family)
    assert found.basis.id == "assumptions.floor_of_experts"
    assert found.value_nats < floor("glm-4.7").value_nats


@given(st.floats(1e-4, 0.1), st.integers(1, 6))
def test_one_structure_measured_alike_is_its_own_floor(value: float, count: int) -> None:
    """Nothing pulls where all agree, and more measurements make the band no wider."""
    known = [replace(ONE, name=str(n), floor_nats=value) for n in range(count)]
    log, deviation = log_prediction(known, {"family"}, {"one"}, SPREAD)
    assert log == pytest.approx(math.log(value))
    fewer = log_prediction(known[:1], {"family"}, {"one"}, SPREAD)[1]
    assert SPREAD.own <= deviation <= fewer + 1e-12


@given(st.floats(1.1, 50))
def test_the_nearer_a_measurement_the_more_it_says(factor: float) -> None:
    """A sister pulls more than a relative, and that one more than a stranger."""
    others = [
        KnownFloor(f"other {n}", f"other {n}", f"other {n}", routed=True, floor_nats=0.004)
        for n in range(3)
    ]
    known = [replace(ONE, floor_nats=0.004 * factor), *others]
    sister = log_prediction(known, {"family"}, {"one"}, SPREAD)
    relative = log_prediction(known, {"family"}, set(), SPREAD)
    stranger = log_prediction(known, set(), set(), SPREAD)
    assert sister[0] > relative[0] > stranger[0] > math.log(0.004)
    assert sister[1] < relative[1] < stranger[1]


def test_best_linear_unbiased_prediction_against_its_definition() -> None:
    """Weights that sum to 1 and have the least variance: none of many others has less."""
    known = [
        ONE,
        replace(ONE, name="two", structure="two", floor_nats=0.002),
        KnownFloor("three", "stranger", "three", routed=True, floor_nats=0.02),
    ]
    log, deviation = log_prediction(known, {"family"}, {"one"}, SPREAD)
    var = SPREAD.family**2 + SPREAD.structure**2 + SPREAD.own**2
    best = math.inf, math.nan
    for i in range(-40, 161):
        for j in range(-40, 161 - i):
            w = (i / 100, j / 100, 1 - (i + j) / 100)
            kin = SPREAD.family**2
            own = var - SPREAD.own**2
            error = (
                var * (1 + sum(x * x for x in w))
                + 2 * w[0] * w[1] * kin
                - 2 * w[0] * own
                - 2 * w[1] * kin
            )
            value = sum(x * math.log(k.floor_nats) for x, k in zip(w, known, strict=True))
            best = min(best, (error, value))
    assert deviation**2 == pytest.approx(best[0], rel=1e-3)
    assert log == pytest.approx(best[1], abs=0.02)


def test_a_band_has_its_reach_on_both_sides() -> None:
    spread = replace(SPREAD, reach=2.0)
    found = predicted_floor([ONE], {"family"}, {"one"}, spread)
    _, deviation = log_prediction([ONE], {"family"}, {"one"}, spread)
    assert found.high_nats / found.value_nats == pytest.approx(math.exp(2 * deviation), rel=0.01)
    assert found.value_nats / found.low_nats == pytest.approx(math.exp(2 * deviation), rel=0.01)


def test_families_of_mixtures_differ_more_than_those_of_dense_models() -> None:
    assert scatter(EXPERTS).family > scatter(DENSE).family
