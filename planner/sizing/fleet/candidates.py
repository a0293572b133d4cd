"""Ways of one model on one kind of device: formats on layouts, how many replicas, what they
serve."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from planner.base.records import cached_record
from planner.planning.search.rivals import Rival
from planner.sizing.deployable import Deployable, deployables
from planner.sizing.fleet.problem import fitting_sizes
from planner.sizing.fleet.replica_rates import rates_by_replicas
from planner.sizing.formats import OptionFormats
from planner.sizing.mix import EquivalentStream, RequestMix, equivalent_stream
from planner.sizing.refusals import no_replica
from planner.sizing.service_level import ServiceLevel

MOST_LAYOUTS = 4
"""Sizes of replicas of a model on a kind of device that are ways of their own: those that take the
fewest devices for the whole rate, and the smallest."""
MOST_FAST = 3
"""Formats of a size that are counted: those of the best rate within the limits on average, and as
many whose weights exist; beside them the plan's own and the least lossy."""


@cached_record
class FleetCandidate:
    """A way with what it is made of: ``standing`` the deployable with its stream of one length,
    whether its weights must be made (``new_weights``), ``fewest`` replicas for the whole rate,
    ``paces`` in requests a second of the mix."""

    standing: EquivalentStream
    new_weights: bool
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


@cached_record
class _Counted:
    """A layout with formats that keeps the level with so many replicas for the whole rate."""

    standing: EquivalentStream
    new_weights: bool
    fewest: int

    @property
    def size(self) -> int:
        return self.standing.deployable.layout.ranks

    @property
    def rate(self) -> float:
        """Tokens a second of a replica within the limits on average."""
        return self.standing.deployable.priced.rate

    @property
    def order(self) -> tuple[int, bool, float]:
        """Less is better: devices, then weights that exist, then the loss."""
        return self.fewest * self.size, self.new_weights, self.standing.deployable.loss


def candidates(
    formats: Iterable[OptionFormats], inputs: PairInput, standing: Standing
) -> FleetPair:
    """The ways of all formats that keep the level: of each size the fastest, and the simplest
    beside it; else the reason why there are none. No format that is allowed is left out for
    another that is slower: a shorter list of formats finds nothing cheaper."""
    ones = [(stream, one.new_weights) for one in formats for stream in standing(one.rival)]
    sizes = fitting_sizes(inputs.host, [_size(stream) for stream, _ in ones])
    fitting = [pair for pair in ones if _size(pair[0]) in sizes]
    counted: list[_Counted] = []
    for size in sizes:
        mine = [pair for pair in fitting if _size(pair[0]) == size]
        wanted = _worth_counting(mine)
        found = _counted(wanted, inputs)
        if not found:
            found = _counted([pair for pair in mine if pair not in wanted], inputs)[:1]
        counted += _fastest_and_simplest(found)
    if not counted:
        tried: list[Deployable] = [stream.deployable for stream, _ in fitting]
        return FleetPair((), no_replica(tried, inputs.level).message)
    return FleetPair(tuple(_candidate(one, inputs) for one in _few_sizes(counted)), "")


def _size(stream: EquivalentStream) -> int:
    return stream.deployable.layout.ranks


def _worth_counting(
    ones: Sequence[tuple[EquivalentStream, bool]],
) -> list[tuple[EquivalentStream, bool]]:
    """Of one size the plan's own formats, the fastest, the fastest whose weights exist, and the
    least lossy of those; the first of them first."""
    ranked = sorted(ones, key=lambda pair: -pair[0].deployable.priced.rate)
    existing = [pair for pair in ranked if not pair[1]]
    exact = sorted(existing, key=lambda pair: pair[0].deployable.loss)
    some = [*ones[:1], *ranked[:MOST_FAST], *existing[:MOST_FAST], *exact[:1]]
    return [pair for i, pair in enumerate(some) if pair not in some[:i]]


def _counted(ones: Iterable[tuple[EquivalentStream, bool]], inputs: PairInput) -> list[_Counted]:
    out = []
    for stream, made in ones:
        group = stream.deployable.group(stream.rate(inputs.rate), inputs.router)
        fewest = group.fewest(inputs.level)
        if fewest is not None:
            out.append(_Counted(stream, made, fewest))
    return out


def _fastest_and_simplest(ones: Sequence[_Counted]) -> list[_Counted]:
    """Of one size the ways with the fewest replicas: the simplest, and the fastest on average, of
    all formats and of those whose weights exist."""
    out: list[_Counted] = []
    for some in (ones, [one for one in ones if not one.new_weights]):
        for order in (lambda one: one.order, lambda one: (one.fewest, -one.rate)):
            best = min(some, key=order, default=None)
            if best is not None and best not in out:
                out.append(best)
    return out


def _few_sizes(counted: Sequence[_Counted]) -> list[_Counted]:
    """The ways of the sizes with the fewest devices, and of the smallest."""
    best: dict[int, int] = {}
    for one in counted:
        devices = one.fewest * one.size
        best[one.size] = min(best.get(one.size, devices), devices)
    ranked = sorted(best, key=lambda size: (best[size], size))
    kept = ranked[:MOST_LAYOUTS]
    if len(ranked) > MOST_LAYOUTS and min(ranked) not in kept:
        kept = [*kept[:-1], min(ranked)]
    return sorted(
        (one for one in counted if one.size in kept),
        key=lambda one: (kept.index(one.size), one.order),
    )


def _candidate(one: _Counted, inputs: PairInput) -> FleetCandidate:
    standing, fewest = one.standing, one.fewest
    most = inputs.stock // one.size if inputs.grows else 0
    rates = rates_by_replicas(
        standing.deployable.rank,
        standing.rate(inputs.rate),
        inputs.router,
        inputs.level,
        fewest,
        most=most,
    )
    paces = tuple((n, each * standing.requests) for n, each in rates)
    return FleetCandidate(standing, one.new_weights, fewest, paces)
