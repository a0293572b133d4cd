"""A mix as a stream of one length: what is the same in both, and the mix played."""

from dataclasses import replace

import numpy as np
import pytest
from support.played_queues import SimulatedKind, simulate
from support.served_ranks import served_rank

from planner.sizing.level import percentile_times
from planner.sizing.mix import RequestKind, RequestMix, equivalent_request, tpot_variance
from planner.sizing.replicas import saturation_rate

KINDS = RequestMix(
    (RequestKind("", 0.75, 500, 300, 800), RequestKind("rag", 0.25, 8000, 100, 9000, 0.5))
)


def test_means_of_a_mix() -> None:
    assert KINDS.mean_isl == 0.75 * 500 + 0.25 * 8000
    assert KINDS.mean_osl == 250
    assert KINDS.context == 9000
    assert KINDS.prefix_hit_rate == pytest.approx(0.25 * 8000 * 0.5 / 2375)
    # Of those that decode nine in ten are of the first kind: 225 of 250 tokens are theirs.
    assert KINDS.decoding(0.5) == pytest.approx(0.9 * 650 + 0.1 * 8050)


def test_prompts_take_the_same_time_and_tokens_come_at_the_same_rate() -> None:
    costs = [0.02, 0.3]
    osl, requests = equivalent_request(KINDS, costs, 1)
    mean = 0.75 * 0.02 + 0.25 * 0.3
    rate = 7.0
    assert rate / requests * osl == pytest.approx(rate * KINDS.mean_osl)
    assert rate / requests * costs[1] == pytest.approx(rate * mean, rel=1e-3)
    assert requests == pytest.approx(0.3 / mean, rel=1e-3)


def test_equal_kinds_are_as_even_as_one() -> None:
    same = RequestMix((RequestKind("", 0.5, 500, 300, 800), RequestKind("", 0.5, 500, 300, 800)))
    assert tpot_variance(same, [0.1, 0.1]) == pytest.approx(1.0)
    assert equivalent_request(same, [0.1, 0.1], 0) == (300, 1.0)
    assert tpot_variance(KINDS, [0.02, 0.3]) == pytest.approx(
        (0.75 * 0.02**2 + 0.25 * 0.3**2) / 0.09**2 * 250 * (0.75 / 300 + 0.25 / 100)
    )
    assert tpot_variance(KINDS, [0.0, 0.0]) == 1.0
    assert equivalent_request(KINDS, [0.0, 0.0], 1) == (250, 1.0)


MIXES = {
    "chat and rag": ((0.8, 0.125, 160), (0.2, 1.0, 160)),
    "many short": ((0.9, 0.1, 60), (0.1, 1.0, 300)),
    "short answers to long prompts": ((0.5, 0.2, 200), (0.5, 1.0, 50)),
}
TTFT_SHORT, TPOT_OFF = 0.10, 0.08
"""What TTFT may be told too short by, and TPOT off by: as for one length, at this load."""


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", MIXES)
def test_a_played_mix_keeps_what_is_told(name: str) -> None:
    kinds = [SimulatedKind(*kind) for kind in MIXES[name]]
    mix = RequestMix(tuple(RequestKind("", k.share, 1, k.osl, 9) for k in kinds))
    osl, requests = equivalent_request(mix, [k.size for k in kinds], 1)
    rank = replace(
        served_rank(slots=64, together=4.0),
        osl=osl,
        uneven=tpot_variance(mix, [k.size for k in kinds]),
    )
    rate, replicas = 0.6 * saturation_rate(rank), 4
    told = percentile_times(rank, rate, replicas, "least-loaded", 0.9)
    assert told is not None
    played = simulate(
        rank,
        rate * requests * replicas,
        replicas,
        "least-loaded",
        requests=2500,
        seed=3,
        kinds=kinds,
    )
    ttft, tpot = played.at(90.0)
    assert told.ttft >= ttft * (1 - TTFT_SHORT)
    assert told.tpot == pytest.approx(tpot, rel=TPOT_OFF)
    assert np.bincount(played.kind) / 2500 == pytest.approx([k.share for k in kinds], abs=0.05)
    late = [np.mean(played.ttft[played.kind == k]) for k in (0, 1)]
    assert late[1] > late[0], "long prompts are read for longer"
