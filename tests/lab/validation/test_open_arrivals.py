"""Measured streams of requests, replayed: stages of inference-perf and single requests."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from planner.lab.validation import e2e_open
from planner.lab.validation.e2e_open import handling_of_others, stage_rows
from planner.lab.validation.open_runs import OPEN, OVERLOADED, first_tokens
from planner.lab.validation.records import Outcome

FIGURES = {
    "requested_rate": 5.0,
    "prompt_len_mean": 590.0,
    "ttft_mean": 25.0,
    "ttft_p90": 28.4,
    "tpot_mean": 3.6,
    "e2e_mean": 1810.0,
    "itl_mean": 3.6,
    "itl_p90": 7.6,
}
STAGE = {
    "device": "H100 SXM",
    "engine": "vLLM (2026-02, version not in the files read)",
    "model": "meta-llama/Llama-2-7b-hf",
    "dtype": "fp16/bf16",
    "tp": "1",
    "max_num_batched_tokens": "2048",
    "max_num_seqs": "128",
    "max_model_len": "4096",
    "experiment": "e",
    "stage": "stage_0",
    "shared_prefix": json.dumps({"output_len": 247}),
    "stages": json.dumps([{"duration": 60, "rate": 5}]),
}
REQUEST = {
    "device": "RTXPRO6000",
    "model": "meta-llama/Llama-3.1-8B",
    "parallelism": "TP1 DP1",
    "input_tokens": "1000",
    "output_tokens": "100",
}


def rows_of(
    row: Mapping[str, str] = STAGE, figures: Mapping[str, float] = FIGURES
) -> list[dict[str, str]]:
    return [dict(row, metric=name, value=str(value)) for name, value in figures.items()]


def by_metric(rows: list[dict[str, str]]) -> dict[str, Outcome]:
    found = e2e_open.predict_rows("open_loop_x", rows)
    return {row["metric"]: outcome for row, outcome in zip(rows, found, strict=True)}


def test_a_stage_is_predicted_in_seconds_a_token() -> None:
    found = by_metric(rows_of())
    assert found["requested_rate"].reason == "quantity not predicted"
    assert found["itl_p90"].reason == "quantity not predicted"
    each, first, request = (found[name] for name in ("tpot_mean", "ttft_mean", "e2e_mean"))
    # Two events a token: (1810 - 25) ms over 246 tokens.
    assert each.measured == pytest.approx(1.785 / 246)
    assert first.measured == 0.025
    for outcome in (each, first, request, found["ttft_p90"]):
        assert outcome.regime == OPEN
        assert outcome.predicted is not None
        assert outcome.low < outcome.predicted < outcome.high
        assert outcome.device == "h100-sxm"
        assert outcome.quantity in ("mean", "p90")
    assert request.predicted == pytest.approx(first.predicted + 246 * each.predicted, rel=1e-6)
    assert found["ttft_p90"].predicted > first.predicted
    assert abs(request.error_percent) < 15
    # All answers have one length, so that every token weighs as much in both.
    assert found["itl_mean"].measured == each.measured
    assert found["itl_mean"].predicted == pytest.approx(each.predicted, rel=0.01)


def test_more_than_is_served_is_told_apart_and_given_up_by_the_client() -> None:
    long = STAGE | {
        "shared_prefix": json.dumps({"output_len": 1448}),
        "stages": json.dumps([{"duration": 700, "rate": 5}]),
    }
    found = by_metric(rows_of(long, FIGURES | {"prompt_len_mean": 1082.0}))
    request = found["e2e_mean"]
    assert request.regime == OVERLOADED
    assert request.predicted is not None
    assert 60 < request.predicted < e2e_open.PATIENCE


def test_the_hosts_handling_is_read_off_other_models() -> None:
    other = STAGE | {"model": "codellama/CodeLlama-34b-Instruct-hf", "tp": "2", "experiment": "f"}
    rows = rows_of() + rows_of(other, FIGURES | {"ttft_mean": 46.0})
    stages = stage_rows(rows)
    mine, theirs = stages["e", "stage_0"], stages["f", "stage_0"]
    assert not isinstance(mine, str)
    assert not isinstance(theirs, str)
    assert handling_of_others(mine, [mine]) is None
    plain = first_tokens(theirs.stage)
    assert plain is not None
    assert handling_of_others(mine, [mine, theirs]) == pytest.approx(0.046 - plain)
    # So what was measured of a model itself does not move its prediction.
    before = by_metric(rows)
    moved = by_metric(rows_of(STAGE, FIGURES | {"ttft_mean": 99.0}) + rows[len(FIGURES) :])
    assert before.keys() == moved.keys()
    first = e2e_open.predict_rows("t", rows)[2].predicted
    again = e2e_open.predict_rows(
        "t", rows_of(STAGE, FIGURES | {"ttft_mean": 99.0}) + rows[len(FIGURES) :]
    )
    assert again[2].predicted == first


def test_experts_keep_the_rule_of_their_engine() -> None:
    experts = STAGE | {"model": "mistralai/Mixtral-8x7B-v0.1", "tp": "2"}
    stages = stage_rows(rows_of(experts))
    (one,) = stages.values()
    assert not isinstance(one, str)
    assert handling_of_others(one, [one]) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "nobody"}, "unknown model"),
        ({"device": "../../etc/passwd"}, "unknown device"),
        ({"engine": "nothing 1.0"}, "unknown engine"),
        ({"stages": "[]"}, "malformed row"),
        ({"stages": "["}, "malformed row"),
        ({"stage": "summary"}, "quantity not predicted"),
        ({"stage": "stage_9"}, "malformed row"),
        ({"tp": "0"}, "malformed row"),
        ({"tp": "3"}, "not legal"),
        ({"max_num_seqs": "x"}, "malformed row"),
        ({"shared_prefix": "{}"}, "malformed row"),
    ],
)
def test_rows_that_cannot_be_read_have_a_reason(changes: dict[str, str], reason: str) -> None:
    found = by_metric(rows_of(STAGE | changes))
    assert found["ttft_mean"].reason == reason
    assert found["itl_p90"].reason == "quantity not predicted"


def test_means_without_their_requests_have_no_prediction() -> None:
    row = {k: v for k, v in STAGE.items() if k not in ("experiment", "stage", "stages")}
    found = by_metric(rows_of(row))
    assert found["ttft_mean"].reason == "setting not stated"
    assert found["itl_p90"].reason == "quantity not predicted"


def test_requests_are_predicted_one_by_one_and_together() -> None:
    rows = [
        REQUEST
        | {
            "request": f"bench-{i}",
            "arrival_s": str(0.2 * i),
            "ttft_ms": "100",
            "tpot_ms": "15",
            "e2e_ms": "1600",
        }
        for i in range(30)
    ]
    found = e2e_open.predict_rows("open_loop_requests", rows)
    each = [o for o in found if o.quantity == "each request"]
    together = {(o.metric, o.quantity): o for o in found if o.quantity != "each request"}
    assert len(each) == 90
    assert len(together) == 9
    assert {o.row for o in together.values()} == {0}
    mean = together["ttft", "mean"].predicted
    singles = [o.predicted for o in each if o.metric == "ttft"]
    assert mean == pytest.approx(sum(p for p in singles if p is not None) / 30)
    assert all(o.device == "rtx-pro-6000" for o in found)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model": "nobody"}, "unknown model"),
        ({"device": "x"}, "unknown device"),
        ({"parallelism": "?"}, "malformed row"),
        ({"input_tokens": "0"}, "malformed row"),
        ({"ttft_ms": "nan"}, "malformed row"),
    ],
)
def test_requests_that_cannot_be_read(changes: dict[str, str], reason: str) -> None:
    row = REQUEST | {
        "request": "a",
        "arrival_s": "0.0",
        "ttft_ms": "1",
        "tpot_ms": "1",
        "e2e_ms": "1",
    }
    assert {o.reason for o in e2e_open.predict_rows("t", [row | changes])} == {reason}
