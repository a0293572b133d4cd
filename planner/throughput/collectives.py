"""Collectives as floor + bytes over the link, per device and direction.

A group that fits the scale-up domain uses its links; a larger one uses the network, whose slower
stage sets the time. ``n`` is the number of ranks; one rank costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.hardware.profile import DeviceProfile, Quantity

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Fabric:
    """Links of a deployment. Bandwidths [B/s] per device and direction, floors [s].

    A missing link has bandwidth 0: a group that needs it is illegal (see ``reach``).
    """

    domain: int
    domain_bytes_per_s: float
    domain_floor_seconds: float
    network_bytes_per_s: float
    network_floor_seconds: float
    fraction: float

    def reach(self) -> float:
        """The largest group of devices that the links can connect."""
        if self.network_bytes_per_s > 0:
            return float("inf")
        return self.domain if self.domain_bytes_per_s > 0 else 1


LINK_FRACTION = 0.75
"""Share of link bandwidth that large collectives reach: 8-GPU NCCL all-gather measures 336 of 450
GB/s on H100 and 617 of 900 on B200 (aiconfigurator-core 0.12.0 tables)."""


def fabric(device: DeviceProfile, *, scale_up_devices: int | None = None,
           scale_up_bytes_per_s: float | None = None,
           scale_out_bytes_per_s: float | None = None) -> Fabric:
    """Links of ``device``, with a scenario's overrides."""
    links = device.links

    def value(override: float | None, quantity: Quantity | None) -> float:
        if override is not None:
            return override
        return quantity.value if quantity is not None else 0.0

    return Fabric(
        domain=scale_up_devices or device.scale_up_devices,
        domain_bytes_per_s=value(scale_up_bytes_per_s, links.scale_up_bytes_per_s),
        domain_floor_seconds=value(None, links.scale_up_floor_seconds),
        network_bytes_per_s=value(scale_out_bytes_per_s, links.scale_out_bytes_per_s),
        network_floor_seconds=value(None, links.scale_out_floor_seconds),
        fraction=LINK_FRACTION)


def _path(net: Fabric, span: Array) -> tuple[Array, Array]:
    """(bandwidth, floor) for groups that span ``span`` devices."""
    inside = span <= net.domain
    bandwidth = np.where(inside, net.domain_bytes_per_s, net.network_bytes_per_s) * net.fraction
    floor = np.where(inside, net.domain_floor_seconds, net.network_floor_seconds)
    return np.where(bandwidth > 0, bandwidth, np.inf), floor


def all_reduce(net: Fabric, ranks: Array, span: Array, message_bytes: Array) -> Array:
    """Ring or two-shot: floor + 2(n−1)/n · V / W [s]."""
    bandwidth, floor = _path(net, span)
    time = floor + 2 * (ranks - 1) / ranks * message_bytes / bandwidth
    return np.where(ranks > 1, time, 0.0)


def gather(net: Fabric, ranks: Array, span: Array, message_bytes: Array) -> Array:
    """All-gather or reduce-scatter of a V-byte result: floor + (n−1)/n · V / W [s]."""
    bandwidth, floor = _path(net, span)
    return np.where(ranks > 1, floor + (ranks - 1) / ranks * message_bytes / bandwidth, 0.0)


def dispatch(net: Fabric, ranks: Array, span: Array, sent_bytes: Array) -> Array:
    """Expert dispatch or combine: ``sent_bytes`` of one rank, (n−1)/n of them leave it [s]."""
    bandwidth, floor = _path(net, span)
    return np.where(ranks > 1, floor + (ranks - 1) / ranks * sent_bytes / bandwidth, 0.0)


def point_to_point(net: Fabric, span: Array, message_bytes: Array) -> Array:
    """One pipeline hop: floor + V / W [s]."""
    bandwidth, floor = _path(net, span)
    return floor + message_bytes / bandwidth
