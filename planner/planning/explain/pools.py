"""The whole explanation of a deployment in pools: decisions, numbers of workers, limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import methodcaller

import numpy as np

from planner.base.records import record
from planner.messages.message import message
from planner.planning.explain.limit_prices import SMALLEST, binding, tidy_step
from planner.planning.explain.next_best import MOST, unit_choices
from planner.planning.explain.records import LimitPrice, PoolChoices, PoolsExplanation, PoolSplit
from planner.planning.plan.deployment import DeploymentInfo
from planner.planning.plan.record import Plan
from planner.planning.pools.cases import PoolSpaces, pool_spaces
from planner.planning.pools.find_pools import demand_of, device_budget
from planner.planning.pools.given_pools import fullest_workers
from planner.planning.pools.handover import Handover
from planner.planning.pools.search import Demand, DeviceBudget, PoolSearch, prefill_rates
from planner.planning.pools.workers import DecodeWorkers, PrefillWorkers, WorkerAssignment
from planner.planning.price.price import price
from planner.planning.question.pool_link import PoolLink
from planner.planning.question.question import Question
from planner.planning.search.candidate_problem import candidate_problem
from planner.planning.search.first_token import solve_with_ttft
from planner.planning.search.formulate import loss_limit
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.option_counts import layers_differ, option_counts
from planner.planning.search.spaces import with_question
from planner.planning.solver.problem import Solution, objective_of
from planner.planning.space.losses import loss_word, saturated_loss

ENOUGH = 1e-6
MOST_SPLITS = 9


@record
class PoolQuestions:
    """The ways to serve each pool on the plan's engine, and the link between them."""

    prefill: tuple[Question, ...]
    decode: tuple[Question, ...]
    link: PoolLink


def explain_pool_workers(
    plan: Plan,
    ways: PoolQuestions,
    reading: PrefillWorkers,
    decoding: DecodeWorkers,
    over: Handover,
) -> PoolsExplanation:
    """``plan`` explained, whose workers are ``reading`` and ``decoding``."""
    pools = plan.deployment
    assert pools is not None
    question = ways.decode[0]
    demand, budget = demand_of(question), device_budget(ways.decode, ways.prefill)
    sides = tuple(
        _choices(name, worker.assignment, used)
        for name, worker, used in (
            ("prefill", reading, pools.prefill.utilisation),
            ("decode", decoding, pools.decode.utilisation),
        )
        if worker.assignment is not None
    )
    spaces, _ = pool_spaces(ways.prefill, ways.decode, ways.link)
    splits = _splits(
        pools, reading, fullest_workers(decoding, question.tpot_seconds), over, demand, budget
    )
    counted = next(split.output_tokens_per_second for split in splits if split.own)
    priced = _Limits(spaces, budget, demand, plan, counted / demand.osl)
    limits = priced.limits(question)
    perf = plan.performance.output_tokens_per_second_per_device
    model = decoding.pool.space.model
    return PoolsExplanation(
        plan,
        perf.value,
        loss_word(model),
        priced.better_by,
        sides,
        _in_loop(splits, plan.performance.output_tokens_per_second.value / counted),
        limits,
        binding(limits),
        priced.solves,
        _basis(sides),
    )


def _choices(name: str, worker: WorkerAssignment, used: float) -> PoolChoices:
    """The decisions of a worker, under the loss that it has or may have."""
    space = worker.space.take(np.array([worker.candidate], dtype=np.int64))
    model = space.model
    priced = price(space, 0, worker.segments)
    limit = loss_limit(model)
    space = with_question(
        space,
        tpot_seconds=None,
        loss_scheme=None,
        loss_limit=None if limit is None else max(limit, priced.loss),
        untie=model.question.untie or layers_differ(worker.segments),
    )
    problem = candidate_problem(space, 0)
    counts = option_counts(problem, worker.segments)
    value = objective_of(problem.problem, counts)
    best = solve_with_ttft(problem)
    again = best.has_assignment and value <= best.value * (1 + ENOUGH)
    result = SearchResult(
        space,
        0,
        Solution("optimal", counts, value, value, 0.0),
        worker.segments,
        value,
        1,
        0,
        space,
    )
    units, released = unit_choices(result, again=again)
    return PoolChoices(name, priced.tpot, used, again and len(units) <= MOST, units, released)


def _splits(
    pools: DeploymentInfo,
    reading: PrefillWorkers,
    decoding: DecodeWorkers,
    over: Handover,
    demand: Demand,
    budget: DeviceBudget,
) -> tuple[PoolSplit, ...]:
    """Numbers of workers that leave no room for another, the plan's, and one more or fewer."""
    left = demand.read_seconds(
        over.seconds(reading.tp, decoding.tp, (reading.pp, decoding.pp)), decoding.seconds
    )
    most = (budget.devices - decoding.devices) // reading.devices
    counts = np.arange(1, max(most, 1) + 1, dtype=np.float64)
    caps = prefill_rates(over, [reading]).within(np.array([left]), counts)[0]
    each = min(decoding.rate(demand.osl), over.rate(decoding.tp, decoding.ranks, decoding.pp))
    own = pools.prefill.workers, pools.decode.workers
    pairs = {own} | {
        (n, m)
        for n, m in (
            (own[0] - 1, own[1]),
            (own[0] + 1, own[1]),
            (own[0], own[1] - 1),
            (own[0], own[1] + 1),
        )
        if n >= 1 and m >= 1 and n * reading.devices + m * decoding.devices <= budget.devices
    }
    for n in range(1, most + 1):
        rest = budget.devices - n * reading.devices
        m = rest // decoding.devices
        if m >= 1 and rest - m * decoding.devices < reading.devices:
            pairs.add((n, m))
    splits = [
        _split(
            n,
            m,
            float(caps[n - 1]),
            m * each,
            demand.osl,
            own,
            n * reading.devices + m * decoding.devices,
        )
        for n, m in sorted(pairs)
    ]
    at = next(i for i, split in enumerate(splits) if split.own)
    first = max(min(at - MOST_SPLITS // 2, len(splits) - MOST_SPLITS), 0)
    return tuple(splits[first : first + MOST_SPLITS])


def _in_loop(splits: tuple[PoolSplit, ...], ratio: float) -> tuple[PoolSplit, ...]:
    """``splits`` at the ``ratio`` of the plan's closed loop to what the search counts on."""
    return tuple(
        replace(split, output_tokens_per_second=split.output_tokens_per_second * ratio)
        for split in splits
    )


def _split(
    n: int, m: int, cap: float, decoded: float, osl: int, own: tuple[int, int], devices: int
) -> PoolSplit:
    return PoolSplit(
        n,
        m,
        devices,
        min(cap, decoded) * osl,
        "prefill" if cap <= decoded else "decode",
        (n, m) == own,
    )


class _Limits:
    """The best pools again, under other limits: every figure is a search of its own. ``own``:
    requests/s that the search counts on from the plan's."""

    def __init__(
        self,
        spaces: Sequence[PoolSpaces],
        budget: DeviceBudget,
        demand: Demand,
        plan: Plan,
        own: float,
    ) -> None:
        self.spaces, self.budget, self.demand, self.plan = list(spaces), budget, demand, plan
        self.solves = 0
        self.base = self.best(self.spaces, demand, 0.0)
        paid = float(budget.paid(*(np.array([float(n)]) for n in _devices(plan)))[0])
        self.better_by = float(f"{self.base / (own / paid) - 1:.4g}")

    def best(self, spaces: Sequence[PoolSpaces], demand: Demand, above: float) -> float:
        """Requests/s ÷ paid devices of the best pools, ``above`` where nothing exceeds it."""
        self.solves += 1
        pools = PoolSearch(
            [space.shared() for space in spaces], self.budget, demand, above=above
        ).run()
        return above if pools is None else pools.value

    def gain(
        self, change: Callable[[PoolSpaces], PoolSpaces] | None = None, demand: Demand | None = None
    ) -> float:
        """How much better the best pools become, 0 where they may not."""
        spaces = self.spaces if change is None else [change(space) for space in self.spaces]
        value = self.best(spaces, self.demand if demand is None else demand, self.base)
        more = value / self.base - 1
        return float(f"{more:.6g}") if more > SMALLEST else 0.0

    def limits(self, question: Question) -> tuple[LimitPrice, ...]:
        """The limits of the question and the link, those that cost most a step first."""
        out = [*self._tpot(question), *self._of_requests(question), *self._loss(), self._link()]
        return tuple(sorted(out, key=lambda p: (-p.gain, -p.without)))

    def _tpot(self, question: Question) -> list[LimitPrice]:
        limit = question.tpot_seconds
        if limit is None:
            return []
        step = tidy_step(limit)
        gain, free = (self.gain(_with_tpot(value)) for value in (limit + step, None))
        return [
            _price(
                "tpot",
                limit,
                "s",
                self.plan.performance.tpot_seconds.value,
                "default" if question.tpot_default else "given",
                step,
                gain,
                free,
            )
        ]

    def _of_requests(self, question: Question) -> list[LimitPrice]:
        perf, out = self.plan.performance, []
        used = question.limited_times(perf.ttft_seconds.value, perf.tpot_seconds.value)
        demands: dict[str, Callable[[float], Demand]] = {
            "ttft": lambda value: replace(self.demand, first_token_seconds=value),
            "e2e": lambda value: replace(self.demand, request_seconds=value),
        }
        for name, demand in demands.items():
            limit = question.time_limits.get(name)
            if limit is not None:
                step = tidy_step(limit)
                gain, free = (self.gain(demand=demand(v)) for v in (limit + step, np.inf))
                out.append(_price(name, limit, "s", used[name], "given", step, gain, free))
        return out

    def _loss(self) -> list[LimitPrice]:
        model = self.spaces[0].decode[0].space.model
        limit = loss_limit(model)
        if limit is None:
            return []
        step = tidy_step(limit) if limit > 0 else 0.1
        gain, free = (self.gain(methodcaller("within", value)) for value in (limit + step, None))
        return [
            _price(
                "max-loss",
                saturated_loss(model, limit),
                "loss",
                self.plan.quality.loss,
                model.question.loss_scheme or "given",
                step,
                gain,
                free,
            )
        ]

    def _link(self) -> LimitPrice:
        rate = self.spaces[0].handover.link.bytes_per_second
        gain = self.gain(
            lambda spaces: replace(
                spaces,
                handover=replace(
                    spaces.handover, link=replace(spaces.handover.link, bytes_per_second=2 * rate)
                ),
            )
        )
        return LimitPrice(
            "link",
            rate,
            "bytes/s",
            rate,
            self.spaces[0].handover.link.name,
            0.0,
            gain,
            None,
            "twice as fast",
            gain,
            None,
            gain > 0,
            (),
        )


def _devices(plan: Plan) -> tuple[int, int]:
    pools = plan.deployment
    assert pools is not None
    return (
        pools.prefill.workers * pools.prefill.devices_per_worker,
        pools.decode.workers * pools.decode.devices_per_worker,
    )


def _with_tpot(limit: float | None) -> Callable[[PoolSpaces], PoolSpaces]:
    def changed(spaces: PoolSpaces) -> PoolSpaces:
        return replace(
            spaces,
            decode=tuple(
                replace(pool, space=with_question(pool.space, tpot_seconds=limit))
                for pool in spaces.decode
            ),
        )

    return changed


def _price(
    name: str,
    value: float,
    unit: str,
    used: float,
    origin: str,
    step: float,
    gain: float,
    free: float,
) -> LimitPrice:
    return LimitPrice(
        name,
        value,
        unit,
        used,
        origin,
        step,
        gain,
        None,
        "removed",
        max(gain, free),
        None,
        gain > 0,
        (),
    )


def _basis(sides: Sequence[PoolChoices]) -> tuple[str, ...]:
    unsolved = [side.name for side in sides if not side.again]
    units = [message("verbs.pool_units_solved", name=side.name) for side in sides if side.again]
    return (
        *units,
        *(message("verbs.pool_units_stay", name=name, most=MOST) for name in unsolved),
        message("verbs.pool_loss_limit"),
        message("verbs.pool_caches"),
        message("verbs.pool_workers"),
        message("verbs.pool_limits"),
    )
