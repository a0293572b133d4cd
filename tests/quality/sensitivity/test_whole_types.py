"""Whole models in one type: predicted against the published tables."""

from pathlib import Path

import pytest

from evaluation.left_out import PROTOCOLS
from evaluation.whole_types import OWN, TYPES, Row, mean_error, order, overall, plain, whole_scores

SHARED = Path(__file__).resolve().parents[4] / "shared" / "measured" / "kld"


def test_interleaved_rows_are_the_plain_type() -> None:
    assert [plain(n) for n in ("q4_k_r4", "q8_0_r8", "iq4_xs", "q5_k")] == [
        "q4_k",
        "q8_0",
        "iq4_xs",
        "q5_k",
    ]


def test_coarser_types_have_larger_errors() -> None:
    found = [mean_error(n) for n in ("q8_0", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k")]
    assert found == sorted(found)
    assert all(mean_error(n) > 0 for n in TYPES)


def test_pairs_within_their_noise_are_in_no_order() -> None:
    """5 % apart, or by less than twins scatter, or by less than the twins of q8_0: no pair."""
    close = [Row("q4_0", 1.00, 1.0), Row("q4_1", 1.05, 0.9)]
    assert order(close) == (0, 0)
    wrong = [Row("q4_0", 1.00, 1.0), Row("q4_1", 1.20, 0.9)]
    assert order(wrong) == (0, 1)
    assert order([Row("q4_0", 1.00, 1.0), Row("q4_1", 1.20, 1.1)]) == (1, 1)
    twins = [Row("q5_k", 0.5, 1.0), Row("q5_k_r4", 0.55, 1.0)]
    assert order(twins) == (0, 0), "twins are in no order"
    assert order([*wrong, *twins])[1] == 4, "1.0 and 1.2 lie within three deviations of twins"
    floor = [Row("q8_0", 0.10, 0.1), Row("q8_0_r8", 0.10, 0.1), Row("q6_k", 0.13, 0.2)]
    assert order(floor) == (2, 2)


@pytest.mark.exhaustive
def test_the_targets_over_models_with_a_clean_baseline() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: the published tables are not part of the repository")
    scores = whole_scores((SHARED, SHARED.with_name("kld_more")))
    assert set(scores) == {*PROTOCOLS, OWN}
    assert len(scores[OWN]) == 13
    for found in scores.values():
        assert overall(found).median <= 1.6
        assert overall(found).order >= 0.95
        assert overall(found).pairs > 100
