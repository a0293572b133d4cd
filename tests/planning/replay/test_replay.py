"""``planner.replay``: a stream through the scheduler of a deployment's engine."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import planner
from planner.base.errors import InputError
from planner.planning.replay.record import METRICS, ReplayAnswer
from planner.requests.stream import plain_stream

ASKED: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "engine": "vllm@0.15.1",
    "devices": 1,
    "isl": 1000,
    "osl": 200,
}


@cache
def answer(rate: float, count: int = 600) -> ReplayAnswer:
    return planner.replay(**ASKED, rate=rate, count=count, ttft_seconds=0.2, tpot_seconds=0.02)


def values(answer: ReplayAnswer) -> dict[str, list[float]]:
    times = answer.replay.percentiles
    return {
        name: [getattr(getattr(times, name), at).value for at in ("mean", "p50", "p90", "p99")]
        for name in METRICS
    }


def test_the_answer_is_what_its_schema_says() -> None:
    data = json.loads(json.dumps(answer(5.0).to_dict()))
    assert set(data) == {"schema_version", "question", "load", "replay", "assumptions"}
    assert set(data["replay"]["percentiles"]) == set(METRICS)
    estimate = data["replay"]["percentiles"]["ttft_seconds"]["p99"]
    assert set(estimate) == {"value", "low", "high", "basis", "evidence"}
    assert set(estimate["evidence"]) >= {"level", "kind", "n", "median_ape"}
    assert data["replay"]["requests"] == 600
    assert data["replay"]["saturated"] is False
    assert data["load"]["mean_input_tokens"] == 1000


def test_percentiles_are_in_order_and_within_their_intervals() -> None:
    result = answer(5.0)
    for name, (mean, p50, p90, p99) in values(result).items():
        assert 0 < p50 <= p90 <= p99, name
        assert mean <= p99
    for name in METRICS:
        for at in ("mean", "p50", "p90", "p99"):
            told = getattr(getattr(result.replay.percentiles, name), at)
            assert told.low <= told.value <= told.high
    first = result.replay.percentiles.ttft_seconds.mean
    assert first.high / first.low > 1.1


def test_a_request_is_its_first_token_and_the_others() -> None:
    mean = {name: each[0] for name, each in values(answer(5.0)).items()}
    assert mean["e2e_seconds"] == pytest.approx(
        mean["ttft_seconds"] + 199 * mean["tpot_seconds"], rel=1e-6
    )
    assert mean["itl_seconds"] == pytest.approx(mean["tpot_seconds"], rel=0.02)
    assert mean["queue_seconds"] < mean["ttft_seconds"]


def test_equal_seeds_equal_answers() -> None:
    again = planner.replay(**ASKED, rate=5.0, count=600, ttft_seconds=0.2, tpot_seconds=0.02)
    assert again == answer(5.0)
    other = planner.replay(**ASKED, rate=5.0, count=600, seed=1)
    assert values(other) != values(again)


def test_a_low_rate_is_the_closed_loop_of_one() -> None:
    """Who comes alone waits for nobody: what ``serve`` says of one request in flight."""
    alone = planner.replay(**ASKED, rate=0.05, count=40, arrivals="constant")
    point = planner.serve(**ASKED, concurrency=1).point
    assert point is not None
    mean = {name: each[0] for name, each in values(alone).items()}
    assert mean["tpot_seconds"] == pytest.approx(point.tpot_seconds, rel=0.02)
    assert mean["ttft_seconds"] == pytest.approx(point.ttft_seconds, rel=0.1)


def test_more_come_than_are_served() -> None:
    beyond = answer(60.0, 3000)
    assert beyond.replay.saturated
    told = beyond.replay.saturation
    assert told is not None
    assert told.offered == pytest.approx(beyond.load.rate)
    assert told.growth == pytest.approx(told.offered - told.served)
    assert 0.5 * told.served < told.holds <= told.served
    assert not answer(round(0.9 * told.holds, 2), 3000).replay.saturated
    # A queue widens the interval of what waits in it: a pass of a few percent more has no end.
    first = beyond.replay.percentiles.ttft_seconds.mean
    each = answer(5.0).replay.percentiles.ttft_seconds.mean
    assert first.high - first.low > 10 * (each.high - each.low)


def test_goodput_is_of_those_within_all_limits() -> None:
    served = answer(5.0).replay
    assert served.goodput is not None
    assert 0 < served.goodput.value <= answer(5.0).load.rate * 1.01
    none = planner.replay(**ASKED, rate=5.0, count=100)
    assert none.replay.goodput is None
    tight = planner.replay(**ASKED, rate=5.0, count=100, e2e_seconds=0.01).replay.goodput
    assert tight is not None
    assert tight.value == 0


def test_slots_and_chunks_are_kept() -> None:
    few = planner.replay(**ASKED, rate=5.0, count=200, slots_max=2, chunk_tokens=512)
    assert (few.question.max_sequences, few.question.token_budget) == (2, 512)
    assert max(few.replay.over_time.decoding) <= 2 + 1e-9
    assert values(few)["queue_seconds"][0] > values(answer(5.0))["queue_seconds"][0]
    notes = {note.key: note.reason for note in few.assumptions}
    assert notes["running requests"] == "given"
    assert notes["tokens of a pass"] == "given"
    assert "admission" not in notes


def test_stages_are_told_apart() -> None:
    staged = planner.replay(**ASKED, stages="60s@2/s,60s@12/s")
    slow, fast = staged.replay.stages
    assert (slow.rate, fast.rate, fast.start_seconds) == (2.0, 12.0, 60.0)
    assert slow.requests + fast.requests == staged.load.requests
    assert fast.percentiles.tpot_seconds.mean.value > slow.percentiles.tpot_seconds.mean.value


def test_hits_are_not_read_again() -> None:
    cached = planner.replay(**ASKED, rate=5.0, count=200, prefix_hit_rate=0.9)
    assert cached.replay.prefix_hit_rate == pytest.approx(0.9, abs=0.01)
    assert values(cached)["ttft_seconds"][0] < 0.8 * values(answer(5.0))["ttft_seconds"][0]


def test_traces_have_lengths_of_their_own(tmp_path: Path) -> None:
    asked = {k: v for k, v in ASKED.items() if k not in ("isl", "osl")}
    lines = [
        json.dumps({"timestamp": 200 * i, "input_length": 500 + i, "output_length": 50})
        for i in range(60)
    ]
    file = tmp_path / "trace.jsonl"
    file.write_text("\n".join(lines))
    read = planner.replay(**asked, trace=file)
    assert read.load.requests == 60
    assert read.load.arrivals == "trace.jsonl"
    came, tokens = np.arange(60) * 0.2, np.arange(60) + 500
    stream = plain_stream(came, tokens, np.full(60, 50))
    same = values(planner.replay(**asked, trace=stream))
    for name, figures in values(read).items():
        assert same[name] == pytest.approx(figures)


def test_published_lengths() -> None:
    asked = {k: v for k, v in ASKED.items() if k not in ("isl", "osl")}
    from planner.requests.lengths import length_names

    drawn = planner.replay(**asked, rate=2.0, count=100, lengths=length_names()[0])
    assert drawn.load.mean_input_tokens != 1000
    assert any(note.key == "lengths" for note in drawn.assumptions)


def test_a_plan_is_replayed_with_its_own_sequences() -> None:
    plan = planner.estimate(**ASKED, batch=8)
    played = planner.replay(plan=plan, rate=2.0, count=100)
    assert played.question.max_sequences == 8
    assert played.question.model == "llama-3.1-8b"
    notes = {note.key: note.reason for note in played.assumptions}
    assert "start command" in notes["running requests"]


def test_a_plan_rejects_what_is_longer_than_its_context() -> None:
    plan = planner.estimate(**ASKED, batch=8, context=2048)
    lengths = np.array([500, 1900, 3000])
    stream = plain_stream(np.arange(3.0), lengths, np.full(3, 100))
    played = planner.replay(plan=plan, trace=stream)
    assert played.question.context_tokens == 2048
    assert (played.replay.requests, played.replay.rejected) == (2, 1)
    # Also where requests are longer than it on average.
    played = planner.replay(plan=plan, trace=plain_stream(np.arange(3.0), lengths * 2, lengths))
    assert played.question.context_tokens == 2048
    assert (played.replay.requests, played.replay.rejected) == (1, 2)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"rate": 5.0, "stages": "60s@2/s"},
        {"rate": 0.0},
        {"rate": 5.0, "count": 0},
        {"rate": 5.0, "arrivals": "whenever"},
        {"stages": "60s"},
        {"trace": "/nowhere/trace.jsonl"},
        {"trace": plain_stream(np.zeros(1), np.ones(1, int), np.ones(1, int)), "lengths": "x"},
        {"rate": 5.0, "lengths": "nobody's"},
        {"rate": 5.0, "router": "nearest"},
        {"rate": 5.0, "slots_max": 0},
        {"rate": 5.0, "chunk_tokens": 0},
    ],
)
def test_what_is_no_load_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        planner.replay(**ASKED, **given)


def test_a_hosts_share_of_a_step_is_as_unsure_as_in_a_closed_loop() -> None:
    """vLLM 0.12 waits for its host, whose times one version supplies to others."""
    asked = {
        "scheme": "bf16",
        "kv": "bf16",
        "tp": 1,
        "devices": 1,
        "isl": 200,
        "osl": 200,
        "context": 2048,
        "rate": 10.0,
        "count": 200,
    }
    wide, overlapped = (
        planner.replay(
            "llama-3.1-8b", "h100-sxm", engine=f"vllm@{v}", **asked
        ).replay.percentiles.itl_seconds.mean
        for v in ("0.12.0", "0.15.1")
    )
    for itl in (wide, overlapped):
        assert itl.low < itl.value < itl.high
    assert wide.high / wide.value > 1.05 * overlapped.high / overlapped.value
    assert wide.low / wide.value < 0.97 * overlapped.low / overlapped.value
