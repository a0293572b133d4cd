"""Rates beyond what is served: how fast the queue grows, and the rate that would hold."""

import re
from functools import cache

import pytest
from support.served_ranks import served_rank

import planner
from planner.sizing import rank
from planner.sizing.capacity_record import Capacity, CapacityOption

ASKED = {"schemes": ["bf16"], "kv": "bf16", "engine": "vllm", "ttft_seconds": 20.0}
RATE = 1.8


@cache
def asked(rate: float) -> Capacity:
    return planner.capacity("llama-3.1-8b", "h100-sxm", rate=rate, **ASKED)


def fewer(found: Capacity) -> CapacityOption:
    return next(one for one in found.options if one.name == "1 replica fewer")


def test_a_replica_fewer_says_how_fast_its_queue_grows_and_what_would_hold() -> None:
    one = fewer(asked(RATE))
    assert one.ttft_seconds is None
    assert one.queue_growth == pytest.approx(RATE - RATE / one.load, rel=1e-9)
    assert one.requests_per_second_held is not None
    assert 0 < one.requests_per_second_held < RATE - one.queue_growth
    growth, rate = re.findall(r"[\d.]+", one.reason)[:2]
    assert float(growth) == pytest.approx(one.queue_growth, rel=0.01)
    assert float(rate) <= one.requests_per_second_held


def test_the_rate_that_would_hold_is_served_by_as_many_and_a_higher_one_is_not() -> None:
    one = fewer(asked(RATE))
    assert one.requests_per_second_held is not None
    assert asked(one.requests_per_second_held * 0.999).devices == one.devices
    assert asked(one.requests_per_second_held * 1.01).devices == one.devices + 1


def test_what_keeps_the_limits_has_no_queue_that_grows() -> None:
    found = asked(RATE)
    for option in found.options:
        if option.within_limits:
            assert option.queue_growth == 0
            assert option.requests_per_second_held is None


def test_too_few_devices_say_how_fast_the_queue_would_grow() -> None:
    with pytest.raises(planner.InfeasibleError) as refused:
        planner.capacity("llama-3.1-8b", "h100-sxm", rate=4 * RATE, max_devices=1, **ASKED)
    told = refused.value.hint
    assert told is not None
    held, growth = (
        float(re.search(pattern, told)[1])  # type: ignore[index]
        for pattern in (r"--rate ([\d.]+)", r"grow by ([\d.]+)")
    )
    assert held <= asked(held).requests_per_second
    assert asked(held).devices == 1
    assert held < 4 * RATE - growth


def test_a_closed_loop_beyond_the_cache_says_which_rate_is_served() -> None:
    served = planner.serve("llama-3.1-8b", "h100-sxm", concurrency=4000, engine="vllm")
    assert served.point is not None
    assert served.point.cache_full
    rate = served.point.output_tokens_per_second / served.osl
    text = " ".join(str(served).split())
    assert f"it serves {rate:.3g} requests/s" in text
    waiting = served.point.concurrency - served.point.active_sequences
    assert f"{waiting:,.0f} requests wait or are read" in text


@pytest.mark.parametrize("prompts", [1.0, 1.5, 1e6])
def test_prompts_that_are_never_read_are_told_at_once(
    prompts: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps grew to a thousand million seconds, and prompts in them were counted one by one."""
    together = served_rank(ranks=8, slots=16, prompt=0.04)
    rate = prompts / together.cost(1.0)
    seen = rank.rank_pace(together, 0.9 / together.cost(16.0, 1.0))
    assert (seen.step < rank.NEVER).all()
    monkeypatch.setattr(rank, "prompts_in_step", None)
    assert (rank.rank_pace(together, rate).step == rank.NEVER).all()
