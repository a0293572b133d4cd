"""Ways of one model on one kind of device: formats on layouts, how many replicas, what they
serve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from planner.base.records import cached_record
from planner.planning.search.rivals import Rival
from planner.sizing.deployable import Deployable, deployables
from planner.sizing.fleet.problem import fitting_sizes
from planner.sizing.fleet.replica_rates import rates_by_replicas
from planner.sizing.mix import EquivalentStream, RequestMix, equivalent_stream
from planner.sizing.refusals import no_replica
from planner.sizing.replicas import ServiceLevel

MOST_LAYOUTS = 4
"""Layouts of a model on a kind of device that are ways of their own: those that take the fewest
devices for the whole rate, and the smallest."""
MOST_FORMATS = 6
"""Sets of formats that are tried until one keeps the limits on a layout that there is room for."""


@cached_record
class FleetCandidate:
    """A way with what it is made of: ``standing`` the deployable with its stream of one length,
    ``fewest`` replicas for the whole rate, ``paces`` in requests a second of the mix."""

    standing: EquivalentStream
    fewest: int
    paces: tuple[tuple[int, float], ...]

    @property
    def deployable(self) -> Deployable:
        """The formats on their layout."""
        return self.standing.deployable

    @property
    def size(self) -> int:
        """Devices of a replica."""
        return self.deployable.layout.ranks

    def rate_of(self, replicas: int) -> float:
        """Requests a second that so many replicas serve."""
        each = [pace for first, pace in self.paces if first <= replicas]
        return replicas * each[-1]


@cached_record
class FleetPair:
    """Candidates of one pair, or the reason why there are none."""

    candidates: tuple[FleetCandidate, ...]
    reason: str


@cached_record
class PairInput:
    """What ways of a pair must do: a rate of the mix within a level, on ``stock`` devices in hosts
    of ``host``; ``grows``: on all of them."""

    mix: RequestMix
    rate: float
    level: ServiceLevel
    router: str
    host: int
    stock: int
    grows: bool


Standing = Callable[[Rival], list[EquivalentStream]]


def standings(mix: RequestMix) -> Standing:
    """Formats → their layouts with a stream of one length, computed once for each."""
    known: dict[int, list[EquivalentStream]] = {}

    def stand_ins(rival: Rival) -> list[EquivalentStream]:
        if id(rival) not in known:
            known[id(rival)] = [
                equivalent_stream(deployable, mix) for deployable in deployables(rival)
            ]
        return known[id(rival)]

    return stand_ins


def candidates(rivals: Iterable[Rival], inputs: PairInput, standing: Standing) -> FleetPair:
    """The ways of the first formats that keep the level on layouts that there are devices for, else
    of the first that keep it at all, else the reason."""
    tried: list[Deployable] = []
    first: list[FleetCandidate] = []
    for n, rival in enumerate(rivals):
        if n == MOST_FORMATS:
            break
        fleet_candidates, looked = _of_formats(standing(rival), inputs)
        tried += looked
        if any(fleet_candidate.size <= inputs.stock for fleet_candidate in fleet_candidates):
            return FleetPair(tuple(fleet_candidates), "")
        first = first or fleet_candidates
    if first:
        return FleetPair(tuple(first), "")
    return FleetPair((), no_replica(tried, inputs.level).message)


def _of_formats(
    ones: Sequence[EquivalentStream],
    inputs: PairInput,
) -> tuple[list[FleetCandidate], list[Deployable]]:
    """(the layouts that keep the level, all that were looked at)."""
    sizes = fitting_sizes(inputs.host, [s.deployable.layout.ranks for s in ones])
    looked = [s for s in ones if s.deployable.layout.ranks in sizes]
    counted = []
    for standing in looked:
        group = standing.deployable.group(standing.rate(inputs.rate), inputs.router)
        fewest = group.fewest(inputs.level)
        if fewest is not None:
            counted.append(
                (
                    fewest * standing.deployable.layout.ranks,
                    standing.deployable.layout.ranks,
                    fewest,
                    standing,
                )
            )
    counted.sort(key=lambda row: row[:3])
    best = counted[:MOST_LAYOUTS]
    if len(counted) > MOST_LAYOUTS:
        least = min(counted, key=lambda row: row[1:3])
        best = [*best[:-1], least] if least not in best else best
    return [_candidate(standing, fewest, inputs) for *_, fewest, standing in best], [
        s.deployable for s in looked
    ]


def _candidate(standing: EquivalentStream, fewest: int, inputs: PairInput) -> FleetCandidate:
    most = inputs.stock // standing.deployable.layout.ranks if inputs.grows else 0
    rates = rates_by_replicas(
        standing.deployable.rank,
        standing.rate(inputs.rate),
        inputs.router,
        inputs.level,
        fewest,
        most=most,
    )
    return FleetCandidate(
        standing, fewest, tuple((n, each * standing.requests) for n, each in rates)
    )
