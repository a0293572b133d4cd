"""Passes of engines' own schedulers, recorded, against the planner's, one by one."""

from __future__ import annotations

import pytest

from evaluation.schedulers import golden
from evaluation.schedulers.compare import DATA, compare

_, RECORDED = golden.read(DATA / "vllm.json")
_, BY_TOKENS = golden.read(DATA / "sglang.json")
_, BY_SLOTS = golden.read(DATA / "llama.cpp.json")


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: f"{one.trace.name}-{one.scheduler}")
def test_passes_are_those_of_vllm(recorded: golden.Recorded) -> None:
    found = compare(recorded)
    assert found.differs is None
    assert found.batches == recorded.batches
    assert found.preempted == recorded.preempted


DIFFERENT = {"random-05"}
"""Another prefix is evicted: SGLang's tree goes by the last access, ours by the end of a use."""


@pytest.mark.parametrize("recorded", BY_TOKENS, ids=lambda one: f"{one.trace.name}-{one.scheduler}")
def test_passes_are_those_of_sglang_but_where_said(recorded: golden.Recorded) -> None:
    found = compare(recorded)
    assert found.equal == (recorded.trace.name not in DIFFERENT)
    assert found.preempted == recorded.preempted
    assert abs(len(found.batches) - len(recorded.batches)) <= 1


@pytest.mark.parametrize("recorded", BY_SLOTS, ids=lambda one: one.trace.name)
def test_passes_are_those_of_llama_server(recorded: golden.Recorded) -> None:
    """Three rates; requests wait for slots, prompts are read in parts and beside one another."""
    found = compare(recorded)
    assert found.differs is None
    assert found.batches == recorded.batches


def test_traces_reach_the_limits_of_the_scheduler() -> None:
    """Evictions, full passes, most sequences and prefixes that are found all occur."""
    traces = [one.trace for one in RECORDED]
    assert len({trace.name for trace in traces}) == 20
    assert sum(one.preempted > 0 for one in RECORDED) >= 20
    for one in RECORDED:
        done = sum(tokens for batch in one.batches for _, tokens in batch)
        plain = int((one.trace.input_tokens + one.trace.output_tokens - 1).sum())
        assert one.preempted > 0 or one.trace.prefix_cache or done == plain
    full = [max(sum(n for _, n in b) for b in one.batches) for one in RECORDED]
    assert sum(n == one.trace.token_budget for n, one in zip(full, RECORDED, strict=True)) >= 10
    most = [max(map(len, one.batches)) for one in RECORDED]
    assert sum(n == one.trace.max_sequences for n, one in zip(most, RECORDED, strict=True)) >= 10


def test_what_is_written_of_passes_is_read_back() -> None:
    passes = (((0, 17),), ((0, 1), (3, 1)), ((0, 1), (3, 1)), ((3, 1),))
    assert golden.written(passes) == "0:17;x2 0 3;3"
    assert golden.read_batches("0:17;x2 0 3;3") == passes
