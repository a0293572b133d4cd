"""Deployments among which a plan in pools is taken: the optimum, and simpler ones beside it.

As released in both pools, one scheme in both, one scheme in each, and the optimum with whatever
mixes it has. They are chosen from by the rule of every choice (:mod:`planner.planning.choose.rule`)
from those as released on, one precision being simpler than two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record
from planner.messages.message import Text
from planner.planning.choose.chances import share_of_draws_better
from planner.planning.choose.rule import (
    Simplicity,
    Standing,
    Thresholds,
    displaces,
    plan_to_take,
)
from planner.planning.choose.weight_sources import ReadyWeights, weight_source
from planner.planning.plan import names
from planner.planning.plan.evidence import Evidence
from planner.planning.pools.candidates import decode_space_at
from planner.planning.pools.cases import PoolSpaces
from planner.planning.pools.chances import WeighedPools, draw_objectives, weighed_pools
from planner.planning.pools.search import (
    Demand,
    DeviceBudget,
    PoolSearch,
    TwoPools,
    WorkerCandidates,
)
from planner.planning.pools.stages import step_seconds
from planner.planning.pools.workers import DecodeWorkers, WorkerAssignment, equal_ratio_pieces
from planner.planning.price.evidence import NONE, served_formats
from planner.planning.price.plan_kinds import evidence_here, kind_of
from planner.planning.question.named import RELEASED
from planner.planning.question.policies import runs_as_released
from planner.planning.question.question import Question
from planner.planning.search.format_subsets import changed_schemes
from planner.planning.search.grid_search import SearchResult
from planner.planning.search.question_search import by_layer
from planner.planning.search.rivals import Rival, rival_of

Array = NDArray[np.float64]
TWO = 100
"""Formats that a second precision counts for: one precision is simpler, whatever it holds."""
PLAIN_CACHE = "bf16"
WORTH_TELLING = 0.6
"""Share of the best rate from which on a uniform scheme stands among the others."""


@cached_record
class PoolOption:
    """A deployment with the formats of its prefill and decode workers; ``two``: they differ."""

    name: Text
    weighed: WeighedPools
    sides: tuple[Rival, Rival]
    weights: tuple[ReadyWeights, ReadyWeights]
    two: bool
    simple: Simplicity

    @property
    def pools(self) -> TwoPools:
        return self.weighed.pools

    def same_as(self, other: PoolOption) -> bool:
        """Whether both are one assignment on the same workers."""

        def identity(option: PoolOption) -> tuple[object, ...]:
            pools = option.pools
            return (
                pools.prefill_workers,
                pools.decode_workers,
                pools.shared.kv,
                *(
                    (side.space.layout(side.candidate), by_layer(side.space, side.segments))
                    for side in pools.assigned
                ),
            )

        return identity(self) == identity(other)

    @property
    def question(self) -> Question:
        """The question of the decode workers."""
        return self.pools.assigned[1].space.model.question

    @property
    def formats_served(self) -> bool:
        """Whether all formats were served, by the engine or on the architecture."""
        served = served_formats(self.question.engine, self.question.device.architecture)
        return {*(s for side in self.sides for s in side.schemes), self.pools.shared.kv} <= served

    @property
    def loss(self) -> float:
        """The larger of the losses that each pool alone would have."""
        return max(self.weighed.prefill.loss, self.weighed.decode.loss)


@cached_record
class PoolChoice:
    """All ``options``, the one that is ``taken``, the optimum, and their draws [A, draws]."""

    options: tuple[PoolOption, ...]
    taken: int
    optimum: int
    drawn: Array
    better: Array

    @property
    def option(self) -> PoolOption:
        """The deployment to take."""
        return self.options[self.taken]


def choose_pools(
    spaces: Sequence[PoolSpaces],
    best: TwoPools,
    budget: DeviceBudget,
    demand: Demand,
    *,
    allowed: float | None,
    exact: bool,
) -> PoolChoice:
    """The deployment to take beside ``best``, the optimum; ``allowed`` is what losses may sum to
    where they cannot be told apart from their limit; ``exact``: the optimum itself."""
    simple = [] if exact else list(_simple_deployments(spaces, best, budget, demand, allowed))
    options = tuple(
        pool_option(name, pools, demand) for name, pools in (*simple, (names.OPTIMUM, best))
    )
    draws = draw_objectives([option.weighed for option in options])
    optimum = len(options) - 1
    taken = optimum if exact else _to_take(options, draws)
    return PoolChoice(options, taken, optimum, draws, share_of_draws_better("throughput", draws))


def _to_take(options: Sequence[PoolOption], draws: Array) -> int:
    """The option to take: as released, or the simplest where that is none, unless others displace
    it."""
    standings = [_standing(option, drawn) for option, drawn in zip(options, draws, strict=True)]
    usual = min(
        range(len(options)),
        key=lambda i: (options[i].name != names.RELEASED, standings[i].simplicity),
    )
    beaten = displaces(
        standings,
        lambda gain: share_of_draws_better("throughput", draws, gain),
        Thresholds.of_question(options[usual].question),
        np.array([[_unmeasured(one, other) for other in options] for one in options]),
    )
    return plan_to_take(standings, usual, beaten)


def _standing(option: PoolOption, drawn: Array) -> Standing:
    """What the rule knows of an option; ``drawn`` are its objectives [draws]. Equal ones differ in
    the last digits of their sums."""
    made = any(
        side.formats > 0 and bool(weights.command)
        for side, weights in zip(option.sides, option.weights, strict=True)
    )
    expected = float(f"{float(drawn.mean()):.9e}")
    return Standing(pools_evidence(option).level, option.simple, made, 0, option.loss, expected)


def _unmeasured(one: PoolOption, other: PoolOption) -> bool:
    """Whether nobody measured what the two differ in: pools of either kind, unless both have
    formats that were served and exist."""
    made = one.simple.new_weights and not other.simple.new_weights
    known = not made and one.formats_served and other.formats_served
    return not known and NONE in (pools_evidence(one).level, pools_evidence(other).level)


def pools_evidence(option: PoolOption) -> Evidence:
    """What served deployments in two pools say of the kind of the decode workers."""
    kind = kind_of(option.pools.assigned[1].space.model, option.weighed.decode, pooled=True)
    return evidence_here(option.question, kind, "tpot")


def _simple_deployments(
    spaces: Sequence[PoolSpaces],
    best: TwoPools,
    budget: DeviceBudget,
    demand: Demand,
    allowed: float | None,
) -> Iterator[tuple[Text, TwoPools]]:
    """Simpler deployments on the engine of ``best``, each on its own best layouts and batches."""
    mine = [space.within(allowed) for space in spaces if space.engine == best.shared.engine]
    wanted = [
        RELEASED,
        *(
            name
            for name in dict.fromkeys(
                s
                for pool_spaces in mine
                for pool in pool_spaces.prefill
                for s in pool.question.schemes
            )
            if any(pool_spaces.differs(name, RELEASED) for pool_spaces in mine)
        ),
    ]
    cases: dict[tuple[str, str], WorkerCandidates] = {}
    for name in wanted:
        for spaces_of_cache in mine:
            case = spaces_of_cache.uniform(name).shared()
            if case.readers or case.decoders:
                cases[name, spaces_of_cache.kv] = case
        own = [
            cases[name, pool_spaces.kv] for pool_spaces in mine if (name, pool_spaces.kv) in cases
        ]
        least = 0.0 if name == RELEASED else WORTH_TELLING * best.value
        pools = PoolSearch(
            [_copy(case) for case in own], budget, demand, above=least, patience=0
        ).run()  # rivals need no proof
        if pools is not None:
            yield (names.RELEASED if name == RELEASED else names.uniform(name)), pools
    mixed = [
        _joined([case for (_, kv), case in cases.items() if kv == pool_spaces.kv])
        for pool_spaces in mine
        if any(kv == pool_spaces.kv for _, kv in cases)
    ]
    pools = PoolSearch(mixed, budget, demand, patience=0).run()
    if pools is not None and _differ(pools):
        yield names.ONE_SCHEME_IN_EACH_POOL, pools


def _copy(case: WorkerCandidates) -> WorkerCandidates:
    """A case whose lists a search may change."""
    return replace(case, readers=list(case.readers), decoders=list(case.decoders))


def _joined(cases: Sequence[WorkerCandidates]) -> WorkerCandidates:
    """The workers of several cases of one cache layout."""
    return replace(
        cases[0],
        readers=[reader for case in cases for reader in case.readers],
        decoders=[decoder for case in cases for decoder in case.decoders],
    )


def _differ(pools: TwoPools) -> bool:
    """Whether the pools have modules in different formats."""
    prefill, decode = (_modules(worker) for worker in pools.assigned)
    return prefill != decode


def _modules(worker: WorkerAssignment) -> dict[tuple[str, int], str]:
    caches = {unit.kind for unit in worker.space.model.units if unit.role == "cache"}
    return {
        key: name
        for key, name in by_layer(worker.space, worker.segments).items()
        if key[0] not in caches
    }


def pool_option(name: Text, pools: TwoPools, demand: Demand) -> PoolOption:
    """A deployment with what its formats need, at the least batch that keeps its rate."""
    running = with_least_batch(pools, demand.osl)
    sides = tuple(rival_of(name, "pools", as_search_result(worker)) for worker in running.assigned)
    weights = tuple(
        weight_source(side.result) if side.formats else ReadyWeights() for side in sides
    )
    formats = {
        scheme
        for worker in pools.assigned
        for scheme in changed_schemes(worker.space.model, worker.segments)
    }
    two = _differ(pools)
    new = any(
        side.formats > 0 and weight.new_weights for side, weight in zip(sides, weights, strict=True)
    )
    changed = len({kind for worker in pools.assigned for kind in _changed(worker)})
    return PoolOption(
        name,
        weighed_pools(pools, running, demand),
        (sides[0], sides[1]),
        (weights[0], weights[1]),
        two,
        Simplicity(len(formats) + TWO * two, new, changed),
    )


def _changed(worker: WorkerAssignment) -> set[str]:
    """Kinds of module that are not what they are released in, and caches that are not plain."""
    model, kinds = worker.space.model, set()
    for segment in worker.segments:
        unit = model.units[segment.unit]
        if segment.choice >= 0:
            own = (
                PLAIN_CACHE
                if unit.role == "cache"
                else runs_as_released(model.question, model.planned[unit.row].released_as)
            )
            if model.choices[segment.choice] != own:
                kinds.add(unit.kind)
    return kinds


def as_search_result(worker: WorkerAssignment) -> SearchResult:
    """A worker's formats as a search would tell them."""
    value = step_seconds(worker.space, worker.candidate, worker.segments)
    return SearchResult(
        worker.space,
        worker.candidate,
        worker.solution,
        worker.segments,
        value,
        len(worker.space),
        1,
        worker.space,
    )


def with_least_batch(pools: TwoPools, osl: int) -> TwoPools:
    """``pools`` whose decode workers have the fewest sequences that keep the rate: where another
    pool sets it, their batches are not full."""
    worker = pools.decoding
    need = pools.rate / pools.decode_workers * (1 - 1e-9)
    if worker.pool.question.batch is not None or need >= worker.rate(osl) * (1 - 1e-6):
        return pools
    best, low, high = worker, 1, worker.high
    while low < high:
        tried = _batches(worker, low, high)
        first, last = 0, len(tried) - 1
        while first < last:
            middle = (first + last) // 2
            first, last = (
                (first, middle) if tried[middle]().rate(osl) >= need else (middle + 1, last)
            )
        worker_at = tried[first]()
        if worker_at.rate(osl) < need:
            break
        best, high = worker_at, worker_at.high
        low = high if first == 0 else tried[first - 1]().high + 1
    return replace(pools, decoding=best)


def _batches(
    worker: DecodeWorkers,
    low: int,
    high: int,
) -> list[Callable[[], DecodeWorkers]]:
    """The formats of a decode worker with some of the batches from ``low`` to ``high``, each priced
    when it is asked for."""
    assignment = worker.assignment
    assert assignment is not None
    layout = int(assignment.space.pts.layout[assignment.candidate])
    slots = sorted({*equal_ratio_pieces(low, high), high})
    space = decode_space_at(assignment.space, [(layout, slot) for slot in slots], slots)

    def priced(c: int) -> DecodeWorkers:
        here = space.take(np.array([c], dtype=np.int64))
        seconds = step_seconds(here, 0, assignment.segments)
        return DecodeWorkers(
            replace(worker.pool, space=here),
            0,
            seconds,
            replace(assignment, space=here, candidate=0),
        )

    return [partial(priced, c) for c in range(len(slots))]
