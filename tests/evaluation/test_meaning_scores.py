"""What a loss means, judged: order, words and edges on rows by hand; relations on shipped pairs."""

from dataclasses import replace

import pytest

from evaluation.meaning import (
    Judged,
    edge_between,
    learned_edges,
    left_out_relation,
    order,
    quantiser_table,
    relations,
    words_table,
)
from planner.quality.neighbours import Measured

ROW = Measured(
    "owner/A",
    "nvfp4",
    "bf16",
    "MMLU",
    "%",
    "bf16",
    "70",
    "69",
    -1.0,
    "",
    "intel/auto-round x",
    stderr=0.1,
)


def judged(loss: float, drop: float, **more: object) -> Judged:
    values = {"delta": -drop, "value": str(70 - drop), **more}
    return Judged(replace(ROW, **values), "a", loss)


def test_order_counts_pairs_of_one_publication_and_benchmark() -> None:
    rows = [judged(0.01, 1.0), judged(0.02, 3.0), judged(0.03, 2.5)]
    found = order(rows)
    assert (found.right, found.pairs, found.right_apart, found.apart) == (2, 3, 2, 2)
    others = [
        judged(0.04, -9.0, metric="GSM8K"),
        judged(0.04, -9.0, source="NVIDIA/x y"),
        judged(0.04, -9.0, model="owner/B"),
        judged(0.04, -9.0, note="calibrated"),
    ]
    assert order([*rows, *others]) == found


def test_a_drop_within_two_standard_errors_or_a_point_is_not_noticed() -> None:
    assert judged(0.1, 1.5).is_noticeable
    assert not judged(0.1, 0.9).is_noticeable
    assert not judged(0.1, 1.5, stderr=1.0).is_noticeable
    few = judged(0.1, 30.0, metric="AIME25", stderr=None)
    assert not few.is_noticeable, "30 problems, of which no error is stated"


def test_an_edge_parts_rows_with_the_fewest_on_the_wrong_side() -> None:
    rows = [judged(0.001, 0.1), judged(0.01, 0.2), judged(0.04, 5.0), judged(0.09, 6.0)]
    assert edge_between(rows, lambda r: r.drop > 1) == pytest.approx(0.02)
    assert edge_between(rows, lambda r: r.drop > 9) is None
    short, damaged = learned_edges(rows).values()
    assert short == damaged == pytest.approx(0.02)


def test_words_hold_models_against_the_worst_of_others() -> None:
    rows = [judged(0.001, 0.5), judged(0.002, 0.2, model="owner/B"), judged(0.09, 9.0)]
    table = {row[0]: row for row in words_table(rows)}
    near = table["not measurable on short benchmarks"]
    assert near[1:5] == ("2", "2", "0 of 2", "−0.35")
    assert near[-1] == "1 of 2"
    assert table["damaging"][3] == "1 of 1"
    assert "no change" not in table


def test_a_relation_without_error_has_a_factor_of_one() -> None:
    found = left_out_relation(lambda r: r.mean_kl, lambda _, r: r.mean_kl)
    assert (found.median, found.most, found.worst) == (1.0, 1.0, 1.0)
    off = left_out_relation(lambda r: r.mean_kl, lambda _, r: 2 * r.mean_kl)
    assert off.median == pytest.approx(2.0)


def test_published_pairs_tell_changed_tokens_and_the_tail_of_models_left_out() -> None:
    found = relations()
    assert all(r.median < 1.5 and r.models >= 5 for r in found.values())


def test_a_factor_is_nearer_than_none_on_models_left_out() -> None:
    rows = [r for r in quantiser_table() if r[1] == "int4-w4a16" and r[5] == "yes"]
    assert len(rows) >= 3
    assert all(float(off) < float(plain) for *_, off, plain in rows)
