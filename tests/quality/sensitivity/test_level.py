"""Levels of whole models, and where losses stop adding up."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.models.catalog import resolve_model
from planner.quality.sensitivity.kld_data import (
    find_match,
    kld_models,
    known_levels,
    subject_of,
    subject_of_measured,
)
from planner.quality.sensitivity.level import (
    FAMILY,
    KNEE_NATS,
    OWN,
    KnownLevel,
    _line,
    level_for,
    saturated,
    unsaturated,
)

NATS, EXPONENTS = st.floats(1e-6, 50), st.floats(-0.8, 1.5)
LLAMA = subject_of(resolve_model("llama-3.1-8b"))


@given(NATS, EXPONENTS)
def test_the_inverse_gives_the_sum_back(total: float, g: float) -> None:
    assert unsaturated(saturated(total, g), g) == pytest.approx(total)
    assert saturated(unsaturated(total, g), g) == pytest.approx(total)


@given(NATS, st.floats(1.001, 10), EXPONENTS)
def test_more_is_never_less(total: float, factor: float, g: float) -> None:
    assert saturated(factor * total, g) > saturated(total, g)


@given(st.floats(0, KNEE_NATS), EXPONENTS)
def test_small_losses_add_up(total: float, g: float) -> None:
    assert saturated(total, g) == total
    assert unsaturated(total, g) == total


@given(st.floats(0.01, 1.5))
def test_the_sign_of_g(g: float) -> None:
    """Above 0, errors of small models make each other worse; below, large ones saturate."""
    assert saturated(1.0, g) > 1.0 > saturated(1.0, -min(g, 0.8))


def test_measured_signs_of_g() -> None:
    found = {m.name: m.saturation for m in kld_models() if m.saturation is not None}
    assert found["Qwen3-4B-Instruct-2507"] > 0
    assert found["Qwen3.5-35B-A3B"] < 0


def test_the_level_falls_with_active_parameters() -> None:
    values = [
        level_for(replace(LLAMA, active_billion=b), None, known_levels()).value
        for b in (0.5, 2.0, 8.0, 30.0)
    ]
    assert values == sorted(values, reverse=True)
    assert values[0] > 1.5 * values[-1]


def test_g_falls_with_parameters_and_stays_inside_what_was_seen() -> None:
    values = [
        level_for(replace(LLAMA, parameters_billion=b), None, known_levels()).saturation
        for b in (1e-6, 0.5, 8.0, 400.0, 1e9)
    ]
    seen = [k.saturation for k in known_levels() if k.saturation is not None]
    assert values == sorted(values, reverse=True)
    assert (values[0], values[-1]) == pytest.approx((max(seen), min(seen)))


def test_sisters_give_their_level_and_relatives_carry_theirs_along_the_slope() -> None:
    by_name = {m.name: m for m in kld_models()}
    model = by_name["Qwen3.5-27B"]
    subject = subject_of_measured(model)
    own = level_for(subject, find_match(subject, kld_models()), known_levels())
    levels = [by_name[name].level for name in ("Qwen3.5-27B", "Qwen3.6-27B")]
    assert own.value == pytest.approx(math.sqrt(levels[0] * levels[1]))
    assert own.basis == "level of Qwen3.5-27B, Qwen3.6-27B"
    smaller = replace(
        subject,
        active_billion=13.5,
        parameters_billion=13.5,
        structure=replace(subject.structure, layers=48),
    )
    carried = level_for(smaller, find_match(smaller, kld_models()), known_levels())
    assert carried.basis == "level of Qwen3.5-27B, Qwen3.6-27B"
    ratio = math.log(carried.value / own.value)
    fitted = [
        level_for(replace(LLAMA, active_billion=b), None, known_levels()).value
        for b in (13.5, 27.0)
    ]
    assert ratio == pytest.approx(math.log(fitted[0] / fitted[1]))
    assert ratio > 0


def test_a_match_without_a_level_takes_the_fit() -> None:
    subject = subject_of(resolve_model("kimi-k2.5"))
    match = find_match(subject, kld_models())
    assert level_for(subject, match, known_levels()) == level_for(subject, None, known_levels())


def test_levels_against_a_coarse_baseline_are_not_fitted() -> None:
    """They are relative to that baseline's own grid; a sister still takes its model's."""
    coarse = [replace(k, level=9 * k.level) if not k.fine else k for k in known_levels()]
    assert {"DeepSeek-V3.1-Terminus", "GLM-4.6"} <= {k.name for k in coarse if not k.fine}
    assert level_for(LLAMA, None, coarse) == level_for(LLAMA, None, known_levels())
    finer = [replace(k, level=9 * k.level) if k.fine else k for k in known_levels()]
    assert level_for(LLAMA, None, finer).value > 5 * level_for(LLAMA, None, known_levels()).value


def test_the_line_weighs_each_family_by_what_is_known_of_it() -> None:
    """Of distinct families: least squares with the weights of independent errors."""
    known = [
        KnownLevel(name, name, size, size, level, band)
        for name, size, level, band in (
            ("a", 1.0, 0.05, 1.1),
            ("b", 4.0, 0.02, 2.0),
            ("c", 8.0, 0.03, 1.0),
            ("d", 70.0, 0.004, 1.5),
        )
    ]
    sigma = [math.sqrt(FAMILY**2 + OWN**2 + math.log(one.level_band) ** 2) for one in known]
    slope, start = np.polyfit(
        [math.log(one.active_billion) for one in known],
        [math.log(one.level) for one in known],
        1,
        w=[1 / one for one in sigma],
    )
    assert _line(known) == pytest.approx((start, slope))
