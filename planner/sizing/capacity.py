"""``planner.capacity``: replicas for a rate of requests under a percentile service level."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Literal

from planner.base.errors import InputError
from planner.base.records import cached_record
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.models.spec import ModelSpec
from planner.planning.choose.selection import Selection, allowed_loss
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import decide_or_refuse
from planner.planning.plan.notes import written
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import AUTO, ENGINES, QuestionInput
from planner.planning.search.next_loss_step import four_bit
from planner.planning.space.candidates import Space
from planner.sizing.capacity_record import Capacity, SimulatedTimes
from planner.sizing.deployable import Deployable, deployables
from planner.sizing.formats import distinct_formats, formats_of, ranked_formats
from planner.sizing.level import LEAST_LOADED, ROUTERS
from planner.sizing.notes import capacity_notes
from planner.sizing.options import (
    LAYOUTS_TOLD,
    SizedDeployable,
    compromises,
    devices_at_interval_ends,
    monthly_energy,
    options,
    size_deployables,
)
from planner.sizing.percentile_intervals import percentile_estimates
from planner.sizing.refusals import no_replica, too_many
from planner.sizing.replicas import ServiceLevel
from planner.sizing.request_rate import LEAST, MOST
from planner.sizing.simulation import simulate
from planner.workloads import NamedWorkload

if TYPE_CHECKING:
    from planner.quality.profile import Profile

FEWEST_PLAYED, MOST_PLAYED = 100, 1_000_000
SEED = 1
FORMATS_TOLD = 3
FORMAT_LAYOUTS = 4
"""Layouts on which other formats are looked at."""


@cached_record
class _Wanted:
    """What is asked beside the question."""

    rate: float
    percentile: float
    router: str
    max_devices: int | None
    price: float | None
    simulate: int | None


@typed
def capacity(
    model: str | ModelSpec,
    device: str | DeviceProfile,
    *,
    rate: float,
    percentile: float = 90.0,
    router: str = LEAST_LOADED,
    max_devices: int | None = None,
    price: float | None = None,
    simulate: int | None = None,
    tp: int | None = None,
    dp: int | None = None,
    pp: int | None = None,
    ep: int | None = None,
    context: int | None = None,
    isl: int | None = None,
    osl: int | None = None,
    workload: str | NamedWorkload | None = None,
    prefix_hit_rate: float | None = None,
    ttft_seconds: float | None = None,
    tpot_seconds: float | Literal["none"] | None = None,
    max_loss: str | float | None = None,
    schemes: Sequence[str] | None = None,
    kv: str = AUTO,
    slots: str | None = None,
    engine: str = ENGINES,
    profile: str | Profile | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Capacity:
    """The fewest devices that serve ``rate`` requests a second so that ``percentile`` of them keep
    the limits on TTFT and TPOT: replicas, layout, and the formats that :func:`planner.plan`
    recommends under the same limits.

    Arrivals are Poisson, requests of one length; the ``router`` gives each to the rank that holds
    fewest (``least-loaded``), to each in turn (``round-robin``), or draws one (``random``).

    Args:
        rate: requests a second over the whole deployment.
        percentile: of requests that keep the limits, between 0 and 100.
        max_devices: the most devices that there are.
        price: USD a device-hour; else the device profile's.
        simulate: play so many requests through the answer, as a check of the formulas.

    Raises:
        InfeasibleError: no replica keeps the level, or more than ``max_devices`` would be needed;
            the hint says what would do.
        InputError: an unknown name, a number out of range, no limit on time.
    """
    return _sized_for(
        QuestionInput.of(locals(), own=[f.name for f in fields(_Wanted)]),
        _Wanted(rate, percentile, router, max_devices, price, simulate),
    )


def _sized_for(inputs: QuestionInput, wanted: _Wanted) -> Capacity:
    level = _level(inputs, wanted)
    inputs = replace(inputs, tpot_seconds=NO_LIMIT if level.tpot is None else level.tpot)
    decision = decide_or_refuse(inputs.questions(), lambda: unserved_case(inputs))
    choice = decision.choice
    best, looked = _best(choice, wanted, level)
    if wanted.max_devices is not None and best.devices > wanted.max_devices:
        raise too_many(best, looked, wanted.max_devices, level)
    return _answer(choice, decision.spaces, best, looked, wanted, level)


def _level(inputs: QuestionInput, wanted: _Wanted) -> ServiceLevel:
    """The service level.

    Raises:
        InputError: no limit, or a value out of range.
    """
    if not LEAST <= wanted.rate <= MOST:
        raise InputError(
            f"rate {wanted.rate:g} is out of range",
            hint=f"requests a second, from {LEAST:g} to {MOST:g}",
        )
    if wanted.price is not None and not 0 < wanted.price < float("inf"):
        raise InputError(
            f"price {wanted.price:g} is out of range", hint="USD a device-hour, above 0"
        )
    if not 0 < wanted.percentile / 100 < 1:
        raise InputError(
            f"percentile {wanted.percentile:g} is out of range",
            hint="the share of requests that keep the limits, in percent: above 0 and below 100",
        )
    if wanted.router not in ROUTERS:
        raise InputError(f"router {wanted.router!r}", hint=", ".join(ROUTERS))
    if wanted.max_devices is not None and wanted.max_devices < 1:
        raise InputError(f"max_devices = {wanted.max_devices}", hint="at least 1")
    if wanted.simulate is not None and not FEWEST_PLAYED <= wanted.simulate <= MOST_PLAYED:
        raise InputError(
            f"simulate = {wanted.simulate} requests",
            hint=f"from {FEWEST_PLAYED} to {MOST_PLAYED:,}",
        )
    pace = None if isinstance(inputs.tpot_seconds, str) else inputs.tpot_seconds
    if inputs.ttft_seconds is None and pace is None:
        raise InputError(
            "no service level",
            hint="give a limit on TTFT, on TPOT, or on both: --ttft-ms 1000 --tpot-ms 50",
        )
    return ServiceLevel(inputs.ttft_seconds, pace, wanted.percentile)


def _best(
    choice: Selection,
    wanted: _Wanted,
    level: ServiceLevel,
) -> tuple[SizedDeployable, list[SizedDeployable]]:
    """(the answer, all layouts of its formats): of the formats that the plan takes, else of the
    first others that keep the level.

    Raises:
        InfeasibleError: none does.
    """
    tried: list[Deployable] = []
    for rival in ranked_formats(choice):
        ones = deployables(rival, most=None if not tried else FORMAT_LAYOUTS)
        sized_deployables = size_deployables(ones, wanted.rate, wanted.router, level)
        if sized_deployables:
            return sized_deployables[0], sized_deployables
        tried += ones
    raise no_replica(tried, level)


def _other_formats(
    choice: Selection,
    spaces: Sequence[Space],
    best: SizedDeployable,
    wanted: _Wanted,
    level: ServiceLevel,
) -> list[tuple[str, SizedDeployable]]:
    """As released, the next best and what 4-bit weights would do, each on its best layout."""
    ranked = sorted(
        range(len(choice.options)),
        key=lambda i: (
            choice.options[i].rival.kind != "released",
            choice.options[i].weighed.value,
            i,
        ),
    )
    rivals = [choice.options[i].rival for i in ranked]
    lossy = four_bit(spaces, allowed=allowed_loss(choice.exact)).uniform
    rivals = [*rivals[:1], *([] if lossy is None else [lossy]), *rivals[1:]]
    out: list[tuple[str, SizedDeployable]] = []
    for rival in distinct_formats([best.deployable.rival, *rivals]):
        if rival is best.deployable.rival or formats_of(rival) == formats_of(best.deployable.rival):
            continue
        sized_deployables = size_deployables(
            deployables(rival, most=FORMAT_LAYOUTS), wanted.rate, wanted.router, level
        )
        if sized_deployables and all(
            (rival.schemes, rival.kv) != (other.deployable.rival.schemes, other.deployable.rival.kv)
            for _, other in out
        ):
            out.append((rival.name, sized_deployables[0]))
        if len(out) == FORMATS_TOLD:
            break
    return out


def _answer(
    choice: Selection,
    spaces: Sequence[Space],
    best: SizedDeployable,
    looked: Sequence[SizedDeployable],
    wanted: _Wanted,
    level: ServiceLevel,
) -> Capacity:
    deployable, times = best.deployable, best.times
    question = deployable.question
    work, price = question.workload, question.price_per_hour
    price = price if wanted.price is None else wanted.price
    formats = _other_formats(choice, spaces, best, wanted, level)
    rows = options(best, looked, formats, level, price)
    first, each = percentile_estimates(deployable, times)
    near = [sizing.deployable for sizing in looked[:LAYOUTS_TOLD]]
    low, high = devices_at_interval_ends(best, near, wanted.rate, wanted.router, level)
    return Capacity(
        question.spec.id,
        question.device.id,
        rows[0].engine,
        work.isl,
        work.osl,
        work.prefix_hit_rate,
        work.preset,
        wanted.rate,
        wanted.percentile,
        level.ttft,
        level.tpot,
        wanted.router,
        rows[0],
        first,
        each,
        times.mean_ttft,
        times.mean_tpot,
        low,
        high,
        times.in_flight * deployable.rank.ranks,
        times.waits,
        wanted.rate * work.osl,
        monthly_energy(deployable, best.devices, times),
        rows,
        compromises(best, looked, level, price),
        _played(best, wanted),
        written(capacity_notes(best, wanted.router, price, own_price=wanted.price is not None)),
    )


def _played(best: SizedDeployable, wanted: _Wanted) -> SimulatedTimes | None:
    """The answer played request by request, where asked."""
    if wanted.simulate is None:
        return None
    simulated = simulate(
        best.deployable.rank,
        wanted.rate,
        best.replicas,
        wanted.router,
        requests=wanted.simulate,
        seed=SEED,
    )
    return SimulatedTimes(wanted.simulate, SEED, *simulated.at(wanted.percentile))
