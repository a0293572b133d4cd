"""Layers that a scenario keeps as released at either end, and ends that are dropped."""

import pytest

from planner.lookup import load_model
from planner.planning.question.given_values import GivenValues
from planner.planning.question.resolve import _kept_layers


@pytest.mark.parametrize(
    ("gone", "kept"),
    [
        (None, (0, 1, 21, 22, 23)),
        (("head",), (0, 1, 21, 22, 23)),
        (("first-layers",), (21, 22, 23)),
        (("last-layers",), (0, 1)),
        (("first-layers", "last-layers"), ()),
    ],
)
def test_each_end_is_kept_until_it_is_dropped(
    gone: tuple[str, ...] | None, kept: tuple[int, ...]
) -> None:
    """Two and three of 24 layers."""
    asked = GivenValues(keep_first_layers=2, keep_last_layers=3, drop_policies=gone)
    assert _kept_layers(load_model("qwen2.5-0.5b"), asked) == kept
