"""Headlines: each figure without and with what is excluded, and how intervals cover."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.lab.validation.grouping import covered, headlines
from planner.lab.validation.records import Outcome

ROW = Outcome(
    "op_gemm",
    0,
    "latency",
    "h100-sxm",
    "trtllm 1.0",
    "",
    "bf16",
    "held-out",
    measured=100.0,
    predicted=110.0,
    low=90.0,
    high=130.0,
)
SERVED = replace(
    ROW,
    table="e2e_silicon_shared",
    metric="tpot",
    model="llama-3.1-8b",
    regime="aggregated",
    mode="agg",
)


def test_an_excluded_row_counts_beside_the_headline_only() -> None:
    off = replace(ROW, predicted=200.0, regime="excluded: another path")
    (found,) = headlines([ROW, off])
    assert found.what == "GEMM, bf16"
    assert (found.without.n, found.together.n) == (1, 2)
    assert found.without.mape == pytest.approx(10.0)
    assert found.together.mape == pytest.approx(55.0)


def test_fitted_rows_and_rows_without_a_prediction_are_no_headline() -> None:
    assert headlines([replace(ROW, regime="fitted"), replace(ROW, predicted=None)]) == ()


def test_a_second_prediction_of_a_row_is_no_exclusion() -> None:
    again = replace(SERVED, predicted=900.0, regime="excluded: host time left out")
    (found,) = headlines([SERVED, again])
    assert found.together.n == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({}, "TPOT, dense, one pool"),
        ({"metric": "ttft"}, "TTFT, dense, one pool"),
        ({"mode": "disagg"}, "TPOT, dense, two pools"),
        ({"model": "deepseek-v3"}, "TPOT, experts, one pool"),
        ({"table": "e2e_silicon_shared_2"}, "TPOT, dense, one pool"),
        ({"table": "op_moe_2", "regime": "held-out"}, "experts"),
        ({"table": "op_moe_a2a", "regime": "held-out"}, "exchange"),
        ({"table": "op_gemm_2", "regime": "held-out", "format": "nvfp4"}, "GEMM, nvfp4"),
    ],
)
def test_what_a_row_belongs_to(change: dict[str, str], what: str) -> None:
    assert [h.what for h in headlines([replace(SERVED, **change)])] == [what]  # type: ignore[arg-type]


def test_coverage_counts_groups_inside_the_band_and_leaves_small_ones_out() -> None:
    outside = replace(SERVED, high=105.0, low=104.0)
    inside = [SERVED] * 8 + [outside] * 2
    always = [replace(SERVED, model="qwen3-8b")] * 10
    few = [replace(SERVED, model="deepseek-v3")] * 9
    (found,) = covered([*inside, *always, *few])
    assert (found.groups, found.inside) == (2, 1)
