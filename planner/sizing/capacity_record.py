"""What ``planner.capacity`` answers: replicas for a rate, what they cost, and what is near."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planner.base.display import as_frame, as_table, as_text
from planner.base.records import cached_record
from planner.planning.plan.file import OF_REPLICA
from planner.planning.plan.open_arrivals import LimitAtPercentile
from planner.planning.plan.record import Assumption, Estimate, Plan, plain_data
from planner.sizing.degrees import degrees

if TYPE_CHECKING:
    import pandas as pd

HOURS_A_MONTH = 730.0
"""Hours of a month: a twelfth of a year of 365 days."""


@cached_record
class CapacityOption:
    """One way to serve the rate: ``replicas`` of a layout with its formats.

    ``kind`` is answer, replicas, layout or format. Times are those at the percentile, None where
    the queue grows; ``load`` is the share of the most that the replicas serve without end.
    ``usd_per_month`` is None without a price, ``kwh_per_month`` without a power limit.
    ``chance_cheaper`` than the answer, in common draws of their errors (None: only the number of
    replicas differs, or a limit is broken); ``reason``: why it is not the answer. ``queue_growth``
    is in requests a second (0: none); ``requests_per_second_held``: the rate that it serves within
    the limits, where it breaks them at the rate asked.
    """

    name: str
    kind: str
    engine: str
    schemes: tuple[str, ...]
    kv: str
    loss: float
    tp: int
    dp: int
    pp: int
    ep: int
    replicas: int
    devices: int
    load: float
    within_limits: bool
    ttft_seconds: float | None
    tpot_seconds: float | None
    usd_per_month: float | None
    kwh_per_month: float | None
    needs_new_weights: bool = False
    chance_cheaper: float | None = None
    reason: str = ""
    queue_growth: float = 0.0
    requests_per_second_held: float | None = None

    @property
    def layout(self) -> str:
        """Degrees above one, e.g. ``tp4``; ``1 device`` without any."""
        return degrees(self.tp, self.dp, self.pp, self.ep)


@cached_record
class PercentilePoint:
    """Times [s] that a ``percentile`` of requests keeps: ``e2e_seconds`` from arrival to the last
    token."""

    percentile: float
    ttft_seconds: float
    tpot_seconds: float
    e2e_seconds: float


@cached_record
class Compromise:
    """A relaxed limit that saves devices: ``limit`` (ttft_seconds, tpot_seconds, e2e_seconds, both
    or percentile) at ``value`` instead of ``asked`` needs ``devices``, ``saved`` fewer. For both,
    the values are those of the first."""

    limit: str
    value: float
    asked: float
    devices: int
    saved: int
    usd_per_month_saved: float | None
    text: str


@cached_record
class SimulatedTimes:
    """The answer simulated: times at the percentile over so many ``requests`` with ``seed``."""

    requests: int
    seed: int
    ttft_seconds: float
    tpot_seconds: float


@cached_record
class ReplayCheck:
    """What the engine's scheduler says of the answer: over ``requests`` that were counted the
    formula's time is ``off`` the replay's, a share by TTFT, TPOT and E2E (−1: its queue grows).
    ``replaced``: times are the replay's; ``kept``: what is told keeps the limits, else no number
    of replicas that was replayed does."""

    requests: int
    off: Mapping[str, float]
    replaced: bool
    kept: bool = True

    @property
    def most(self) -> float:
        """The largest of them."""
        return max(self.off.values(), key=abs, default=0.0)


@cached_record
class Capacity:
    """Replicas that serve ``requests_per_second`` within a percentile service level.

    ``ttft_seconds``, ``tpot_seconds`` and ``e2e_seconds`` are those of ``answer`` at the
    ``percentile``, or at that of the limit in ``limits``, with the 80 % interval of the step times;
    ``devices_low`` and ``devices_high`` are needed at its ends (None: none keeps the level).
    ``sequences`` are requests that a replica holds on average, ``waits`` the chance that one finds
    no room. ``options`` hold the answer first. Rates are of the whole deployment. ``tails`` are
    times at further percentiles, ``ttft_kept``, ``tpot_kept`` and ``e2e_kept`` the chances that
    limits are kept; ``e2e_limit_seconds`` is the limit on a whole request.
    ``usd_per_million_output_tokens`` ranges from the cost of ``devices_low`` to that of
    ``devices_high`` (the answer's own where None). ``replica`` is the plan of one. Of several
    devices this is the cheapest: ``others`` are the other answers, ``refused`` the (device, reason)
    of those without. ``replay``: how far the formulas are from the scheduler, and whose times are
    told.
    """

    model: str
    device: str
    engine: str
    isl: int
    osl: int
    prefix_hit_rate: float
    preset: str
    requests_per_second: float
    percentile: float
    ttft_limit_seconds: float | None
    tpot_limit_seconds: float | None
    router: str
    answer: CapacityOption
    ttft_seconds: Estimate
    tpot_seconds: Estimate
    mean_ttft_seconds: float
    mean_tpot_seconds: float
    devices_low: int | None
    devices_high: int | None
    sequences: float
    waits: float
    output_tokens_per_second: float
    kwh_per_month: Estimate | None
    options: tuple[CapacityOption, ...]
    compromises: tuple[Compromise, ...]
    simulated: SimulatedTimes | None
    assumptions: tuple[Assumption, ...]
    tails: tuple[PercentilePoint, ...]
    ttft_kept: float | None
    tpot_kept: float | None
    usd_per_million_output_tokens: Estimate | None
    replica: Plan
    limits: tuple[LimitAtPercentile, ...] = ()
    e2e_limit_seconds: float | None = None
    e2e_seconds: Estimate | None = None
    e2e_kept: float | None = None
    others: tuple[OtherDevice, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    replay: ReplayCheck | None = None

    def percentile_of(self, what: str) -> float:
        """The percentile at which TTFT, TPOT or E2E is told."""
        own = [limit.percentile for limit in self.limits if limit.what == what]
        return own[0] if own else self.percentile

    @property
    def replicas(self) -> int:
        """Replicas of the answer."""
        return self.answer.replicas

    @property
    def devices(self) -> int:
        """Devices of the answer."""
        return self.answer.devices

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what ``--json`` prints; ``plan`` is that of a replica of the answer, which
        the verbs that read plan files take out of it."""
        return (
            _one_device(self)
            | {OF_REPLICA: self.replica.to_dict()}
            | ({"devices": self._device_rows()} if self.others or self.refused else {})
        )

    def _device_rows(self) -> list[dict[str, Any]]:
        """An answer a device, the cheapest first, then those without."""
        return [
            {**_one_device(self), "chance_cheaper": None, "reason": ""},
            *(
                {
                    **_one_device(other.capacity),
                    "chance_cheaper": other.chance_cheaper,
                    "reason": other.reason,
                }
                for other in self.others
            ),
            *({"device": device, "answer": None, "reason": why} for device, why in self.refused),
        ]

    def cells(self) -> list[dict[str, Any]]:
        """A row an option, with plain values: what ``--csv`` writes."""
        return [
            {**plain_data(option), "schemes": ", ".join(option.schemes)} for option in self.options
        ]

    def to_frame(self) -> pd.DataFrame:
        """One row an option, the answer first; units of measure are in the column names."""
        return as_frame(self.cells())

    __str__ = as_text

    def _repr_html_(self) -> str:
        return as_table(self.to_frame())


@cached_record
class OtherDevice:
    """The answer on a device that is not the cheapest: the chance that it is, and the reason."""

    capacity: Capacity
    chance_cheaper: float | None
    reason: str


NESTED = ("replica", "others", "refused")


def _one_device(capacity: Capacity) -> dict[str, Any]:
    """An answer as plain data; of its replica's plan what is no part of it elsewhere."""
    plan = capacity.replica
    data = {
        name: plain_data(getattr(capacity, name))
        for name in capacity.__dataclass_fields__
        if name not in NESTED
    }
    return data | {
        "memory_per_device": plain_data(plan.memory_per_device),
        "quality": plain_data(plan.quality),
        "evidence": plain_data(plan.performance.tpot_seconds.evidence),
    }
