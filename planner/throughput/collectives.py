"""Collectives of a deployment: measured ones inside the scale-up domain, else floor + bytes/link.

A group beyond the domain works in two levels: inside each domain, and between the domains, where
every device sends its share over its own network adapter. ``n`` is the number of ranks; one rank
costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from planner.base.identity_cache import cached_by_identity
from planner.base.records import record
from planner.hardware.profile import DeviceProfile, Quantity
from planner.throughput.calibration import ANY_ENGINE, PRIOR, Certainty, stacks_of
from planner.throughput.curves import (
    Curve,
    ExchangeCurve,
    ExchangeWork,
    curve,
    exchanges,
    gathers_experts,
    one_sided_experts,
    shared_memory_bytes_per_s,
)
from planner.throughput.forms.dispatch import copies

Array = NDArray[np.float64]


@record
class Fabric:
    """Links of a deployment. Bandwidths [B/s] per device and direction, floors [s].

    A missing link has bandwidth 0: a group that needs it is illegal (see ``reach``). ``reduce`` and
    ``collect`` are measured all-reduces and all-gathers, ``exchange`` measured expert exchanges by
    phase and leg; without them the bandwidths count. ``gathers``: experts inside the domain take
    all tokens by all-gather and give sums back by reduce-scatter instead of an exchange;
    ``one_sided``: tokens are written once to each rank that needs them, at the link's speed.
    """

    domain: int
    domain_bytes_per_s: float
    domain_floor_seconds: float
    network_bytes_per_s: float
    network_floor_seconds: float
    fraction: float
    reduce: Curve | None = None
    collect: Curve | None = None
    exchange: Mapping[tuple[str, str], ExchangeCurve] = field(default_factory=dict)
    gathers: bool = False
    one_sided: bool = False

    @property
    def certainty(self) -> Certainty:
        """How sure the times are: those of the all-reduce inside the domain."""
        return self.reduce.certainty if self.reduce is not None else PRIOR

    def reach(self) -> float:
        """The largest group of devices that the links can connect."""
        if self.network_bytes_per_s > 0:
            return float("inf")
        return self.domain if self.domain_bytes_per_s > 0 else 1


LINK_FRACTION = 0.75
"""Share of link bandwidth that large collectives reach: 8-GPU NCCL all-gather measures 336 of 450
GB/s on H100 and 617 of 900 on B200 (aiconfigurator-core 0.12.0 tables)."""


def fabric(
    device: DeviceProfile,
    *,
    scale_up_devices: int | None = None,
    scale_up_bytes_per_s: float | None = None,
    scale_out_bytes_per_s: float | None = None,
    stacks: Sequence[str] = stacks_of(ANY_ENGINE),
) -> Fabric:
    """Links of ``device``, with a scenario's overrides and what ``stacks`` were measured to do."""
    return _fabric(
        device, scale_up_devices, scale_up_bytes_per_s, scale_out_bytes_per_s, tuple(stacks)
    )


@cached_by_identity(64)
def _fabric(
    device: DeviceProfile,
    scale_up_devices: int | None,
    scale_up_bytes_per_s: float | None,
    scale_out_bytes_per_s: float | None,
    stacks: tuple[str, ...],
) -> Fabric:
    """:func:`fabric`, once."""
    links = device.links

    def value(override: float | None, quantity: Quantity | None) -> float:
        if override is not None:
            return override
        return quantity.value if quantity is not None else 0.0

    domain = scale_up_devices or device.scale_up_devices
    inside = value(scale_up_bytes_per_s, links.scale_up_bytes_per_s)
    if device.kind == "cpu" and scale_up_bytes_per_s is None:
        inside = min(inside, shared_memory_bytes_per_s())
    return Fabric(
        domain=domain,
        domain_bytes_per_s=inside,
        domain_floor_seconds=value(None, links.scale_up_floor_seconds),
        network_bytes_per_s=value(scale_out_bytes_per_s, links.scale_out_bytes_per_s),
        network_floor_seconds=value(None, links.scale_out_floor_seconds),
        fraction=LINK_FRACTION,
        reduce=curve(device, "all-reduce", stacks, scale_up_bytes_per_s),
        collect=curve(device, "gather", stacks, scale_up_bytes_per_s),
        exchange=exchanges(device, stacks),
        gathers=bool(gathers_experts(stacks, domain)),
        one_sided=bool(one_sided_experts(stacks, domain)),
    )


def _path(net: Fabric, span: Array) -> tuple[Array, Array]:
    """(bandwidth, floor) for groups that span ``span`` devices."""
    inside = span <= net.domain
    bandwidth = np.where(inside, net.domain_bytes_per_s, net.network_bytes_per_s) * net.fraction
    floor = np.where(inside, net.domain_floor_seconds, net.network_floor_seconds)
    return np.where(bandwidth > 0, bandwidth, np.inf), floor


def all_reduce(net: Fabric, ranks: Array, span: Array, message_bytes: Array) -> Array:
    """All-reduce of V bytes [s]: measured, or floor + 2(n−1)/n·V/W inside the domain.

    Beyond it, g ranks in each of m domains: reduce-scatter and all-gather inside, and between them
    an all-reduce of every device's V/g over its network link.
    """
    ranks, span, size = _broadcast(ranks, span, message_bytes)
    inside = _reduce_inside(net, ranks, size)
    if not (span > net.domain).any():
        return inside
    near, far = _levels(net, ranks, span)
    local = 2.0 * _collect_inside(net, near, size)
    across = local + _between(net, near, far, 2.0 * size)
    return np.where((span > net.domain) & (ranks > 1), across, inside)


def gather(net: Fabric, ranks: Array, span: Array, message_bytes: Array) -> Array:
    """All-gather or reduce-scatter of a V-byte result [s]; (n−1)/n·V leave a rank."""
    ranks, span, size = _broadcast(ranks, span, message_bytes)
    inside = _collect_inside(net, ranks, size)
    if not (span > net.domain).any():
        return inside
    near, far = _levels(net, ranks, span)
    across = _collect_inside(net, near, size) + _between(net, near, far, size)
    return np.where((span > net.domain) & (ranks > 1), across, inside)


def _broadcast(*arrays: Array) -> tuple[Array, ...]:
    return tuple(np.asarray(a, dtype=np.float64) for a in np.broadcast_arrays(*arrays))


def _levels(net: Fabric, ranks: Array, span: Array) -> tuple[Array, Array]:
    """(ranks in a domain, domains) of groups whose ranks are spread evenly over ``span``."""
    domains = np.ceil(span / net.domain)
    return np.maximum(ranks / domains, 1.0), np.minimum(domains, ranks)


def _between(net: Fabric, near: Array, far: Array, size: Array) -> Array:
    """Floor + (m−1)/m·V/g over the network link of every device."""
    wire = net.network_bytes_per_s * net.fraction
    return np.asarray(
        net.network_floor_seconds + (far - 1) / far * size / near / (wire if wire > 0 else np.inf)
    )


def _reduce_inside(net: Fabric, ranks: Array, size: Array) -> Array:
    if net.reduce is not None:
        return net.reduce.seconds(ranks, size)
    bandwidth, floor = _path(net, np.ones(()))
    return np.where(ranks > 1, floor + 2 * (ranks - 1) / ranks * size / bandwidth, 0.0)


def _collect_inside(net: Fabric, ranks: Array, size: Array) -> Array:
    if net.collect is not None:
        return net.collect.seconds(ranks, size)
    bandwidth, floor = _path(net, np.ones(()))
    return np.where(ranks > 1, floor + (ranks - 1) / ranks * size / bandwidth, 0.0)


def expert_exchange(
    net: Fabric, phase: str, leg: str, work: ExchangeWork, span: Array, feature_bytes: Array
) -> Array:
    """Dispatch or combine (``leg``) of expert tokens [C, S]; ``feature_bytes`` [S] an element.

    Measured exchanges of the phase; else, and across nodes where none were measured, bytes over
    the link (:func:`dispatch`). Where ranks write to each other, a token goes once to each rank
    that has an expert of it, and its sum comes back once.
    """
    columns = []
    wanted = np.atleast_1d(feature_bytes).tolist()
    sizes = sorted(set(wanted))
    measured = net.exchange.get(("decode" if phase == "decode" else "prefill", leg))
    for size in sizes:
        sent = (
            work.hidden
            * size
            * copies(work.tokens, np.asarray(work.per_token), work.ranks, distinct=net.one_sided)
        )
        plain = dispatch(net, work.ranks, span, sent)
        if measured is not None and not net.one_sided:
            exchange_seconds = measured.seconds(
                work, size, link=net.domain_bytes_per_s, network=net.network_bytes_per_s or np.inf
            )
            plain = np.where(
                np.isnan(exchange_seconds) | (work.ranks <= 1), plain, exchange_seconds
            )
        columns.append(plain)
    return np.stack([columns[sizes.index(size)] for size in wanted], axis=-1)


def dispatch(net: Fabric, ranks: Array, span: Array, sent_bytes: Array) -> Array:
    """Expert dispatch or combine: ``sent_bytes`` of one rank, (n−1)/n of them leave it [s]."""
    bandwidth, floor = _path(net, span)
    return np.where(ranks > 1, floor + (ranks - 1) / ranks * sent_bytes / bandwidth, 0.0)


def point_to_point(net: Fabric, span: Array, message_bytes: Array) -> Array:
    """One pipeline hop: floor + V / W [s]."""
    bandwidth, floor = _path(net, span)
    return floor + message_bytes / bandwidth
