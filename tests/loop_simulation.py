"""An event-driven closed loop: every step is played, nothing is averaged. An oracle for tests."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from planner.throughput.scheduling import Load, Scheduling, StepTimes


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
        kept = self.done[edge : len(self.done) - edge]
        assert kept
        tpot = sum((r.last - r.first) / (r.answer - 1) for r in kept) / len(kept)
        ttft = sum(r.first - r.arrived for r in kept) / len(kept)
        return tpot, ttft, self.sequence_seconds / self.seconds


def play(
    times: StepTimes,
    load: Load,
    policy: Scheduling,
    *,
    jitter: float,
    seed: int,
    pause: float = 0.0,
) -> Played:
    """Serve ``load.requests`` requests, ``load.concurrency`` at a time; a pass reads as many whole
    prompts as ``times.together`` allows, each at the cost of the first, one where it runs alone.

    Answers vary by ± ``jitter``, so that requests that start together drift apart. A client sends
    its next prompt up to ``pause`` seconds after an answer, so that prompts come during steps.
    """
    assert load.requests is not None
    dice = random.Random(seed)
    played = Played()

    def fresh(now: float) -> Request:
        answer = max(2, round(load.osl * (1 + jitter * dice.uniform(-1, 1))))
        return Request(now, answer, answer)

    sent = [fresh(0.0) for _ in range(int(load.concurrency))]
    waiting: deque[Request] = deque()
    issued, now = len(sent), 0.0
    active: list[Request] = []
    most = 1 if policy.exclusive else max(int(times.together), 1)
    while active or waiting or sent:
        waiting.extend(sorted((r for r in sent if r.arrived <= now), key=lambda r: r.arrived))
        sent = [r for r in sent if r.arrived > now]
        if not active and not waiting:
            now = min(r.arrived for r in sent)
            continue
        reading = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        batch = float(len(active))
        alone = bool(reading) and policy.exclusive
        if alone:
            seconds = policy.step(times.prompt, 0.0)
        else:
            added = times.with_prompt(batch) - times.step(batch)
            seconds = policy.step(times.step(batch) + len(reading) * added, batch)
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
                sent.append(fresh(now + pause * dice.random()))
                issued += 1
        for request in reading:
            request.first = request.last = now
            request.left -= 1
        active += reading
    played.seconds = now
    return played
