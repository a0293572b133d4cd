"""The page of formulas beside the replay."""

from __future__ import annotations

from evaluation.replay import Compared, page


def row(predicted: float | None, replayed: float = 0.010) -> Compared:
    return Compared("dense", "high", 4.0, "TPOT mean", "serve", predicted, replayed)


def test_what_is_beyond_is_told_with_its_sign() -> None:
    text = page([row(0.0102), row(0.008), row(None)])
    assert "| serve, TPOT mean | 2 | dense high (-20%) |" in text
    assert "+2.0%" in text
    assert row(None).off is None
    assert "nowhere" in page([row(0.0102)])
