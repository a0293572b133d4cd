"""A deployment as a scheduler sees it: what passes cost, the engine's rules, and how sure both
are."""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import cached_record
from planner.memory.engines.catalog import parse_engine
from planner.messages.message import Note, message
from planner.placement.deployment_kinds import concurrency_range
from planner.placement.layout import Layout
from planner.planning.answer.capacity import cache_info
from planner.planning.engines.schedulers import COMMON, SchedulerDefaults, scheduler_defaults
from planner.planning.plan.record import Plan
from planner.planning.price.kinds import ServedKind
from planner.planning.price.plan_kinds import kind_of
from planner.planning.price.price import Priced, price
from planner.planning.price.served_sigmas import Shares, factor_of
from planner.planning.price.step import Assignment
from planner.planning.price.step_costs import LargestPass, step_costs
from planner.planning.price.step_intervals import step_spread
from planner.planning.question.input import ANY
from planner.planning.question.question import Question
from planner.planning.search.grid_search import SearchResult
from planner.planning.serving.loop import Loop, loop_rules
from planner.requests.stream import RequestStream
from planner.scheduler.costs import StepCosts
from planner.scheduler.rules import SchedulerRules
from planner.throughput.engine_policy import with_slower_prompts, with_slower_steps
from planner.throughput.scheduling import Scheduling

OF_LOOPS = ("admission", "graph padding")
"""Notes on closed loops alone: a scheduler admits by what is free, pass by pass."""


@cached_record
class Replayed:
    """``replicas`` of an assignment on ``layout``, its attention ranks each under ``rules`` with
    passes of ``costs`` and the host of ``policy``. ``kind`` of served deployments that it is of,
    but for the requests in flight; ``engine`` is its name and version; ``notes`` tell what was
    taken."""

    plan: Assignment
    layout: Layout
    kind: ServedKind
    costs: StepCosts
    rules: SchedulerRules
    policy: Scheduling
    replicas: int
    engine: str
    notes: tuple[Note, ...]


def deployed(
    result: SearchResult,
    stream: RequestStream,
    engine: str,
    *,
    plan: Plan | None,
    slots_max: int | None,
    chunk_tokens: int | None,
    workers: int | None = None,
) -> Replayed:
    """The deployment of an assignment that serves ``stream``; so many ``workers`` of one of two
    pools where they are given."""
    model, question = result.space.model, result.space.model.question
    priced = price(result.space, result.candidate, result.segments)
    layout = priced.layout
    assignment = Assignment(
        model, result.space.tables, int(result.space.pts.layout[result.candidate]), result.segments
    )
    loop = loop_rules(question, unlimited_loop(chunk_tokens), engine)
    parsed = None if engine == ANY else parse_engine(engine)
    name = ANY if parsed is None else parsed.name
    defaults = (
        COMMON
        if parsed is None
        else scheduler_defaults(parsed.name, parsed.version, question.device)
    )
    cache_tokens = cache_info(model, result, priced).capacity_tokens // layout.dp
    sequences, why = _sequences(question, defaults, priced, cache_tokens, plan, slots_max)
    budget = question.chunk_tokens if chunk_tokens is None else chunk_tokens
    speculation = question.speculation
    rules = SchedulerRules(
        name,
        budget,
        sequences,
        cache_tokens,
        question.workload.context,
        defaults.block_tokens,
        defaults.chunked,
        not loop.policy.exclusive,
        reserve=defaults.reserve,
        draft=0 if speculation is None else int(question.verified) - 1,
        accepted=question.accepted,
    )
    mean_length = stream.input_tokens.mean() + stream.output_tokens.mean() / 2
    # Longer ones are rejected.
    longest = min(int((stream.input_tokens + stream.output_tokens).max()), rules.context)
    prompt = min(int(stream.input_tokens.max()), rules.context)
    read = budget if defaults.chunked else max(budget, prompt)
    costs = step_costs(
        assignment,
        LargestPass(
            min(sequences, max(len(stream), 1)),
            read,
            longest,
            min(float(mean_length), float(longest)),
        ),
    )
    return Replayed(
        assignment,
        layout,
        kind_of(model, priced, pooled=workers is not None),
        costs,
        rules,
        loop.policy,
        question.replicas(layout.ranks) if workers is None else workers,
        loop.engine,
        (
            *(note for note in loop.notes if note.key not in OF_LOOPS),
            *_notes(question, rules, why, chunk_given=chunk_tokens is not None),
        ),
    )


def unlimited_loop(chunk_tokens: int | None) -> Loop:
    """The parameters of a loop that leave all to the engine."""
    return Loop(
        concurrency=None,
        requests=None,
        draft_tokens=0,
        acceptance=None,
        draft_layers=None,
        chunk_tokens=chunk_tokens,
        stream_interval=1,
        scheduler=None,
        host_us=None,
        host_us_per_sequence=None,
        graphs="none",
        overlap=False,
        prefill_workers=None,
        decode_workers=None,
        transfer_bytes_per_s=None,
        cache_tokens=None,
    )


def _sequences(
    question: Question,
    defaults: SchedulerDefaults,
    priced: Priced,
    cache_tokens: int,
    plan: Plan | None,
    slots_max: int | None,
) -> tuple[int, str]:
    """(requests that a rank runs at most, why): as given, as the plan's start command says, or the
    engine's default; slots of the whole context are as many as the cache has."""
    if slots_max is not None:
        return slots_max, "given"
    if plan is not None:
        return max(1, plan.workload.batch // plan.layout.dp), message("replay.of_the_plan")
    work = question.workload
    count = defaults.sequences_of(cache_tokens, work.context)
    source = defaults.source
    why = message("replay.common_default") if source is None else source.title
    if work.reserved:
        count = max(1, min(count, cache_tokens // work.context))
    return count, why


def _notes(
    question: Question, rules: SchedulerRules, sequences_from: str, *, chunk_given: bool
) -> tuple[Note, ...]:
    default = question.prefill_chunk.source
    usual = message("assumptions.common_engine_default") if default is None else default.title
    return (
        Note(
            "running requests", message("replay.at_most", count=rules.max_sequences), sequences_from
        ),
        Note(
            "tokens of a pass",
            message("assumptions.tokens", context=rules.token_budget),
            "given" if chunk_given else usual,
        ),
        Note(
            "cache",
            message("assumptions.tokens_rank", cache_tokens=f"{rules.cache_tokens:,}"),
            message("assumptions.usable_memory_of_plan"),
        ),
    )


def kind_at(where: Replayed, requests: float) -> ServedKind:
    """The kind of deployments with so many requests in flight on a replica."""
    return replace(where.kind, requests=concurrency_range(max(requests, 1.0)))


def at_interval_ends(
    where: Replayed, batch: float, requests: float, stream: RequestStream
) -> tuple[Replayed, Replayed, str]:
    """The deployment with passes at the lower and the upper end of their 80 % interval where
    ``batch`` sequences of a rank decode, of ``requests`` in flight on a replica, and the basis of
    their times: decode steps by what is known of TPOT, the host's work on them by what is known of
    a TPOT that is all the host's, prompts and the host's work on them by what is known of TTFT."""
    isl, osl = float(stream.input_tokens.mean()), float(stream.output_tokens.mean())
    spread = step_spread(where.plan, max(batch, 1.0), isl + osl / 2, isl)
    kind = kind_at(where, requests)
    sigmas = spread.sigmas(max(batch, 1.0), Shares(), kind)
    of_host = spread.sigmas(max(batch, 1.0), Shares(host=1.0), kind)
    step, host, prompt = map(factor_of, (sigmas.tpot, of_host.tpot, sigmas.ttft))
    return (
        scaled(where, 1 / step, 1 / host, 1 / prompt),
        scaled(where, step, host, prompt),
        spread.basis,
    )


def scaled(where: Replayed, step: float, host: float, prompt: float) -> Replayed:
    """The deployment with steps ``step`` times as long on the device and ``host`` times on the
    host, and prompts with the host's work on them ``prompt`` times."""
    costs = where.costs
    return replace(
        where,
        costs=replace(
            costs,
            decode=costs.decode * step,
            mixed=costs.mixed * prompt,
            everywhere=costs.everywhere * prompt,
            behind=costs.behind * prompt,
        ),
        policy=with_slower_prompts(with_slower_steps(where.policy, host), prompt),
    )
