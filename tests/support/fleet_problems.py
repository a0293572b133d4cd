"""Fleets as numbers, small enough to try every assignment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from hypothesis import strategies as st

from planner.sizing.fleet.problem import (
    DeviceStock,
    FleetProblem,
    FleetWay,
    fitting_sizes,
    served_rates,
)

GAINS = ((1, 1.0), (2, 1.1), (4, 1.15))
"""Replicas from which on each serves so many times what one alone does."""


@st.composite
def problems(draw: st.DrawFn, *, most_devices: int = 6) -> FleetProblem:
    """One or two models on one or two kinds of devices, in hosts of 1, 2 or 4."""
    kinds, models = draw(st.integers(1, 2)), draw(st.integers(1, 2))
    host = draw(st.sampled_from([1, 2, 4]))
    stock = tuple(
        DeviceStock(
            draw(st.integers(0, most_devices)), host, draw(st.sampled_from([1.0, 1.5, 2.0, 3.7]))
        )
        for _ in range(kinds)
    )
    ways = []
    for model, device in product(range(models), range(kinds)):
        for size in fitting_sizes(
            host, draw(st.sets(st.sampled_from([1, 2, 4, 8]), min_size=1, max_size=2))
        ):
            each = draw(st.floats(0.3, 2.0)) * size
            gains = GAINS[: draw(st.integers(1, 3))]
            ways.append(FleetWay(model, device, size, tuple((n, each * by) for n, by in gains)))
    rates = tuple(draw(st.floats(0.5, 5.0)) for _ in range(models))
    return FleetProblem(rates, stock, tuple(ways))


def every_assignment(problem: FleetProblem) -> Iterator[tuple[int, ...]]:
    """All replicas of all ways that there is room for, one way of a model on a kind of device."""
    for counts in product(
        *(range(problem.stock[way.device].count // way.size + 1) for way in problem.ways)
    ):
        taken = [
            (way.model, way.device)
            for way, count in zip(problem.ways, counts, strict=True)
            if count
        ]
        if len(taken) == len(set(taken)) and all(
            packs(
                stock,
                [
                    way.size
                    for way, count in zip(problem.ways, counts, strict=True)
                    for _ in range(count)
                    if way.device == device
                ],
            )
            for device, stock in enumerate(problem.stock)
        ):
            yield counts


def packs(stock: DeviceStock, sizes: Sequence[int]) -> bool:
    """Whether hosts have room for replicas of these sizes, by trying every place for each."""
    full, left = divmod(stock.count, stock.host)
    return _placed(
        [stock.host] * full + [left] * (left > 0), stock.host, sorted(sizes, reverse=True)
    )


def _placed(hosts: list[int], whole: int, sizes: list[int]) -> bool:
    if not sizes:
        return True
    size, *rest = sizes
    if size > whole:
        if hosts.count(whole) < size // whole:
            return False
        kept = list(hosts)
        for _ in range(size // whole):
            kept.remove(whole)
        return _placed(kept, whole, rest)
    for room in {h for h in hosts if h >= size}:
        kept = list(hosts)
        kept.remove(room)
        if _placed([*kept, room - size], whole, rest):
            return True
    return False


def by_trying(problem: FleetProblem) -> tuple[float | None, float]:
    """(fewest USD an hour that serve all rates, None: none does; the largest growth)."""
    best: float | None = None
    growth = 0.0
    for counts in every_assignment(problem):
        share = min(
            room / rate
            for room, rate in zip(served_rates(problem, counts), problem.rates, strict=True)
        )
        growth = max(growth, share)
        if share >= 1 - 1e-12:
            usd = sum(
                count * way.size * (problem.stock[way.device].price or 0.0)
                for way, count in zip(problem.ways, counts, strict=True)
            )
            best = usd if best is None else min(best, usd)
    return best, growth
