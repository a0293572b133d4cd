"""Runs at a rate are answered by a replay of their requests."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.lab.learning import open_runs
from planner.lab.learning.ask import ServedSubject, explaining, factors, predicted, tells
from planner.lab.learning.disturbed import disturbances, standard_error
from planner.lab.learning.open_runs import _deviation, _wider, sent_seconds, streams_of
from planner.lab.learning.results.run import MeasuredRun, MeasuredTime, RequestRecords
from planner.planning.plan.record import Estimate
from planner.planning.question.input import QuestionInput
from planner.planning.replay.deployment import Replayed
from planner.planning.replay.runs import Routing, Runs, three_runs
from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.rules import SchedulerRules
from planner.scheduler.served import ServedRequests
from tests.lab.learning.results.samples import VLLM

MODEL, DEVICE, ENGINE = "llama-3.1-8b", "h100-sxm", "vllm@0.11"
RUN = MeasuredRun("bench", "file", isl=512, osl=64, rate=4.0, completed=120)


@pytest.fixture(scope="module")
def subject() -> ServedSubject:
    inputs = QuestionInput(
        model=planner.load_model(MODEL),
        device=planner.load_device(DEVICE),
        engine=ENGINE,
        kv="bf16",
        devices=1,
        tp=1,
        no_learned=True,
    )
    return ServedSubject(inputs, ENGINE, None)


def requests_every(count: int, gap: float) -> RequestRecords:
    return RequestRecords((512,) * count, (64,) * count, tuple(i * gap for i in range(count)))


def test_the_replay_of_its_requests_answers_a_run(subject: ServedSubject) -> None:
    run = replace(RUN, records=requests_every(120, 0.25))
    stream = streams_of(run, 512, 64)[0]
    found = predicted(run, subject)
    answer = planner.replay(
        MODEL, DEVICE, trace=stream, engine=ENGINE, tp=1, devices=1, kv="bf16", no_learned=True
    )
    percentiles = answer.replay.percentiles
    assert found.tpot == percentiles.tpot_seconds.mean
    assert found.ttft == percentiles.ttft_seconds.mean
    assert found.e2e == percentiles.e2e_seconds.mean
    assert found.output_rate == answer.replay.output_tokens_per_second
    for name, spread in (("ttft", found.ttft_load), ("tpot", found.tpot_load)):
        column = answer.requests.columns[f"{name}_seconds"]
        assert spread == found.load(name) == pytest.approx(column.std() / column.mean())


def test_the_server_is_that_of_the_run(
    subject: ServedSubject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limits, the client's where that is less, and room for its longest request."""
    seen: list[SchedulerRules] = []

    def spied(where: Replayed, stream: RequestStream, how: Routing) -> Runs:
        seen.append(where.rules)
        return three_runs(where, stream, how)

    monkeypatch.setattr(open_runs, "three_runs", spied)
    two = RequestRecords((512, 6000), (64, 70), (0.0, 1.0))
    run = replace(RUN, records=two, max_sequences=3, chunk_tokens=1024)
    for asked in (run, replace(run, concurrency=9.0), replace(run, concurrency=2.0)):
        predicted(asked, subject)
    used = dict.fromkeys(rules.max_sequences for rules in seen)
    assert list(used) == [3, 2]
    assert {rules.token_budget for rules in seen} == {1024}
    assert {rules.context for rules in seen} == {6070}


def test_arrivals_are_those_of_the_run() -> None:
    streams = streams_of(replace(RUN, arrivals="constant"), 512, 64)
    assert np.diff(streams[0].arrival_seconds) == pytest.approx(0.25)
    drawn = streams_of(replace(RUN, stretched=True), 512, 64)
    assert len(drawn) > 1
    assert [s.arrival_seconds[-1] for s in drawn] == pytest.approx([30.0] * len(drawn))
    assert not np.array_equal(drawn[0].arrival_seconds, drawn[1].arrival_seconds)
    clustered = streams_of(replace(RUN, arrivals="gamma:3", completed=4000), 512, 64)[0]
    gaps = np.diff(clustered.arrival_seconds)
    assert gaps.std() / gaps.mean() == pytest.approx(3, rel=0.2)
    sent = streams_of(replace(RUN, records=requests_every(7, 2.0)), 1, 1)
    assert [list(s.arrival_seconds) for s in sent] == [[0, 2, 4, 6, 8, 10, 12]]
    assert list(sent[0].input_tokens) == [512] * 7


def test_requests_behind_a_limit_are_not_sent_by_the_clock_of_the_file() -> None:
    run = replace(RUN, records=requests_every(7, 2.0), concurrency=4)
    assert streams_of(run, 1, 1)[0].arrival_seconds[1] != 2.0


def served(ends: list[float]) -> ServedRequests:
    none = np.zeros(len(ends))
    counts = np.zeros(len(ends), dtype=np.int64)
    return ServedRequests(
        none,
        np.array(ends),
        none,
        counts,
        counts,
        np.zeros(len(ends), dtype=bool),
        counts,
        *(np.zeros(0) for _ in range(2)),
        *(np.zeros(0, dtype=np.int64) for _ in range(2)),
        np.zeros(0),
        np.zeros(0, dtype=np.int64),
        complete=True,
    )


@given(
    st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 5)), min_size=1, max_size=30),
    st.integers(1, 5),
)
def test_a_client_has_no_more_in_flight_than_it_may(
    rows: list[tuple[float, float]], most: int
) -> None:
    came = np.cumsum([gap for gap, _ in rows])
    free: list[float] = [0.0] * most
    sent, ends = [], []
    for at, lasts in zip(came, (row[1] for row in rows), strict=True):
        free.sort()
        sent.append(max(float(at), free[0]))
        free[0] = sent[-1] + lasts
        ends.append(free[0])
    ones = np.ones(len(came), dtype=np.int64)
    stream = plain_stream(came, ones, ones)
    assert sent_seconds(stream, served(ends), most) == pytest.approx(np.array(sent))
    assert np.array_equal(sent_seconds(stream, served(ends), None), came)


def test_a_rejected_request_leaves_at_once() -> None:
    ones = np.ones(4, dtype=np.int64)
    stream = plain_stream(np.arange(4.0), ones, ones)
    sent = sent_seconds(stream, served([5.0, np.nan, 6.0, 7.0]), 2)
    assert sent.tolist() == [0.0, 1.0, 2.0, 5.0]


def test_an_interval_holds_its_own_errors_and_those_of_the_draw() -> None:
    """Both as logarithms, which add as squares; 1.2816 deviations reach the end of 80 %."""
    apart = _deviation([1.0, math.exp(0.3), math.exp(0.6)])
    assert apart == pytest.approx(0.3)
    assert _deviation([2.0]) == 0.0
    sure = Estimate(2.0, 2.0 * math.exp(-0.3), 2.0 * math.exp(0.4), "fitted")
    assert _wider(sure, 0.0) == sure
    wide = _wider(sure, apart)
    assert (wide.value, wide.basis) == (2.0, "fitted")
    assert math.log(2.0 / wide.low) == pytest.approx(math.hypot(0.3, 1.2816 * 0.3), rel=1e-4)
    assert math.log(wide.high / 2.0) == pytest.approx(math.hypot(0.4, 1.2816 * 0.3), rel=1e-4)


def test_waiting_at_the_client_is_not_its_first_token(subject: ServedSubject) -> None:
    fast = replace(RUN, rate=40.0)
    free, limited = (predicted(replace(fast, concurrency=n), subject) for n in (None, 4.0))
    assert limited.in_flight > 4.0  # those that wait at the client too
    assert limited.ttft.value < 0.7 * free.ttft.value
    assert limited.tpot.value < free.tpot.value


def test_draws_widen_the_interval_and_end_what_is_learned(subject: ServedSubject) -> None:
    drawn = predicted(RUN, subject)
    known = predicted(replace(RUN, records=requests_every(120, 0.25)), subject)
    assert drawn.ttft_draws > known.ttft_draws == known.tpot_draws == 0
    assert (drawn.draws("ttft"), drawn.draws("tpot")) == (drawn.ttft_draws, drawn.tpot_draws)
    means: dict[str, list[float]] = {"ttft": [], "tpot": []}
    for stream in streams_of(RUN, 512, 64):
        times = planner.replay(
            MODEL, DEVICE, trace=stream, engine=ENGINE, tp=1, devices=1, kv="bf16", no_learned=True
        ).replay.percentiles
        means["ttft"].append(times.ttft_seconds.mean.value)
        means["tpot"].append(times.tpot_seconds.mean.value)
    for name, of_draws in means.items():
        assert drawn.draws(name) == pytest.approx(np.log(of_draws).std(ddof=1))
    measured = MeasuredTime(0.03, 0.01, 120)
    assert tells(replace(RUN, ttft=measured), known, "ttft")
    assert not tells(RUN, known, "ttft")
    assert not tells(replace(RUN, ttft=measured), replace(drawn, ttft_draws=0.2), "ttft")


@pytest.mark.parametrize("rate", [4.0, 30.0])
def test_factors_give_what_was_measured(subject: ServedSubject, rate: float) -> None:
    """What is read off a run is what made it, waits and all."""
    run = replace(RUN, rate=rate, records=requests_every(120, 1 / rate))
    made = predicted(run, subject, factors(1.3, 0.8))
    run = replace(
        run,
        tpot=MeasuredTime(made.tpot.value, 0.001, 120),
        ttft=MeasuredTime(made.ttft.value, 0.001, 120),
    )
    assert explaining(run, subject, predicted(run, subject)) == pytest.approx((1.3, 0.8), rel=0.02)


def test_a_kept_rate_says_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))

    def result(name: str, **change: Any) -> Path:
        told = {"request_rate": 4.0, "max_concurrency": None, "std_ttft_ms": 30.0}
        path = tmp_path / name
        path.write_text(json.dumps(VLLM | told | change))
        return path

    given: dict[str, Any] = {"device": DEVICE, "engine": ENGINE}
    first = result("first.json", mean_tpot_ms=13.0, mean_ttft_ms=70.0)
    (run,) = planner.learn([first], **given).runs
    assert run.kept
    assert run.learned is not None
    assert run.learned.steps is not None
    assert run.learned.prompts is not None
    assert [t.quantity for t in run.times] == [
        "tpot_seconds",
        "ttft_seconds",
        "output_tokens_per_second",
    ]
    assert all(t.low is not None for t in run.times)
    second = result("second.json", request_rate=6.0, mean_tpot_ms=14.0, mean_ttft_ms=75.0)
    (run,) = planner.learn([second], keep_runs=False, **given).runs
    tpot = run.times[0]
    assert tpot.learned is not None
    assert tpot.learned > 1.15 * tpot.predicted


def test_the_spread_that_a_load_makes_is_no_disturbance(subject: ServedSubject) -> None:
    run = replace(RUN, rate=30.0, records=requests_every(120, 1 / 30))
    forecast = predicted(run, subject)
    load = forecast.ttft_load
    assert load > 0.05
    mean = forecast.ttft.value
    as_loaded = MeasuredTime(mean, load * mean, 120)
    assert disturbances(replace(run, ttft=as_loaded), forecast) == ()
    assert disturbances(replace(run, ttft=replace(as_loaded, deviation=3 * mean)), forecast)
    assert standard_error(as_loaded) > standard_error(as_loaded, load) == pytest.approx(0)
