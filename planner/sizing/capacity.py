"""``planner.capacity``: replicas for a rate of requests under a percentile service level."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING

from planner.base.errors import InputError
from planner.base.records import cached_record
from planner.base.typed import typed
from planner.hardware.profile import DeviceProfile
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.planning.choose.decision import PlanDecision
from planner.planning.infeasible.case import unserved_case
from planner.planning.infeasible.solve import decide_or_refuse
from planner.planning.plan.notes import written
from planner.planning.question.given_values import NO_LIMIT
from planner.planning.question.input import AUTO, ENGINES, QuestionInput
from planner.planning.question.parameters import LIMITS_ON_TIME
from planner.planning.question.percentile_limits import limit_at
from planner.requests.request_rate import LEAST, MOST
from planner.scheduler.rules import LEAST_LOADED, ROUTERS
from planner.sizing.by_device import (
    SizedAnswer,
    SizedRow,
    cheapest_device,
    check_prices,
    named_devices,
    price_of,
)
from planner.sizing.capacity_figures import format_notes, replica_plan, tails_of, usd_per_million
from planner.sizing.capacity_record import Capacity, ReplayCheck, SimulatedTimes
from planner.sizing.cheapest import CheapestFormats, SizedRate, cheapest_formats
from planner.sizing.notes import capacity_notes
from planner.sizing.options import (
    LAYOUTS_TOLD,
    OptionNote,
    SizedDeployable,
    compromises,
    devices_at_interval_ends,
    monthly_energy,
    options,
)
from planner.sizing.percentile_intervals import chance_kept, percentile_estimates
from planner.sizing.refusals import too_many
from planner.sizing.replayed import (
    SEED,
    ReplayedGroup,
    replayed_devices,
    replayed_layouts,
)
from planner.sizing.service_level import ServiceLevel, level_of
from planner.workloads import NamedWorkload

if TYPE_CHECKING:
    from planner.quality.profile import Profile

FEWEST_PLAYED, MOST_PLAYED = 100, 1_000_000


@cached_record
class SizingInput:
    """What is asked beside the question."""

    rate: float
    percentile: float
    router: str
    max_devices: int | None
    price: float | Mapping[str, float] | None
    simulate: int | None


@typed
def capacity(
    model: str | ModelSpec,
    device: str | DeviceProfile | Sequence[str | DeviceProfile],
    *,
    rate: float,
    percentile: float = 90.0,
    router: str = LEAST_LOADED,
    max_devices: int | None = None,
    price: float | Mapping[str, float] | None = None,
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
    ttft_seconds: float | str | None = None,
    tpot_seconds: float | str | None = None,
    e2e_seconds: float | str | None = None,
    max_loss: str | float | None = None,
    schemes: Sequence[str] | None = None,
    kv: str = AUTO,
    slots: str | None = None,
    engine: str = ENGINES,
    profile: str | Profile | None = None,
    imatrix: str | os.PathLike[str] | None = None,
    hardware_dir: str | os.PathLike[str] | None = None,
    no_learned: bool = False,
) -> Capacity:
    """The fewest devices that serve ``rate`` requests a second so that ``percentile`` of them keep
    the limits on TTFT, TPOT and whole requests: replicas, layout and formats. What
    :func:`planner.plan` calls conventional under the same limits is left for formats that are
    surely cheaper. Of several devices, ``"h100,b200"`` or a list, the answer is the cheapest that
    keeps the limits.

    Arrivals are Poisson, requests of one length; the ``router`` gives each to the rank that holds
    fewest (``least-loaded``), to each in turn (``round-robin``), or draws one (``random``).

    Args:
        rate: requests a second over the whole deployment.
        percentile: of requests that keep the limits, between 0 and 100.
        ttft_seconds, tpot_seconds, e2e_seconds: a limit in seconds, or one on a percentile of its
            own, ``"p99:2000ms"``.
        max_devices: the most devices of a kind that there are.
        price: USD a device-hour, of all devices or by device; else the device profile's.
        simulate: replay so many requests on the answer, as a check of the formulas.

    Raises:
        InfeasibleError: no replica keeps the level, or more than ``max_devices`` would be needed;
            the hint says what would do.
        InputError: an unknown name, a number out of range, no limit on time.
    """
    return _sized_for(
        QuestionInput.of(locals(), own=[f.name for f in fields(SizingInput)]),
        SizingInput(rate, percentile, router, max_devices, price, simulate),
    )


def _sized_for(inputs: QuestionInput, wanted: SizingInput) -> Capacity:
    devices = named_devices(inputs.device)
    check_prices(wanted.price, devices)

    def sized_on(device: str | DeviceProfile) -> SizedAnswer:
        return sized_on_device(
            replace(inputs, device=device, price=price_of(wanted.price, device)), wanted
        )

    return (
        sized_on(devices[0]).capacity if len(devices) == 1 else cheapest_device(devices, sized_on)
    )


def sized_on_device(
    inputs: QuestionInput, wanted: SizingInput, *, flag: str = "--max-devices"
) -> SizedAnswer:
    """The answer on one device, and what it is made of; ``flag`` gave the most devices.

    Raises:
        InfeasibleError: no number of devices keeps the limits, or more than there are.
        InputError: a value out of range, no limit on time.
    """
    level = _level(inputs, wanted)
    inputs = replace(
        inputs,
        ttft_seconds=level.ttft,
        tpot_seconds=NO_LIMIT if level.tpot is None else level.tpot,
        e2e_seconds=level.e2e,
    )
    stream = SizedRate(wanted.rate, wanted.router, level)
    decision = decide_or_refuse(inputs.questions(), lambda: unserved_case(inputs))
    choices = cheapest_formats(decision.choice, stream, wanted.max_devices)
    layouts, check = replayed_layouts(choices.answer.layouts, level)
    choices = choices.with_layouts(layouts)
    best = choices.answer.best
    if wanted.max_devices is not None and best.devices > wanted.max_devices:
        raise too_many(best, choices.answer.layouts, wanted.max_devices, level, flag)
    formats = format_notes(decision, choices, stream)
    answer = _answer(decision, choices, wanted, stream, formats, check)
    return SizedAnswer(answer, choices, decision.choice, tuple(formats))


def _level(inputs: QuestionInput, wanted: SizingInput) -> ServiceLevel:
    """The service level.

    Raises:
        InputError: no limit, or a value out of range.
    """
    if not LEAST <= wanted.rate <= MOST:
        raise InputError(
            f"rate {wanted.rate:g} is out of range",
            hint=f"requests a second, from {LEAST:g} to {MOST:g}",
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
    first, each, whole = (limit_at(name, getattr(inputs, name)) for name in LIMITS_ON_TIME)
    if first is None and each is None and whole is None:
        raise InputError(
            message("refusals.no_limit_of_a_service"),
            hint=message("refusals.give_a_limit_of_a_service"),
        )
    return level_of(first, each, whole, wanted.percentile)


def _answer(
    decision: PlanDecision,
    choices: CheapestFormats,
    wanted: SizingInput,
    stream: SizedRate,
    formats: Sequence[SizedRow],
    check: ReplayCheck | None,
) -> Capacity:
    level, best = stream.level, choices.answer.best
    deployable, times = best.deployable, best.times
    question = deployable.question
    work = question.workload
    price = question.price_per_hour
    own = OptionNote(decision.choice.options[choices.answer.place].simple.new_weights)
    rows = options(best, choices.answer.layouts, formats, level, price, own)
    first, each, whole = percentile_estimates(deployable, times)
    near = [sizing.deployable for sizing in choices.answer.layouts[:LAYOUTS_TOLD]]
    low, high = devices_at_interval_ends(best, near, wanted.rate, wanted.router, level)
    if check is not None and check.replaced:
        low, high = (replayed_devices(best, end, level) for end in (low, high))
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
        compromises(best, choices.answer.layouts, level, price),
        _played(best, wanted),
        written(capacity_notes(best, wanted.router, check)),
        tails_of(best, level),
        chance_kept(first, level.ttft),
        chance_kept(each, level.tpot),
        usd_per_million(price, best.devices, (low, high), wanted.rate * work.osl, each.basis),
        replica_plan(deployable),
        level.limits,
        level.e2e,
        whole,
        chance_kept(whole, level.e2e),
        replay=check,
    )


def _played(best: SizedDeployable, wanted: SizingInput) -> SimulatedTimes | None:
    """The answer replayed with as many requests as are asked."""
    if wanted.simulate is None:
        return None
    group = ReplayedGroup(best.deployable, wanted.rate, wanted.router)
    group.play(best.replicas, wanted.simulate)
    times = group.at(best.replicas, wanted.percentile / 100.0)
    if times is None:
        return None
    return SimulatedTimes(wanted.simulate, SEED, times.ttft, times.tpot)
