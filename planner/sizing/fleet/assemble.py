"""From the assignment to its record: who serves what, what is left, what one more is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from planner.base.records import cached_record
from planner.messages.message import Note, message
from planner.planning.plan.notes import written
from planner.sizing.deployable import interval_factor
from planner.sizing.fleet.assign import GROWTH_GAP, cheapest_assignment, growth_factor
from planner.sizing.fleet.candidates import FleetCandidate, FleetPair
from planner.sizing.fleet.fleet_file import COST
from planner.sizing.fleet.fleet_record import (
    Fleet,
    FleetDevice,
    FleetModel,
    FleetPool,
    FleetRequests,
    FleetWork,
    MarginalValue,
)
from planner.sizing.fleet.problem import FleetChoice, FleetProblem, devices_used, served_rates
from planner.sizing.fleet.question import FleetKind, FleetMember, FleetQuestion
from planner.sizing.notes import pool_replay_note
from planner.sizing.percentile_intervals import chance_kept, percentile_estimates
from planner.sizing.replayed import checked_times

PER_MILLION = 1e6 / 3600.0
SETTLED = 1e-6
"""Gains below this share are none: the solver's tolerance."""


@cached_record
class FleetAssignment:
    """The question, the assignment as numbers, what its ways are made of, and its solution."""

    question: FleetQuestion
    problem: FleetProblem
    candidates: Sequence[FleetCandidate]
    choice: FleetChoice
    found: Sequence[Sequence[FleetPair]]

    @property
    def room(self) -> list[float]:
        """Requests a second that each model has room for."""
        return served_rates(self.problem, self.choice.replicas)


def fleet_record(a: FleetAssignment) -> Fleet:
    """The whole record."""
    question = a.question
    pools = _pools(a)
    most = growth_factor(a.problem)
    usd = cheapest_assignment(a.problem, fewest_ways=False)
    devices = _devices(a, None if usd is None else usd.value, most.factor)
    models = tuple(
        _model(member, a.room[m], [p for p in pools if p.name == member.asked.name])
        for m, member in enumerate(question.members)
    )
    gap = abs(a.choice.value - a.choice.bound) / max(abs(a.choice.value), 1e-9)
    return Fleet(
        question.asked.title,
        question.asked.goal,
        question.asked.router,
        _total([p.usd_per_hour for p in pools]),
        most.factor,
        models,
        devices,
        pools,
        tuple(
            (member.asked.name, kind.profile.id, pair.reason)
            for member, row in zip(question.members, a.found, strict=True)
            for kind, pair in zip(question.kinds, row, strict=True)
            if not pair.candidates
        ),
        FleetWork(question.pairs, len(a.candidates), _solves(devices), gap if gap > 1e-9 else 0.0),
        written(fleet_notes(a, pools)),
        _existing_usd(a, pools),
    )


def _solves(devices: Sequence[FleetDevice]) -> int:
    """Assignments that were asked for: the answer, its growth and cost, and both of each more."""
    return 3 + sum(2 + 2 * (device.host_more is not None) for device in devices)


def _pools(a: FleetAssignment) -> tuple[FleetPool, ...]:
    """The ways that are taken, in the order of models and kinds of devices."""
    room = a.room
    return tuple(
        _pool(
            a.question.members[way.model],
            a.question.kinds[way.device],
            candidate,
            replicas,
            a.problem.rates[way.model] * way.serves(replicas) / room[way.model],
            way.serves(replicas),
            a.question.asked.router,
        )
        for way, candidate, replicas in zip(
            a.problem.ways, a.candidates, a.choice.replicas, strict=True
        )
        if replicas
    )


def _pool(
    member: FleetMember,
    kind: FleetKind,
    candidate: FleetCandidate,
    replicas: int,
    rate: float,
    room: float,
    router: str,
) -> FleetPool:
    deployable, level = candidate.deployable, member.level
    standing = candidate.standing.rate(rate)
    times, check = checked_times(
        deployable, standing, replicas, router, level, replayable=member.mix.of_one_length
    )
    sigma = deployable.sigmas(max(times.in_flight, 1.0)).tpot
    low, high = (
        deployable.group(standing, router, off=sign * interval_factor(sigma)).fewest(level)
        for sign in (-1.0, 1.0)
    )
    first, each, whole = percentile_estimates(deployable, times)
    layout, question = deployable.layout, deployable.question
    devices, price = replicas * layout.ranks, kind.stock.price
    return FleetPool(
        member.asked.name,
        member.spec.id,
        kind.profile.id,
        f"{question.engine} {question.engine_version}".strip(),
        deployable.schemes,
        deployable.rival.kv,
        deployable.loss,
        layout.tp,
        layout.dp,
        layout.pp,
        layout.ep,
        replicas,
        devices,
        low,
        high,
        rate,
        room,
        first,
        each,
        None if price is None else price * devices,
        candidate.new_weights,
        chance_kept(first, level.ttft),
        chance_kept(each, level.tpot),
        whole,
        chance_kept(whole, level.e2e),
        check,
    )


def _existing_usd(a: FleetAssignment, pools: Sequence[FleetPool]) -> float | None:
    """USD an hour of the cheapest assignment of weights that exist, where the answer has others."""
    if not a.problem.priced or not any(pool.needs_new_weights for pool in pools):
        return None
    ways = tuple(
        way
        for way, candidate in zip(a.problem.ways, a.candidates, strict=True)
        if not candidate.new_weights
    )
    found = cheapest_assignment(replace(a.problem, ways=ways), fewest_ways=False)
    return None if found is None else found.value


def _model(member: FleetMember, room: float, pools: Sequence[FleetPool]) -> FleetModel:
    model_input = member.asked
    usd = _total([p.usd_per_hour for p in pools])
    tokens = model_input.rate * member.mix.mean_osl
    return FleetModel(
        model_input.name,
        member.spec.id,
        model_input.rate,
        tuple(
            FleetRequests(kind.name, kind.share, kind.isl, kind.osl, kind.prefix_hit_rate)
            for kind in member.mix.kinds
        ),
        member.level.ttft,
        member.level.tpot,
        member.level.percentile,
        room / model_input.rate - 1.0,
        sum(p.devices for p in pools),
        usd,
        None if usd is None else usd / tokens * PER_MILLION,
        member.level.limits,
    )


def _total(values: Sequence[float | None]) -> float | None:
    """Their sum; None where one is not known."""
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _devices(a: FleetAssignment, usd: float | None, most: float) -> tuple[FleetDevice, ...]:
    taken = devices_used(a.problem, a.choice.replicas)
    return tuple(
        FleetDevice(
            kind.profile.id,
            kind.stock.count,
            kind.stock.host,
            taken[k],
            kind.stock.price,
            kind.price_source,
            marginal_value(a.problem, k, 1, usd, most),
            marginal_value(a.problem, k, kind.stock.host, usd, most)
            if kind.stock.host > 1
            else None,
        )
        for k, kind in enumerate(a.question.kinds)
    )


def marginal_value(
    problem: FleetProblem, device: int, count: int, usd: float | None, most: float
) -> MarginalValue:
    """What ``count`` more devices of a kind change of ``usd`` an hour and of growth by ``most``,
    solved again: no price of a limit, which says nothing of whole devices."""
    more = problem.more(device, count)
    saved, proved = None, True
    if problem.priced and usd is not None:
        after = cheapest_assignment(more, fewest_ways=False)
        saved = 0.0 if after is None else usd - after.value
        saved = saved if saved > SETTLED * usd else 0.0
        proved = after is not None and after.value - after.bound <= SETTLED * max(after.value, 1.0)
    grown = growth_factor(more)
    factor = max(grown.factor, most)  # what there is still does
    gained = factor - most if factor - most > GROWTH_GAP * most else 0.0
    return MarginalValue(count, saved, factor, gained, proved and grown.proved)


def fleet_notes(a: FleetAssignment, pools: Sequence[FleetPool]) -> Iterator[Note]:
    """What the answer takes for granted."""
    request = a.question.asked
    alike = {member.asked.name: member.mix.of_one_length for member in a.question.members}
    for pool in pools:
        of = f"{pool.name}, {pool.device}"
        yield pool_replay_note(pool.replay, of, of_one_length=alike[pool.name])
    yield Note(
        "arrivals", message("capacity.poisson_divided"), message("capacity.bursts_need_more")
    )
    yield Note(
        "router",
        message("capacity.router_in_pool", router=request.router),
        message("capacity.router_of_file"),
    )
    yield Note(
        "replica counts",
        message("capacity.fewest_replicas"),
        message("capacity.replicas_of_capacity"),
    )
    yield Note(
        "mixes",
        message("capacity.longest_prompts_stand_for_all"),
        message("capacity.first_tokens_of_latest_kind"),
    )
    yield Note(
        "plans",
        message("capacity.formats_for_mean_request"),
        message("capacity.no_pools"),
    )
    if any(member.asked.schemes for member in a.question.members):
        yield Note(
            "schemes",
            message("capacity.schemes_of_each_device"),
            message("capacity.plan_says_which_are_left_out"),
        )
    yield Note(
        "hosts",
        message("capacity.hosts_without_remainder"),
        message("capacity.other_sizes_left_out"),
    )
    yield Note(
        "assignment", message("capacity.one_plan_a_kind"), message("capacity.solved_by_highs")
    )
    yield Note(
        "worth",
        message("capacity.solved_with_one_more"),
        message("capacity.exact_with_purchases")
        if request.goal == COST
        else message("capacity.exact"),
    )
    for kind in a.question.kinds:
        if kind.stock.price is not None:
            price = message(
                "capacity.price_of_device",
                device=kind.profile.id,
                price=f"{kind.stock.price:.2f}",
            )
            yield Note("price", price, kind.price_source)
