"""Sized deployments replayed through their engine's scheduler, and the formulas held to it.

The formulas of :mod:`planner.sizing.level` are fast enough for a search. What it chooses is played,
pass by pass, at the same load on at most ``MOST_RANKS`` attention ranks; each figure is compared
with the formula's for as many replicas, so that what is compared is the same deployment. Where a
time that is told is off by more than ``BEYOND``, the figures of the replay stand in: the formula's
times the ratio of both, and the fewest replicas are looked for with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import numpy as np
from numpy.typing import NDArray

from planner.base.records import cached_record, record
from planner.planning.question.input import ANY
from planner.planning.question.time_limits import request_seconds
from planner.planning.replay.deployment import Replayed, deployed
from planner.planning.replay.request_times import RequestTimes, request_times
from planner.planning.replay.saturation import is_saturated
from planner.requests.arrivals import POISSON, arrival_times
from planner.requests.lengths import FixedLengths, stream_of
from planner.requests.stream import RequestStream
from planner.scheduler.run import run
from planner.sizing.capacity_record import ReplayCheck
from planner.sizing.deployable import Deployable
from planner.sizing.level import PercentileTimes
from planner.sizing.options import SizedDeployable
from planner.sizing.replicas import ReplicaGroup
from planner.sizing.service_level import TPOT, TTFT, ServiceLevel

Array = NDArray[np.float64]
BEYOND = 0.05
"""From which on the replay stands in for a formula: about what the draw of arrivals leaves."""
COUNTED = 1000
"""Requests that are counted where nobody says how many."""
LIVES, TAIL = 2.0, 1.0
"""Requests before the first and after the last that counts, for each in flight."""
MOST_RANKS = 6
MOST_REQUESTS = 6000
"""Requests beyond which an answer would wait too long for its replay."""
MOST_REPLAYS = 5
NEARLY_FULL = 0.9
"""Of a limit: where so much is used, fewer replicas are not looked for."""
SEED = 1


@cached_record
class ReplayedTimes:
    """Times of ``requests`` that were counted on ``replicas``, arrays of their own length [s];
    ``growing``: their queue grew."""

    replicas: int
    requests: int
    times: RequestTimes
    growing: bool

    def at(self, share: float) -> tuple[float, float | None, float]:
        """(TTFT, TPOT, a whole request) that a share keeps [s]; no TPOT where answers have one
        token."""
        times = self.times
        paced = float(np.quantile(times.tpot, share)) if len(times.tpot) else None
        return float(np.quantile(times.ttft, share)), paced, float(np.quantile(times.e2e, share))

    @property
    def means(self) -> tuple[float, float | None]:
        """(TTFT, TPOT) [s], as :meth:`at`."""
        paced = float(self.times.tpot.mean()) if len(self.times.tpot) else None
        return float(self.times.ttft.mean()), paced


def replayed(
    deployable: Deployable,
    rate: float,
    replicas: int,
    router: str,
    in_flight: float,
    counted: int | None,
) -> ReplayedTimes | None:
    """``replicas`` at ``rate`` requests/s over all of them, with some ``in_flight`` a rank; None
    where that takes more requests than anybody waits for. ``counted`` requests: as many as there
    are, else those that suffice."""
    flying = max(in_flight, 1.0) * replicas * deployable.rank.ranks
    ahead, after = ceil(LIVES * flying), ceil(TAIL * flying)
    count = COUNTED if counted is None else counted
    if counted is None and ahead + count + after > MOST_REQUESTS:
        return None
    work = deployable.question.workload
    total = ahead + count + after
    drawn = arrival_times(POISSON, rate, total, SEED)
    # So few draws may come 3 % too fast or too slow, which a queue near its limit tells tenfold.
    stream = stream_of(
        drawn * (total / rate / float(drawn[-1])),
        FixedLengths(work.isl, work.osl),
        seed=SEED,
        hit_rate=work.prefix_hit_rate,
    )
    where = scheduled(deployable, stream)
    served = run(
        stream,
        where.rules,
        where.costs,
        where.policy,
        ranks=deployable.layout.dp,
        replicas=replicas,
        router=router,
        seed=SEED,
    )
    came = stream.arrival_seconds
    times = request_times(stream, served, float(came[ahead]), float(came[ahead + count]))
    return ReplayedTimes(replicas, len(times.ttft), times, is_saturated(stream, served))


def scheduled(deployable: Deployable, stream: RequestStream) -> Replayed:
    """A replica as its engine's scheduler sees it; it admits what it is sized with."""
    question, space = deployable.question, deployable.space
    named = f"{question.engine}@{question.engine_version}".rstrip("@")
    engine = ANY if question.engine == ANY else named
    result = replace(
        deployable.rival.result, space=space, candidate=deployable.candidate, grid=space
    )
    return deployed(
        result, stream, engine, plan=None, slots_max=deployable.slots, chunk_tokens=None
    )


@record
class _Ratio:
    """A replay over the formulas for the same replicas."""

    played: ReplayedTimes
    group: ReplicaGroup

    def of(self, times: PercentileTimes, share: float) -> PercentileTimes | None:
        """``times`` of a formula at a share of requests, as the replay has them; None: a queue that
        grows. Of as many replicas as were played they are those of its requests; of others a whole
        request lies between the means and the percentiles of its parts, as in the formulas."""
        own, osl = self.group.at(self.played.replicas, share), self.group.rank.osl
        if own is None or self.played.growing:
            return None
        ttft, tpot, e2e = self.played.at(share)
        first, each = self.played.means
        found = replace(
            times,
            ttft=times.ttft * ttft / own.ttft,
            tpot=times.tpot if tpot is None else times.tpot * tpot / own.tpot,
            e2e=times.e2e * e2e / own.e2e,
            mean_ttft=times.mean_ttft * first / own.mean_ttft,
            mean_tpot=times.mean_tpot if each is None else times.mean_tpot * each / own.mean_tpot,
            in_flight=times.in_flight
            * float(self.played.times.e2e.mean())
            / request_seconds(own.mean_ttft, own.mean_tpot, osl),
        )
        if times.e2e == own.e2e:
            return found
        parts = (
            request_seconds(found.mean_ttft, found.mean_tpot, osl),
            request_seconds(found.ttft, found.tpot, osl),
        )
        return replace(found, e2e=min(max(found.e2e, min(parts), found.ttft), max(parts)))


class ReplayedGroup(ReplicaGroup):
    """Replicas whose times are those of replays, each of which is of a number of replicas; for
    another number that of the nearest."""

    def __init__(self, deployable: Deployable, rate: float, router: str) -> None:
        super().__init__(deployable.rank, rate, router)
        self.deployable = deployable
        self.ratios: dict[int, _Ratio | None] = {}
        self.kept: int | None = None

    def play(self, replicas: int, counted: int | None = None) -> _Ratio | None:
        """Replay so many replicas, or some of them at the same load."""
        if replicas not in self.ratios:
            times = super().at(replicas, 0.5)
            if times is None:
                self.ratios[replicas] = None
                return None
            some = min(replicas, max(MOST_RANKS // self.rank.ranks, 1))
            rate = self.rate * some / replicas
            played = replayed(self.deployable, rate, some, self.router, times.in_flight, counted)
            self.ratios[replicas] = (
                None
                if played is None or not played.requests
                else _Ratio(played, ReplicaGroup(self.rank, rate, self.router))
            )
        return self.ratios[replicas]

    def at(self, replicas: int, share: float) -> PercentileTimes | None:
        """What a ``share`` of requests sees, as the nearest replay has it."""
        times = super().at(replicas, share)
        known = [n for n, ratio in self.ratios.items() if ratio is not None]
        if times is None or not known:
            return times
        ratio = self.ratios[min(known, key=lambda n: (abs(n - replicas), n))]
        assert ratio is not None
        return ratio.of(times, share)

    def keeps(self, replicas: int, level: ServiceLevel) -> bool:
        """Whether so many replicas keep ``level``, as the nearest replay has it."""
        return level.keeps(self.within(replicas, level))

    def holds(self, replicas: int, level: ServiceLevel) -> float:
        """Requests a second that so many serve within ``level``: as many each as those that keep it
        by a replay; by the formulas where none was looked for."""
        if self.kept is None:
            return super().holds(replicas, level)
        return self.rate * replicas / self.kept


def replayed_layouts(
    layouts: Sequence[SizedDeployable], level: ServiceLevel
) -> tuple[tuple[SizedDeployable, ...], ReplayCheck | None]:
    """``layouts`` (the best by the formulas first) once those that decide are replayed, the best
    first, and what its replay says of it; None where none was made. Those that no number of
    replicas serves by their replays are left out; where that leaves none, all stay as the formulas
    have them, and it is said."""
    done: list[tuple[SizedDeployable, ReplayCheck | None]] = []
    missed: list[ReplayCheck | None] = []
    rest = list(layouts)
    while rest and (not done or rest[0].devices < min(one.devices for one, _ in done)):
        found, check = _replayed(rest.pop(0), level)
        if found is None:
            missed.append(check)
        else:
            done.append((found, check))
    if not done:
        return tuple(layouts), missed[0]
    done.sort(key=lambda row: row[0].devices)
    return (*(one for one, _ in done), *rest), done[0][1]


def replayed_devices(best: SizedDeployable, devices: int | None, level: ServiceLevel) -> int | None:
    """Devices at an end of the interval of step times by the formulas, as many times more or fewer
    as the replay makes those of ``best``."""
    deployable = best.deployable
    fewest = deployable.group(best.group.rate, best.group.router).fewest(level)
    if devices is None or fewest is None:
        return devices
    ranks = deployable.layout.ranks
    return ceil(devices * best.replicas / fewest / ranks) * ranks


def checked_times(
    deployable: Deployable,
    rate: float,
    replicas: int,
    router: str,
    level: ServiceLevel,
    *,
    replayable: bool,
) -> tuple[PercentileTimes, ReplayCheck | None]:
    """Times of so many replicas, which serve ``rate`` by the formulas: those of their replay where
    it is ``replayable`` (requests are of one length) and the formulas are beyond, and what it
    says."""
    plain = ReplicaGroup(deployable.rank, rate, router).within(replicas, level)
    assert plain is not None, "so many replicas serve this rate"
    if not replayable:
        return plain, None
    group = ReplayedGroup(deployable, rate, router)
    ratio = group.play(replicas)
    if ratio is None:
        return plain, None
    times = group.within(replicas, level)
    check = _check(ratio, plain, times, level)
    if times is None:
        return plain, replace(check, replaced=False, kept=False)
    if not check.replaced:
        return plain, check
    return times, replace(check, kept=level.keeps(times))


def _check(
    ratio: _Ratio, plain: PercentileTimes, times: PercentileTimes | None, level: ServiceLevel
) -> ReplayCheck:
    """How far the formulas are off in the times that are told; −1 where the queue grows."""
    told = dict.fromkeys((TTFT, TPOT, *(limit.what for limit in level.limits)))
    off = {what: -1.0 if times is None else plain.of(what) / times.of(what) - 1.0 for what in told}
    beyond = max(map(abs, off.values()), default=0.0) > BEYOND
    return ReplayCheck(ratio.played.requests, off, replaced=beyond)


def _replayed(
    sized: SizedDeployable, level: ServiceLevel
) -> tuple[SizedDeployable | None, ReplayCheck | None]:
    """``sized`` with the figures of its replay where the formulas are beyond, None where no number
    of replicas that was tried keeps the level; and what its replay says."""
    group = ReplayedGroup(sized.deployable, sized.group.rate, sized.group.router)
    ratio = group.play(sized.replicas)
    if ratio is None:
        return sized, None
    check = _check(ratio, sized.times, group.within(sized.replicas, level), level)
    if not check.replaced:
        return sized, check
    late = any(check.off[limit.what] > BEYOND for limit in level.limits)
    group.kept = _fewest(group, sized.replicas, level, fewer=late)
    times = None if group.kept is None else group.within(group.kept, level)
    if group.kept is None or times is None:
        return None, replace(check, replaced=False, kept=False)
    return replace(sized, group=group, replicas=group.kept, times=times), check


def _fewest(group: ReplayedGroup, start: int, level: ServiceLevel, *, fewer: bool) -> int | None:
    """The fewest replicas that keep ``level`` by replays, looked for from ``start``, and ``fewer``
    than that too; None where ``MOST_REPLAYS`` find none."""
    least, kept, failed = group.least if fewer else start, None, None
    replicas, tries = start, 0
    while tries < MOST_REPLAYS:
        tries += 1
        group.play(replicas)
        if group.keeps(replicas, level):
            kept = replicas
            times = group.within(replicas, level)
            if times is not None and level.used(times) > NEARLY_FULL:
                break  # one fewer might do, within what the draw of arrivals leaves
        else:
            failed = replicas
        low = least - 1 if failed is None else failed
        if kept is None:
            replicas = max(replicas + 1, ceil(replicas * (1.0 + 0.1 * 2**tries)))
        elif kept - low <= 1:
            break
        elif failed is None:
            replicas = max(least, min(kept - 1, int(kept * 0.9)))
        else:
            replicas = (kept + failed) // 2
    return kept
