"""The numbers of a fleet's figures, whoever draws them."""

from __future__ import annotations

from planner.base.records import record
from planner.planning.plan.record import Estimate
from planner.sizing.fleet.fleet_record import Fleet, FleetPool


@record
class DeviceBar:
    """A kind of device: (model, devices) of those that are taken, and how many are left."""

    device: str
    taken: tuple[tuple[str, int], ...]
    left: int

    @property
    def stock(self) -> int:
        """Devices in all."""
        return self.left + sum(count for _, count in self.taken)


@record
class LimitShare:
    """A time at the percentile as a share of its limit, with its 80 % interval; ``what`` is TTFT,
    TPOT or E2E, ``time`` the time itself, ``limit`` its limit [s] at a ``percentile``, ``kept`` the
    chance that it is kept."""

    name: str
    device: str
    what: str
    time: Estimate
    limit: float
    kept: float
    percentile: float

    @property
    def value(self) -> float:
        """The time over its limit."""
        return self.time.value / self.limit

    @property
    def low(self) -> float:
        """The short end of the interval over the limit."""
        return self.time.low / self.limit

    @property
    def high(self) -> float:
        """The long end of the interval over the limit."""
        return self.time.high / self.limit


def device_bars(fleet: Fleet) -> tuple[DeviceBar, ...]:
    """A bar a kind of device, models in the order of the file."""
    return tuple(
        DeviceBar(
            device.device,
            tuple(
                (pool.name, pool.devices) for pool in fleet.pools if pool.device == device.device
            ),
            device.spare,
        )
        for device in fleet.devices
    )


def limit_shares(fleet: Fleet) -> tuple[LimitShare, ...]:
    """TTFT and TPOT of every pool whose model has a limit on it."""
    models = {fleet_model.name: fleet_model for fleet_model in fleet.models}
    out = []
    for pool in fleet.pools:
        model = models[pool.name]
        times = {
            "TTFT": (pool.ttft_seconds, pool.ttft_kept),
            "TPOT": (pool.tpot_seconds, pool.tpot_kept),
            "E2E": (pool.e2e_seconds, pool.e2e_kept),
        }
        for limit in model.limits:
            time, kept = times[limit.what]
            if kept is not None:
                out.append(
                    LimitShare(
                        pool.name,
                        pool.device,
                        limit.what,
                        time,
                        limit.seconds,
                        kept,
                        limit.percentile,
                    )
                )
    return tuple(out)


def devices_at_ends(fleet: Fleet) -> tuple[int, int | None]:
    """Devices that the same pools need at either end of the interval of their step times; None: no
    number of them keeps some limit at the long end."""

    def devices(counts: list[tuple[FleetPool, int | None]]) -> int | None:
        if any(count is None for _, count in counts):
            return None
        return sum((count or 0) * pool.devices // pool.replicas for pool, count in counts)

    low = devices([(pool, pool.replicas_low or pool.replicas) for pool in fleet.pools]) or 0
    return low, devices([(pool, pool.replicas_high) for pool in fleet.pools])
