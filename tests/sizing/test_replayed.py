"""Sized deployments held to the scheduler: whose figures are told, and what a replay decides."""

from functools import cache
from typing import Any

import numpy as np
import pytest

import planner
from planner.planning.replay.request_times import RequestTimes, request_times
from planner.requests.stream import RequestStream
from planner.scheduler.served import ServedRequests
from planner.sizing import replayed
from planner.sizing.capacity_record import Capacity
from planner.sizing.replayed import BEYOND

RANKS: dict[str, Any] = {
    "model": "qwen3-30b-a3b",
    "device": "h200-sxm",
    "tp": 1,
    "dp": 4,
    "ep": 4,
    "isl": 1000,
    "osl": 250,
    "context": 1250,
    "kv": "bf16",
    "schemes": ["bf16"],
    "engine": "vllm",
}
DENSE: dict[str, Any] = {
    **RANKS,
    "model": "llama-3.1-8b",
    "device": "h100-sxm",
    "dp": 1,
    "ep": 1,
}


@cache
def of_ranks(rate: float = 29.0, limit: float = 0.02) -> Capacity:
    return planner.capacity(**RANKS, rate=rate, tpot_seconds=limit)


def test_attention_ranks_get_the_devices_that_the_scheduler_needs() -> None:
    found = of_ranks()
    assert found.replay is not None
    assert found.replay.replaced
    assert found.replay.off["TPOT"] < -BEYOND
    assert found.devices > 4
    fewer = planner.replay(
        **{k: v for k, v in RANKS.items() if k != "schemes"},
        scheme="bf16",
        devices=4,
        rate=29.0,
        count=1500,
    )
    assert fewer.replay.percentiles.tpot_seconds.p90.value > 0.02


class Counted:
    """The requests of the last replay of a capacity question, as ``planner.replay`` has them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], **more: Any) -> None:
        windows: list[tuple[RequestStream, float, float]] = []

        def seen(
            stream: RequestStream, served: ServedRequests, first: float, end: float
        ) -> RequestTimes:
            windows.append((stream, first, end))
            return request_times(stream, served, first, end)

        monkeypatch.setattr(replayed, "request_times", seen)
        self.found = planner.capacity(**asked, **more)
        self.stream, self.first, self.end = windows[-1]
        (told,) = (a.value for a in self.found.assumptions if a.key == "slots")
        alone = {k: v for k, v in asked.items() if k != "schemes"}
        table = planner.replay(
            **alone,
            scheme="bf16",
            devices=self.found.devices,
            trace=self.stream,
            slots_max=int(str(told).split()[0].replace(",", "")),
        ).requests.columns
        came = self.stream.arrival_seconds
        here = (came >= self.first) & (came < self.end)
        self.ttft, self.tpot, self.e2e = (
            table[f"{name}_seconds"][here] for name in ("ttft", "tpot", "e2e")
        )


@pytest.mark.parametrize(
    ("asked", "rate", "replicas"), [(DENSE, 8.0, 1), (DENSE, 20.0, 2), (RANKS, 5.0, 1)]
)
def test_the_figures_are_those_of_the_replay(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], rate: float, replicas: int
) -> None:
    """Of the same requests in the same scheduler, to the last digits."""
    counted = Counted(monkeypatch, asked, rate=rate, tpot_seconds=0.02)
    found = counted.found
    assert found.replay is not None
    assert found.replay.replaced
    assert found.replicas == replicas
    for point in found.tails:
        share = point.percentile / 100
        assert point.ttft_seconds == pytest.approx(np.quantile(counted.ttft, share), rel=1e-9)
        assert point.tpot_seconds == pytest.approx(np.quantile(counted.tpot, share), rel=1e-9)
        assert point.e2e_seconds == pytest.approx(np.quantile(counted.e2e, share), rel=1e-9)
    assert found.mean_ttft_seconds == pytest.approx(counted.ttft.mean(), rel=1e-9)
    assert found.mean_tpot_seconds == pytest.approx(counted.tpot.mean(), rel=1e-9)
    together = found.mean_ttft_seconds + 249 * found.mean_tpot_seconds
    assert counted.e2e.mean() == pytest.approx(together, rel=1e-9)
    # Little's law, but for the host's time, in which a request holds no slot.
    each = rate * counted.e2e.mean() / replicas
    assert found.sequences == pytest.approx(each, rel=0.03)
    # As many come a second as are asked; before and after as many as two lives and one take by the
    # formulas.
    came, count = counted.stream.arrival_seconds, len(counted.stream)
    assert came[-1] == pytest.approx(count / rate, rel=1e-9)
    assert len(counted.ttft) == found.replay.requests == 1000
    before, after = int((came < counted.first).sum()), int((came >= counted.end).sum())
    assert before == pytest.approx(2 * after, abs=2)
    assert after >= 0.75 * replicas * found.sequences


def test_the_basis_is_told() -> None:
    (note,) = [item for item in of_ranks().assumptions if item.key == "replay"]
    assert "the formulas were -" in note.value
    assert of_ranks().to_dict()["replay"]["replaced"] is True


def test_formulas_stay_where_they_agree() -> None:
    found = planner.capacity(**DENSE, rate=1.2, tpot_seconds=0.02)
    assert found.replay is not None
    assert not found.replay.replaced
    assert max(map(abs, found.replay.off.values())) <= BEYOND


def test_tails_grow_with_their_percentile() -> None:
    tails = of_ranks().tails
    for name in ("ttft_seconds", "tpot_seconds", "e2e_seconds"):
        values = [getattr(point, name) for point in tails]
        assert values == sorted(set(values))


def test_of_more_replicas_than_are_played_the_parts_bound_a_request() -> None:
    """One of the two that the rate needs is played, with half of the requests."""
    found = of_ranks()
    assert found.replicas == 2
    mean = found.mean_ttft_seconds + 249 * found.mean_tpot_seconds
    for point in found.tails:
        together = point.ttft_seconds + 249 * point.tpot_seconds
        assert min(mean, together) <= point.e2e_seconds * (1 + 1e-12)
        assert point.e2e_seconds <= max(mean, together) * (1 + 1e-12)


def test_answers_of_one_token_have_no_pace_to_replay() -> None:
    """TPOT was infinite, which no JSON has."""
    asked = {**DENSE, "osl": 1}
    found = planner.capacity(**asked, rate=10.0, ttft_seconds=0.3)
    assert found.replay is not None
    assert found.replay.off["TPOT"] == 0.0
    assert 0.0 < found.tpot_seconds.value < 0.1
    assert found.e2e_seconds is not None
    assert found.e2e_seconds.value == pytest.approx(found.ttft_seconds.value)


def test_where_no_replay_keeps_the_limits_the_formulas_stand_and_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One replay alone, of as many as the formulas count, which are too few."""
    monkeypatch.setattr(replayed, "MOST_REPLAYS", 1)
    found = planner.capacity(**RANKS, rate=29.0, tpot_seconds=0.02)
    assert found.replay is not None
    assert (found.replay.replaced, found.replay.kept) == (False, False)
    assert found.devices < of_ranks().devices
    (note,) = [item for item in found.assumptions if item.key == "replay"]
    assert "none keeps the limits" in note.value
    assert "no replay keeps the limits" in " ".join(str(found).split())


def test_devices_at_the_ends_are_said_to_be_scaled() -> None:
    assert [item.key for item in of_ranks().assumptions].count("devices at the ends") == 1
    keys = [item.key for item in planner.capacity(**DENSE, rate=1.2, tpot_seconds=0.02).assumptions]
    assert "devices at the ends" not in keys


def test_the_plan_of_a_replica_asks_for_no_more_than_fit() -> None:
    for found in (of_ranks(), planner.capacity(**DENSE, rate=1.2, tpot_seconds=0.02)):
        held = found.replica.capacity.max_concurrency_at_requests
        assert held is not None
        assert found.replica.workload.batch <= held
