"""Which formats serve a rate for the least money, by the rule with which a plan is recommended.

Formats of a selection are sized each on its own best layout. What they cost errs by what their
steps err by, in draws that plans share (:mod:`planner.planning.choose.chances`): steps that are
longer by a factor f need f^e times the devices, e as the answer's own devices grow over the 80 %
interval of its steps. The conventional plan is left only for one that is surely cheaper, as
:mod:`planner.planning.choose.rule` asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import inf, log

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.planning.choose.chances import objective_draws
from planner.planning.choose.option import Option
from planner.planning.choose.rule import displaces, plan_to_take, required
from planner.planning.choose.selection import Selection
from planner.planning.choose.uncertainty import UncertainObjective, score, uncertain_objective
from planner.planning.search.rivals import Rival
from planner.sizing.deployable import Deployable, deployables, interval_factor
from planner.sizing.formats import formats_of
from planner.sizing.options import SizedDeployable, size_deployables
from planner.sizing.refusals import no_replica
from planner.sizing.service_level import ServiceLevel

Array = NDArray[np.float64]
MOST_EXISTING, MOST_NEW = 3, 1
"""Formats that are sized beside the conventional ones: those whose weights exist, and others."""
FORMAT_LAYOUTS = 4
"""Layouts on which formats beside the plan's are looked at."""
WORTH_LOOKING = 2.0
"""Layouts that need so many times the devices of the best are not counted to the end."""


@record
class SizedRate:
    """Requests a second over the whole deployment, the router, and the level that they keep."""

    rate: float
    router: str
    level: ServiceLevel


@cached_record
class SizedFormats:
    """Formats of a selection that keep the level: option ``place`` of it on its ``layouts``, the
    best first."""

    place: int
    rival: Rival
    layouts: tuple[SizedDeployable, ...]

    @property
    def best(self) -> SizedDeployable:
        """On the layout with the fewest devices."""
        return self.layouts[0]

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.best.devices


@cached_record
class CheapestFormats:
    """The formats that are ``taken`` among all that were ``sized`` (an index), with ``lacking``:
    (the gain, the chance of it) that each must have to displace them [A]; ``growth`` is e of the
    module's text."""

    sized: tuple[SizedFormats, ...]
    taken: int
    lacking: tuple[tuple[float, float], ...]
    growth: float

    @property
    def answer(self) -> SizedFormats:
        """What is taken."""
        return self.sized[self.taken]

    def with_layouts(self, layouts: tuple[SizedDeployable, ...]) -> CheapestFormats:
        """The same with other layouts of what is taken, the best first."""
        sized = list(self.sized)
        sized[self.taken] = replace(self.answer, layouts=layouts)
        return replace(self, sized=tuple(sized))


def cheapest_formats(
    choice: Selection, stream: SizedRate, most_devices: int | None
) -> CheapestFormats:
    """The formats to take for ``stream``; more than ``most_devices`` only where no others do.

    Raises:
        InfeasibleError: no formats keep the level.
    """
    sized = _sized(choice, stream)
    within = [i for i, one in enumerate(sized) if most_devices and one.devices <= most_devices]
    able = within or range(len(sized))
    base = next((i for i in able if sized[i].place == choice.conventional), None)
    if base is None:
        base = next((i for i in able if sized[i].place == choice.taken), able[0])
    growth = growth_of_devices(sized[base].best, stream)
    draws = cost_draws([one.best for one in sized], [one.devices for one in sized], growth)
    places = [one.place for one in sized]
    standings = [
        replace(choice.standings[place], expected=float(one.devices))
        for place, one in zip(places, sized, strict=True)
    ]
    unmeasured = choice.unmeasured[np.ix_(places, places)]
    beaten = displaces(standings, lambda gain: _cheaper_by(draws, gain), choice.rule, unmeasured)
    for i, place in enumerate(places):
        if i not in able or place in choice.remade:
            beaten[i, :] = 0.0
    taken = plan_to_take(standings, base, beaten)
    if taken not in able:
        taken = base
    lacking = tuple(
        required(one, standings[taken], choice.rule, bool(unmeasured[i, taken]))
        for i, one in enumerate(standings)
    )
    return CheapestFormats(tuple(sized), taken, lacking, growth)


def growth_of_devices(sized: SizedDeployable, stream: SizedRate) -> float:
    """By which power of the step time devices grow, between the answer and the short end of its
    80 % interval; 1 where one replica is enough."""
    sigma = sized.deployable.sigmas(max(sized.times.in_flight, 1.0)).tpot
    off = interval_factor(sigma)
    if off <= 0 or sized.replicas == 1:
        return 1.0
    group = sized.deployable.group(stream.rate, stream.router, off=-off)
    fewest = group.fewest(stream.level)
    return 1.0 if fewest is None else max(log(sized.replicas / fewest) / off, 1.0)


def cost_draws(ones: Sequence[SizedDeployable], costs: Sequence[float], growth: float) -> Array:
    """What each costs in common draws of the errors of all [A, draws]."""
    drawn = objective_draws([_uncertain(one.deployable) for one in ones])
    values = np.array([_uncertain(one.deployable).value for one in ones])
    return np.asarray((drawn / values[:, None]) ** growth * np.array(costs, dtype=float)[:, None])


def chance_cheaper(draws: Array, other: Array) -> float:
    """The share of draws in which the first costs less than the ``other``, of equals half."""
    return float((draws < other).mean() + 0.5 * (draws == other).mean())


def _cheaper_by(draws: Array, gain: float) -> Array:
    """The chance that i saves a share ``gain`` of what j costs, at the least [A, A]."""
    return np.array([[(mine * (1.0 + gain) < other).mean() for other in draws] for mine in draws])


def _uncertain(deployable: Deployable) -> UncertainObjective:
    priced, space = deployable.priced, deployable.space
    return uncertain_objective(space, priced, score(space.model.question, priced))


def _sized(choice: Selection, stream: SizedRate) -> list[SizedFormats]:
    """Formats that keep the level: the plan's and the conventional ones, the best whose weights
    exist and that must be made, as released; where none of them does, the first other that does.

    Raises:
        InfeasibleError: none does.
    """
    out: list[SizedFormats] = []
    tried: list[Deployable] = []
    fewest = inf
    for n, place in enumerate(_places(choice)):
        if n >= _first(choice) and out:
            break
        rival = choice.options[place].rival
        ones = deployables(rival, most=None if not tried else FORMAT_LAYOUTS)
        tried += ones
        worth = [one for one in ones if _least_devices(one, stream) <= WORTH_LOOKING * fewest]
        layouts = size_deployables(worth, stream.rate, stream.router, stream.level)
        if layouts:
            out.append(SizedFormats(place, rival, tuple(layouts)))
            fewest = min(fewest, layouts[0].devices)
    if not out:
        raise no_replica(tried, stream.level)
    return out


def _least_devices(deployable: Deployable, stream: SizedRate) -> int:
    """Devices below which the rate is not served at all."""
    return deployable.group(stream.rate, stream.router).least * deployable.layout.ranks


def _first(choice: Selection) -> int:
    """How many of :func:`_places` are always looked at."""
    return len(_wanted(choice))


def _places(choice: Selection) -> Iterator[int]:
    """Options in the order in which they are sized, each set of formats once."""
    wanted = _wanted(choice)
    rest = sorted(range(len(choice.options)), key=lambda i: _order(choice, i))
    seen = set()
    for place in [*wanted, *rest]:
        key = formats_of(choice.options[place].rival)
        if key not in seen:
            seen.add(key)
            yield place


def _order(choice: Selection, i: int) -> tuple[float, int]:
    return choice.options[i].weighed.value, i


def _wanted(choice: Selection) -> list[int]:
    """Options that are sized whatever the others do, each set of formats once."""
    options = choice.options
    ranked = sorted(range(len(options)), key=lambda i: _order(choice, i))
    existing = [i for i in ranked if not options[i].simple.new_weights and i not in choice.remade]
    made = [i for i in ranked if options[i].simple.new_weights]
    plain = sorted(
        (i for i in ranked if options[i].rival.formats == 0), key=lambda i: _plainness(options[i])
    )
    out: list[int] = []
    for some, most in (
        ((choice.taken,), 1),
        ((choice.conventional,), 1),
        (existing, MOST_EXISTING),
        (made, MOST_NEW),
        (plain, 1),
    ):
        fresh = [i for i in some if _fresh(choice, i, out)]
        for i in fresh:
            if most and _fresh(choice, i, out):
                out.append(i)
                most -= 1
    return out


def _fresh(choice: Selection, i: int, out: Sequence[int]) -> bool:
    key = formats_of(choice.options[i].rival)
    return all(formats_of(choice.options[j].rival) != key for j in out)


def _plainness(option: Option) -> tuple[int, float]:
    return option.simple.changed, option.weighed.value
