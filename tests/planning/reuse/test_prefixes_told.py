"""What a plan says of its prefixes: room beside what is kept, loads that are worth it, waits."""

from types import SimpleNamespace
from typing import Any

import pytest
from support.questions import plan_of, question_of

from planner.planning.plan.record import Plan
from planner.planning.reuse.hits import OffloadRoom, PrefixHits, PrefixLoads, PrefixRoom, room_of
from planner.planning.reuse.prefix_record import with_prefixes
from planner.planning.reuse.tier import OffloadTier
from planner.planning.space.memory import budget
from planner.reuse import Reuse, ReuseClass
from planner.throughput.residency import Link

REUSE = Reuse("x", "y", (ReuseClass("turns", 0.5, "seconds", 100.0, 700.0),))
TIER = OffloadRoom(
    OffloadTier("host", 10**9, Link("pcie", 50e9, 1e-5, "some"), "given"), 400.0, False, "some"
)


def told(
    loads: PrefixLoads | None, whole: float, tier: OffloadRoom | None = TIER, dp: int = 2
) -> Plan:
    one: Any = SimpleNamespace(
        hits=PrefixHits(60.0, 2.0, 0.25, whole, loads),
        tier=tier,
        room=PrefixRoom(1000.0, 1e5),
        priced=SimpleNamespace(layout=SimpleNamespace(dp=dp)),
    )
    return with_prefixes(plan_of(), REUSE, one, (), difference=0.0, tried=())


@pytest.mark.parametrize(
    ("loads", "whole", "waits", "used", "compute"),
    [
        (None, 0.25, 0.0, "device", None),
        (PrefixLoads(300.0, 0.02, 0.05, 0.1, True), 0.5, 0.02, "host", 0.05),
        (PrefixLoads(300.0, 0.07, 0.05, 0.1, False), 0.25, 0.0, "device", 0.05),
        (PrefixLoads(0.0, 0.07, -1e-9, 0.0, False), 0.25, 0.0, "device", 0.0),
    ],
)
def test_prompts_wait_for_what_is_worth_loading(
    loads: PrefixLoads | None, whole: float, waits: float, used: str, compute: float | None
) -> None:
    plan, before = told(loads, whole), plan_of().performance.ttft_seconds
    found, after = plan.prefix_cache, plan.performance.ttft_seconds
    assert found is not None
    for old, new in (
        (before.value, after.value),
        (before.low, after.low),
        (before.high, after.high),
    ):
        assert new == pytest.approx(old + waits)
    assert (found.tier, found.load_seconds) == (used, waits)
    assert (found.offload is None) == (loads is None)
    if found.offload is not None:
        assert found.offload.compute_seconds == compute
        assert bool(found.offload.why) == (waits == 0)


def test_every_rank_of_data_parallelism_has_its_own_room() -> None:
    loads = PrefixLoads(300.0, 0.02, 0.05, 0.1, True)
    one, two = (told(loads, 0.5, dp=dp).prefix_cache for dp in (1, 2))
    assert one is not None
    assert two is not None
    assert one.offload is not None
    assert two.offload is not None
    assert two.offload.capacity_tokens == 2 * one.offload.capacity_tokens == 800
    assert two.requests_per_second == 2 * one.requests_per_second == 4.0


def test_room_is_what_the_fullest_stage_leaves() -> None:
    question = question_of()
    most = budget(question)

    def room(*left: int) -> PrefixRoom:
        stages: Any = [SimpleNamespace(total=most - one) for one in left]
        caches: Any = [SimpleNamespace(token=1000 * (i + 1), each=[]) for i in range(len(left))]
        priced: Any = SimpleNamespace(stages=stages, caches=caches)
        return room_of(question, priced)

    assert room(5000) == PrefixRoom(5.0, 1000.0)
    assert room(5000, 4000) == PrefixRoom(2.0, 2000.0)
    assert room(5000, -1).tokens == room(0).tokens == 0.0
