"""KL divergence and flipped tokens from two models' logits."""

import math
from pathlib import Path

import numpy as np
import pytest

from planner.base.errors import DataError
from planner.lab.verifying.logit_differences import first_position, kl_and_flips, read_logits


def logits(seed: int, chunks: int = 2, positions: int = 5, vocabulary: int = 11) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((chunks, positions, vocabulary)).astype(np.float32) * 3


def test_the_same_answers_are_no_distance_apart() -> None:
    kl, flips = kl_and_flips(logits(1), logits(1))
    assert kl.value == 0
    assert flips.value == 0
    assert kl.repeats == 10


def test_it_is_the_sum_that_defines_it_and_not_its_mirror() -> None:
    one, two = logits(1), logits(2)
    sums, flipped = [], 0
    for p, q in zip(one.reshape(-1, 11), two.reshape(-1, 11), strict=True):
        a, b = (np.exp(v.astype(float)) / np.exp(v.astype(float)).sum() for v in (p, q))
        sums.append(sum(x * math.log(x / y) for x, y in zip(a, b, strict=True)))
        flipped += int(a.argmax() != b.argmax())
    kl, flips = kl_and_flips(one, two)
    assert kl.value == pytest.approx(np.mean(sums), rel=1e-12)
    assert kl.spread == pytest.approx(np.std(sums, ddof=1) / math.sqrt(10), rel=1e-12)
    assert flips.value == flipped / 10
    assert kl_and_flips(two, one)[0].value != pytest.approx(kl.value, rel=1e-3)


def test_a_constant_added_to_a_position_changes_nothing() -> None:
    one, two = logits(1), logits(2)
    moved = two + np.arange(10, dtype=np.float32).reshape(2, 5, 1)
    assert kl_and_flips(one, moved)[0].value == pytest.approx(
        kl_and_flips(one, two)[0].value, rel=1e-5
    )


def test_answers_that_are_not_comparable_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not comparable"):
        kl_and_flips(logits(1), logits(1, vocabulary=12))
    with pytest.raises(DataError, match="not finite"):
        kl_and_flips(logits(1), np.full((2, 5, 11), np.nan, np.float32))
    (tmp_path / "a.npy").write_bytes(b"no array")
    with pytest.raises(DataError, match="no answers"):
        read_logits(tmp_path / "a.npy")


def test_the_second_half_of_a_piece_counts() -> None:
    assert first_position(512) == 256
