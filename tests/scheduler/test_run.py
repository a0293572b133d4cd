"""Requests played through an engine's scheduler: laws that hold for every stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.requests.stream import RequestStream, plain_stream
from planner.scheduler.costs import StepCosts
from planner.scheduler.rules import LLAMA_CPP, SGLANG, TENSORRT_LLM, VLLM, SchedulerRules
from planner.scheduler.run import run
from planner.throughput.scheduling import Scheduling

ENGINES = (VLLM, SGLANG, TENSORRT_LLM, LLAMA_CPP)


def simple_costs(stages: int = 1) -> StepCosts:
    """A pass of 10 ms, 1 ms a sequence, 0.1 ms a prompt token."""
    batch = np.array([0.0, 1.0, 64.0])
    decode = np.where(batch > 0, 0.010 + 0.001 * batch, 0.0)[:, None] * np.ones((1, 2))
    tokens = np.array([0.0, 4096.0])
    mixed = np.tile((1e-4 * tokens)[:, None], (1, 3))
    behind = np.zeros((2, 2))
    return StepCosts(
        batch,
        np.array([1.0, 4096.0]),
        decode,
        tokens,
        mixed,
        mixed,
        np.array([0.0, 4096.0]),
        behind,
        stages,
        1.0 / stages,
    )


def rules_of(engine: str, **changed: object) -> SchedulerRules:
    values: dict[str, object] = {
        "token_budget": 64,
        "max_sequences": 8,
        "cache_tokens": 400,
        "context": 200,
        "block_tokens": 4,
        "mixed": engine != SGLANG,
        "reserve": {SGLANG: 0.7, TENSORRT_LLM: 1.0}.get(engine, 0.0),
    }
    if engine in (SGLANG, LLAMA_CPP):
        values["block_tokens"] = 1
    return SchedulerRules(engine, **(values | changed))  # type: ignore[arg-type]


@st.composite
def streams(draw: st.DrawFn) -> RequestStream:
    count = draw(st.integers(1, 30))
    gaps = draw(st.lists(st.sampled_from([0.0, 0.01, 0.05, 0.3]), min_size=count, max_size=count))
    inputs = draw(st.lists(st.integers(1, 150), min_size=count, max_size=count))
    outputs = draw(st.lists(st.integers(1, 60), min_size=count, max_size=count))
    return plain_stream(np.cumsum(gaps), np.array(inputs), np.array(outputs))


@pytest.mark.parametrize("engine", ENGINES)
@given(stream=streams())
def test_every_request_is_served_once_or_rejected(engine: str, stream: RequestStream) -> None:
    out = run(stream, rules_of(engine), simple_costs(), Scheduling())
    served = ~out.rejected
    assert out.complete
    assert np.isfinite(out.last_seconds[served]).all()
    assert (out.made_tokens[served] <= stream.output_tokens[served]).all()
    if engine != LLAMA_CPP:
        assert (out.made_tokens[served] == stream.output_tokens[served]).all()
        assert (served == (stream.input_tokens + stream.output_tokens <= 200)).all()
        assert np.isnan(out.first_seconds[out.rejected]).all()
    assert (out.scheduled_seconds[served] >= stream.arrival_seconds[served]).all()
    assert (out.first_seconds[served] > out.scheduled_seconds[served]).all()
    assert (out.last_seconds[served] >= out.first_seconds[served]).all()


@pytest.mark.parametrize("engine", ENGINES)
@given(stream=streams())
def test_no_pass_is_over_its_budget_and_none_overlap(engine: str, stream: RequestStream) -> None:
    out = run(stream, rules_of(engine), simple_costs(), Scheduling())
    used = out.prompt_tokens + (out.decoding if engine != SGLANG else 0)
    assert (used <= 64).all()
    assert (out.decoding <= 8).all()
    assert (out.cache_share <= 1.0).all()
    ends = out.start_seconds + out.pass_seconds
    assert (out.start_seconds[1:] >= ends[:-1] - 1e-12).all()
    if engine == SGLANG:
        assert ((out.prompt_tokens == 0) | (out.decoding == 0)).all()


def test_compiled_and_plain_serve_alike() -> None:
    draws = np.random.default_rng(1)
    stream = plain_stream(
        np.cumsum(draws.exponential(0.05, 300)),
        draws.integers(1, 150, 300),
        draws.integers(1, 50, 300),
    )
    for engine in ENGINES:
        plain = run(stream, rules_of(engine), simple_costs(), Scheduling(), engine="numpy")
        fast = run(stream, rules_of(engine), simple_costs(), Scheduling(), engine="numba")
        for name in type(plain).__dataclass_fields__:
            np.testing.assert_array_equal(getattr(plain, name), getattr(fast, name))
