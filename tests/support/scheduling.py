"""Costs and rules of passes that are counted by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from planner.requests.stream import RequestStream
from planner.scheduler.costs import StepCosts
from planner.scheduler.rules import LLAMA_CPP, SGLANG, TENSORRT_LLM, VLLM, SchedulerRules

ENGINES = (VLLM, SGLANG, TENSORRT_LLM, LLAMA_CPP)


def hand_costs(stages: int = 1) -> StepCosts:
    """A decode step of 10 ms and 1 ms a sequence, 0.1 ms a prompt token; nothing else counts."""
    batch = np.array([0.0, 1.0, 64.0])
    decode = np.repeat(np.where(batch > 0, 0.010 + 0.001 * batch, 0.0)[:, None], 2, axis=1)
    tokens = np.array([0.0, 4096.0])
    mixed = np.repeat((1e-4 * tokens)[:, None], 3, axis=1)
    ends = np.array([0.0, 4096.0])
    return StepCosts(
        batch, ends + 1.0, decode, tokens, mixed, mixed, ends, np.zeros((2, 2)), stages, 1 / stages
    )


def hand_rules(engine: str = VLLM, **changed: Any) -> SchedulerRules:
    """Passes of 64 tokens, 8 sequences, a cache of 400 tokens."""
    values: dict[str, Any] = {
        "token_budget": 64,
        "max_sequences": 8,
        "cache_tokens": 400,
        "context": 200,
        "block_tokens": 1 if engine in (SGLANG, LLAMA_CPP) else 4,
        "mixed": engine != SGLANG,
        "reserve": {SGLANG: 0.7, TENSORRT_LLM: 1.0}.get(engine, 0.0),
    }
    return SchedulerRules(engine, **(values | changed))


def stream_of(
    arrivals: list[float],
    inputs: list[int],
    outputs: list[int],
    blocks: list[list[int]] | None = None,
    block_tokens: int = 4,
) -> RequestStream:
    """A stream by its numbers, with the ids of each prompt's blocks."""
    rows = blocks or [[] for _ in arrivals]
    return RequestStream(
        np.array(arrivals, dtype=np.float64),
        np.array(inputs, dtype=np.int64),
        np.array(outputs, dtype=np.int64),
        np.zeros(len(arrivals), dtype=np.int64),
        block_tokens if blocks else 0,
        np.cumsum([0, *(len(row) for row in rows)]),
        np.array([i for row in rows for i in row], dtype=np.int64),
    )
