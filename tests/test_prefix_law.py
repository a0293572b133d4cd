"""The law of prefix caches: what share of prompts a cache of so many tokens finds."""

import heapq
from collections import OrderedDict
from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import DataError
from planner.reuse import (
    NORMAL_90,
    REQUESTS,
    SECONDS,
    Reuse,
    ReuseClass,
    hit_rate,
    kept_share,
    kept_tokens,
    lifetime,
    parse_reuse,
)
from planner.workloads import load_workload, parse_workload, workload_ids

CLASSES = st.builds(
    lambda share, unit, median, spread: ReuseClass("some", share, unit, median, median * spread),
    st.floats(0.01, 0.3),
    st.sampled_from([SECONDS, REQUESTS]),
    st.floats(0.5, 1e3),
    st.floats(1.2, 60),
)
REUSES = st.lists(CLASSES, min_size=1, max_size=3).map(lambda rows: Reuse("x", "y", tuple(rows)))
TOKENS, RATES = st.floats(1.0, 1e9), st.floats(0.01, 1e3)
PUBLISHED = {
    # Trace: (requests, tokens a prompt, requests a second, ideal, hits of an LRU cache of 1, 5, 10,
    # 25 and 50 % of the unique blocks); sources as in the workload's own file.
    "chat": (43_058, 2_331, 5.98, 0.579, (0.176, 0.410, 0.500, 0.562, 0.578)),
    "reasoning": (10_812, 4_763, 1.50, 0.462, (0.367, 0.430, 0.445, 0.457, 0.460)),
    "rag": (3_993, 15_325, 3.907, 0.640, (0.034, 0.155, 0.260, 0.443, 0.589)),
}
SHARES = (0.01, 0.05, 0.10, 0.25, 0.50)


@given(REUSES, TOKENS, st.floats(1.0, 100), RATES)
def test_more_room_never_finds_less(reuse: Reuse, tokens: float, more: float, rate: float) -> None:
    few, many = (hit_rate(reuse, size, rate, isl=1024, osl=256) for size in (tokens, tokens * more))
    assert 0 <= few <= many + 1e-9 <= reuse.ideal + 2e-9


@given(REUSES, RATES)
def test_nothing_is_found_without_room_and_all_in_room_without_end(
    reuse: Reuse, rate: float
) -> None:
    assert hit_rate(reuse, 0.0, rate, isl=1024, osl=256) == 0
    assert hit_rate(reuse, 1e18, rate, isl=1024, osl=256) == pytest.approx(reuse.ideal, abs=0.01)


@given(REUSES, TOKENS, RATES)
def test_a_cache_of_a_lifetime_holds_its_tokens(reuse: Reuse, tokens: float, rate: float) -> None:
    stays = lifetime(reuse, tokens, rate, isl=1024, osl=256)
    assert kept_tokens(reuse, stays, rate, isl=1024, osl=256) == pytest.approx(tokens, rel=1e-6)


@given(REUSES, st.floats(0.1, 1e4), RATES)
def test_tokens_grow_by_the_rate_of_misses(reuse: Reuse, seconds: float, rate: float) -> None:
    times = seconds * np.linspace(0.0, 1.0, 301) ** 3
    missed = np.array([1024 + 256 - 1024 * kept_share(reuse, t, rate) for t in times.tolist()])
    whole = rate * float(np.trapezoid(missed, times))
    assert kept_tokens(reuse, seconds, rate, isl=1024, osl=256) == pytest.approx(whole, rel=0.01)


@given(REUSES, TOKENS, RATES, st.floats(0.1, 10))
def test_a_cache_of_twice_the_requests_needs_twice_the_room(
    reuse: Reuse, tokens: float, rate: float, times: float
) -> None:
    of = {
        unit: Reuse("x", "y", tuple(c for c in reuse.classes if c.unit == unit))
        for unit in (SECONDS, REQUESTS)
    }
    one, more = (hit_rate(of[SECONDS], tokens * n, rate * n, isl=99, osl=9) for n in (1.0, times))
    assert one == pytest.approx(more, abs=1e-9)
    one, more = (hit_rate(of[REQUESTS], tokens, rate * n, isl=99, osl=9) for n in (1.0, times))
    assert one == pytest.approx(more, abs=1e-9)


@pytest.mark.parametrize("room", [0.1, 1.0])
@pytest.mark.parametrize(
    ("follow", "reused", "median", "p90"), [(0.5, 0.8, 100.0, 700.0), (0.9, 0.95, 15.0, 200.0)]
)
def test_a_simulated_cache_finds_as_much(
    follow: float, reused: float, median: float, p90: float, room: float
) -> None:
    isl, osl, rate = 1000, 200, 4.0
    reuse = Reuse("x", "y", (ReuseClass("turns", follow * reused, SECONDS, median, p90),))
    tokens = room * rate * (isl + osl) * median
    expected = hit_rate(reuse, tokens, rate, isl=isl, osl=osl)
    found = simulated(follow, reused, median, p90, tokens, rate, isl, osl)
    assert found == pytest.approx(expected, abs=0.02)


def simulated(
    follow: float,
    reused: float,
    median: float,
    p90: float,
    tokens: float,
    rate: float,
    isl: int,
    osl: int,
    requests: int = 20_000,
) -> float:
    """Share of prompts, of some ``requests``, that a least recently used cache finds. A request
    leaves what the next turn of its session reads, and what none does."""
    draw = np.random.default_rng(7)
    sigma = log(p90 / median) / NORMAL_90
    born = np.cumsum(draw.exponential(1 / (rate * (1 - follow)), round(requests * (1 - follow))))
    due = [(float(t), i) for i, t in enumerate(born)]
    heapq.heapify(due)
    kept: OrderedDict[tuple[int, int], float] = OrderedDict()
    held, asked, hits, end, number = 0.0, 0, 0, float(born[-1]), 0
    while due:
        now, session = heapq.heappop(due)
        if now > end:
            break
        counted, number = now > end / 3, number + 1
        asked += counted
        key = (session, -1)
        if key in kept:
            hits += counted
            kept.move_to_end(key)
        else:
            kept[key] = isl * reused
            held += isl * reused
        kept[session, number] = isl + osl - isl * reused
        held += isl + osl - isl * reused
        while held > tokens:
            held -= kept.popitem(last=False)[1]
        if draw.random() < follow:
            gap = median * exp(sigma * draw.standard_normal())
            heapq.heappush(due, (now + gap, session))
    return hits * reused / asked


@pytest.mark.parametrize(("name", "near"), [("chat", 0.015), ("reasoning", 0.015), ("rag", 0.045)])
def test_published_traces_find_as_much(name: str, near: float) -> None:
    """Two of the five rates gave the intervals that no one publishes; all five are compared."""
    reuse = load_workload(name).reuse
    assert reuse is not None
    count, isl, rate, ideal, rates = PUBLISHED[name]
    unique = count * isl * (1 - ideal)
    assert reuse.ideal == pytest.approx(ideal, abs=0.002)
    for share, found in zip(SHARES, rates, strict=True):
        assert hit_rate(reuse, share * unique, rate, isl=isl, osl=0) == pytest.approx(
            found, abs=near
        ), share


def test_workloads_that_say_how_prompts_come_back() -> None:
    told = {name: load_workload(name).reuse for name in workload_ids()}
    assert {name for name, reuse in told.items() if reuse is not None} == {
        "agent",
        "chat",
        "rag",
        "reasoning",
    }
    for reuse in filter(None, told.values()):
        assert "http" in reuse.source
        assert 0 < reuse.ideal < 1


ROW = {"name": "turns", "share": 0.4, "unit": "seconds", "median": 60, "p90": 600}


@pytest.mark.parametrize(
    ("data", "wrong"),
    [
        ([], "a table"),
        ({"source": "x"}, "at least one"),
        ({"class": [ROW]}, "reuse.source"),
        ({"source": "x", "class": [ROW], "clas": 1}, "clas: unknown key"),
        ({"source": "x", "class": [1]}, "class 1: not a table"),
        ({"source": "x", "class": [{**ROW, "shar": 1}]}, "shar: unknown key"),
        ({"source": "x", "class": [{**ROW, "name": ""}]}, "name"),
        ({"source": "x", "class": [{**ROW, "unit": "days"}]}, "unit = 'days'"),
        ({"source": "x", "class": [{**ROW, "share": 1.0}]}, "out of range"),
        ({"source": "x", "class": [{**ROW, "share": True}]}, "a number above 0"),
        ({"source": "x", "class": [{**ROW, "median": 700}]}, "not below p90"),
        ({"source": "x", "class": [ROW, ROW, ROW]}, "sum to 1.2"),
    ],
)
def test_a_table_is_refused_with_its_place(data: object, wrong: str) -> None:
    with pytest.raises(DataError) as told:
        parse_reuse("my.toml", "my", data)
    assert wrong in str(told.value)
    assert "my.toml" in str(told.value)
    assert told.value.hint


def test_a_workload_file_says_it_in_a_table() -> None:
    text = (
        'title = "t"\nsource = "s"\nisl = 100\nosl = 10\n[reuse]\nsource = "log"\n'
        '[[reuse.class]]\nname = "turns"\nshare = 0.4\nunit = "seconds"\nmedian = 60\n'
        "p90 = 600\n"
    )
    found = parse_workload(text.encode(), place="my.toml", id="my")
    assert found.reuse == Reuse("my", "log", (ReuseClass("turns", 0.4, "seconds", 60.0, 600.0),))
