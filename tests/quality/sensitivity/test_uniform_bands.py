"""Bands of whole models in one type: by hand, and of the shipped tables."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.left_out import PROTOCOLS, left_out
from evaluation.uniform_bands import Uniform, band_of, held, uniform_rows
from planner.messages.message import message
from planner.quality.floor import Floor
from planner.quality.sensitivity.kld_data import FINE_LEVELS, kld_models, uniform_losses

NONE = Floor(0.0, 0.0, 0.0, message("assumptions.floor_none"))


def row(model: str, ratio: float, *, x: float = 0.01, floor: Floor = NONE) -> Uniform:
    """A model that loses ``ratio`` times what is predicted over its floor."""
    return Uniform(model, "q4_k", floor.value_nats + ratio * x, x, 0.0, floor)


@given(ratio=st.floats(1 / 20, 20))
def test_without_a_floor_the_ratio_itself_is_needed(ratio: float) -> None:
    needed = row("a", ratio).needed
    assert needed == pytest.approx(max(ratio, 1 / ratio), rel=2e-3)
    assert row("a", ratio).inside(needed)


def test_a_floor_with_a_band_needs_less() -> None:
    floor = replace(NONE, value_nats=0.004, low_nats=0.002, high_nats=0.008)
    assert row("a", 1.3, floor=floor).needed < 1.01 < 1.3
    assert row("a", 1.8, floor=floor).needed == pytest.approx(1.4, rel=2e-3)


def test_every_model_counts_the_same() -> None:
    """Nine values of one model that need little, one of each of four that need more."""
    rows = [row("near", 1.1)] * 9 + [row(name, 2.0) for name in "abcd"]
    assert band_of(rows) == pytest.approx(2.0, rel=2e-3)
    assert band_of(rows[:10]) == pytest.approx(2.0, rel=2e-3)


def test_a_model_has_no_say_in_its_own_band() -> None:
    rows = [row(name, 1.1) for name in "abcd"] + [row("far", 3.0)]
    found = held(rows)
    assert (found.count, found.inside) == (5, 4)
    assert held([row(n, 1.1) for n in "ab"]).inside == 2
    assert held([row("a", 1.1), row("b", 3.0)]).inside == 1


def test_whole_tables_are_those_of_the_index() -> None:
    names = {m.name for m in kld_models()}
    assert set(uniform_losses()) <= names
    for model in kld_models():
        if model.level is not None and model.baseline in FINE_LEVELS:
            losses = uniform_losses()[model.name]
            assert losses["q2_k"] > losses["q4_k"] > losses["q8_0"] > 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_bands_hold_four_fifths_of_models_left_out(protocol: str) -> None:
    found = held(uniform_rows(left_out(protocol)))
    assert found.count >= 70
    assert found.expected[0] <= found.inside <= found.expected[1]
    assert math.log(found.width) > 0
