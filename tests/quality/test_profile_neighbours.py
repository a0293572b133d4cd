"""Published rows beside a prediction: sourced, nearest first; the prior's ranks against them."""

import pytest

from planner.formats.kv import kv_layout
from planner.formats.schemes import scheme
from planner.quality.neighbours import Measured, measured_rows, nearest
from planner.quality.prior import load_prior
from planner.quality.prior_check import agreements


def test_every_row_has_a_source_a_scheme_and_a_sign() -> None:
    rows = measured_rows()
    assert len(rows) > 100
    for row in rows:
        assert row.source
        assert scheme(row.scheme).id == row.scheme
        assert scheme(row.baseline_scheme).id == row.baseline_scheme
        assert kv_layout(row.kv_layout).id == row.kv_layout
        if row.baseline and row.value and row.metric != "MMLU loss %":
            change = float(row.value) - float(row.baseline)
            assert row.delta == pytest.approx(change, abs=2e-3), row


def test_the_same_model_comes_first_then_its_family() -> None:
    same = nearest("qwen3-8b", ["nvfp4"], [])
    assert same[0].model == "Qwen3-8B"
    family = nearest("llama-3.1-70b", ["nvfp4"], [])
    assert "llama" in family[0].model.lower()
    assert nearest("qwen3-8b", ["bf16"], ["bf16"]) == ()


def test_caches_have_rows_of_their_own() -> None:
    found = nearest("qwen3-8b", ["bf16"], ["nvfp4"])
    assert found[0].scheme == "bf16"
    assert found[0].kv_layout == "nvfp4"
    assert "KV nvfp4" in found[0].text


def test_the_prior_orders_formats_as_published_measurements_do() -> None:
    found = agreements(load_prior())
    assert len(found) >= 10
    assert sum(a.rho for a in found) / len(found) > 0.7
    assert sum(a.pairs_right for a in found) >= 0.8 * sum(a.pairs for a in found)


def test_an_order_against_the_prior_is_seen() -> None:
    rows = [Measured("m", s, "bf16", "MMLU", "%", "bf16", "", "", d, "", "x")
            for s, d in (("nvfp4", -0.1), ("fp8-block", -5.0), ("mxfp4", 0.0))]
    [found] = agreements(load_prior(), rows)
    assert found.rho < 0
    assert found.schemes == ("fp8-block", "nvfp4", "mxfp4")
