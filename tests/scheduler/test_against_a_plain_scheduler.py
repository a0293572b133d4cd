"""vLLM's scheduler written as its source has it, walking over every request and block: the kernel
counts what this one looks at, and makes the same passes."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scheduling import hand_costs, hand_rules, stream_of

from planner.requests.stream import RequestStream
from planner.scheduler.rules import SchedulerRules
from planner.scheduler.run import run
from planner.throughput.scheduling import Scheduling


@dataclass
class Request:
    number: int
    arrival: float
    prompt: int
    answer: int
    names: list[object]
    computed: int = 0
    made: int = 0
    blocks: list[int] = field(default_factory=list)
    preempted: int = 0
    hit: int = -1
    last: float = -1.0
    decodes: bool = False

    @property
    def tokens(self) -> int:
        return self.prompt + self.made


class Blocks:
    """Physical blocks: the queue of free ones, oldest first, and who is cached under which name."""

    def __init__(self, count: int) -> None:
        self.free: OrderedDict[int, None] = OrderedDict((i, None) for i in range(count))
        self.uses = [0] * count
        self.name: list[object] = [None] * count
        self.cached: dict[object, int] = {}

    def take(self, count: int) -> list[int]:
        taken = [self.free.popitem(last=False)[0] for _ in range(count)]
        for i in taken:
            if self.cached.get(self.name[i]) == i:
                del self.cached[self.name[i]]
            self.name[i], self.uses[i] = None, 1
        return taken

    def touch(self, i: int) -> None:
        if self.uses[i] == 0:
            del self.free[i]
        self.uses[i] += 1

    def give_back(self, blocks: list[int]) -> None:
        for i in reversed(blocks):
            self.uses[i] -= 1
            if self.uses[i] == 0:
                self.free[i] = None
                if self.name[i] is None:  # it holds nothing that could be found
                    self.free.move_to_end(i, last=False)


class PlainScheduler:
    def __init__(self, stream: RequestStream, rules: SchedulerRules) -> None:
        self.rules, self.block = rules, rules.block_tokens
        self.blocks = Blocks(rules.cache_tokens // rules.block_tokens)
        self.running: list[Request] = []
        self.waiting: list[Request] = []
        self.coming: list[Request] = []
        for i in range(len(stream)):
            first, last = stream.block_start[i], stream.block_start[i + 1]
            prompt, answer = int(stream.input_tokens[i]), int(stream.output_tokens[i])
            names: list[object] = [("id", int(n)) for n in stream.blocks[first:last]]
            names = names[: prompt // self.block]
            names += [(i, k) for k in range(len(names), (prompt + answer) // self.block + 1)]
            self.coming.append(Request(i, float(stream.arrival_seconds[i]), prompt, answer, names))
        self.passes: list[tuple[int, int]] = []

    def allocate(self, r: Request, tokens: int, hits: list[int], whole: bool) -> bool:
        total = r.computed + len(hits) * self.block + tokens
        full = r.tokens if whole and self.rules.full_prompt else total
        listed = sum(self.blocks.uses[i] == 0 for i in hits)
        have = len(r.blocks) + len(hits)
        if -(-full // self.block) - have + listed > len(self.blocks.free):
            return False
        need = max(-(-total // self.block) - have, 0)
        if need + listed > len(self.blocks.free):
            return False
        for i in hits:
            self.blocks.touch(i)
        r.blocks += hits + self.blocks.take(need)
        for k in range(min(total, r.tokens) // self.block):
            i, name = r.blocks[k], r.names[k]
            self.blocks.name[i] = name
            self.blocks.cached.setdefault(name, i)
        return True

    def preempt(self) -> Request:
        r = self.running.pop()
        self.blocks.give_back(r.blocks)
        r.blocks, r.computed, r.preempted, r.decodes = [], 0, r.preempted + 1, False
        self.waiting.insert(0, r)
        return r

    def schedule(self) -> dict[int, int]:
        budget, scheduled, preempted = self.rules.token_budget, {}, False
        index = 0
        while index < len(self.running) and budget > 0:
            r = self.running[index]
            tokens = min(r.tokens - r.computed, budget)
            done = False
            while not self.allocate(r, tokens, [], False):
                preempted = True
                if self.preempt() is r:
                    done = True
                    break
            if done:
                break
            scheduled[r.number] = tokens
            budget -= tokens
            index += 1
        while not preempted and self.waiting and budget > 0:
            if len(self.running) == self.rules.max_sequences:
                break
            r = self.waiting[0]
            hits = self.hits(r)
            tokens = min(r.tokens - len(hits) * self.block, budget)
            if not self.allocate(r, tokens, hits, True):
                break
            self.waiting.pop(0)
            self.running.append(r)
            r.computed = len(hits) * self.block
            r.hit = min(r.computed, r.prompt) if r.hit < 0 else r.hit
            scheduled[r.number] = tokens
            budget -= tokens
        return scheduled

    def hits(self, r: Request) -> list[int]:
        out: list[int] = []
        for k in range((r.tokens - 1) // self.block):
            if not self.rules.prefix_cache or r.names[k] not in self.blocks.cached:
                break
            out.append(self.blocks.cached[r.names[k]])
        return out

    def play(self) -> None:
        now = 0.0
        while self.coming or self.waiting or self.running:
            if not self.waiting and not self.running:
                now = max(now, self.coming[0].arrival)
            while self.coming and self.coming[0].arrival <= now:
                self.waiting.append(self.coming.pop(0))
            scheduled = self.schedule()
            by_number = {r.number: r for r in self.running}
            decoding = [n for n in scheduled if by_number[n].decodes]
            prompt = sum(t for n, t in scheduled.items() if n not in decoding)
            batch = len(decoding)
            self.passes.append((batch, prompt))
            now += (0.010 + 0.001 * batch if batch else 0.0) + 1e-4 * prompt
            for n, tokens in scheduled.items():
                r = by_number[n]
                r.computed += tokens
                if r.computed == r.tokens:
                    r.made, r.decodes = r.made + 1, True
                if r.made == r.answer:
                    r.last = now
                    self.running.remove(r)
                    self.blocks.give_back(r.blocks)


@st.composite
def streams(draw: st.DrawFn) -> RequestStream:
    """Prompts of which half begin alike; none fills its last block, so that none is copied."""
    count = draw(st.integers(1, 25))
    gaps = draw(st.lists(st.sampled_from([0.0, 0.01, 0.2]), min_size=count, max_size=count))
    inputs = [
        n + (n % 4 == 0)
        for n in draw(st.lists(st.integers(1, 140), min_size=count, max_size=count))
    ]
    outputs = draw(st.lists(st.integers(1, 50), min_size=count, max_size=count))
    shared = draw(st.lists(st.integers(0, 20), min_size=count, max_size=count))
    blocks = []
    for i in range(count):
        full = inputs[i] // 4
        alike = min(shared[i], full)
        blocks.append([*range(alike), *range(100 + 50 * i, 100 + 50 * i + full - alike)])
    return stream_of(np.cumsum(gaps).tolist(), inputs, outputs, blocks)


@pytest.mark.parametrize("full_prompt", [True, False])
@pytest.mark.parametrize("prefix_cache", [True, False])
@given(stream=streams(), cache=st.sampled_from([200, 260, 1000]))
def test_the_kernel_makes_the_same_passes(
    stream: RequestStream, cache: int, prefix_cache: bool, full_prompt: bool
) -> None:
    rules = hand_rules(cache_tokens=cache, prefix_cache=prefix_cache, full_prompt=full_prompt)
    plain = PlainScheduler(stream, rules)
    requests = list(plain.coming)
    plain.play()
    out = run(stream, rules, hand_costs(), Scheduling())
    passes = list(zip(out.decoding.tolist(), out.prompt_tokens.tolist(), strict=True))
    assert passes == plain.passes
    assert out.preempted.tolist() == [r.preempted for r in requests]
    assert out.hit_tokens.tolist() == [r.hit for r in requests]
    np.testing.assert_allclose(out.last_seconds, [r.last for r in requests], rtol=1e-12)
