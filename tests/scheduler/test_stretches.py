"""Steps in one loop are those that are taken one by one."""

from __future__ import annotations

from dataclasses import fields
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scheduling import ENGINES, hand_costs, hand_rules

from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler import events
from planner.scheduler.run import run
from planner.scheduler.state import State
from planner.throughput.scheduling import Scheduling


def one_by_one(_state: State, _replica: int, now: float, _room: int) -> float:
    return now


@st.composite
def sparse_streams(draw: st.DrawFn) -> RequestStream:
    """Requests that often decode alone; some come at the very end of a pass."""
    count = draw(st.integers(1, 12))
    gaps = draw(st.lists(st.sampled_from([0.0, 0.011, 0.1, 1.0]), min_size=count, max_size=count))
    inputs = draw(st.lists(st.integers(1, 120), min_size=count, max_size=count))
    outputs = draw(st.lists(st.integers(1, 80), min_size=count, max_size=count))
    return plain_stream(np.cumsum(gaps), np.array(inputs), np.array(outputs))


@pytest.mark.parametrize("engine", ENGINES)
@given(
    stream=sparse_streams(),
    replicas=st.integers(1, 2),
    ahead=st.integers(0, 1),
    accepted=st.sampled_from([1.0, 1.6]),
)
def test_nothing_changes(
    engine: str, stream: RequestStream, replicas: int, ahead: int, accepted: float
) -> None:
    rules = hand_rules(engine, cache_tokens=260, draft=1, accepted=accepted)
    policy = Scheduling(host_seconds=0.001, ahead=ahead)
    together = run(stream, rules, hand_costs(), policy, replicas=replicas)
    with patch.object(events, "decode_on", one_by_one):
        single = run(stream, rules, hand_costs(), policy, replicas=replicas)
    for field in fields(together):
        np.testing.assert_array_equal(getattr(together, field.name), getattr(single, field.name))
