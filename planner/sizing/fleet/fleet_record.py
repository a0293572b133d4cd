"""What ``planner.fleet`` answers: who serves what on which devices, what is left and what is
worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.base.display import as_frame, as_table, as_text
from planner.base.records import cached_record
from planner.planning.plan.open_arrivals import LimitAtPercentile
from planner.planning.plan.record import Assumption, Estimate, plain_data
from planner.sizing.capacity_record import ReplayCheck
from planner.sizing.degrees import degrees

if TYPE_CHECKING:
    import pandas as pd


@cached_record
class FleetPool:
    """Replicas of one plan of ``name`` (the model's name in the file) on one kind of device, for
    ``requests_per_second``; they could serve ``room_per_second`` within the limits. Times are
    those at the percentile with the 80 % interval of the step times, ``replicas_low`` and
    ``replicas_high`` what its ends would need (None: no number suffices). ``ttft_kept``,
    ``tpot_kept`` and ``e2e_kept`` are the chances to keep the limits (None: no limit);
    ``e2e_seconds`` from arrival to the last token. ``replay``: how far the formulas are from the
    scheduler, and whose times are told.
    """

    name: str
    model: str
    device: str
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
    replicas_low: int | None
    replicas_high: int | None
    requests_per_second: float
    room_per_second: float
    ttft_seconds: Estimate
    tpot_seconds: Estimate
    usd_per_hour: float | None
    needs_new_weights: bool
    ttft_kept: float | None
    tpot_kept: float | None
    e2e_seconds: Estimate
    e2e_kept: float | None
    replay: ReplayCheck | None = None

    @property
    def least_chance(self) -> float:
        """The smaller chance that a limit is kept."""
        chances = (self.ttft_kept, self.tpot_kept, self.e2e_kept)
        return min((x for x in chances if x is not None), default=1.0)

    @property
    def layout(self) -> str:
        """Degrees above one, e.g. ``tp4``; ``1 device`` without any."""
        return degrees(self.tp, self.dp, self.pp, self.ep)


@cached_record
class FleetRequests:
    """A kind of request: its share of all, tokens of prompt and answer, and the share of a prompt
    that the prefix cache holds."""

    name: str
    share: float
    isl: int
    osl: int
    prefix_hit_rate: float


@cached_record
class FleetModel:
    """A model with its requests and limits, and ``spare``: the share by which its rate may grow on
    its replicas; ``limits`` each with its percentile."""

    name: str
    model: str
    requests_per_second: float
    requests: tuple[FleetRequests, ...]
    ttft_limit_seconds: float | None
    tpot_limit_seconds: float | None
    percentile: float
    spare: float
    devices: int
    usd_per_hour: float | None
    usd_per_million_output_tokens: float | None
    limits: tuple[LimitAtPercentile, ...]


@cached_record
class MarginalValue:
    """What ``devices`` more of a kind would change, by solving again: USD per hour saved (their own
    cost included), and the factor by which all rates could grow. ``proved``: no better assignment
    exists (for growth, to 0.1 %)."""

    devices: int
    usd_per_hour_saved: float | None
    growth: float
    growth_gained: float
    proved: bool


@cached_record
class FleetDevice:
    """A kind of device: ``stock`` in hosts of ``devices_per_node``, of which ``used`` are taken;
    ``one_more`` device, and one host more (None where a host is a device)."""

    device: str
    stock: int
    devices_per_node: int
    used: int
    usd_per_device_hour: float | None
    price_source: str
    one_more: MarginalValue
    host_more: MarginalValue | None

    @property
    def spare(self) -> int:
        """Devices that nothing runs on."""
        return self.stock - self.used


@cached_record
class FleetWork:
    """What was searched: pairs of model and device kind that were planned, plans considered,
    assignments solved, and the relative gap to the proved bound."""

    pairs: int
    ways: int
    solves: int
    gap: float


@cached_record
class Fleet:
    """The assignment of a stock of devices to models.

    ``goal`` is cost (the fewest USD an hour that serve all) or spare (the most room for growth on
    the stock). ``growth`` is the factor by which all rates may grow together on the whole stock.
    ``refused`` are (model, device, reason) of pairs that cannot serve. A month has 730 hours.
    ``usd_per_hour_existing`` is the cost with weights that exist alone, where the answer needs
    others (None: it needs none, no price is known, or the stock does not serve them so).
    """

    title: str
    goal: str
    router: str
    usd_per_hour: float | None
    growth: float
    models: tuple[FleetModel, ...]
    devices: tuple[FleetDevice, ...]
    pools: tuple[FleetPool, ...]
    refused: tuple[tuple[str, str, str], ...]
    work: FleetWork
    assumptions: tuple[Assumption, ...]
    usd_per_hour_existing: float | None

    @property
    def records(self) -> tuple[FleetPool, ...]:
        """Who serves what: a record a plan on a kind of device."""
        return self.pools

    def of(self, name: str) -> tuple[FleetPool, ...]:
        """The pools that serve the model of a name."""
        return tuple(pool for pool in self.pools if pool.name == name)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: what ``--json`` prints."""
        data = plain_data(self)
        assert isinstance(data, dict)
        return data

    def cells(self) -> list[dict[str, Any]]:
        """A row a pool, with plain values: what ``--csv`` writes."""
        return [_flat(pool) for pool in self.pools]

    def to_frame(self) -> pd.DataFrame:
        """One row a pool; units of measure are in the column names."""
        return as_frame(self.cells())

    __str__ = as_text

    def _repr_html_(self) -> str:
        return as_table(self.to_frame())


def _flat(pool: FleetPool) -> dict[str, Any]:
    """A pool in one row: estimates as value, low and high; of its replay how far the formulas are
    from it, and whether it stands in."""
    check = pool.replay
    out: dict[str, Any] = {
        "formulas_off": None if check is None else check.most,
        "times_replayed": check is not None and check.replaced,
    }
    for key, value in plain_data(pool).items():
        if key == "replay":
            continue
        if isinstance(value, dict):
            out |= {key: value["value"], f"{key}_low": value["low"], f"{key}_high": value["high"]}
        else:
            out[key] = ", ".join(value) if isinstance(value, list) else value
    return out
