"""Floors left out in turn: nothing of a model tells its own floor, and they beat none at all."""

import pytest

from evaluation import floors
from evaluation.floors import PUBLIC_FILES, TIERS, Checked, left_out_floors, published_losses
from planner.quality.floor import known_floors


def test_what_is_left_out_is_left_out() -> None:
    for known in known_floors():
        for tier, kept in floors._kept(known).items():
            assert known.name not in {k.name for k in kept}, tier
            if tier != "sister":
                assert known.structure not in {k.structure for k in kept}
            if tier == "learned":
                assert known.family not in {k.family for k in kept}


def test_a_floor_is_nearer_than_none() -> None:
    for rows in left_out_floors().values():
        near = sum(row.factor <= 2 for row in rows)
        assert near > sum(row.factor_before <= 2 for row in rows)
        assert near >= 0.6 * len(rows)
    assert set(left_out_floors()) == set(TIERS)


def test_a_factor_is_above_one_whichever_way() -> None:
    above = Checked("a", "b", 1.0, 0.25, 2.0, 1.0, 3.0)
    below = Checked("a", "b", 2.0, 0.25, 1.0, 1.0, 3.0)
    assert above.factor == pytest.approx(below.factor) == pytest.approx(2.0)
    assert (above.factor_before, below.factor_before) == pytest.approx((4.0, 8.0))


def test_public_files_are_told_with_their_bits() -> None:
    if not PUBLIC_FILES.is_file():
        pytest.skip(f"no {PUBLIC_FILES}")
    rows = published_losses(PUBLIC_FILES)
    assert len(rows) >= 25
    eight = next(r for r in rows if r.name == "Qwen3.6-27B" and r.what.startswith("Q8_0"))
    assert 8.4 < eight.bits < 8.7
    assert eight.before < eight.predicted
