"""Rows of published tables whose load is a rate, replayed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest

from planner.lab.validation import e2e_published, open_rates
from planner.lab.validation.open_rates import FACTORS, RateRun, at_factor, factor_of_others
from planner.lab.validation.open_runs import OPEN, OpenServer, OpenStage, replayed_stage
from planner.lab.validation.parallelism import Shape
from planner.lab.validation.records import Outcome
from planner.lab.validation.served import Deployed
from planner.planning.price.recipe import SchemeSet
from planner.planning.replay.deployment import Replayed
from planner.planning.replay.runs import Routing, Runs, served, three_runs
from planner.requests.stream import RequestStream
from planner.throughput.engine_policy import host_class

ROW = {
    "device": "RTX 5090",
    "n_devices": "1",
    "software": "vLLM 0.12.0",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "w_dtype": "bf16",
    "a_dtype": "bf16",
    "kv_dtype": "auto",
    "parallelism": "TP1",
    "batch_or_concurrency": "rate 4.0/s",
    "isl": "202.5",
    "osl": "211.4",
    "note": "Poisson arrivals, 100 requests; server log: max_num_seqs 64, max_model_len 65536",
    "unit": "ms",
}
FIGURES = {"ttft_mean": 39.0, "tpot_mean": 12.8, "tpot_median": 12.4, "ttft_p99": 92.0}


def rows_of(
    changes: Mapping[str, str] | None = None, figures: Mapping[str, float] = FIGURES
) -> list[dict[str, str]]:
    row = ROW | (changes or {})
    return [row | {"metric": name, "value": str(value)} for name, value in figures.items()]


def by_metric(rows: list[dict[str, str]]) -> dict[str, Outcome]:
    found = e2e_published.predict_rows("e2e_x", rows)
    assert [o.row for o in found] == list(range(len(rows)))
    return {row["metric"]: outcome for row, outcome in zip(rows, found, strict=True)}


def run_of(model: str, tpot: float | None, device: str = "rtx-5090") -> RateRun:
    case = Deployed(
        model,
        device,
        "vllm",
        (),
        SchemeSet("bf16", "bf16", "bf16"),
        Shape(1, 1, 1, 0, 0),
        200,
        60,
        chunk=2048,
        version_text="0.12.0",
    )
    return RateRun(OpenStage(OpenServer(case, 32, 2048, 4096), 4.0, 10.0, 200, 60, 0.0), tpot)


def test_means_of_a_rate_are_predicted_and_nothing_else_is() -> None:
    found = by_metric(rows_of())
    for name in ("ttft_mean", "tpot_mean"):
        outcome = found[name]
        assert outcome.predicted is not None
        assert outcome.low < outcome.predicted < outcome.high
        assert (outcome.device, outcome.model) == ("rtx-5090", "llama-3.1-8b")
        assert (outcome.quantity, outcome.regime) == ("mean", OPEN)
        assert abs(outcome.error_percent) < 50
    assert found["ttft_mean"].measured == 0.039
    for name in ("tpot_median", "ttft_p99"):
        assert found[name].reason == "quantity not predicted"


def test_other_loads_of_a_table_are_read_as_before() -> None:
    closed = rows_of({"batch_or_concurrency": "4"}, {"tpot_mean": 12.0})
    mixed = e2e_published.predict_rows("e2e_x", rows_of() + closed)
    alone = e2e_published.predict_rows("e2e_x", closed)
    assert replace(mixed[-1], row=0) == alone[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"note": ""}, "setting not stated"),
        ({"parallelism": ""}, "setting not stated"),
        ({"batch_or_concurrency": "rate 0/s"}, "malformed row"),
        ({"isl": "x"}, "malformed row"),
        ({"model": "nobody"}, "unknown model"),
        ({"device": "../x"}, "unknown device"),
    ],
)
def test_rows_that_cannot_be_read_have_a_reason(changes: dict[str, str], reason: str) -> None:
    assert by_metric(rows_of(changes))["ttft_mean"].reason == reason


def test_a_class_of_hosts_is_read_off_other_models_of_the_class() -> None:
    def tpot(run: RateRun, factor: float) -> float:
        stream = run.stage.stream()
        found = served(at_factor(replayed_stage(run.stage), run, factor), stream, Routing())
        return float(((found.last_seconds - found.first_seconds) / 59).mean())

    mine = run_of("llama-3.1-8b", 1.0)
    for factor in FACTORS:
        other = run_of("qwen3-4b", None)
        other = replace(other, tpot=tpot(other, factor))
        server = run_of("qwen3-4b", 1.0, "h100-sxm")
        assert factor_of_others(mine, [mine, other, server]) == factor
    assert factor_of_others(mine, [mine, run_of("qwen3-4b", None)]) is None


@pytest.mark.parametrize(("other_ms", "factor"), [(0.1, 0.0), (900.0, 1.0)])
def test_a_row_is_predicted_with_the_class_that_other_models_show(
    other_ms: float, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with as many requests as its table says, at its rate."""
    seen: list[tuple[float, RequestStream]] = []

    def spied(where: Replayed, stream: RequestStream, how: Routing) -> Runs:
        seen.append((where.policy.handling_seconds, stream))
        return three_runs(where, stream, how)

    monkeypatch.setattr(open_rates, "three_runs", spied)
    mean = {"tpot_mean": 12.8}
    other = rows_of({"model": "Qwen/Qwen3-4B"}, {"tpot_mean": other_ms})
    (alone,) = e2e_published.predict_rows("e2e_x", rows_of(figures=mean))
    found, _ = e2e_published.predict_rows("e2e_x", rows_of(figures=mean) + other)
    assert alone.predicted is not None
    assert found.predicted is not None
    assert (found.predicted > alone.predicted) == (factor == 1.0)
    own, shown = seen[0][0], seen[1][0]
    assert shown == pytest.approx(own * factor / host_class("rtx-5090").factor)
    for _, stream in seen:
        assert len(stream) == 100
        assert stream.arrival_seconds[-1] == pytest.approx(25.0, rel=0.3)


def test_a_slower_host_makes_every_time_longer() -> None:
    run = run_of("llama-3.1-8b", None)
    where = replayed_stage(run.stage)
    own = host_class("rtx-5090").factor
    assert at_factor(where, run, own) == where
    twice = at_factor(where, run, 2 * own).policy
    for name in ("host_seconds", "handling_seconds", "prompt_floor_seconds"):
        assert getattr(twice, name) == 2 * getattr(where.policy, name)
        assert math.isfinite(getattr(twice, name))
    assert twice.handling_seconds > 0
