"""The page of measured streams of requests, replayed."""

from __future__ import annotations

from typing import Any

import pytest
from lab.validation.test_open_arrivals import STAGE, rows_of
from lab.validation.test_open_rates import rows_of as published

import planner
from evaluation.open_arrivals import (
    Score,
    Scored,
    by,
    keeps_up,
    page,
    rivals,
    scored_rates,
    scored_stages,
)
from planner.lab.validation.e2e_open import stage_rows
from planner.lab.validation.open_runs import replay_of_stage
from planner.lab.validation.records import Outcome


def scored(predicted: float, *, kept_up: bool = True, **changes: Any) -> Scored:
    given: dict[str, Any] = {"metric": "ttft", "quantity": "mean", "low": 0.9}
    given["high"] = 1.2 if predicted > 0.7 else 0.95
    outcome = Outcome(
        table="t",
        row=0,
        device="d",
        model="m",
        software="",
        format="",
        regime="",
        measured=1.0,
        predicted=predicted,
        **(given | changes),
    )
    return Scored(outcome, "run", kept_up)


def test_a_score_has_its_sign_and_its_interval() -> None:
    low = Score.of([scored(0.8), scored(0.9), scored(1.05, low=1.01)])
    assert low.n == 3
    assert low.median_ape == pytest.approx(10.0)
    assert low.signed == pytest.approx(-10.0)
    assert low.inside == pytest.approx(200 / 3)


def test_figures_are_in_one_order() -> None:
    rows = [scored(1.1), scored(1.2, metric="itl"), scored(1.3, quantity="p90")]
    assert [line[1] for line in by(rows, lambda _: "")] == ["ITL mean", "TTFT mean", "TTFT p90"]


def test_the_page_keeps_those_apart_that_do_not_keep_up() -> None:
    text = page([scored(1.1), scored(0.5, kept_up=False)], [])
    assert "| TTFT mean | 20 | 1 | 10.0 | +10.0 | 100 | 1 | 50.0 | -50.0 | 0 |" in text
    assert "| TTFT mean | 20 | 1 | 10.0 | +10.0 | 100 | – | – | – | – |" in page([scored(1.1)], [])
    for rival in rivals():
        assert rival["simulator"] in text
        assert rival["source"].startswith(("https://", "comparison recorded"))


def test_a_stage_keeps_up_by_what_was_measured() -> None:
    figures = {
        "requested_rate": 5.0,
        "throughput_requests_per_sec": 4.9,
        "prompt_len_mean": 590.0,
        "ttft_mean": 25.0,
        "tpot_mean": 3.6,
        "e2e_mean": 1810.0,
    }
    assert {row.kept_up for row in scored_stages(rows_of(figures=figures))} == {True}
    slow = figures | {"throughput_requests_per_sec": 4.0}
    assert {row.kept_up for row in scored_stages(rows_of(figures=slow))} == {False}


def test_runs_at_a_rate_keep_up_where_first_tokens_come_soon() -> None:
    slow = published({"batch_or_concurrency": "rate 9.0/s"}, {"ttft_mean": 9000.0})
    rows = [row | {"run_id": "a"} for row in published()] + [row | {"run_id": "b"} for row in slow]
    found = scored_rates(rows)
    assert [(row.run, row.kept_up) for row in found] == [("a", True), ("a", True), ("b", False)]
    text = page([], [], found)
    assert "| rtx-5090 | TTFT mean | 1 |" in text
    assert text.count("| a |") == 2
    assert text.count("| b |") == 1


def test_requests_keep_up_where_they_leave_as_they_come() -> None:
    def rows(each: float) -> list[dict[str, str]]:
        return [{"arrival_s": str(float(i)), "e2e_ms": str(1e3 * (2 + each * i))} for i in range(9)]

    assert keeps_up(rows(0.0))
    assert not keeps_up(rows(0.5))


def test_stages_are_what_replay_answers() -> None:
    """One law: flags ask the same question, with the engine's own rule for its host."""
    (row,) = stage_rows(rows_of()).values()
    assert not isinstance(row, str)
    stream, runs = replay_of_stage(row.stage, None)
    answer = planner.replay(
        "llama-2-7b",
        "h100-sxm",
        rate=row.stage.rate,
        count=len(stream),
        isl=row.stage.isl,
        osl=row.stage.osl,
        prefix_hit_rate=row.stage.hits,
        context=int(STAGE["max_model_len"]),
        slots_max=int(STAGE["max_num_seqs"]),
        chunk_tokens=int(STAGE["max_num_batched_tokens"]),
        scheme="bf16",
        kv="bf16",
        engine="vllm@0.15.1",
        devices=1,
        tp=1,
    ).replay
    e2e = answer.percentiles.e2e_seconds.mean
    for end, run in zip((e2e.value, e2e.low, e2e.high), runs.every, strict=True):
        assert end == pytest.approx(
            float((run.last_seconds - stream.arrival_seconds).mean()), rel=1e-6
        )
