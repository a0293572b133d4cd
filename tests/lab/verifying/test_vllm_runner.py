"""The runner of vLLM's timed steps, with an engine whose steps take as long as is said."""

from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.lab.verifying.runners import run_vllm

TOKENS = np.arange(64).reshape(2, 32)


class Engine:
    """Requests that start together: ``prefill`` steps until all have a token, then one a step."""

    def __init__(self, clock: "Clock", seconds: float, prefill: int) -> None:
        self.clock, self.seconds, self.prefill = clock, seconds, prefill
        self.left: dict[str, int] = {}
        self.done = 0

    def add_request(self, name: str, prompt: Any, asked: Any) -> None:
        self.left[name] = asked.max_tokens
        self.done = 0

    def has_unfinished_requests(self) -> bool:
        return bool(self.left)

    def abort_request(self, names: list[str]) -> None:
        for name in names:
            self.left.pop(name, None)

    def step(self) -> list[Any]:
        self.clock.now += self.seconds
        self.done += 1
        if self.done < self.prefill:
            return []
        told = [SimpleNamespace(request_id=name) for name in self.left]
        self.left = {name: left - 1 for name, left in self.left.items() if left > 1}
        return told


class Clock:
    now = 0.0

    def perf_counter(self) -> float:
        return self.now


def runs(
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    budget: float,
    prefill: int = 1,
) -> list[Any]:
    clock, ids = Clock(), count()
    monkeypatch.setattr(
        run_vllm,
        "time",
        SimpleNamespace(perf_counter=clock.perf_counter, monotonic_ns=lambda: next(ids)),
    )
    llm = SimpleNamespace(llm_engine=Engine(clock, seconds, prefill))
    vllm = SimpleNamespace(SamplingParams=lambda **more: SimpleNamespace(**more))
    question = {
        "prompt": 8,
        "new_tokens": 16,
        "batches": [1, 4],
        "repeats": 3,
        "budget_seconds": budget,
    }
    out: list[Any] = []
    for batch in question["batches"]:  # type: ignore[attr-defined]
        run_vllm.timed_repeats(llm, vllm, np, TOKENS, question, batch, out)
    return out


@pytest.mark.parametrize("prefill", [1, 3])
def test_a_fast_engine_is_timed_in_full(monkeypatch: pytest.MonkeyPatch, prefill: int) -> None:
    found = runs(monkeypatch, 0.01, 120.0, prefill)
    assert [one["batch"] for one in found] == [1, 1, 1, 4, 4, 4]
    assert all(len(one["decode_seconds"]) == 15 for one in found)
    assert all(one["prefill_steps"] == prefill for one in found)
    assert found[0]["prefill_seconds"] == pytest.approx(0.01 * prefill)


def test_a_slow_engine_is_timed_once_and_stopped_when_the_budget_is_spent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = runs(monkeypatch, 6.0, 120.0)
    assert [(one["batch"], len(one["decode_seconds"])) for one in found] == [(1, 10), (4, 10)]
    assert set(found[1]["decode_seconds"]) == {6.0}


def test_the_slowest_engine_has_the_least_steps_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = runs(monkeypatch, 600.0, 120.0)
    assert [len(one["decode_seconds"]) for one in found] == [run_vllm.LEAST_STEPS] * 2


def test_there_is_no_repeat_that_would_not_end_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [one["batch"] for one in runs(monkeypatch, 1.0, 70.0)] == [1, 1, 4, 4]
