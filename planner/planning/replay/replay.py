"""``planner.replay``: a stream of requests through the scheduler of a deployment's engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Literal

import numpy as np

from planner.base.records import record
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.planning.plan.checkpoint_units import all_on_device
from planner.planning.plan.notes import written
from planner.planning.plan.record import LayoutInfo, Plan
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import ANY, BF16, QuestionInput
from planner.planning.replay.deployment import Replayed, deployed
from planner.planning.replay.estimates import EstimateMaker
from planner.planning.replay.load import (
    GivenLoad,
    LoadStage,
    OfferedLoad,
    check_load,
    offered_load,
)
from planner.planning.replay.over_time import over_time
from planner.planning.replay.pool_runs import pools_run
from planner.planning.replay.pools import (
    PoolCounts,
    ReplayedPools,
    deployed_pools,
    pool_notes,
    pooled_workers,
)
from planner.planning.replay.rates import Limits, good_rate, output_rate
from planner.planning.replay.record import (
    SCHEMA_VERSION,
    ReplayAnswer,
    ReplayLoad,
    ReplayQuestion,
    ReplayResult,
    ReplayStage,
)
from planner.planning.replay.request_table import RequestTable
from planner.planning.replay.request_times import request_times
from planner.planning.replay.runs import Routing, Runs, served, three_runs
from planner.planning.replay.saturation import is_saturated, offered_rate, saturation
from planner.planning.serving.notes import serving_notes
from planner.planning.serving.serve import assigned
from planner.requests.arrivals import POISSON
from planner.requests.stream import RequestStream
from planner.scheduler.rules import LEAST_LOADED
from planner.workloads import NamedWorkload


@record
class _Wanted:
    """The verb's own parameters."""

    rate: float | None
    trace: str | os.PathLike[str] | RequestStream | None
    stages: str | Sequence[tuple[float, float]] | None
    arrivals: str
    lengths: str | None
    count: int
    seed: int
    slots_max: int | None
    chunk_tokens: int | None
    router: str
    prefill_workers: int | None
    decode_workers: int | None
    transfer_bytes_per_s: float | None
    progress: Callable[[int, int], None] | None


@typed
def replay(
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    *,
    rate: float | None = None,
    trace: str | os.PathLike[str] | RequestStream | None = None,
    plan: Plan | None = None,
    stages: str | Sequence[tuple[float, float]] | None = None,
    arrivals: str = POISSON,
    lengths: str | None = None,
    count: int = 2000,
    seed: int = 0,
    slots_max: int | None = None,
    chunk_tokens: int | None = None,
    router: str = LEAST_LOADED,
    prefill_workers: int | None = None,
    decode_workers: int | None = None,
    transfer_bytes_per_s: float | None = None,
    scheme: str | None = None,
    kv: str = BF16,
    devices: int | None = None,
    tp: int | None = None,
    dp: int | None = None,
    pp: int | None = None,
    ep: int | None = None,
    context: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    workload: str | NamedWorkload | None = None,
    prefix_hit_rate: float | None = None,
    engine: str = ANY,
    ttft_seconds: float | None = None,
    tpot_seconds: float | Literal["none"] | None = None,
    e2e_seconds: float | None = None,
    slots: str | None = None,
    memory_bytes: int | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
    no_learned: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayAnswer:
    """Replay ``count`` requests that arrive at ``rate`` a second, in ``stages`` of rates
    (``"600s@5/s,600s@10/s"``), as in a ``trace``, or else at the rate that a ``plan`` was made for.
    The deployment of ``scheme`` (default: the published checkpoint) or of ``plan`` runs them pass
    by pass, as its engine schedules.

    ``prefill_workers`` and ``decode_workers`` split it into pools of workers of its layout; a plan
    in pools has its own. Limits on TTFT, TPOT and E2E [s] count in the goodput alone. Equal
    ``seed``s give equal answers.

    Args:
        arrivals: ``poisson``, ``constant``, ``gamma:CV`` or ``burst``.
        lengths: published ones by name, such as ``sharegpt``, in place of ``isl`` and ``osl``.
        slots_max: requests that an attention rank runs at most (default: the engine's).
        chunk_tokens: tokens of a pass at most (default: the engine's).
        router: how replicas share requests: ``least-loaded``, ``round-robin`` or ``random``.
        transfer_bytes_per_s: of each device between the pools (default: its link or network).
        progress: called with the numbers of requests that were served so far, and in all, of each
            replay.

    Raises:
        InputError: no load, a value out of range. InfeasibleError: it does not fit.
    """
    own = [f.name for f in fields(_Wanted)]
    given = locals()
    return _replayed(
        QuestionInput.of({k: v for k, v in given.items() if k != "own"}, own=own),
        _Wanted(*map(given.__getitem__, own)),
    )


def _replayed(inputs: QuestionInput, wanted: _Wanted) -> ReplayAnswer:
    sized = None if inputs.plan is None else inputs.plan.open_arrivals
    if sized is not None and (wanted.rate, wanted.trace, wanted.stages) == (None, None, None):
        wanted = replace(wanted, rate=sized.requests_per_second)
    given = GivenLoad(*(getattr(wanted, f.name) for f in fields(GivenLoad)))
    check_load(given)
    if inputs.plan is not None:
        all_on_device(inputs.plan, "replay")
        inputs = inputs.with_names_of(inputs.plan)
    limits = _limits(inputs)
    load = None
    if given.has_lengths:
        load = offered_load(given, 1, 1, inputs.prefix_hit_rate or 0.0)
        inputs = _with_lengths(inputs, load.stream)
    engine = inputs.named_engine or ANY
    inputs = replace(
        inputs, engine=engine, ttft_seconds=None, tpot_seconds=NO_LIMIT, e2e_seconds=None
    )
    pools = pooled_workers(
        inputs,
        PoolCounts(wanted.prefill_workers, wanted.decode_workers, wanted.transfer_bytes_per_s),
    )
    result = assigned(inputs) if pools is None else pools.decode.result
    question = result.space.model.question
    work = question.workload
    load = load or offered_load(given, work.isl, work.osl, work.prefix_hit_rate)
    most = {"slots_max": wanted.slots_max, "chunk_tokens": wanted.chunk_tokens}
    where: Replayed | ReplayedPools
    if pools is None:
        where = deployed(result, load.stream, engine, plan=inputs.plan, **most)
        taken = where.notes
    else:
        where = deployed_pools(pools, load.stream, engine, **most)
        taken = pool_notes(where)
    placed = any(v is not None for v in (inputs.tp, inputs.dp, inputs.pp, inputs.ep, inputs.plan))
    notes = (
        *serving_notes(question, candidates=None if placed else result.candidates),
        *taken,
        *load.notes,
    )
    scheme = inputs.scheme or ("plan" if inputs.plan else "as released")
    how = Routing(wanted.router, wanted.seed, wanted.progress)
    runs = three_runs(where, load.stream, how)
    return ReplayAnswer(
        SCHEMA_VERSION,
        _question(where, scheme, limits),
        _load(load, wanted.seed),
        replay_result(where, load, limits, runs, how),
        written(notes),
        RequestTable(runs.stream, runs.middle),
    )


def replay_result(
    where: Replayed | ReplayedPools, load: OfferedLoad, limits: Limits, runs: Runs, how: Routing
) -> ReplayResult:
    """What became of the load; where its queue grew, also slower ones that may hold."""
    stream = runs.stream
    middle, going = runs.middle, runs.complete

    def holds(share: float) -> bool:
        nonlocal going
        if not going:
            return False
        slower = replace(stream, arrival_seconds=stream.arrival_seconds / share)
        found = served(where, slower, how)
        going = found.complete
        return going and not is_saturated(slower, found)

    beyond = saturation(stream, middle, holds)
    of = EstimateMaker(runs)
    return ReplayResult(
        int((~np.isnan(middle.last_seconds)).sum()),
        int(middle.rejected.sum()),
        runs.complete,
        of.times(request_times(stream, run) for run in runs.every),
        of.rate([output_rate(stream, run) for run in runs.every]),
        of.rate([good_rate(stream, run, limits) for run in runs.every]) if limits else None,
        int(middle.preempted.sum()),
        float(middle.hit_tokens.sum() / max(stream.input_tokens[~middle.rejected].sum(), 1)),
        beyond is not None,
        beyond,
        tuple(_stage(stage, stream, runs, of) for stage in load.stages),
        over_time(stream, middle, apart=runs.pools is not None),
        pools_run(where, stream, runs.pools) if isinstance(where, ReplayedPools) else None,
    )


def _stage(stage: LoadStage, stream: RequestStream, runs: Runs, of: EstimateMaker) -> ReplayStage:
    """What became of the requests of a stage."""
    end = stage.start + stage.seconds
    here = (stream.arrival_seconds >= stage.start) & (stream.arrival_seconds < end)
    return ReplayStage(
        stage.start,
        stage.seconds,
        stage.rate,
        int(here.sum()),
        of.times(request_times(stream, run, stage.start, end) for run in runs.every),
    )


def _limits(inputs: QuestionInput) -> dict[str, float]:
    given = {
        "ttft": inputs.ttft_seconds,
        "tpot": inputs.tpot_seconds,
        "e2e": inputs.e2e_seconds,
    }
    return {name: float(v) for name, v in given.items() if v is not None and not isinstance(v, str)}


def _with_lengths(inputs: QuestionInput, stream: RequestStream) -> QuestionInput:
    """The question of requests as long as those of a trace on average. The context is the one that
    is given, or the plan's; else it has room for the longest that the model reads. Longer requests
    are rejected, and do not count."""
    whole = stream.input_tokens + stream.output_tokens
    context = inputs.context
    if context is None and inputs.plan is not None:
        context = inputs.plan.workload.context_tokens
    if context is None:
        context = min(int(whole.max()), inputs.subject[0].max_context)
    fits = whole <= context
    isl, osl = context - 1, 1  # where none fits: the longest prompt
    if fits.any():
        lengths = stream.input_tokens[fits], stream.output_tokens[fits]
        isl, osl = (max(int(length.mean()), 1) for length in lengths)
    return replace(inputs, isl=inputs.isl or isl, osl=inputs.osl or osl, context=context)


def _question(where: Replayed | ReplayedPools, scheme: str, limits: Limits) -> ReplayQuestion:
    """The deployment; of pools the decode workers', but all devices."""
    answers = where.decode if isinstance(where, ReplayedPools) else where
    devices = answers.replicas * answers.layout.ranks
    if isinstance(where, ReplayedPools):
        devices += where.prefill.replicas * where.prefill.layout.ranks
    question, layout = answers.plan.model.question, answers.layout
    return ReplayQuestion(
        question.spec.id,
        question.device.id,
        devices,
        scheme,
        ", ".join(question.kv),
        answers.engine,
        LayoutInfo(layout.tp, layout.dp, layout.pp, layout.ep, answers.replicas),
        answers.rules.context,
        answers.rules.max_sequences,
        answers.rules.token_budget,
        answers.rules.cache_tokens,
        limits,
    )


def _load(load: OfferedLoad, seed: int) -> ReplayLoad:
    stream = load.stream
    return ReplayLoad(
        len(stream),
        offered_rate(stream),
        float(stream.arrival_seconds[-1]),
        load.arrivals,
        load.rate,
        load.lengths,
        seed,
        float(stream.input_tokens.mean()),
        float(stream.output_tokens.mean()),
        float(stream.cached_tokens.sum() / stream.input_tokens.sum()),
    )
