"""The formulas against the deployment played request by request, light to heavy."""

import pytest
from support.played_queues import simulate
from support.served_ranks import served_rank

from planner.scheduler.rules import ROUTERS
from planner.sizing.level import percentile_times
from planner.sizing.replicas import saturation_rate
from planner.throughput.scheduling import Scheduling

RANKS = {
    "chat": served_rank(osl=128, slots=64, together=4.0),
    "long prompts": served_rank(osl=96, slots=48, together=0.4, prompt=0.2),
    "prompts alone": served_rank(osl=128, slots=64, policy=Scheduling(exclusive=True)),
    "two ranks": served_rank(osl=128, slots=48, ranks=2),
}
WITHIN = {0.3: (0.06, 0.09), 0.6: (0.16, 0.13), 0.85: (0.30, 0.13)}
"""Load: what (TTFT, TPOT) at the 90th percentile may differ by."""
LOCKSTEP, HEAVY = 0.25, 0.2
"""The same of TTFT where ranks step together, and of TPOT where prompts take half of the time."""
CASES = [
    *(("chat", load, router) for load in WITHIN for router in ROUTERS),
    *((name, load, "random") for name in RANKS if name != "chat" for load in (0.6, 0.85)),
    ("two ranks", 0.6, "least-loaded"),
]


@pytest.mark.parametrize(("name", "load", "router"), CASES)
def test_the_ninetieth_percentile_is_the_played_one(name: str, load: float, router: str) -> None:
    rank, replicas = RANKS[name], 4
    rate = load * saturation_rate(rank)
    found = percentile_times(rank, rate, replicas * rank.ranks, router, 0.9)
    assert found is not None
    ttft, tpot = simulate(
        rank, rate * replicas * rank.ranks, replicas, router, requests=1500, seed=3
    ).at(90.0)
    first, each = WITHIN[load]
    assert found.ttft == pytest.approx(ttft, rel=max(first, LOCKSTEP if rank.ranks > 1 else 0))
    assert found.tpot == pytest.approx(tpot, rel=HEAVY if name == "long prompts" else each)


def test_the_same_seed_is_the_same_run() -> None:
    rank = RANKS["chat"]
    runs = [
        simulate(rank, 8.0, 2, "random", requests=200, seed=seed).at(50.0) for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_lone_request_is_read_and_decoded_undisturbed() -> None:
    rank = served_rank(osl=64)
    played = simulate(rank, 1e-3, 1, "round-robin", requests=100, seed=1)
    assert played.ttft == pytest.approx([rank.times.prompt] * 100)
    assert played.tpot == pytest.approx([rank.bare(1.0)] * 100)
