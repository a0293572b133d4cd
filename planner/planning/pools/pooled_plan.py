"""A deployment in pools as a plan: the decode workers' units, and both pools beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from planner.base.units import format_bytes, format_seconds
from planner.messages.message import Note, Text, message
from planner.planning.answer.assemble import assemble
from planner.planning.answer.assumptions import LOOP_KEYS, request_note
from planner.planning.answer.modes import KEY
from planner.planning.answer.recommend_text import in_ten, signed
from planner.planning.choose.chances import interval
from planner.planning.choose.selection import Selection
from planner.planning.plan.deployment import (
    AggregatedPlan,
    CacheTransfer,
    DecodePool,
    DeploymentInfo,
    HeldPrompts,
    PoolLayout,
    PoolUnit,
    PrefillPool,
)
from planner.planning.plan.notes import written
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import (
    Assumption,
    Comparison,
    Estimate,
    PerformanceInfo,
    Plan,
    QualityInfo,
    SolverInfo,
)
from planner.planning.pools.find_pools import GainOverAggregated, PoolsResult, gain_over_aggregated
from planner.planning.pools.holding import HoldingRival
from planner.planning.pools.options import PoolChoice, PoolOption, as_search_result
from planner.planning.pools.recommendation import (
    alike_workers,
    devices_of,
    digits,
    pooled_recommendation,
)
from planner.planning.pools.workers import WorkerAssignment
from planner.planning.price.intervals import (
    limits_of,
    prompt_spread,
    served_sigmas,
    step_spread,
)
from planner.planning.price.plan_kinds import evidence_here, kind_of
from planner.planning.price.price import cached_loss
from planner.planning.price.served_sigmas import Shares, first_share
from planner.planning.price.served_sigmas import interval as interval80
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult, shown_gap
from planner.planning.search.rivals import shown_schemes
from planner.planning.space.losses import saturated_loss
from planner.planning.space.printed_loss import quality
from planner.throughput.energy import usd_per_million_tokens
from planner.throughput.pool_rates import MOST_BUSY
from planner.throughput.pools import PooledLoop


def pooled_plan(
    result: PoolsResult,
    original: Question,
    base: Plan | None,
    choice: Selection | None,
    reason: Text,
    rival: HoldingRival | None = None,
) -> Plan:
    """The plan of the deployment that was taken. ``original``: the question as it was put; ``base``
    and ``choice``: the aggregated plan beside it, None where there is none; ``reason``: why;
    ``rival``: aggregated workers that hold prompts, where these are faster."""
    pools = result.choice
    assert pools is not None
    option = pools.option
    versus = None if choice is None else gain_over_aggregated(pools, choice)
    decoding = _decode_result(option, original)
    own = assemble(decoding)
    running = option.weighed.loop.state
    deployment = _deployment(result, own, base, choice, versus, reason)
    if rival is not None and choice is not None:
        deployment = _with_holding_rival(
            deployment, rival, gain_over_aggregated(pools, choice, ratio=rival.ratio)
        )
    performance = _performance(pools, running, deployment)
    plan = replace(
        own,
        device=replace(own.device, count=devices_of(option)),
        layout=replace(own.layout, replicas=option.pools.decode_workers),
        workload=replace(own.workload, batch=option.weighed.decode.batch),
        performance=performance,
        quality=replace(_quality(option), measured_anchor=own.quality.measured_anchor),
        baselines=() if base is None else base.baselines,
        comparison=_comparison(versus),
        solver=_solver(result, option),
        assumptions=_assumptions(own, base, deployment, option)
        + written(request_note(original, running.ttft, running.tpot)),
        layouts=own.layouts if base is None else base.layouts,
        deployment=deployment,
        recommendation=pooled_recommendation(result, base, choice, versus, deployment),
    )
    if decoding.space.model.question.speculation is None:
        return plan
    from planner.planning.speculate.info import with_speculation

    return with_speculation(plan, decoding, None)


def _decode_result(option: PoolOption, original: Question) -> SearchResult:
    """The decode workers' formats under the question as it was put."""
    worker = option.pools.assigned[1]
    way, question = option.pools.decoding.pool.ways[0], worker.space.model.question
    shown = replace(
        question,
        objective=original.objective,
        ttft_seconds=original.ttft_seconds,
        notes=way.notes,
        refused=way.refused,
        sizes=original.sizes,
        devices_given=original.devices_given,
    )
    space = replace(worker.space, model=worker.space.model.with_question(shown))
    empty = replace(worker.solution, counts=np.zeros((0, 0), dtype=np.int64))
    return replace(as_search_result(worker), space=space, grid=space, solution=empty)


def _decode_busy(option: PoolOption) -> float:
    """Share of the rate that full batches of the decode workers reach."""
    by_decode = option.weighed.sides[1].value * option.weighed.decode_osl
    return min(by_decode * option.pools.value, 1.0)


def _deployment(
    result: PoolsResult,
    own: Plan,
    base: Plan | None,
    choice: Selection | None,
    versus: GainOverAggregated | None,
    reason: Text,
) -> DeploymentInfo:
    assert result.choice is not None
    option = result.choice.option
    pools, loop = option.pools, option.weighed.loop
    running = loop.state
    over, work = pools.shared.handover, own.workload
    tokens = work.isl - int(work.isl * work.prefix_hit_rate)
    rate = pools.rate * work.osl
    prefill, decode = pools.assigned
    priced = option.weighed.prefill
    question = pools.reading.pool.question
    return DeploymentInfo(
        mode="disaggregated",
        why=reason,
        probability=None if versus is None else digits(versus.better),
        gain=None
        if versus is None
        else GainRange(*(digits(x) for x in (versus.gain, versus.low, versus.high))),
        prefill=PrefillPool(
            question.device.id,
            pools.prefill_workers,
            pools.reading.devices,
            _layout(prefill),
            len(pools.reading.group),
            _pool_units(prefill),
            shown_schemes(option.sides[0]),
            priced.fullest.total,
            question.usable_bytes,
            pools.rate * tokens,
            running.ttft,
            loop.queue,
            running.reading,
            running.prefill_busy,
            saturated_loss(prefill.space.model, priced.loss),
        ),
        decode=DecodePool(
            own.device.id,
            pools.decode_workers,
            pools.decoding.devices,
            _layout(decode),
            option.weighed.decode.batch,
            _pool_units(decode),
            shown_schemes(option.sides[1]),
            running.tpot,
            rate,
            _decode_busy(option),
            saturated_loss(decode.space.model, option.weighed.decode.loss),
        ),
        kv=pools.shared.kv,
        transfer=CacheTransfer(
            over.bytes(pools.decoding.tp),
            loop.transfer,
            over.link.bytes_per_second,
            over.link.name,
            over.link.basis,
        ),
        aggregated=_aggregated(base, choice),
        limit=_limit(option),
        bound=max(result.bound * option.weighed.kept * pools.rate / pools.value * work.osl, rate),
        proved=result.proved,
    )


def _with_holding_rival(
    deployment: DeploymentInfo, rival: HoldingRival, versus: GainOverAggregated
) -> DeploymentInfo:
    assert deployment.aggregated is not None
    held_prompts = HeldPrompts(
        rival.rule.flag,
        GainRange(*(digits(x) for x in (versus.gain, versus.low, versus.high))),
        digits(versus.better),
    )
    return replace(deployment, aggregated=replace(deployment.aggregated, holding=held_prompts))


def _layout(worker: WorkerAssignment) -> PoolLayout:
    la = worker.space.layout(worker.candidate)
    return PoolLayout(la.tp, la.dp, la.pp, la.ep)


def _pool_units(worker: WorkerAssignment) -> tuple[PoolUnit, ...]:
    """What is decided, by kind and scheme."""
    model, layers = worker.space.model, dict[tuple[str, str, str | None], list[int]]()
    for segment in worker.segments:
        unit = model.units[segment.unit]
        if segment.choice >= 0:
            key = unit.kind, model.choices[segment.choice], unit.part or None
            layers.setdefault(key, []).extend(segment.layers)
    return tuple(
        PoolUnit(kind, tuple(sorted(layers)), scheme, part)
        for (kind, scheme, part), layers in layers.items()
    )


def _aggregated(base: Plan | None, choice: Selection | None) -> AggregatedPlan | None:
    if base is None or choice is None:
        return None
    perf, la, rival = base.performance, base.layout, choice.option.rival
    return AggregatedPlan(
        rival.name,
        shown_schemes(rival),
        rival.kv,
        PoolLayout(la.tp, la.dp, la.pp, la.ep),
        la.replicas,
        base.device.count,
        base.workload.batch,
        perf.output_tokens_per_second.value,
        perf.output_tokens_per_second_per_device.value,
        perf.tpot_seconds.value,
        perf.ttft_seconds.value,
        holding=None,
    )


def _limit(option: PoolOption) -> str:
    """The pool that sets the rate."""
    pools = option.pools
    if pools.rate / option.weighed.kept >= pools.link_rate * (1 - 1e-6):
        return "transfer"
    return "decode" if _decode_busy(option) > 1 - 1e-6 else "prefill"


def _performance(
    pools: PoolChoice,
    running: PooledLoop,
    deployment: DeploymentInfo,
) -> PerformanceInfo:
    option = pools.option
    model = option.pools.assigned[1].space.model
    step = step_spread(model, option.weighed.decode)
    prompt = prompt_spread(option.weighed.prefill_space.model, option.weighed.prefill)
    requests = option.pools.decode_workers * option.weighed.decode.batch
    kind = kind_of(model, option.weighed.decode, pooled=True, requests=requests)
    shares = Shares(first=first_share(running.ttft, running.tpot, model.question.workload.osl))
    sigmas = served_sigmas(model, kind, step.sigma, prompt.sigma, shares)
    rate, devices = deployment.decode.output_tokens_per_second, devices_of(option)
    paid = option.pools.rate / option.pools.value
    low, high = interval(paid / pools.drawn[pools.taken])
    deployment_rate = Estimate(rate, min(low, rate), max(high, rate), step.basis)
    question = model.question
    usd = None
    other = option.pools.reading.pool.question.price_per_hour
    if question.price_per_hour is not None and other is not None:
        mean = (
            option.pools.prefill_workers * option.pools.reading.devices * other
            + option.pools.decode_workers * option.pools.decoding.devices * question.price_per_hour
        ) / devices
        money = usd_per_million_tokens(mean, devices, rate)
        usd = Estimate(
            money,
            money * rate / deployment_rate.high,
            money * rate / deployment_rate.low,
            step.basis,
        )
    first, each, rates = (
        evidence_here(model.question, kind, metric) for metric in ("ttft", "tpot", "throughput")
    )
    reading = limits_of(option.weighed.prefill_space.model, option.weighed.prefill)
    making = limits_of(model, option.weighed.decode)
    ttft = interval80(running.ttft, sigmas.ttft, least=reading.ttft)
    tpot = interval80(running.tpot, sigmas.tpot, least=making.tpot)
    return PerformanceInfo(
        Estimate(running.ttft, *ttft, prompt.basis, first),
        Estimate(running.tpot, *tpot, step.basis, each),
        replace(deployment_rate, evidence=rates),
        Estimate(
            rate / devices,
            deployment_rate.low / devices,
            deployment_rate.high / devices,
            step.basis,
            rates,
        ),
        usd,
        None,
        interruption_seconds=0.0,
    )


def _quality(option: PoolOption) -> QualityInfo:
    """The loss of the pool that loses more."""
    sides = (
        (option.weighed.decode, option.pools.assigned[1].space.model),
        (option.weighed.prefill, option.weighed.prefill_space.model),
    )
    priced, model = max(sides, key=lambda side: side[0].loss)
    return quality(model, priced.loss, cached=cached_loss(model, priced))


def _comparison(versus: GainOverAggregated | None) -> Comparison:
    if versus is None:
        return Comparison("", 0.0, message("assumptions.no_aggregated_plan_keeps_limits"))
    text = message(
        "reasons.tokens_s_device_over_workers",
        gain=signed(versus.gain),
        better=in_ten(versus.better),
    )
    return Comparison("aggregated", digits(versus.gain), text)


def _solver(result: PoolsResult, option: PoolOption) -> SolverInfo:
    assert result.choice is not None
    optimum = result.choice.options[result.choice.optimum]
    best = optimum.pools.value
    gap = shown_gap(max(result.bound * optimum.weighed.kept / best - 1, 0.0))
    value = 1 / (best * option.weighed.decode_osl)
    return SolverInfo("optimal", gap, value * (1 - gap), result.candidates, result.proved)


def _assumptions(
    own: Plan,
    base: Plan | None,
    pools: DeploymentInfo,
    option: PoolOption,
) -> tuple[Assumption, ...]:
    """What was taken for granted: the question's own, and what is of pools."""
    limits = () if base is None else tuple(a for a in base.assumptions if a.key == "max-loss")
    kept = tuple(a for a in own.assumptions if a.key not in LOOP_KEYS)
    over = pools.transfer
    more = [
        Note(KEY, "disaggregated", pools.why),
        Note(
            "prefill pool",
            message("assumptions.busy_at_most_of_its", most_busy=f"{MOST_BUSY:.0%}"),
            message("assumptions.queues_grow_without_bound_beyond"),
        ),
        Note(
            "cache transfer",
            message(
                "assumptions.prompt_in_at_gb_s",
                bytes=format_bytes(over.bytes),
                seconds=format_seconds(over.seconds),
                r=f"{over.bytes_per_second / 1e9:.3g}",
            ),
            message("assumptions.after_pass_all_of_prompt", link=over.link, basis=over.basis),
        ),
        Note(
            "pools",
            alike_workers(option),
            message("assumptions.uniform_caches_no_prompt_interrupts"),
        ),
    ]
    if option.two and own.engine.name == "vllm":
        more.append(
            Note(
                "two checkpoints",
                message("assumptions.enforce_handshake_compat_false_in"),
                message("assumptions.vllm_compares_model_paths_data"),
            )
        )
    return (*kept, *limits, *written(more))
