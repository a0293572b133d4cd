"""Errors by class of layout and range of requests in flight."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.lab.validation.records import Outcome
from planner.lab.validation.served_kinds import by_kind
from planner.report.render.terminal import text_of_view
from planner.report.view.validate import validate_view

ROW = Outcome(
    "e2e_silicon_shared",
    0,
    "tpot",
    "h100-sxm",
    "vllm 0.16.0",
    "llama-3.1-8b",
    "bf16",
    "aggregated",
    measured=100.0,
    predicted=110.0,
    low=105.0,
    high=130.0,
    layout_class="tp",
    concurrency_range="9-32",
)


def test_rows_count_once_in_their_class_and_once_in_their_range() -> None:
    wide = replace(ROW, predicted=80.0, low=70.0, concurrency_range=">256")
    found = {(k.by, k.value): k for k in by_kind([ROW, wide])}
    assert list(found) == [
        ("layout_class", "tp"),
        ("concurrency_range", "9-32"),
        ("concurrency_range", ">256"),
    ]
    both = found["layout_class", "tp"]
    assert (both.n, both.coverage80) == (2, 50.0)
    assert (both.median_ape, both.mape, both.bias) == pytest.approx((15.0, 15.0, -5.0))
    assert found["concurrency_range", ">256"].bias == pytest.approx(-20.0)


@pytest.mark.parametrize(
    "change",
    [
        {"regime": "excluded: suspect"},
        {"predicted": None},
        {"layout_class": "", "concurrency_range": ""},
        {"metric": "latency"},
    ],
)
def test_rows_of_no_kind(change: dict[str, str]) -> None:
    assert by_kind([replace(ROW, **change)]) == ()  # type: ignore[arg-type]


def test_the_terminal_shows_both_tables() -> None:
    kinds = [k.to_dict() for k in by_kind([ROW])]
    text = text_of_view(validate_view([], kinds, [], [], [], "en"))
    assert "by class of layout" in text
    assert "by requests in flight" in text
    assert "tpot, tp    1  10.00 10.00 +10.00    0" in text
