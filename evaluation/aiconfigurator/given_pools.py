"""Prices of given pools, and the best pools of one uniform scheme: the planner's own workers,
rates and waits (:mod:`planner.planning.pools`), with nothing left to choose or only layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from evaluation.aiconfigurator.plans import Configured, SideWorker
from evaluation.aiconfigurator.questions import ServiceLevel, SideQuestion
from planner.base.errors import InfeasibleError
from planner.planning.pools.cases import PoolSpaces, pool_spaces
from planner.planning.pools.find_pools import demand_of, device_budget
from planner.planning.pools.options import with_least_batch
from planner.planning.pools.search import PoolSearch, TwoPools, WorkerCandidates, prefill_rates
from planner.planning.pools.workers import DecodeWorkers, PrefillWorkers
from planner.planning.question.input import QuestionInput
from planner.planning.question.named import RELEASED
from planner.planning.question.pool_link import link_between
from planner.planning.question.question import Question

Worker = TypeVar("Worker", PrefillWorkers, DecodeWorkers)


@dataclass(frozen=True, slots=True)
class PoolsPrice:
    """Of a deployment in pools: tokens/s, seconds, and whether the limit on TTFT leaves a rate."""

    tokens_per_second: float
    tpot_seconds: float
    ttft_seconds: float
    limit: str
    pools: TwoPools


def given_price(question: SideQuestion, level: ServiceLevel, given: Configured) -> PoolsPrice:
    """What the planner says of workers, layouts and batches that are given: the highest rate within
    the limit on TTFT where there is one, else the highest.

    Raises:
        InfeasibleError: a worker does not hold its model or its caches.
        UnsupportedError: the engine serves no such worker.
    """
    assert given.prefill is not None
    assert given.decode is not None
    whole = _questions(question, level, given.kv, question.devices)
    prefill = _questions(question, level, given.kv, 0, given.prefill, reads=True)
    decode = _questions(question, level, given.kv, 0, given.decode)
    link = link_between(whole[0], whole[0], None)
    shared = _shared(_spaces(prefill, decode, link), question.scheme)
    reading = [one for one in _sharp(shared.readers) if one.assignment is not None]
    decoding = [one for one in _sharp(shared.decoders) if one.assignment is not None]
    if not reading or not decoding:
        pool = "decode" if reading else "prefill"
        raise InfeasibleError(f"the {pool} worker is too small", hint="fewer sequences")
    first = min(reading, key=lambda one: one.group[0])
    last = min(decoding, key=lambda one: one.seconds)
    return _price(
        _two(
            shared,
            first,
            last,
            given.prefill.workers,
            given.decode.workers,
            level.ttft_ms / 1e3,
            whole[0],
        )
    )


def best_uniform(question: SideQuestion, level: ServiceLevel, kv: str) -> PoolsPrice | None:
    """The best pools in ``question.scheme`` with caches in ``kv``; None where none keeps the
    limits."""
    whole = _questions(question, level, kv, question.devices)
    spaces, _ = pool_spaces(whole, whole, link_between(whole[0], whole[0], None))
    cases = [_named(one, question.scheme).shared() for one in spaces]
    demand = demand_of(whole[0])
    found = PoolSearch(
        [one for one in cases if one.readers and one.decoders], device_budget(whole, whole), demand
    ).run()
    return None if found is None else _price(with_least_batch(found, demand.osl))


def _questions(
    question: SideQuestion,
    level: ServiceLevel,
    kv: str,
    devices: int,
    worker: SideWorker | None = None,
    *,
    reads: bool = False,
) -> tuple[Question, ...]:
    """The question of the whole deployment, or of one given worker."""
    ask = QuestionInput(
        question.our_model,
        question.device,
        engine=question.our_engine,
        isl=question.isl,
        osl=question.osl,
        kv=kv,
        objective="throughput",
        tpot_seconds=level.tpot_ms / 1e3,
        ttft_seconds=level.ttft_ms / 1e3,
    )
    if worker is None:
        ask = replace(ask, devices=devices)
    else:
        ask = replace(
            ask,
            devices=worker.tp * worker.dp,
            tp=worker.tp,
            dp=worker.dp,
            pp=1,
            ep=worker.ep or None,
            tpot_seconds="none",
            batch=None if reads else worker.batch * worker.dp,
        )
    return tuple(q for q in ask.questions() if kv in q.kv)


def _spaces(
    prefill: Sequence[Question],
    decode: Sequence[Question],
    link: object,
) -> list[PoolSpaces]:
    return pool_spaces(prefill, decode, link)[0]


def _named(spaces: PoolSpaces, scheme: str | None) -> PoolSpaces:
    return spaces.within(None).uniform(RELEASED if scheme is None else scheme)


def _shared(spaces: Sequence[PoolSpaces], scheme: str | None) -> WorkerCandidates:
    found = [_named(one, scheme).shared() for one in spaces]
    found = [one for one in found if one.readers and one.decoders]
    if not found:
        raise InfeasibleError("no such worker fits", hint="fewer sequences")
    return found[0]


def _sharp(workers: Sequence[Worker]) -> list[Worker]:
    """Workers of one layout each, refined until nothing is left open."""
    todo, done = list(workers), []
    while todo:
        one = todo.pop()
        if one.assignment is not None:
            done.append(one)
        else:
            todo += one.refined()
    return done


def _two(
    shared: WorkerCandidates,
    reading: PrefillWorkers,
    decoding: DecodeWorkers,
    prefill: int,
    decode: int,
    ttft: float,
    question: Question,
) -> TwoPools:
    over, osl = shared.handover, question.workload.osl
    left = (
        ttft
        - question.prompt_host.handling_seconds
        - decoding.seconds
        - over.seconds(reading.tp, decoding.tp, (reading.pp, decoding.pp))
    )
    kinds, count = prefill_rates(over, [reading]), np.array([float(prefill)])
    read = float(kinds.within(np.array([left]), count)[0, 0])
    if not read > 0:
        read = float(kinds.within(np.array([np.inf]), count)[0, 0])
    decoded = decode * min(decoding.rate(osl), over.rate(decoding.tp, decoding.ranks, decoding.pp))
    rate = min(read, decoded)
    devices = prefill * reading.devices + decode * decoding.devices
    return TwoPools(shared, reading, decoding, prefill, decode, rate, rate / devices)


def _price(pools: TwoPools) -> PoolsPrice:
    """At its rate, as :mod:`planner.planning.pools.pooled_plan` tells it."""
    question, over = pools.decoding.pool.question, pools.shared.handover
    osl = question.workload.osl
    kinds, count = prefill_rates(over, [pools.reading]), np.array([float(pools.prefill_workers)])
    wait = float(kinds.seconds(np.array([[pools.rate]]), count)[0, 0])
    ttft = (
        wait
        + pools.transfer_seconds
        + pools.decoding.seconds
        + question.prompt_host.handling_seconds
    )
    decoded = pools.decode_workers * pools.decoding.rate(osl)
    return PoolsPrice(
        pools.rate * osl,
        pools.decoding.seconds,
        ttft,
        "decode" if pools.rate > decoded * (1 - 1e-6) else "prefill",
        pools,
    )
