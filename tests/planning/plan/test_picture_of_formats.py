"""Formats by layer: nothing is lost in runs, shares are of the device, colours have their
contrast."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.questions import plan_of

from planner.planning.plan.picture import contrast, format_runs, memory_shares, picture


@given(st.lists(st.sampled_from(["", "bf16", "fp8"]), max_size=12))
def test_runs_are_the_row_again_and_neighbours_differ(row: list[str]) -> None:
    found = format_runs(row)
    assert [run.scheme for run in found for _ in range(run.count)] == row
    assert all(run.last + 1 == after.first for run, after in pairwise(found))
    assert all(run.scheme != after.scheme for run, after in pairwise(found))


def test_every_unit_is_in_its_layers_or_at_an_end() -> None:
    plan = plan_of()
    found = picture(plan)
    assert found.layers == 24
    assert found.ends == tuple((u.kind, u.scheme) for u in plan.units if not u.layers)
    assert {kind for kind, _ in found.ends} >= {"embedding", "head"}
    told = {
        (strip.kind, layer): run.scheme
        for strip in found.strips
        for run in strip.runs
        for layer in range(run.first, run.last + 1)
    }
    assert told == {(u.matrix, layer): u.scheme for u in plan.units for layer in u.layers}
    assert found.ticks == (0, 5, 10, 15, 20)


def test_shares_fill_the_device() -> None:
    shares = memory_shares(plan_of().memory_per_device)
    assert sum(one.share for one in shares) == pytest.approx(1)
    assert all(one.bytes >= 0 for one in shares)


def test_contrast_is_that_of_the_definition() -> None:
    """#777777 on white: 0.2126 + 0.7152 + 0.0722 times ((0.4667 + 0.055) / 1.055)^2.4 = 0.1845."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(1.05 / (0.18447 + 0.05), rel=1e-4)
    assert contrast("#0a0a0a", "#000000") == pytest.approx(1 + 10 / 255 / 12.92 / 0.05)
    assert (
        contrast("#00ff00", "#0000ff")
        == contrast("#0000ff", "#00ff00")
        == pytest.approx((0.7152 + 0.05) / (0.0722 + 0.05))
    )
