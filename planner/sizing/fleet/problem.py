"""The assignment of devices to models as numbers: pure, without models and devices.

A **way** is a plan of one model on one kind of device: replicas of ``size`` devices, and what they
serve. More replicas share requests better, so that each serves more: ``paces`` are (replicas,
requests a second of each) from so many replicas on, both ascending. A model may take one way on
each kind of device; its requests are then divided in proportion to what each serves.

Devices stand in hosts. Sizes of replicas on one kind divide each other and the host, or are
multiples of it (:func:`fitting_sizes`); then replicas of ``s`` devices and more have room if and
only if, for every size s, they take no more than what hosts hold in whole pieces of s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from planner.base.records import record


@record
class FleetWay:
    """Replicas of ``size`` devices of kind ``device`` for model ``model`` (indices); ``paces`` as
    the module says, from 1 replica on. Of choices that cost the same those of the least ``rank``
    are taken, 0 for the simplest formats of a pair."""

    model: int
    device: int
    size: int
    paces: tuple[tuple[int, float], ...]
    rank: int = 0

    def serves(self, replicas: int) -> float:
        """Requests a second that so many replicas serve."""
        each = [pace for first, pace in self.paces if first <= replicas]
        return replicas * each[-1] if each else 0.0


@record
class DeviceStock:
    """``count`` devices in hosts of ``host``, each for ``price`` USD an hour (None: not known)."""

    count: int
    host: int
    price: float | None

    def room(self, size: int) -> int:
        """Devices in whole pieces of ``size``."""
        full, left = divmod(self.count, self.host)
        return full * self.host + (left // size * size if size <= self.host else 0)


@record
class FleetProblem:
    """Requests a second of each model, the stock of each kind of device, and the ways."""

    rates: tuple[float, ...]
    stock: tuple[DeviceStock, ...]
    ways: tuple[FleetWay, ...]

    @property
    def priced(self) -> bool:
        """Whether every price is known."""
        return all(stock.price is not None for stock in self.stock)

    def more(self, device: int, count: int = 1) -> FleetProblem:
        """The same with ``count`` devices of a kind more."""
        stock = list(self.stock)
        stock[device] = replace(stock[device], count=stock[device].count + count)
        return replace(self, stock=tuple(stock))

    def of_model(self, model: int) -> FleetProblem:
        """The same where no other model asks for anything."""
        return replace(
            self, rates=tuple(rate if i == model else 0.0 for i, rate in enumerate(self.rates))
        )


@record
class FleetChoice:
    """Replicas of every way; the ``value`` that was sought and the ``bound`` that is proved."""

    replicas: tuple[int, ...]
    value: float
    bound: float


def served_rates(problem: FleetProblem, replicas: Iterable[int]) -> list[float]:
    """Requests a second that each model has room for."""
    out = [0.0] * len(problem.rates)
    for way, count in zip(problem.ways, replicas, strict=True):
        out[way.model] += way.serves(count)
    return out


def devices_used(problem: FleetProblem, replicas: Iterable[int]) -> list[int]:
    """Devices of each kind that are taken."""
    out = [0] * len(problem.stock)
    for way, count in zip(problem.ways, replicas, strict=True):
        out[way.device] += way.size * count
    return out


def fitting_sizes(host: int, sizes: Iterable[int]) -> tuple[int, ...]:
    """Those sizes that hosts can be cut into without remainders, whatever else is cut from them:
    each divides the next, and the host, or is a multiple of it."""
    kept: list[int] = []
    for size in sorted(set(sizes)):
        divides = host % size == 0 if size <= host else size % host == 0
        if divides and (not kept or size % kept[-1] == 0):
            kept.append(size)
    return tuple(kept)
