"""An event-driven closed loop: every step is played, nothing is averaged. An oracle for tests."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from planner.throughput.serving import Load, Policy, StepTimes


@dataclass
class Request:
    """What is left to send, and when things happened [s]."""

    arrived: float
    answer: int
    left: int
    first: float = 0.0
    last: float = 0.0


@dataclass
class Played:
    """Requests that ended, in order, and the integral of the active batch over time."""

    done: list[Request] = field(default_factory=list)
    sequence_seconds: float = 0.0
    seconds: float = 0.0

    def means(self, edge: int) -> tuple[float, float, float]:
        """(TPOT, TTFT, active sequences), the first and last ``edge`` requests left out."""
        kept = self.done[edge:len(self.done) - edge]
        assert kept
        tpot = sum((r.last - r.first) / (r.answer - 1) for r in kept) / len(kept)
        ttft = sum(r.first - r.arrived for r in kept) / len(kept)
        return tpot, ttft, self.sequence_seconds / self.seconds


def play(times: StepTimes, load: Load, policy: Policy, *, jitter: float, seed: int) -> Played:
    """Serve ``load.requests`` requests, ``load.concurrency`` at a time, one prompt a step at most.

    Answers vary by ± ``jitter``, so that requests that start together drift apart.
    """
    assert load.requests is not None
    dice = random.Random(seed)
    played = Played()

    def fresh(now: float) -> Request:
        answer = max(2, round(load.osl * (1 + jitter * dice.uniform(-1, 1))))
        return Request(now, answer, answer)

    waiting = deque(fresh(0.0) for _ in range(int(load.concurrency)))
    issued, now = len(waiting), 0.0
    active: list[Request] = []
    while active or waiting:
        reading = waiting.popleft() if waiting else None
        batch = float(len(active))
        alone = reading is not None and policy.exclusive
        if reading is None:
            seconds = policy.step(times.step(batch), batch)
        elif alone:
            seconds = policy.step(times.prompt, 0.0)
        else:
            seconds = policy.step(times.with_prompt(batch), batch)
        now += seconds
        played.sequence_seconds += seconds * batch
        if not alone:
            for request in active:
                request.left -= 1
                request.last = now
        ended = [r for r in active if r.left == 0]
        active = [r for r in active if r.left]
        played.done += ended
        for _ in ended:
            if issued < load.requests:
                waiting.append(fresh(now))
                issued += 1
        if reading is not None:
            reading.first = reading.last = now
            reading.left -= 1
            active.append(reading)
    played.seconds = now
    return played
