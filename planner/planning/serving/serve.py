"""``planner.serve``: a deployment in a closed loop of requests, pools of workers, the frontier."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from planner.base.errors import InputError
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout
from planner.planning.answer.capacity import cache_info, sequence_bytes
from planner.planning.answer.measured_point import anchored, parse_anchor
from planner.planning.inspect.priced_input import price_plan, price_uniform
from planner.planning.plan.checkpoint_units import all_on_device
from planner.planning.plan.notes import written
from planner.planning.plan.record import Estimate, LayoutInfo, Plan
from planner.planning.price.kinds import ServedKind
from planner.planning.price.measured_here import basis_here
from planner.planning.price.physical_limits import least_work, physical_limits
from planner.planning.price.plan_kinds import evidence_here, kind_of
from planner.planning.price.price import Priced, price
from planner.planning.price.served_sigmas import Shares, ends_of, first_share
from planner.planning.price.step import Assignment
from planner.planning.price.step_intervals import step_spread
from planner.planning.question.corrections import PROMPT, STEP
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import ANY, BF16, QuestionInput
from planner.planning.question.pool_link import PoolLink, link_between
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.serving.deployment import (
    Deployment,
    Options,
    PoolInfo,
    ServedPoint,
    ServingAnswer,
    deploy,
    frontier_grid,
    marked,
    point_at,
    pooled_point,
)
from planner.planning.serving.loop import Loop, check_loop, loop_rules
from planner.planning.serving.notes import option_notes, serving_notes
from planner.throughput.pools import Pools
from planner.throughput.speculation import accepted_tokens
from planner.workloads import NamedWorkload

MOST_CONCURRENCY = 1024
"""Requests a replica up to which a frontier is drawn where no cache limits it."""


@typed
def serve(
    model: str | ModelSpec | None = None,
    device: str | DeviceProfile | None = None,
    *,
    concurrency: float | None = None,
    scheme: str | None = None,
    plan: Plan | None = None,
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
    slots: str | None = None,
    memory_bytes: int | None = None,
    engine: str = ANY,
    requests: int | None = None,
    draft_tokens: int = 0,
    acceptance: float | None = None,
    draft_layers: int | None = None,
    chunk_tokens: int | None = None,
    stream_interval: int = 1,
    scheduler: str | None = None,
    host_us: float | None = None,
    host_us_per_sequence: float | None = None,
    graphs: str = "none",
    overlap: bool = False,
    prefill_workers: int | None = None,
    decode_workers: int | None = None,
    transfer_bytes_per_s: float | None = None,
    cache_tokens: int | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
    no_learned: bool = False,
    anchor: str | None = None,
) -> ServingAnswer:
    """TPOT and TTFT at ``concurrency`` concurrent requests of the deployment (None: a curve), for
    one ``scheme`` (default: the published checkpoint) or the units of ``plan``.

    ``prefill_workers`` and ``decode_workers`` split the deployment into pools of one replica each.
    ``graphs``: captured batches, ``engine`` (its defaults), ``none``, or a list ``1,2,4,8``.

    Raises:
        InputError: a value out of range, a draft without acceptance, a pool without the other.
        UnsupportedError: a plan of pools, or with weights beside the devices.
        InfeasibleError: it does not fit.
    """
    return _served(*_taken(locals()))


def _taken(arguments: Mapping[str, Any]) -> tuple[QuestionInput, Loop]:
    """The question and the loop of the verb's arguments."""
    own = [f.name for f in fields(Loop)]
    return QuestionInput.of(arguments, own=own), Loop(*map(arguments.__getitem__, own))


def _served(inputs: QuestionInput, loop: Loop) -> ServingAnswer:
    check_loop(loop)
    if inputs.plan is not None:
        all_on_device(inputs.plan, "serve")
    if inputs.anchor is not None:
        parse_anchor(inputs.anchor)
    engine = inputs.named_engine or ANY
    assignment = assigned(replace(inputs, engine=engine, tpot_seconds=NO_LIMIT))
    scheme = inputs.scheme or ("plan" if inputs.plan else "as released")
    given = any(v is not None for v in (inputs.tp, inputs.dp, inputs.pp, inputs.ep, inputs.plan))
    return served_answer(assignment, loop, engine, scheme, inputs.anchor, layout_given=given)


def assigned(inputs: QuestionInput) -> SearchResult:
    """The assignment: searched for throughput where layout or devices are not given.

    Raises:
        InputError: a scheme or cache beside a plan.
    """
    plan = inputs.plan
    if plan is None:
        return price_uniform(inputs, inputs.scheme)
    check_formats(inputs)
    return price_plan(inputs, replace(plan, speculation=None))


def check_formats(inputs: QuestionInput) -> None:
    """Refuse formats beside a plan, which has its own.

    Raises:
        InputError: a scheme or a cache is given.
    """
    if inputs.scheme is not None or inputs.given_values.kv is not None:
        raise InputError("scheme or kv and plan exclude each other", hint="leave one out")


def _assignment(result: SearchResult) -> Assignment:
    return Assignment(
        result.space.model,
        result.space.tables,
        int(result.space.pts.layout[result.candidate]),
        result.segments,
    )


def served_answer(
    result: SearchResult,
    loop: Loop,
    engine: str,
    scheme: str,
    anchor: str | None,
    *,
    layout_given: bool,
) -> ServingAnswer:
    """What an assignment answers in a ``loop`` of ``engine`` (its name and version).

    Raises:
        InputError: a loop that leaves replicas idle, or options that contradict each other.
    """
    model, question = result.space.model, result.space.model.question
    priced = price(result.space, result.candidate, result.segments)
    pooled = loop.prefill_workers is not None
    replicas = 1 if pooled else question.replicas(priced.layout.ranks)
    workers = (loop.prefill_workers or 0) + (loop.decode_workers or 0) if pooled else replicas
    if loop.concurrency is not None and loop.concurrency < replicas:
        raise InputError(
            f"{loop.concurrency:g} requests over {replicas} replicas leave some idle",
            hint="use fewer devices, or a concurrency of at least one a replica",
        )
    rules = loop_rules(question, loop, engine)
    cache_tokens = (
        loop.cache_tokens or cache_info(model, result, priced).capacity_tokens / priced.layout.dp
    )
    work = question.workload
    own = work.isl + rules.policy.reserve * work.osl
    if work.cached_tokens > work.isl + work.osl:  # a slot is no one else's
        cache_tokens = cache_tokens // work.cached_tokens * own
    options = _options(question, loop, rules.sizes, float(cache_tokens))
    each = cache_tokens / own
    top = max(min(each, MOST_CONCURRENCY), 1.0) * priced.layout.dp * replicas
    assignment = _assignment(result)
    where = deploy(
        assignment,
        options,
        rules.policy,
        dp=priced.layout.dp,
        replicas=replicas,
        devices=workers * priced.layout.ranks,
        most=max(loop.concurrency or top, top),
        pooled=pooled,
    )
    link = _link(question, loop, where.devices) if pooled else None
    point, pools = _point(result, priced, loop, where, link)
    frontier = () if pooled else marked([point_at(where, c) for c in frontier_grid(top, replicas)])
    notes = (
        *serving_notes(question, candidates=None if layout_given else result.candidates),
        *rules.notes,
        *option_notes(
            question,
            options,
            acceptance=loop.acceptance,
            chunk_given=loop.chunk_tokens is not None,
            cache_given=loop.cache_tokens is not None,
            stream_interval=loop.stream_interval,
            pooled=pooled,
        ),
        *(() if link is None else (link.note,)),
    )
    kind = kind_of(model, priced, pooled=pooled, requests=(loop.concurrency or 1.0) / replicas)
    tpot, ttft = _intervals(assignment, options, point, priced.layout, kind)
    return ServingAnswer(
        model=question.spec.id,
        device=question.device.id,
        devices=where.devices,
        scheme=scheme,
        kv=", ".join(question.kv),
        engine=rules.engine,
        layout=LayoutInfo(
            priced.layout.tp, priced.layout.dp, priced.layout.pp, priced.layout.ep, workers
        ),
        isl=options.isl,
        osl=options.osl,
        point=point,
        tpot_seconds=tpot,
        ttft_seconds=ttft,
        pools=pools,
        frontier=frontier,
        anchors=_anchors(anchor, point),
        assumptions=written(notes),
    )


def _intervals(
    plan: Assignment, options: Options, point: ServedPoint | None, layout: Layout, kind: ServedKind
) -> tuple[Estimate | None, Estimate | None]:
    """(TPOT, TTFT) with their 80 % intervals: operators, the host's time, the queue."""
    if point is None:
        return None, None
    each = point.active_sequences / (layout.dp * layout.pp)
    sure = step_spread(plan, max(each, 1.0), options.isl + options.osl / 2, float(options.isl))
    tpot, ttft = point.tpot_seconds, point.ttft_seconds
    shares = Shares(point.prompt_share, point.host_share, first_share(ttft, tpot, options.osl))
    sigmas = sure.sigmas(each, shares, kind)
    limits = physical_limits(
        least_work(plan.model, plan.segments),
        layout,
        max(point.active_sequences, 1.0),
        options.isl * (1.0 - options.hit_rate),
        options.osl,
        verified=options.draft + 1.0,
    )
    each_token, first, _ = ends_of(tpot, ttft, 0.0, sigmas, limits)
    question = plan.model.question
    return (
        Estimate(
            tpot,
            *each_token,
            basis_here(question, kind, STEP, sure.basis),
            evidence_here(plan.model.question, kind, "tpot"),
        ),
        Estimate(
            ttft,
            *first,
            basis_here(question, kind, PROMPT, sure.basis),
            evidence_here(plan.model.question, kind, "ttft"),
        ),
    )


def _point(
    result: SearchResult,
    priced: Priced,
    loop: Loop,
    where: Deployment,
    between: PoolLink | None,
) -> tuple[ServedPoint | None, PoolInfo | None]:
    if loop.concurrency is None:
        return None, None
    if between is None or loop.prefill_workers is None or loop.decode_workers is None:
        return point_at(where, loop.concurrency), None
    question, layout = result.space.model.question, priced.layout
    sizes = [
        sequence_bytes(result.space.model, result, layout, stage)(question.workload.isl)
        for stage in range(layout.pp)
    ]
    seconds = max(sizes) / between.bytes_per_second
    # All stages send their own at once.
    pools = Pools(loop.prefill_workers, loop.decode_workers, seconds)
    return pooled_point(where, loop.concurrency, pools, sum(sizes) * layout.tp)


def _link(question: Question, loop: Loop, devices: int) -> PoolLink | None:
    """What links the pools of so many devices; None of a curve, which has none."""
    if loop.concurrency is None:
        return None
    return link_between(question, replace(question, sizes=(devices,)), loop.transfer_bytes_per_s)


def _options(question: Question, loop: Loop, sizes: tuple[int, ...], resident: float) -> Options:
    work = question.workload
    layers, accepted = 0, 1.0
    if loop.draft_tokens:
        assert loop.acceptance is not None
        accepted = accepted_tokens(loop.draft_tokens, loop.acceptance)
        if loop.draft_layers is None and not question.spec.mtp_layers:
            raise InputError(
                f"{question.spec.id} has no prediction layer to draft with",
                hint="give --draft-layers: what a drafted token costs, in layers",
            )
        layers = loop.draft_layers if loop.draft_layers is not None else question.spec.mtp_layers
    chunk = question.chunk_tokens if loop.chunk_tokens is None else loop.chunk_tokens
    return Options(
        work.isl,
        work.osl,
        chunk,
        float(loop.requests) if loop.requests is not None else None,
        loop.draft_tokens,
        layers,
        accepted,
        work.prefix_hit_rate,
        sizes,
        loop.overlap,
        resident,
    )


def _anchors(text: str | None, point: ServedPoint | None) -> tuple[Any, ...]:
    if text is None:
        return ()
    if point is None:
        raise InputError("an anchor without an operating point", hint="give --concurrency")
    return (
        anchored(
            text,
            {
                name: float(getattr(point, name))
                for name in ("tpot_seconds", "ttft_seconds", "output_tokens_per_second")
            },
        ),
    )
