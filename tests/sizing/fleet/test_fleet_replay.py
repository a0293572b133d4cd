"""Pools of a fleet replayed: where formulas count too few replicas, the answer says so."""

from dataclasses import replace
from functools import cache
from typing import Any

import planner
from planner.planning.question.input import QuestionInput
from planner.scheduler.rules import LEAST_LOADED
from planner.sizing.capacity import SizingInput, sized_on_device
from planner.sizing.deployable import Deployable
from planner.sizing.fleet.fleet_record import Fleet
from planner.sizing.notes import pool_replay_note
from planner.sizing.replayed import checked_times
from planner.sizing.service_level import ServiceLevel

RATE, LEVEL = 29.0, ServiceLevel(None, 0.02, 90.0)
ASKED: dict[str, Any] = {
    "device": [{"name": "h100-sxm", "count": 4, "price": 2.0}],
    "engines": ["vllm"],
    "model": [
        {
            "name": "chat",
            "model": "llama-3.1-8b",
            "rate": 1.2,
            "tpot_ms": 20.0,
            "schemes": ["bf16"],
            "workload": [{"isl": 1000, "osl": 250}],
        }
    ],
}


@cache
def ranks() -> Deployable:
    """Four attention ranks whose experts are shared: formulas find one replica enough."""
    asked = QuestionInput(
        "qwen3-30b-a3b",
        "h200-sxm",
        tp=1,
        dp=4,
        ep=4,
        isl=1000,
        osl=250,
        context=1250,
        kv="bf16",
        schemes=["bf16"],
        engine="vllm",
        tpot_seconds=LEVEL.tpot,
    )
    wanted = SizingInput(RATE, LEVEL.percentile, LEAST_LOADED, None, None, None)
    return sized_on_device(asked, wanted).best.deployable


@cache
def fleet() -> Fleet:
    return planner.fleet(ASKED)


def test_times_beyond_a_limit_are_said_to_be() -> None:
    times, check = checked_times(ranks(), RATE, 1, LEAST_LOADED, LEVEL, replayable=True)
    assert LEVEL.tpot is not None
    assert times.tpot > LEVEL.tpot
    assert check is not None
    assert (check.replaced, check.kept) == (True, False)
    note = pool_replay_note(check, "ranks, h200-sxm", of_one_length=True)
    assert "misses a limit" in note.value
    _, enough = checked_times(ranks(), RATE, 3, LEAST_LOADED, LEVEL, replayable=True)
    assert enough is not None
    assert enough.kept


def test_a_pool_that_is_not_replayed_says_why() -> None:
    _, check = checked_times(ranks(), RATE, 3, LEAST_LOADED, LEVEL, replayable=False)
    assert check is None
    assert "several lengths" in pool_replay_note(check, "a pool", of_one_length=False).value
    assert "too many" in pool_replay_note(check, "a pool", of_one_length=True).value


def test_the_first_line_names_pools_that_miss_a_limit_when_they_are_replayed() -> None:
    (pool,) = fleet().pools
    assert pool.replay is not None
    assert pool.replay.kept
    assert "replayed on these replicas" not in " ".join(str(fleet()).split())
    missed = replace(pool, replay=replace(pool.replay, replaced=True, kept=False))
    told = " ".join(str(replace(fleet(), pools=(missed,))).split())
    assert "chat: replayed on these replicas, a limit is missed" in told
    assert "times of 1 of 1 pools replayed" in told
