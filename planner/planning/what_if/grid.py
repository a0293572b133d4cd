"""The record of a what-if grid: axes, and what was planned at every combination of their values."""

from __future__ import annotations

from dataclasses import dataclass

from planner.placement.layout import Layout
from planner.planning.plan.record import PerformanceInfo, QualityInfo
from planner.planning.price.price import RankBytes
from planner.planning.what_if.grid_axes import Axis

Loss = tuple[str | None, float | None]
"""A limit on loss: (uniform scheme, None) or (None, nats)."""


@dataclass(frozen=True, slots=True)
class PlannedPoint:
    """The best plan at a point. ``formats`` are (kind, layers, scheme or cache layout, bytes of the
    weights) by unit, ``room`` the requests that one replica holds, ``engine`` what serves it, with
    its version (empty: theory)."""

    layout: Layout
    replicas: int
    batch: int
    performance: PerformanceInfo
    quality: QualityInfo
    memory: RankBytes
    room: int
    formats: tuple[tuple[str, tuple[int, ...], str, int], ...]
    engine: str = ""

    @property
    def devices(self) -> int:
        """Devices that are used: what a rate costs is their price over it."""
        return self.layout.ranks * self.replicas


@dataclass(frozen=True, slots=True)
class InfeasiblePoint:
    """A point without a plan: ``limit`` is what excludes it.

    ``layout``: no way to divide the model over the devices; ``batch``: no multiple of the ranks
    that share it; ``schemes``: a module has no legal choice; ``memory``: ``need`` bytes of a device
    at least, ``have`` usable; ``context``: requests of ``need`` tokens where ``have`` are taken;
    ``engine``: it does not serve what the position names; else names of limits that contradict
    each other, joined by ``+``.
    """

    limit: str
    need: int = 0
    have: int = 0


Point = PlannedPoint | InfeasiblePoint


@dataclass(frozen=True, slots=True)
class PooledPoint:
    """The best two pools of a context, device count and limit on loss, batches and formats free:
    ``prefill`` and ``decode`` are (workers, layout of one, schemes)."""

    prefill: tuple[int, Layout, tuple[str, ...]]
    decode: tuple[int, Layout, tuple[str, ...]]
    kv: str
    output_tokens_per_second: float
    tpot_seconds: float
    ttft_seconds: float


@dataclass(frozen=True, slots=True)
class Grid:
    """A planned grid: ``points`` in row-major order of ``axes``. ``command`` is what all points
    share, to which the flags of their values are added. Points are of workers that do both;
    ``pools`` are those beside them by workload, context, devices and limit on loss (row-major;
    None: no pools keep the limits), and none of a plan without pools."""

    command: str
    axes: tuple[Axis, ...]
    points: tuple[Point, ...]
    pools: tuple[PooledPoint | None, ...] = ()

    @property
    def base(self) -> int:
        """The position of the point that the axes' own values meet in."""
        at = 0
        for axis in self.axes:
            at = at * len(axis) + axis.base
        return at
