"""Traces for engines' schedulers: what an engine and what the planner is told of one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.requests.stream import RequestStream
from planner.scheduler.costs import StepCosts
from planner.scheduler.rules import FCFS, SGLANG, VLLM, SchedulerRules

BLOCK_TOKENS = 16
TICKS = 1 << 20
"""Arrivals are whole ticks of a second, passes whole 1,024ths of it: sums are exact, and none
arrives in the moment a pass ends."""
TOKEN_SECONDS = 1 / 1024
UNSHARED = -1
SGLANG_RESERVE = 0.7
"""Share of answers that SGLang counts on at first (SGLANG_INIT_NEW_TOKEN_RATIO)."""
Ints = NDArray[np.int64]
Seconds = NDArray[np.float64]


@record
class Trace:
    """Requests [N] for an engine of these settings, on a clock on which a pass lasts
    ``pass_seconds`` and ``token_seconds`` for each of its tokens.

    ``prefix`` [N] numbers what a prompt begins with (-1: nothing that is shared) for
    ``shared_blocks`` [N] of the ``blocks`` that the cache has.
    """

    name: str
    engine: str
    token_budget: int
    max_sequences: int
    blocks: int
    block_tokens: int
    context: int
    prefix_cache: bool
    arrival_seconds: Seconds
    input_tokens: Ints
    output_tokens: Ints
    prefix: Ints
    shared_blocks: Ints
    mixed: bool = True
    reserve: float = 0.0
    pass_seconds: float = 1.0
    token_seconds: float = 0.0

    def settings(self) -> dict[str, Any]:
        """What the engine is started with."""
        return {
            "token_budget": self.token_budget,
            "max_sequences": self.max_sequences,
            "blocks": self.blocks,
            "block_tokens": self.block_tokens,
            "context": self.context,
            "prefix_cache": self.prefix_cache,
            "mixed": self.mixed,
            "order": FCFS,
        }

    def rules(self) -> SchedulerRules:
        """The same as the planner says it."""
        return SchedulerRules(
            engine=self.engine,
            token_budget=self.token_budget,
            max_sequences=self.max_sequences,
            cache_tokens=self.blocks * self.block_tokens,
            context=self.context,
            block_tokens=self.block_tokens,
            prefix_cache=self.prefix_cache,
            mixed=self.mixed,
            reserve=self.reserve,
        )

    def stream(self) -> RequestStream:
        """The requests as the planner takes them."""
        counts = -(-self.input_tokens // self.block_tokens)
        start = np.concatenate(([0], np.cumsum(counts)))
        names: dict[tuple[int, int], int] = {}
        ids: list[int] = []
        for i, count in enumerate(counts.tolist()):
            for block in range(count):
                shared = self.prefix[i] != UNSHARED and block < self.shared_blocks[i]
                of = int(self.prefix[i]) if shared else -2 - i
                ids.append(names.setdefault((of, block), len(names)))
        return RequestStream(
            self.arrival_seconds,
            self.input_tokens,
            self.output_tokens,
            np.zeros(len(counts), dtype=np.int64),
            self.block_tokens,
            start.astype(np.int64),
            np.array(ids, dtype=np.int64),
        )

    def told(self) -> dict[str, Any]:
        """For an engine: the settings, and prompts as tokens, equal where blocks are."""
        stream = self.stream()
        prompts = []
        for i, length in enumerate(self.input_tokens.tolist()):
            own = stream.blocks[stream.block_start[i] : stream.block_start[i + 1]]
            tokens = own[:, None] * self.block_tokens + np.arange(self.block_tokens)
            prompts.append(tokens.ravel()[:length].tolist())
        return {
            "settings": self.settings(),
            "arrival_seconds": stream.arrival_seconds.tolist(),
            "output_tokens": self.output_tokens.tolist(),
            "prompts": prompts,
            "pass_seconds": {"each": self.pass_seconds, "token": self.token_seconds},
        }

    def costs(self) -> StepCosts:
        """What passes last, of whichever kind their tokens are."""
        each, token = self.pass_seconds, self.token_seconds
        batch = np.array([0.0, 1.0, self.max_sequences + 1.0])
        tokens = np.array([0.0, 1.0, self.token_budget + 1.0])
        alone = np.where(batch > 0, each + token * batch, 0.0)
        first = np.where(batch > 0, 0.0, each)
        mixed = np.where(tokens[:, None] > 0, token * tokens[:, None] + first[None, :], 0.0)
        return StepCosts(
            batch=batch,
            length=np.array([0.0, 1.0]),
            decode=np.repeat(alone[:, None], 2, axis=1),
            tokens=tokens,
            mixed=mixed,
            everywhere=mixed,
            computed=np.array([0.0, 1.0]),
            behind=np.zeros((3, 2)),
        )


def random_trace(seed: int) -> Trace:
    """Budgets, sequences and caches small enough to be reached, prompts and answers of any law."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(24, 49))
    budget = int(rng.choice([48, 64, 128, 256, 512, 2048]))
    sequences = int(rng.choice([3, 4, 8, 16, 32]))
    longest = min(int(budget * rng.choice([0.3, 1.5, 4])), 600)
    answers = int(rng.choice([8, 60, 120]))
    inputs = _lengths(rng, count, longest)
    outputs = _lengths(rng, count, answers)
    need = -(-(inputs + outputs) // BLOCK_TOKENS)
    blocks = int(max(need.max() + 1, round(need.mean() * sequences * rng.uniform(0.25, 0.7))))
    if rng.random() < 0.25:
        arrivals = np.sort(rng.integers(0, 4, count)) * 8 * TICKS
    else:
        gaps = rng.exponential(rng.uniform(0.3, 1.0) * outputs.mean() / sequences, count)
        arrivals = (np.cumsum(gaps) * TICKS).astype(np.int64)
    prefixes = int(rng.integers(2, 6))
    prefix = np.where(rng.random(count) < 0.7, rng.integers(0, prefixes, count), UNSHARED)
    shared = np.minimum(rng.integers(1, 12, prefixes)[prefix], inputs // BLOCK_TOKENS)
    return Trace(
        name=f"random-{seed:02d}",
        engine=VLLM,
        token_budget=budget,
        max_sequences=sequences,
        blocks=blocks,
        block_tokens=BLOCK_TOKENS,
        context=blocks * BLOCK_TOKENS,
        prefix_cache=bool(seed % 2),
        arrival_seconds=arrivals / TICKS,
        input_tokens=inputs,
        output_tokens=outputs,
        prefix=prefix.astype(np.int64),
        shared_blocks=np.where(prefix == UNSHARED, 0, shared).astype(np.int64),
        token_seconds=TOKEN_SECONDS,
    )


def for_sglang(trace: Trace) -> Trace:
    """The same requests for SGLang's defaults: a page is a token, prompts are read alone."""
    tokens = trace.block_tokens
    shared = trace.shared_blocks * tokens
    return replace(
        trace,
        engine=SGLANG,
        blocks=trace.blocks * tokens,
        block_tokens=1,
        shared_blocks=shared,
        mixed=False,
        reserve=SGLANG_RESERVE,
    )


def _lengths(rng: np.random.Generator, count: int, most: int) -> Ints:
    """Fixed, uniform or lognormal lengths from 1 to ``most`` and half as much again."""
    law = rng.integers(3)
    if law == 0:
        return np.full(count, most, dtype=np.int64)
    if law == 1:
        return rng.integers(1, most + 1, count).astype(np.int64)
    drawn = rng.lognormal(np.log(most / 2), 0.7, count)
    return np.clip(drawn, 1, most * 3 // 2).astype(np.int64)
