"""The numbers of a fleet's figures, whoever draws them."""

from __future__ import annotations

from planner.base.records import record
from planner.sizing.fleet.fleet_record import Fleet


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
    """A time at the percentile as a share of its limit, with its 80 % interval; ``what`` is TTFT or
    TPOT, ``seconds`` the time itself."""

    name: str
    device: str
    what: str
    value: float
    low: float
    high: float
    seconds: float


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
        for what, limit, time in (
            ("TTFT", model.ttft_limit_seconds, pool.ttft_seconds),
            ("TPOT", model.tpot_limit_seconds, pool.tpot_seconds),
        ):
            if limit is not None:
                out.append(
                    LimitShare(
                        pool.name,
                        pool.device,
                        what,
                        time.value / limit,
                        time.low / limit,
                        time.high / limit,
                        time.value,
                    )
                )
    return tuple(out)
