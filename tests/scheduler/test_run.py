"""Requests played through an engine's scheduler: laws that hold for every stream."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scheduling import ENGINES, hand_costs, hand_rules, stream_of

from planner.base.errors import InputError
from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler import state as at
from planner.scheduler.events import play
from planner.scheduler.rules import LLAMA_CPP, ROUTERS, SGLANG, VLLM
from planner.scheduler.run import run
from planner.scheduler.setup import as_lists, new_state
from planner.throughput.scheduling import Scheduling

COSTS, POLICY = hand_costs(), Scheduling()
MOST_PASSES = 10_000
"""More than 30 requests take, one after the other."""


@st.composite
def streams(draw: st.DrawFn) -> RequestStream:
    """Requests of which some begin alike, some beyond the context of 200 tokens."""
    count = draw(st.integers(1, 30))
    gaps = draw(st.lists(st.sampled_from([0.0, 0.01, 0.05, 0.3]), min_size=count, max_size=count))
    inputs = draw(st.lists(st.integers(1, 190), min_size=count, max_size=count))
    outputs = draw(st.lists(st.integers(1, 60), min_size=count, max_size=count))
    alike = draw(st.lists(st.integers(0, 40), min_size=count, max_size=count))
    rows = []
    for i, tokens in enumerate(inputs):
        shared = min(alike[i], tokens // 4)
        rows.append([*range(shared), *range(50 + 50 * i, 50 + 50 * i + tokens // 4 - shared)])
    return stream_of(np.cumsum(gaps).tolist(), inputs, outputs, rows)


@pytest.mark.parametrize("engine", ENGINES)
@given(stream=streams(), cache=st.sampled_from([260, 400, 2000]))
def test_every_request_is_served_once_or_rejected(
    engine: str, stream: RequestStream, cache: int
) -> None:
    out = run(stream, hand_rules(engine, cache_tokens=cache), COSTS, POLICY)
    served = ~out.rejected
    assert out.complete
    assert np.isfinite(out.last_seconds[served]).all()
    assert np.isnan(out.last_seconds[out.rejected]).all()
    if engine != LLAMA_CPP:
        assert (out.made_tokens[served] == stream.output_tokens[served]).all()
        assert (served == (stream.input_tokens + stream.output_tokens <= 200)).all()
        read = out.prompt_tokens.sum() + out.hit_tokens[served].sum()
        once = stream.input_tokens[served].sum()
        assert read == once if not out.preempted.any() else read >= once
    else:
        room = 200 - stream.input_tokens
        made = np.minimum(stream.output_tokens, room)
        assert (out.made_tokens[served] == made[served]).all()
    assert (out.scheduled_seconds[served] >= stream.arrival_seconds[served]).all()
    assert (out.first_seconds[served] > out.scheduled_seconds[served]).all()
    assert (out.last_seconds[served] >= out.first_seconds[served]).all()
    several = served & (out.made_tokens > 1)
    assert (out.last_seconds[several] > out.first_seconds[several]).all()


@pytest.mark.parametrize("engine", ENGINES)
@given(stream=streams(), cache=st.sampled_from([260, 400, 2000]))
def test_no_pass_is_over_its_budget_and_none_overlap(
    engine: str, stream: RequestStream, cache: int
) -> None:
    out = run(stream, hand_rules(engine, cache_tokens=cache), COSTS, POLICY)
    assert (out.prompt_tokens + out.decoding <= 64).all()
    assert (out.decoding <= 8).all()
    assert (out.cache_share <= 1.0).all()
    ends = out.start_seconds + out.pass_seconds
    assert (out.start_seconds[1:] >= ends[:-1]).all()
    if engine == SGLANG:
        assert ((out.prompt_tokens == 0) | (out.decoding == 0)).all()
    expected = 1e-4 * out.prompt_tokens + np.where(
        out.decoding > 0, 0.010 + 0.001 * out.decoding, 0.0
    )
    np.testing.assert_allclose(out.pass_seconds, expected)


@pytest.mark.parametrize("engine", ENGINES)
@given(stream=streams(), cache=st.sampled_from([260, 400, 2000]), ranks=st.integers(1, 3))
def test_nothing_is_held_when_all_is_served(
    engine: str, stream: RequestStream, cache: int, ranks: int
) -> None:
    tables = as_lists(
        new_state(
            stream,
            hand_rules(engine, cache_tokens=cache),
            COSTS,
            POLICY,
            ranks=ranks,
            replicas=2,
            router="least-loaded",
            seed=0,
            read_elsewhere=False,
            room=MOST_PASSES,
        )
    )
    assert play(tables, MOST_PASSES)
    kept = [sum(slot[2] for slot in slots) for slots in tables.slots]
    for unit, cells in zip(tables.units, kept, strict=True):
        assert unit[at.HELD] == (cells if engine == LLAMA_CPP else 0)
        assert 0 <= unit[at.LISTED] <= tables.limits[at.BLOCKS]
        names = (at.QUEUED, at.QUEUED_TOKENS, at.PROMISED, at.SERVED, at.UNREAD, at.REMAINING)
        assert [unit[name] for name in names] == [0] * len(names)
    for v, lane in enumerate(tables.lanes):
        assert (lane[at.BATCH], lane[at.OFFSETS], lane[at.EVENTS]) == (0, 0, 0)
        assert not any(tables.residues[v])


@given(stream=streams())
def test_nobody_overtakes_where_there_is_room(stream: RequestStream) -> None:
    out = run(stream, hand_rules(VLLM, cache_tokens=10_000), COSTS, POLICY)
    served = np.flatnonzero(~out.rejected)
    assert not out.preempted.any()
    assert (np.diff(out.scheduled_seconds[served]) >= 0).all()
    assert (np.diff(out.first_seconds[served]) >= 0).all()


@given(
    count=st.integers(1, 20),
    prompt=st.integers(1, 90),
    answer=st.integers(1, 90),
    cache=st.integers(200, 400),
)
def test_a_cache_with_room_for_all_preempts_none(
    count: int, prompt: int, answer: int, cache: int
) -> None:
    """Between two caches that are too small either may preempt more: who is put back differs."""
    stream = stream_of([0.0] * count, [prompt] * count, [answer] * count)
    room = 8 * (prompt + answer + 4)
    small, large = (
        run(stream, hand_rules(VLLM, cache_tokens=n), COSTS, POLICY) for n in (cache, room)
    )
    assert not large.preempted.any()
    read_again = small.prompt_tokens.sum() - large.prompt_tokens.sum()
    assert (read_again > 0) == small.preempted.any()


@given(stream=streams(), engine=st.sampled_from(ENGINES))
def test_slower_passes_end_later(stream: RequestStream, engine: str) -> None:
    """Of requests that come at once, so that all that is longer delays all behind it."""
    burst = replace(stream, arrival_seconds=np.zeros(len(stream)))
    fast = run(burst, hand_rules(engine), COSTS, POLICY)
    for slow in (
        Scheduling(host_seconds=0.001),
        Scheduling(prompt_floor_seconds=0.1),
        Scheduling(reading_factor=1.5),
        Scheduling(handling_seconds=0.1),
    ):
        out = run(burst, hand_rules(engine), COSTS, slow)
        served = ~out.rejected
        assert (out.last_seconds[served] >= fast.last_seconds[served]).all()
        assert (out.first_seconds[served] >= fast.first_seconds[served]).all()
        assert (
            not served.any() or out.first_seconds[served].sum() > fast.first_seconds[served].sum()
        )


@pytest.mark.parametrize("router", ROUTERS)
def test_replicas_share_what_comes(router: str) -> None:
    stream = stream_of([0.0] * 40, [30] * 40, [10] * 40)
    one = run(stream, hand_rules(), COSTS, POLICY, router=router)
    four = run(stream, hand_rules(), COSTS, POLICY, replicas=4, router=router, seed=3)
    assert four.last_seconds.max() < one.last_seconds.max()
    again = run(stream, hand_rules(), COSTS, POLICY, replicas=4, router=router, seed=3)
    np.testing.assert_array_equal(four.last_seconds, again.last_seconds)
    if router != "random":  # ten each: as one replica serves ten
        ten = run(stream_of([0.0] * 10, [30] * 10, [10] * 10), hand_rules(), COSTS, POLICY)
        np.testing.assert_allclose(np.sort(four.last_seconds)[::4], np.sort(ten.last_seconds))


def test_an_interrupt_keeps_what_was_served() -> None:
    stream = plain_stream(
        np.arange(4000) * 0.05, np.full(4000, 20, np.int64), np.full(4000, 20, np.int64)
    )
    seen: list[int] = []

    def stop(count: int) -> None:
        seen.append(count)
        if len(seen) == 2:
            raise KeyboardInterrupt

    out = run(stream, hand_rules(), COSTS, POLICY, progress=stop, engine="numpy")
    done = np.isfinite(out.last_seconds)
    assert not out.complete
    assert 0 < done.sum() == seen[-1] < 4000
    assert len(out.start_seconds) == 2 * 4096
    everything = run(stream, hand_rules(), COSTS, POLICY, engine="numpy")
    np.testing.assert_array_equal(out.last_seconds[done], everything.last_seconds[done])


def test_nothing_comes() -> None:
    out = run(stream_of([], [], []), hand_rules(), COSTS, POLICY)
    assert out.complete
    assert len(out.first_seconds) == len(out.start_seconds) == 0


@pytest.mark.parametrize(
    "asked",
    [
        {"ranks": 0},
        {"replicas": 0},
        {"router": "nearest"},
        {"engine": "fortran"},
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, object]) -> None:
    with pytest.raises((InputError, ValueError)):
        run(stream_of([0.0], [1], [1]), hand_rules(), COSTS, POLICY, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changed", [{"token_budget": 0}, {"max_sequences": 0}, {"cache_tokens": 3}, {"draft": 64}]
)
def test_rules_that_hold_nothing_are_refused(changed: dict[str, int]) -> None:
    with pytest.raises(InputError):
        run(stream_of([0.0], [1], [1]), hand_rules(**changed), COSTS, POLICY)
