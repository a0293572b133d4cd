"""The answer among deployables, and what is beside it: other counts, layouts, formats, limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from math import floor, log10

from planner.base.records import cached_record, record
from planner.base.units import format_seconds
from planner.messages.message import message
from planner.planning.plan.record import Estimate
from planner.planning.price.token_costs import activity_of
from planner.sizing.capacity_record import HOURS_A_MONTH, CapacityOption, Compromise
from planner.sizing.deployable import Deployable, interval_factor
from planner.sizing.level import PercentileTimes
from planner.sizing.replicas import ReplicaGroup
from planner.sizing.service_level import ServiceLevel
from planner.throughput.energy import energy

LAYOUTS_TOLD = 3
PERCENTILES = (95.0, 90.0, 80.0, 75.0, 50.0)
"""What a percentile may be lowered to."""
MOST_RELAXED = 4.0
"""Limits that must be raised by more than this factor are no compromise."""


@cached_record
class SizedDeployable:
    """A deployable with the fewest ``replicas`` that keep the level, and its times there."""

    deployable: Deployable
    group: ReplicaGroup
    replicas: int
    times: PercentileTimes

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.replicas * self.deployable.layout.ranks


def size_deployables(
    ones: Iterable[Deployable],
    rate: float,
    router: str,
    level: ServiceLevel,
) -> list[SizedDeployable]:
    """Those that keep ``level``, each with its fewest replicas: fewest devices first, then the one
    with most room below its limits."""
    out = []
    for deployable in ones:
        group = deployable.group(rate, router)
        replicas = group.fewest(level)
        times = group.within(replicas, level) if replicas is not None else None
        if replicas is not None and times is not None:
            out.append(SizedDeployable(deployable, group, replicas, times))
    return sorted(
        out,
        key=lambda s: (s.devices, round(level.used(s.times), 9), s.deployable.layout.ranks),
    )


@record
class OptionNote:
    """What a row says beside its figures: whether it needs ``new_weights``, its ``chance`` to be
    cheaper than the answer, and the ``reason`` why it is not taken where its limits are kept."""

    new_weights: bool = False
    chance: float | None = None
    reason: str = ""


def option(
    name: str,
    kind: str,
    sizing: SizedDeployable,
    replicas: int,
    level: ServiceLevel,
    price: float | None,
    note: OptionNote,
) -> CapacityOption:
    """So many replicas of a deployable as a row."""
    deployable, group = sizing.deployable, sizing.group
    times = group.within(replicas, level)
    layout, question = deployable.layout, deployable.question
    devices = replicas * layout.ranks
    power = monthly_energy(deployable, devices, times)
    keeps = level.keeps(times)
    growth = group.growth(replicas)
    held = None if keeps else group.holds(replicas, level)
    return CapacityOption(
        name,
        kind,
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
        group.load(replicas),
        keeps,
        None if times is None else times.ttft,
        None if times is None else times.tpot,
        monthly_usd(price, devices),
        None if power is None else power.value,
        note.new_weights,
        note.chance if keeps else None,
        note.reason if held is None else late_reason(times, level, growth, held),
        growth,
        held,
    )


def late_reason(
    times: PercentileTimes | None, level: ServiceLevel, growth: float, rate_held: float
) -> str:
    """How fast the queue grows [requests/s], or which limit is exceeded most, and the rate
    ``rate_held`` within the limits [requests/s]."""
    rate = rounded_down(rate_held)
    if times is None:
        return message("capacity.queue_grows", growth=f"{growth:.3g}", rate=rate)
    what = max(level.limits, key=lambda limit: times.of(limit.what) / limit.seconds).what
    return message("capacity.over_its_limit", what=what, rate=rate)


def dearer_reason(mine: float, answer: float, *, priced: bool = True) -> str:
    """That something costs more than the ``answer``, or as much; of devices without a price, that
    it takes more of them, or as many."""
    if mine > answer:
        name = "capacity.costs_more" if priced else "capacity.more_devices"
        return message(name, share=f"{mine / answer - 1:.0%}")
    return message("capacity.no_cheaper" if priced else "capacity.no_fewer_devices")


def monthly_usd(price: float | None, devices: int) -> float | None:
    """USD of a month at ``price`` a device-hour."""
    return None if price is None else price * devices * HOURS_A_MONTH


def monthly_energy(
    deployable: Deployable, devices: int, times: PercentileTimes | None
) -> Estimate | None:
    """kWh of a month: an idle device draws its idle power; None without a power limit."""
    busy = 1.0 if times is None else 1.0 - times.idle
    energy_use = energy(
        deployable.question.device,
        activity_share=activity_of(deployable.priced) * busy,
        devices=1,
        tokens_per_second=1.0,
    )
    if energy_use is None:
        return None
    hours = devices * HOURS_A_MONTH / 1000.0
    return Estimate(
        energy_use.watts * hours, energy_use.low * hours, energy_use.high * hours, "prior"
    )


def options(
    best: SizedDeployable,
    layouts: Sequence[SizedDeployable],
    formats: Sequence[tuple[str, SizedDeployable, OptionNote]],
    level: ServiceLevel,
    price: float | None,
    note: OptionNote,
) -> tuple[CapacityOption, ...]:
    """The answer, other formats, one replica fewer and more, other layouts of the answer's formats.
    ``note`` is the answer's."""
    out = [option("answer", "answer", best, best.replicas, level, price, note)]
    out += [
        option(name, "format", sized, sized.replicas, level, price, said)
        for name, sized, said in formats
    ]
    counts = [(best.replicas - 1, "1 replica fewer"), (best.replicas + 1, "1 replica more")]
    for replicas, name in counts:
        if replicas:
            why = dearer_reason(replicas, best.replicas) if replicas > best.replicas else ""
            said = replace(note, reason=why)
            out.append(option(name, "replicas", best, replicas, level, price, said))
    for other in [layout for layout in layouts if layout is not best][:LAYOUTS_TOLD]:
        said = replace(note, reason=dearer_reason(other.devices, best.devices))
        out.append(option("other layout", "layout", other, other.replicas, level, price, said))
    return tuple(out)


def compromises(
    best: SizedDeployable,
    ones: Sequence[SizedDeployable],
    level: ServiceLevel,
    price: float | None,
    *,
    most: int | None = None,
) -> tuple[Compromise, ...]:
    """What one step less of the service level saves: for each limit the least that must be given
    up so that fewer devices do (at most ``most``), over all layouts of the answer's formats."""
    best_by_limit: dict[str, Compromise] = {}
    for sizing in ones:
        replicas = (best.devices - 1 if most is None else most) // sizing.deployable.layout.ranks
        times = sizing.group.within(replicas, level) if replicas else None
        for compromise in _relaxed(best, sizing, replicas, times, level, price):
            known = best_by_limit.get(compromise.limit)
            if known is None or _order(compromise) < _order(known):
                best_by_limit[compromise.limit] = compromise
    order = ("ttft_seconds", "tpot_seconds", "e2e_seconds", "both", "percentile")
    if any(name in best_by_limit for name in order[:3]):
        best_by_limit.pop("both", None)
    return tuple(best_by_limit[name] for name in order if name in best_by_limit)


def _order(compromise: Compromise) -> tuple[float, int]:
    """The least given up first, then most devices saved."""
    given = (
        compromise.asked / compromise.value
        if compromise.limit == "percentile"
        else compromise.value / compromise.asked
    )
    return round(given, 6), -compromise.saved


def _relaxed(
    best: SizedDeployable,
    sizing: SizedDeployable,
    replicas: int,
    times: PercentileTimes | None,
    level: ServiceLevel,
    price: float | None,
) -> Iterator[Compromise]:
    """The compromises that so many replicas are."""
    if times is None:
        return
    devices = replicas * sizing.deployable.layout.ranks
    late = [
        (limit.what, times.of(limit.what), limit.seconds)
        for limit in level.limits
        if times.of(limit.what) > limit.seconds
    ]
    if late and all(value <= MOST_RELAXED * given_limit for _, value, given_limit in late):
        words = " and ".join(
            f"{what} {format_seconds(rounded_up(value))} instead of {format_seconds(given_limit)}"
            for what, value, given_limit in late
        )
        what, value, asked = late[0]
        name = f"{what.lower()}_seconds" if len(late) == 1 else "both"
        yield _compromise(name, rounded_up(value), asked, best, devices, price, f"at {words}")
    if not level.alike:
        return
    asked_percentile = max((limit.percentile for limit in level.limits), default=level.percentile)
    for percentile in PERCENTILES:
        lower = level.lowered(percentile)
        if percentile < asked_percentile and sizing.group.keeps(replicas, lower):
            yield _compromise(
                "percentile",
                percentile,
                asked_percentile,
                best,
                devices,
                price,
                f"kept for {percentile:g} % of requests instead of {asked_percentile:g} %",
            )
            return


def rounded_up(value: float) -> float:
    """A limit rounded up to three digits, so that it is kept."""
    digits = float(f"{value:.3g}")
    return digits if digits >= value else float(f"{value * 1.005:.3g}")


def rounded_down(rate: float) -> str:
    """A rate rounded down to three digits, so that it is kept; 0 where there is none."""
    if not rate > 0:
        return "0"
    step = 10.0 ** (floor(log10(rate)) - 2)
    return f"{floor(rate / step * (1 + 1e-12)) * step:.6g}"


def _compromise(
    limit: str,
    value: float,
    requested: float,
    best: SizedDeployable,
    devices: int,
    price: float | None,
    words: str,
) -> Compromise:
    saved = best.devices - devices
    usd = monthly_usd(price, saved)
    text = f"{words}: {saved} device{'s' * (saved > 1)} fewer ({devices} instead of {best.devices})"
    if usd is not None:
        text += f", {usd:,.0f} USD a month less"
    return Compromise(limit, value, requested, devices, saved, usd, text)


def devices_at_interval_ends(
    best: SizedDeployable, ones: Sequence[Deployable], rate: float, router: str, level: ServiceLevel
) -> tuple[int | None, int | None]:
    """Devices that the level needs where steps are as short, and as long, as their 80 % interval
    says: on the answer's layout, where it keeps the level on none, on the first other of ``ones``
    that does; None: none keeps it."""
    out: list[int | None] = []
    batch = max(best.times.in_flight, 1.0)
    others = [one for one in ones if one is not best.deployable]
    for sign in (-1.0, 1.0):
        devices = None
        for deployable in (best.deployable, *others):
            sigma = deployable.sigmas(batch).tpot
            group = deployable.group(rate, router, off=sign * interval_factor(sigma))
            replicas = group.fewest(level)
            if replicas is not None:
                devices = replicas * deployable.layout.ranks
                break
        out.append(devices)
    return out[0], out[1]
