"""Two pools that somebody else chose: their workers, layouts, batch and formats priced together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from planner.base.errors import InfeasibleError
from planner.base.records import record
from planner.base.units import format_seconds
from planner.messages.message import message
from planner.planning.choose.chances import share_of_draws_better
from planner.planning.plan.record import Comparison, Plan, SolverInfo
from planner.planning.pools.candidates import (
    decode_space_at,
    prefill_space,
    prompt_counts,
    prompts_per_pass,
)
from planner.planning.pools.chances import draw_objectives
from planner.planning.pools.find_pools import PoolsResult, demand_of
from planner.planning.pools.handover import Handover, handover
from planner.planning.pools.options import PoolChoice, pool_option
from planner.planning.pools.pooled_plan import pooled_plan
from planner.planning.pools.search import (
    Demand,
    DeviceBudget,
    TwoPools,
    WorkerCandidates,
    prefill_rates,
)
from planner.planning.pools.stages import step_seconds, worker_price
from planner.planning.pools.workers import (
    DecodeWorkers,
    PoolSpace,
    PrefillWorkers,
    WorkerAssignment,
)
from planner.planning.price.price import fits, price
from planner.planning.question.pool_link import PoolLink
from planner.planning.question.question import Question
from planner.planning.question.time_limits import request_seconds
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.spaces import with_question
from planner.planning.solver.problem import TOLERANCE, Solution
from planner.planning.space.assignment import Segment
from planner.planning.space.candidates import MOST_SLOTS, decode_only
from planner.planning.space.model import CostModel

WHY = message("reasons.priced_not_chosen")


@record
class GivenPools:
    """What is priced: workers of each pool, the cache layout that both keep, the link."""

    prefill_workers: int
    decode_workers: int
    kv: str
    link: PoolLink


def given_prefill_workers(model: CostModel, segments: Sequence[Segment], kv: str) -> PrefillWorkers:
    """A prefill worker with its formats, on the question's single layout.

    Raises:
        InfeasibleError: it does not fit.
    """
    question = model.question
    counts = prompt_counts(prompts_per_pass(question))
    space = prefill_space(model, counts)
    if space is None:
        raise InfeasibleError(
            f"memory: a prefill worker of {question.device.id} does not hold its weights and the "
            "prompts that it reads",
            hint="plan --mode disaggregated finds layouts that fit",
        )
    seconds = np.array([price(space, c, segments).tpot for c in range(len(counts))])
    last = len(counts) - 1
    return PrefillWorkers(
        PoolSpace(space, (question,), kv),
        0,
        seconds,
        WorkerAssignment(space, last, _given(float(seconds[last])), tuple(segments)),
    )


def given_decode_workers(result: SearchResult, kv: str, *, exactly: bool) -> DecodeWorkers:
    """A decode worker with its formats at its batch, ``exactly`` or at most: where the other pool
    sets the rate, fewer sequences run."""
    space = decode_only(result.space)
    if not exactly:
        space = with_question(space, batch=None)
    seconds = step_seconds(space, 0, result.segments)
    return DecodeWorkers(
        PoolSpace(space, (result.space.model.question,), kv),
        0,
        seconds,
        WorkerAssignment(space, 0, _given(seconds), result.segments),
    )


def _given(value: float) -> Solution:
    return Solution("given", np.zeros((0, 0), dtype=np.int64), value, value, 0.0)


def priced_pools(
    reading: PrefillWorkers, decoding: DecodeWorkers, given: GivenPools, question: Question
) -> PoolsResult:
    """The deployment of ``given`` workers at the rate that it keeps; ``question`` is that of the
    decode workers, with its limits on time.

    Raises:
        InfeasibleError: it breaks a limit on time.
    """
    over = handover(
        question,
        given.kv,
        (reading.tp, decoding.tp),
        given.link,
        indexer_fp8=decoding.pool.space.model.indexer_fp8,
        stages=(reading.pp, decoding.pp),
    )
    demand = demand_of(question)
    rate = _rate(reading, decoding, given, over, demand, question.tpot_seconds)
    devices = given.prefill_workers * reading.devices + given.decode_workers * decoding.devices
    shared = WorkerCandidates(question.engine, given.kv, over, [reading], [decoding])
    pools = TwoPools(
        shared, reading, decoding, given.prefill_workers, given.decode_workers, rate, rate / devices
    )
    option = pool_option("given", pools, demand)
    draws = draw_objectives([option.weighed])
    return PoolsResult(
        PoolChoice((option,), 0, 0, draws, share_of_draws_better("throughput", draws)),
        pools.value,
        1,
        DeviceBudget(devices, True),
        demand,
        False,
    )


def _rate(
    reading: PrefillWorkers,
    decoding: DecodeWorkers,
    given: GivenPools,
    over: Handover,
    demand: Demand,
    tpot: float | None,
) -> float:
    """Requests/s that the pools keep within the limits."""
    if tpot is not None and decoding.seconds > tpot * (1 + TOLERANCE):
        raise InfeasibleError(
            f"tpot: the decode workers take {format_seconds(decoding.seconds)}, "
            f"{format_seconds(tpot)} allowed",
            hint="a smaller --batch, or a longer --tpot-ms",
        )
    handed = over.seconds(reading.tp, decoding.tp, (reading.pp, decoding.pp))
    left = demand.read_seconds(handed, decoding.seconds)
    cap = float(
        prefill_rates(over, [reading]).within(
            np.array([left]), np.array([float(given.prefill_workers)])
        )[0, 0]
    )
    if not cap > 0:
        first = float(reading.group[0]) + reading.later + handed
        first += decoding.seconds + demand.handling_seconds
        if first > demand.first_token_seconds:
            name, takes, allowed = "ttft", first, demand.first_token_seconds
        else:
            takes = request_seconds(first, decoding.seconds, demand.osl)
            name, allowed = "e2e", demand.request_seconds
        raise InfeasibleError(
            f"{name}: a prompt that does not wait takes {format_seconds(takes)}, "
            f"{format_seconds(allowed)} allowed",
            hint=f"a longer --{name}-ms, or plan --mode disaggregated with it",
        )
    each = min(decoding.rate(demand.osl), over.rate(decoding.tp, decoding.ranks, decoding.pp))
    return min(cap, given.decode_workers * each)


def given_plan(result: PoolsResult, question: Question) -> Plan:
    """The plan file of pools that were priced, not chosen."""
    plan = pooled_plan(result, question, None, None, WHY)
    assert plan.deployment is not None
    value = plan.solver.bound
    return replace(
        plan,
        recommendation=None,
        comparison=Comparison("", 0.0, message("reasons.given_assignment_is_priced_not")),
        solver=SolverInfo("given", 0.0, value, 1, False),
        deployment=replace(plan.deployment, proved=False),
    )


def fullest_workers(worker: DecodeWorkers, tpot: float | None) -> DecodeWorkers:
    """``worker`` with the most sequences that fit and keep the limit on TPOT, its formats kept."""
    assignment = worker.assignment
    assert assignment is not None
    layout = int(assignment.space.pts.layout[assignment.candidate])

    def at(slot: int) -> DecodeWorkers | None:
        here = decode_space_at(assignment.space, [(layout, slot)], [slot])
        priced = worker_price(here, 0, assignment.segments)
        if not fits(here, 0, priced) or (tpot is not None and priced.tpot > tpot * (1 + TOLERANCE)):
            return None
        return DecodeWorkers(
            replace(worker.pool, space=here),
            0,
            priced.tpot,
            replace(assignment, space=here, candidate=0),
        )

    best, high = worker, worker.high * 2
    while high <= MOST_SLOTS and (more := at(high)) is not None:
        best, high = more, high * 2
    low, high = best.high, min(high, MOST_SLOTS + 1)
    while high - low > 1:
        middle = (low + high) // 2
        more = at(middle)
        if more is None:
            high = middle
        else:
            best, low = more, middle
    return best
