"""Sized deployments held to the scheduler: whose figures are told, and what a replay decides."""

from functools import cache
from math import inf
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.served_ranks import served_rank

import planner
from planner.planning.replay.request_times import RequestTimes, request_times
from planner.requests.stream import RequestStream
from planner.scheduler.rules import SchedulerRules
from planner.scheduler.run import run
from planner.scheduler.served import ServedRequests
from planner.sizing import replayed
from planner.sizing.capacity_record import Capacity
from planner.sizing.deployable import Deployable
from planner.sizing.level import PercentileTimes
from planner.sizing.replayed import (
    BEYOND,
    ReplayedTimes,
    _fewest,
    _Ratio,
    checked_times,
    replayed_layouts,
    scheduled,
)
from planner.sizing.replicas import ReplicaGroup
from planner.sizing.service_level import ServiceLevel

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

        def admitted(stream: RequestStream, rules: SchedulerRules, *args: Any, **how: Any) -> Any:
            self.admitted = rules.max_sequences
            return run(stream, rules, *args, **how)

        monkeypatch.setattr(replayed, "request_times", seen)
        monkeypatch.setattr(replayed, "run", admitted)
        self.found = planner.capacity(**asked, **more)
        self.stream, self.first, self.end = windows[-1]
        (told,) = (a.value for a in self.found.assumptions if a.key == "slots")
        self.slots = int(str(told).split()[0].replace(",", ""))
        alone = {k: v for k, v in asked.items() if k != "schemes"}
        table = planner.replay(
            **alone,
            scheme="bf16",
            devices=self.found.devices,
            trace=self.stream,
            slots_max=self.slots,
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
    assert counted.admitted == counted.slots
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


def by_formulas(monkeypatch: pytest.MonkeyPatch, **asked: Any) -> Capacity:
    monkeypatch.setattr(replayed, "BEYOND", inf)
    return planner.capacity(**asked)


def test_the_interval_and_rates_that_hold_follow_the_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two replicas where formulas had one: half of the rate each, twice the devices at the ends."""
    found = of_ranks()
    plain = by_formulas(monkeypatch, **RANKS, rate=29.0, tpot_seconds=0.02)
    assert (plain.devices, found.devices) == (4, 8)
    assert plain.devices_high is not None
    assert found.devices_high == 2 * plain.devices_high
    (fewer,) = (o for o in found.options if o.kind == "replicas" and o.devices == 4)
    assert "14.5/s would hold" in str(fewer.reason)


@pytest.mark.parametrize(("asked", "rate", "fewer"), [(DENSE, 40.0, True), (RANKS, 29.0, False)])
def test_fewer_replicas_are_looked_for_where_formulas_are_too_slow(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any], rate: float, fewer: bool
) -> None:
    """In the time that is limited: TPOT, which is 6 % too long here and half as long there."""
    seen: list[bool] = []

    def spied(group: Any, start: int, level: ServiceLevel, *, fewer: bool) -> int | None:
        seen.append(fewer)
        return _fewest(group, start, level, fewer=fewer)

    monkeypatch.setattr(replayed, "_fewest", spied)
    found = planner.capacity(**asked, rate=rate, tpot_seconds=0.02)
    assert found.replay is not None
    assert (found.replay.off["TPOT"] > BEYOND) == fewer
    assert seen[0] == fewer


class FakeGroup:
    """So many replicas ``suffice``; each that is more or less changes TTFT in proportion."""

    least = 1

    def __init__(self, suffice: int) -> None:
        self.suffice = suffice
        self.played: list[int] = []

    def play(self, replicas: int) -> None:
        self.played.append(replicas)

    def within(self, replicas: int, level: ServiceLevel) -> PercentileTimes:
        assert replicas in self.played
        ttft = 0.8 * self.suffice / replicas
        if replicas < self.suffice:
            ttft = 2.0
        return PercentileTimes(ttft, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)

    def keeps(self, replicas: int, level: ServiceLevel) -> bool:
        return level.keeps(self.within(replicas, level))


@pytest.mark.parametrize(
    ("suffice", "start", "fewer", "found"),
    [
        (4, 4, False, 4),
        (3, 4, True, 3),
        (3, 4, False, 4),  # nobody looks for fewer
        (5, 4, False, 5),
        (7, 4, False, 7),
        (400, 4, False, None),  # more than replays are made of
    ],
)
def test_the_fewest_replicas_by_replays(
    suffice: int, start: int, fewer: bool, found: int | None
) -> None:
    group: Any = FakeGroup(suffice)
    level = ServiceLevel(1.0, None, 90.0)
    assert _fewest(group, start, level, fewer=fewer) == found
    assert len(group.played) <= 5
    tight = ServiceLevel(0.85, None, 90.0)  # all but used up: one fewer is not tried
    one: Any = FakeGroup(3)
    assert _fewest(one, 3, tight, fewer=True) == 3
    assert one.played == [3]


def test_layouts_that_may_need_fewer_devices_are_replayed_and_the_best_is_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By formulas 4, 6 and 10 devices; by their replays 8 and 6, and so the third is not played."""
    first, second, third = (SimpleNamespace(devices=n) for n in (4, 6, 10))
    by_replay = {4: (SimpleNamespace(devices=8), "a"), 6: (second, "b")}
    played: list[int] = []

    def found(sized: Any, level: ServiceLevel) -> Any:
        played.append(sized.devices)
        return by_replay[sized.devices]

    monkeypatch.setattr(replayed, "_replayed", found)
    layouts: Any = [first, second, third]
    level = ServiceLevel(1.0, None, 90.0)
    best, check = replayed_layouts(layouts, level)
    assert (played, check) == ([4, 6], "b")
    assert [one.devices for one in best] == [6, 8, 10]
    monkeypatch.setattr(replayed, "_replayed", lambda sized, level: (None, sized.devices))
    missed: Any = replayed_layouts(layouts, level)
    assert missed == ((first, second, third), 4)


def test_prompts_that_are_in_the_cache_are_so_in_the_replay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch, {**DENSE, "prefix_hit_rate": 0.5}, rate=8.0, tpot_seconds=0.02)
    assert set(counted.stream.cached_tokens.tolist()) == {500}


def test_times_of_a_fleet_are_checked_where_requests_are_of_one_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Deployable] = []

    def spied(deployable: Deployable, stream: RequestStream) -> Any:
        seen.append(deployable)
        return scheduled(deployable, stream)

    monkeypatch.setattr(replayed, "scheduled", spied)
    found = planner.capacity(**DENSE, rate=8.0, tpot_seconds=0.02)
    level = ServiceLevel(None, 0.02, 90.0)
    asked = seen[-1], 8.0, 1, "least-loaded", level
    times, check = checked_times(*asked, replayable=True)
    assert check == found.replay
    assert (times.ttft, times.tpot) == (found.ttft_seconds.value, found.tpot_seconds.value)
    plain, none = checked_times(*asked, replayable=False)
    assert none is None
    assert check is not None
    assert plain.ttft / times.ttft - 1 == pytest.approx(check.off["TTFT"])
    assert plain.tpot / times.tpot - 1 == pytest.approx(check.off["TPOT"])


def test_a_replay_stands_in_for_the_formulas_of_as_many_replicas() -> None:
    group = ReplicaGroup(served_rank(), 4.0, "least-loaded")
    own, more = group.at(2, 0.5), group.at(3, 0.5)
    assert own is not None
    assert more is not None
    played = RequestTimes(
        np.array([0.1, 0.2, 0.4]),
        np.array([0.02, 0.03, 0.07]),
        np.array([5.0, 8.0, 18.0]),
        *(np.zeros(0) for _ in range(3)),
    )
    ratio = _Ratio(ReplayedTimes(2, 3, played, growing=False), group)
    found = ratio.of(own, 0.5)
    assert found is not None
    assert (found.ttft, found.tpot, found.e2e) == pytest.approx((0.2, 0.03, 8.0))
    assert (found.mean_ttft, found.mean_tpot) == pytest.approx((0.7 / 3, 0.12 / 3))
    stay = own.mean_ttft + 255 * own.mean_tpot
    assert found.in_flight == pytest.approx(own.in_flight * (31 / 3) / stay)
    scaled = ratio.of(more, 0.5)
    assert scaled is not None
    assert scaled.ttft == pytest.approx(more.ttft * 0.2 / own.ttft)
    assert scaled.tpot == pytest.approx(more.tpot * 0.03 / own.tpot)
    assert scaled.mean_ttft == pytest.approx(more.mean_ttft * 0.7 / 3 / own.mean_ttft)
    assert scaled.mean_tpot == pytest.approx(more.mean_tpot * 0.04 / own.mean_tpot)
    # 8 s of a request are more than 0.2 s and 255 · 0.03 s.
    assert scaled.e2e == pytest.approx(more.e2e * 8.0 / own.e2e, rel=0.05)
    assert scaled.e2e <= scaled.mean_ttft + 255 * scaled.mean_tpot
    grows = _Ratio(ReplayedTimes(2, 3, played, growing=True), group)
    assert grows.of(own, 0.5) is None


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
    replayed_at_will = of_ranks()
    monkeypatch.setattr(replayed, "MOST_REPLAYS", 1)
    found = planner.capacity(**RANKS, rate=29.0, tpot_seconds=0.02)
    assert found.replay is not None
    assert (found.replay.replaced, found.replay.kept) == (False, False)
    assert found.devices < replayed_at_will.devices
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
