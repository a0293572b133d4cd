"""Passes that read prompts: how long one lasts, and what it costs the sequences that decode.

A pass that no graph was captured for is launched kernel by kernel, so it lasts at least the host's
floor, and every sequence in it waits for that; a pass of few tokens replays a graph. Prompts that
wait share a pass up to the token budget, so the floor is a pass's and not a prompt's. A prompt
longer than the budget takes a pass for each of its chunks.
"""

from __future__ import annotations

from planner.throughput.scheduling import Scheduling, StepTimes


def added_seconds(
    times: StepTimes, policy: Scheduling, batch: float, prompts: float = 1.0, share: float = 0.0
) -> float:
    """Seconds that ``prompts`` of a rank, read together, add to the steps of ``batch`` sequences,
    where ``share`` of the other ranks read as many: where prompts run alone their passes, else what
    the passes last longer than the same steps without them."""
    passes = number_of_passes(times, prompts)
    floor = launch_seconds(times, policy, batch, prompts / passes)
    if policy.exclusive:
        device = policy.reading_factor * group_seconds(times, prompts, share)
        return passes * policy.step(max(device / passes, floor), 0.0)
    step = times.step(batch)
    # The first prompt of a pass reads the weights with the batch; further ones share that.
    further = group_seconds(times, prompts, share) - group_seconds(times, 1.0, share)
    first = min(prompts, 1.0) * max(times.with_prompt(batch, share) - step, 0.0)
    device = policy.reading_factor * (first + max(further, 0.0))
    return max(device, passes * (floor - step))


def reading_seconds(
    times: StepTimes, policy: Scheduling, batch: float, prompts: float = 1.0, share: float = 0.0
) -> float:
    """Seconds of the passes in which ``prompts`` of a rank are read together."""
    added = added_seconds(times, policy, batch, prompts, share)
    if policy.exclusive:
        return added
    passes = number_of_passes(times, prompts)
    if batch > 0:
        return added + passes * policy.step(times.step(batch), batch)
    device = policy.reading_factor * group_seconds(times, prompts, share)
    floor = launch_seconds(times, policy, batch, prompts / passes)
    return passes * policy.step(max(device / passes, floor), 0.0)


def launch_seconds(
    times: StepTimes, policy: Scheduling, batch: float, prompts: float = 1.0
) -> float:
    """Least seconds of a pass that reads ``prompts`` (or a chunk) beside ``batch`` sequences."""
    captured = max(prompts, 1.0) * times.tokens + batch <= policy.captured_tokens
    return 0.0 if captured else policy.prompt_floor_seconds


def number_of_passes(times: StepTimes, prompts: float) -> float:
    """Passes in which ``prompts`` that wait are read: their tokens over the budget, at least 1."""
    return (
        max(prompts * times.chunks, 1.0)
        if times.chunks > 1
        else max(prompts / max(times.together, 1.0), 1.0)
    )


def group_seconds(times: StepTimes, prompts: float, share: float = 0.0) -> float:
    """Device seconds of ``prompts`` that are read together on a rank without sequences, by whole
    passes of as many as are tabulated, between whole numbers linear."""
    alone = times.with_prompt(0.0, share)
    most = len(times.group)
    if times.chunks > 1:
        return prompts * alone
    if prompts <= 1.0 or most == 1:
        return max(prompts, 1.0) * alone
    if prompts >= most:
        return prompts / most * alone * float(times.group[-1] / times.group[0])
    lower = int(prompts)
    first, second = float(times.group[lower - 1]), float(times.group[lower])
    return alone * (first + (prompts - lower) * (second - first)) / float(times.group[0])
