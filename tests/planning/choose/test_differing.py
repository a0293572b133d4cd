"""Layouts err by themselves, batches by the octaves between them."""

import math

import pytest

from planner.placement.layout import Layout
from planner.planning.choose.uncertainty import layout_and_batch

MODEL = "kimi-k2-instruct"


def apart(first: int, second: int) -> float:
    """σ of the difference between two batches on one layout."""
    one, other = (
        dict.fromkeys([])
        | {
            (kind, where): weight
            for kind, where, weight in layout_and_batch(Layout(8, 1, 1, 8), batch, MODEL)
        }
        for batch in (first, second)
    )
    return math.sqrt(
        sum((one.get(key, 0.0) - other.get(key, 0.0)) ** 2 for key in one.keys() | other.keys())
    )


def test_batches_differ_as_a_random_walk_over_octaves() -> None:
    step = apart(64, 128)
    assert 0.02 < step < 0.15
    assert apart(64, 64) == 0.0
    assert apart(32, 128) == pytest.approx(step * math.sqrt(2))
    assert 0.0 < apart(64, 80) < apart(64, 100) < step
    assert apart(1, 2) == pytest.approx(step)


def test_layouts_are_told_apart() -> None:
    names = {
        layout_and_batch(Layout(*shape), 64, MODEL)[0][:2]
        for shape in ((8, 1, 1, 8), (4, 1, 2, 1), (8, 1, 1, 1))
    }
    assert len(names) == 3


def test_a_served_model_takes_the_entry_without_it() -> None:
    own = layout_and_batch(Layout(8, 1, 1, 8), 64, "gpt-oss-120b")
    assert own != layout_and_batch(Layout(8, 1, 1, 8), 64, MODEL)
