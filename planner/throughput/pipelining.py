"""Pipelines: micro-batches that follow each other through stages, as ranks that step together.

A stage serves one micro-batch at a time and every micro-batch passes the stages in the same order,
so that with m of them in flight each is back at the first stage after

    T(B) = max(m·s(B), Σ_j s_j(B) + hops)

s the slowest stage: either that stage is never idle, or a micro-batch is never waited for. The host
works at every pass of a stage, before it (``exposed``) or beside the last. A pass that is longer
than the others is longer in every stage, and nobody overtakes it: the round lasts as long as its
own way through all stages. So the longest pass of a round sets the time of all, E[max] over
micro-batches of the prompts and sequences in them: as ranks of attention data parallelism that step
together, which is how a closed loop counts them. Chunks of one prompt that follow each other
through pp stages take pp + chunks − 1 times of a stage, not pp·chunks.

Engines differ in what they keep in flight (``data/pipelining.toml``).
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from functools import cache, lru_cache
from math import ceil, sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.throughput.arrivals import prompts_each_step
from planner.throughput.scheduling import Load, Pipelining, Scheduling, StepTimes

Array = NDArray[np.float64]
_FILE = Path(__file__).resolve().parent / "data" / "pipelining.toml"


@lru_cache(maxsize=256)
def pipelining(engine: str, version: str) -> Pipelining:
    """How ``engine`` at ``version`` fills pipeline stages."""
    for entry in _rules():
        if _is(entry["engine"], engine) and _is(entry["version"], version):
            return Pipelining(
                entry["in_flight"] == "one",
                entry["exposed"],
                entry["others"],
                entry["successive"],
                entry["balanced"],
            )
    raise AssertionError("the last rule matches everything")


def in_flight(times: StepTimes, policy: Scheduling) -> int:
    """Micro-batches that an engine has in flight where there are sequences enough."""
    return 1 if times.stages is None or policy.pipelining.single else times.stages.count


def micro_batches(times: StepTimes, load: Load, policy: Scheduling) -> int:
    """Micro-batches of ``load``: none of them is without a sequence, and requests that come at once
    fill one with what a pass reads before the next is begun."""
    sequences = load.concurrency / load.ranks
    most = min(in_flight(times, policy), int(sequences))
    if load.alike and not policy.pipelining.balanced:
        most = min(most, ceil(sequences / times.together))
    return max(most, 1)


def in_lockstep(
    times: StepTimes, load: Load, policy: Scheduling
) -> tuple[StepTimes, Load, Scheduling]:
    """The pipeline of ``times`` as ranks that step together, one for every micro-batch; as it is
    where there is no pipeline."""
    stages = times.stages
    if stages is None:
        return times, load, policy
    count = micro_batches(times, load, policy)

    def round_of(every: Array, slowest: Array) -> Array:
        return np.maximum(every, count * slowest)

    fuller = _fullest(times.batch, count, policy)
    decode = round_of(*(np.interp(fuller, times.batch, t) for t in (times.decode, stages.decode)))
    decode = np.where(times.batch > 0, decode, 0.0)
    shared = _shared_way(times, policy.pipelining)

    def with_prompt(every: Array, slowest: Array) -> Array:
        added, in_stage = every - times.decode, slowest - stages.decode
        return np.asarray(decode + np.maximum(added * shared, in_stage))

    mixed, ranks, requests = with_prompt(times.mixed, stages.mixed), count, 1
    if load.alike:
        # Requests of one length keep the order in which they began: prompts come in waves, to every
        # micro-batch in the same rounds.
        mixed = decode + np.maximum(mixed - decode, count * (stages.mixed - stages.decode))
        ranks, requests = 1, count
    everywhere = None
    if times.everywhere is not None and stages.everywhere is not None:
        everywhere = with_prompt(times.everywhere, stages.everywhere)
    chunks = times.chunks
    if policy.pipelining.successive:
        chunks = 1 + ceil((chunks - 1) / stages.count)
    return (
        StepTimes(
            batch=times.batch,
            decode=decode,
            mixed=mixed,
            group=round_of(times.group, stages.group),
            chunks=chunks,
            together=times.together,
            everywhere=everywhere,
            tokens=times.tokens,
        ),
        replace(
            load,
            concurrency=load.concurrency / requests,
            requests=None if load.requests is None else load.requests / requests,
            ranks=load.ranks * ranks,
            cache_tokens=load.cache_tokens / count,
        ),
        host_of_round(policy, count),
    )


def prompt_seconds(times: StepTimes, policy: Scheduling) -> float:
    """Seconds of a prompt's passes on an idle rank: through all stages, where its chunks follow
    each other if the engine lets them, and no less than the slowest stage takes for all of them."""
    if times.stages is None:
        return times.prompt
    through = times.prompt * _shared_way(times, policy.pipelining)
    return max(through, float(times.stages.mixed[0]))


def host_of_pass(policy: Scheduling, count: int) -> Scheduling:
    """``policy`` with the host's time of a pass of one of ``count`` micro-batches."""
    others = 1 + policy.pipelining.others * (count - 1)
    return replace(
        policy,
        host_seconds_per_sequence=policy.host_seconds_per_sequence * others,
        overlapped=policy.overlapped and not policy.pipelining.exposed,
    )


def host_of_round(policy: Scheduling, count: int) -> Scheduling:
    """The host's time of a round: one pass after the other."""
    each = host_of_pass(policy, count)
    return replace(
        each,
        host_seconds=each.host_seconds * count,
        host_seconds_per_sequence=each.host_seconds_per_sequence * count,
        exposed_seconds_per_sequence=each.exposed_seconds_per_sequence * count,
    )


def _shared_way(times: StepTimes, rule: Pipelining) -> float:
    """The part of a prompt's passes through all stages by which a round is longer."""
    assert times.stages is not None
    pp, chunks = times.stages.count, times.chunks
    return (pp + chunks - 1) / (pp * chunks) if rule.successive else 1.0


def _fullest(mean: Array, count: int, policy: Scheduling) -> Array:
    """Sequences of the fullest of ``count`` micro-batches with ``mean`` [G] each: where each takes
    what waits when its turn comes they are multinomial, counts of a variance of
    mean·(1 − 1/count)."""
    if count <= 1 or policy.pipelining.balanced:
        return mean
    return mean + (_busiest(tuple(mean.tolist()), count) - mean) * sqrt(1 - 1 / count)


@lru_cache(maxsize=4096)
def _busiest(mean: tuple[float, ...], count: int) -> Array:
    """The most of ``count`` Poisson numbers, of each ``mean``: tables share their batches."""
    every = np.array(mean)
    found = prompts_each_step(every * count, np.full(len(every), float(count)))
    found.setflags(write=False)
    return found


def _is(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text.strip(), re.IGNORECASE | re.DOTALL) is not None


@cache
def _rules() -> list[dict[str, Any]]:
    return list(tomllib.loads(_FILE.read_text(encoding="utf-8"))["pipeline"])
