"""The pools of a question: found, compared with the workers that do both, and taken or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import expm1, log1p

import numpy as np

from planner.base.errors import InfeasibleError, InputError
from planner.base.records import cached_record, record
from planner.messages.message import message
from planner.planning.answer.modes import no_pools
from planner.planning.choose.calibrated import calibration, probability_above
from planner.planning.choose.calibrated import interval as log_interval
from planner.planning.choose.rule import LEVELS, Thresholds
from planner.planning.choose.selection import Selection, allowed_loss
from planner.planning.pools.cases import PoolSpaces, pool_spaces, shared_caches
from planner.planning.pools.options import PoolChoice, choose_pools, pools_evidence
from planner.planning.pools.search import Demand, DeviceBudget, PoolSearch, TwoPools
from planner.planning.price.evidence import NONE
from planner.planning.price.plan_kinds import (
    evidence_here,
    kind_of,
    recipe_class,
    recipes_here,
)
from planner.planning.question.pool_link import link_between
from planner.planning.question.question import Question
from planner.planning.search.formulate import loss_limit


@record
class PoolsQuestion:
    """How pools are asked for: ``prefill`` are ways to serve on other prefill devices
    (None: the same); bytes/s of the link where given; ``exact``: the optimum itself."""

    prefill: tuple[Question, ...] | None = None
    transfer_bytes_per_s: float | None = None
    exact: bool = False


@cached_record
class PoolsResult:
    """The choice among pools (None: none is better than what was known), requests/s ÷ paid devices
    that no pools exceed, the pairs of workers that were looked at, and the terms of the search."""

    choice: PoolChoice | None
    bound: float
    candidates: int
    budget: DeviceBudget
    demand: Demand
    proved: bool


@record
class GainOverAggregated:
    """A deployment beside aggregated workers: its predicted gain, the 80 % interval of what
    measured pairs make of it, and the chances that it is better at all and by ``least``, which with
    a chance of ``sure`` is worth leaving aggregated workers."""

    gain: float
    low: float
    high: float
    better: float
    beaten: float
    least: float
    sure: float

    @property
    def taken(self) -> bool:
        """Whether it wins by more than the uncertainty."""
        return self.beaten >= self.sure


def find_pools(
    decode: Sequence[Question],
    terms: PoolsQuestion,
    *,
    above: float = 0.0,
    best: Selection | None = None,
) -> PoolsResult:
    """The best pools whose requests/s ÷ paid devices exceed ``above``, and the choice among simpler
    ones; ``best`` is the aggregated answer, whose band of loss counts here too.

    Raises:
        UnsupportedError: no engine of the question serves pools on the devices.
        InputError: the pools share no cache, or nothing links them.
    """
    prefill = decode if terms.prefill is None else terms.prefill
    shared_caches(prefill, decode)
    link = link_between(prefill[0], decode[0], terms.transfer_bytes_per_s)
    spaces, against = pool_spaces(prefill, decode, link)
    if not spaces and against:
        raise no_pools(tuple(against.values()))
    first = decode[0]
    budget, demand = device_budget(decode, prefill), demand_of(first)
    search = PoolSearch([space.shared() for space in spaces], budget, demand, above=above)
    pools = search.run()
    choice = None if pools is None else _chosen(spaces, pools, budget, demand, terms, best)
    return PoolsResult(
        choice,
        search.bound,
        search.candidates,
        budget,
        demand,
        # Of rounds around the slowest stage nothing is proved.
        first.worker_stages == 1 and search.bound <= search.value * (1 + 1e-6),
    )


def fastest_engine(
    decode: Sequence[Question],
    terms: PoolsQuestion,
    best: Selection | None,
) -> PoolsResult:
    """The pools of the engine whose choice is fastest a paid device: the rule takes simple pools of
    an engine against others of the same one, so that the engine of the best optimum need not be
    it. The ``exact`` optimum is that of all engines.

    Raises:
        UnsupportedError, InputError: as ``find_pools``, where no engine has pools.
    """
    engines = dict.fromkeys(q.engine for q in decode)
    if terms.exact or len(engines) == 1:
        return find_pools(decode, terms, best=best)
    results = [result for engine in engines if (result := _on_engine(engine, decode, terms, best))]
    if not results:
        return find_pools(decode, terms, best=best)
    return max(results, key=_taken_value)


def _on_engine(
    engine: str, decode: Sequence[Question], terms: PoolsQuestion, best: Selection | None
) -> PoolsResult | None:
    """The pools of one engine; None where it has none."""
    mine = [q for q in decode if q.engine == engine]
    if terms.prefill is not None:
        terms = replace(terms, prefill=tuple(q for q in terms.prefill if q.engine == engine))
        if not terms.prefill:
            return None
    try:
        result = find_pools(mine, terms, best=best)
    except InputError:
        return None
    return result if result.choice is not None else None


def _taken_value(result: PoolsResult) -> float:
    assert result.choice is not None
    return result.choice.option.pools.value


def _chosen(
    spaces: Sequence[PoolSpaces],
    pools: TwoPools,
    budget: DeviceBudget,
    demand: Demand,
    terms: PoolsQuestion,
    best: Selection | None,
) -> PoolChoice:
    model = pools.decoding.pool.space.model
    allowed = loss_limit(model) if best is None else allowed_loss(best.exact)
    return choose_pools(spaces, pools, budget, demand, allowed=allowed, exact=terms.exact)


def device_budget(decode: Sequence[Question], prefill: Sequence[Question]) -> DeviceBudget:
    """Devices in all; under cost, those of the prefill pool at their price."""
    first, other = decode[0], prefill[0]
    devices = max(first.sizes)
    if (
        not first.devices_given
        and first.device.id == other.device.id
        and not first.net.network_bytes_per_s > 0
    ):
        devices = min(devices, int(first.net.domain))
    price = 1.0
    if first.objective == "cost" and first.price_per_hour and other.price_per_hour:
        price = other.price_per_hour / first.price_per_hour
    return DeviceBudget(devices, first.devices_given and price == 1.0, price)


def demand_of(question: Question) -> Demand:
    """What requests ask of pools."""
    limits = question.time_limits
    return Demand(
        question.workload.osl,
        limits.get("ttft", np.inf),
        limits.get("e2e", np.inf),
        question.prompt_host.handling_seconds,
        limits.get("tpot", np.inf),
    )


def threshold(choice: Selection, osl: int, margin: float) -> float:
    """Requests/s ÷ devices that pools must exceed to win by more than ``margin``."""
    return (1 + margin) / (choice.option.weighed.value * osl)


def gain_over_aggregated(
    pools: PoolChoice, choice: Selection, at: int | None = None, *, ratio: float = 1.0
) -> GainOverAggregated:
    """The deployment that is taken (or ``at``) beside the aggregated plan, or beside one that is
    ``ratio`` times as fast."""
    which = pools.taken if at is None else at
    option, base = pools.options[which], choice.option
    ours, theirs = pools.drawn[which], choice.drawn[choice.taken]
    value = option.pools.value * option.weighed.decode_osl * base.weighed.value / ratio - 1
    own = float((np.log(theirs) - np.log(ours)).std())
    level = pools_evidence(option).level
    unlike = {"layout"} | ({"format"} if option.simple != base.simple else set())
    known = calibration(
        frozenset(unlike),
        max(level, base.level, key=LEVELS.index),
        base.space.model.question.spec.id,
    )
    least, sure = Thresholds.of_question(base.space.model.question).required(
        new_weights=option.simple.new_weights and not base.simple.new_weights,
        unmeasured=level == NONE,
    )
    log_gain = log1p(value)
    low, high = (expm1(end) for end in log_interval(log_gain, known, own))
    return GainOverAggregated(
        value,
        min(low, value),
        max(high, value),
        probability_above(log_gain, 0.0, known, own),
        probability_above(log_gain, least, known, own),
        least,
        sure,
    )


def pools_known(choice: Selection) -> bool:
    """Whether two pools of the kind of the aggregated plan were measured, or are published for the
    model and device."""
    option = choice.option
    question = option.space.model.question
    kind = kind_of(option.space.model, option.priced, pooled=True)
    return evidence_here(question, kind, "tpot").level != NONE or any(
        recipe_class(recipe) == kind.layout and recipe.engine == question.engine
        for recipe in recipes_here(question)
    )


def infeasible(question: Question) -> InfeasibleError:
    """No pools keep the limits."""
    limits = [
        text
        for text, value in (
            ("--tpot-ms", question.tpot_seconds),
            ("--ttft-ms", question.ttft_seconds),
            ("--e2e-ms", question.e2e_seconds),
            ("--memory-bytes", question.memory_bytes),
            ("--file-bytes", question.file_bytes),
        )
        if value is not None
    ]
    fewer = "fewer --pp, " if question.worker_stages > 1 else ""
    return InfeasibleError(
        message(
            "refusals.on_no_two_pools_of",
            m=question.spec.id,
            sizes=max(question.sizes),
            d=question.device.id,
        ),
        hint=f"more devices, {'another ' + ' or '.join(limits) + ', ' if limits else ''}{fewer}or "
        "--mode aggregated",
    )
