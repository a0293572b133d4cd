"""Rows that a verification wrote, and rows that pretend to be such."""

import pytest

from planner.lab.validation.e2e_verify import predict_rows, types_of
from planner.lab.validation.records import NotCoveredError

ROW = {
    "device": "xeon-6980p",
    "software": "llama.cpp b1",
    "engine": "llama.cpp",
    "model": "qwen2.5-0.5b",
    "subject": "plan",
    "quantity": "decode_seconds",
    "measured": "0.02",
    "predicted": "0.018",
    "low": "0.01",
    "high": "0.03",
    "basis": "fitted",
}


def test_a_row_is_told_as_it_was_predicted() -> None:
    (found,) = predict_rows("t", [ROW])
    assert (found.low, found.predicted, found.high, found.reason) == (0.01, 0.018, 0.03, "")


@pytest.mark.parametrize(
    "changed",
    [
        {"low": "0.019"},
        {"high": "0.017"},
        {"predicted": "32"},
        {"low": "0.03", "high": "0.01"},
        {"low": "-1"},
        {"high": "inf"},
        {"measured": "0"},
    ],
)
def test_an_interval_without_its_value_is_no_row(changed: dict[str, str]) -> None:
    (found,) = predict_rows("t", [ROW | changed])
    assert (found.predicted, found.reason) == (None, "malformed row")


def test_types_of_tensors() -> None:
    assert types_of("attn_q Q5_0 0-1,4; token_embd Q8_0") == {
        "blk.0.attn_q.weight": "Q5_0",
        "blk.1.attn_q.weight": "Q5_0",
        "blk.4.attn_q.weight": "Q5_0",
        "token_embd.weight": "Q8_0",
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        ";",
        "attn_q",
        "attn_q Q5_0 x",
        "attn_q Q5_0 3-1",
        "attn_q Q5_0 " + "0-4095," * 17 + "1",
        "; ".join(["attn_q Q5_0 0-4095"] * 17),
    ],
    ids=["empty", "nothing", "a name", "no layer", "backwards", "again", "parts again"],
)
def test_types_that_are_none(text: str) -> None:
    with pytest.raises(NotCoveredError) as told:
        types_of(text)
    assert told.value.reason == "unknown format"
