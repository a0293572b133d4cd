"""A deployment under a closed loop of requests: one operating point, pools, and the frontier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.base.display import as_frame, as_table, as_text, with_former_methods
from planner.planning.answer.measured_point import Anchor
from planner.planning.plan.record import Assumption, Estimate, LayoutInfo, plain_data
from planner.planning.price.step import Assignment, Serving, step_times
from planner.planning.question.time_limits import request_seconds
from planner.throughput.graphs import with_padded_decode
from planner.throughput.pipelining import micro_batches
from planner.throughput.pools import Pools, pooled_loop
from planner.throughput.scheduling import Load, Scheduling, StepTimes
from planner.throughput.serving import SteadyState, closed_loop

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Options:
    """How the deployment is run, beside the policy of its engine.

    ``draft`` tokens are proposed a step by ``draft_layers`` layers, of which ``accepted`` (the
    next token included) are kept; ``graph_sizes`` are the captured batches (empty: no padding).
    """

    isl: int
    osl: int
    chunk: int
    requests: float | None = None
    draft: int = 0
    draft_layers: int = 0
    accepted: float = 1.0
    hit_rate: float = 0.0
    graph_sizes: tuple[int, ...] = ()
    overlap: bool = False
    cache_tokens: float = float("inf")


@dataclass(frozen=True, slots=True)
class ServedPoint:
    """A whole deployment at a concurrency. Rates count output tokens. ``active_sequences`` decode
    in one replica (worker); ``request_seconds`` = TTFT + (O − 1)·TPOT. Shares of TPOT:
    ``prompt_share`` is prefill interference, ``host_share`` host overhead. ``pareto``: no point of
    the answer has more of both rates."""

    concurrency: float
    tpot_seconds: float
    ttft_seconds: float
    request_seconds: float
    output_tokens_per_second: float
    output_tokens_per_second_per_device: float
    output_tokens_per_second_per_user: float
    active_sequences: float
    prompt_share: float
    host_share: float
    prefill_utilisation: float
    cache_full: bool
    pareto: bool = False


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """Prefill and decode workers: ``balanced_ratio`` prefill workers keep one decode worker busy
    at its batch; ``limit`` prefill, decode or concurrency."""

    prefill_workers: int
    decode_workers: int
    transfer_bytes: int
    transfer_seconds: float
    prefill_utilisation: float
    decode_utilisation: float
    balanced_ratio: float
    limit: str


@with_former_methods
@dataclass(frozen=True, slots=True)
class ServingAnswer:
    """``plan serve``: ``point`` at the asked concurrency (None without one) with the 80 % intervals
    of its times, throughput over concurrency, pools, and every assumption."""

    model: str
    device: str
    devices: int
    scheme: str
    kv: str
    engine: str
    layout: LayoutInfo
    isl: int
    osl: int
    point: ServedPoint | None
    tpot_seconds: Estimate | None
    ttft_seconds: Estimate | None
    pools: PoolInfo | None
    frontier: tuple[ServedPoint, ...]
    anchors: tuple[Anchor, ...]
    assumptions: tuple[Assumption, ...]

    @property
    def points(self) -> tuple[ServedPoint, ...]:
        """The frontier, or the asked point where none was computed."""
        return self.frontier or (() if self.point is None else (self.point,))

    def to_frame(self) -> pd.DataFrame:
        """One row a concurrency."""
        return as_frame([asdict(p) for p in self.points])

    __str__ = as_text

    def _repr_html_(self) -> str:
        return as_table(self.to_frame())

    def to_dict(self) -> dict[str, object]:
        """The answer as plain data."""
        data = plain_data(self)
        assert isinstance(data, dict)
        return data


@dataclass(frozen=True)
class Deployment:
    """``replicas`` of an assignment on ``dp`` attention ranks each, with its step times."""

    times: StepTimes
    options: Options
    policy: Scheduling
    dp: int
    replicas: int
    devices: int

    def load(self, concurrency: float) -> Load:
        """What one replica is asked when the deployment has ``concurrency`` requests in flight."""
        opt, each = self.options, concurrency / self.replicas
        requests = None if opt.requests is None else max(opt.requests / self.replicas, each)
        return Load(each, opt.isl, opt.osl, self.dp, requests, opt.cache_tokens, opt.accepted)

    def steps(self, concurrency: float) -> StepTimes:
        """Step times, padded to captured batches."""
        sizes = self.options.graph_sizes
        if not sizes:
            return self.times
        load = self.load(concurrency)
        most = load.concurrency / self.dp / micro_batches(self.times, load, self.policy)
        return with_padded_decode(self.times, sizes, most)


def deploy(
    plan: Assignment,
    options: Options,
    policy: Scheduling,
    *,
    dp: int,
    replicas: int,
    devices: int,
    most: float,
    pooled: bool,
) -> Deployment:
    """Tabulate the steps of ``plan`` for up to ``most`` requests over all replicas; ``pooled``: a
    worker reads a prompt on every attention rank at the same time."""
    work = Serving(
        options.isl,
        options.osl,
        max(most / replicas / dp, 1.0),
        options.chunk,
        options.draft,
        options.draft_layers,
        options.hit_rate,
        options.overlap,
        float(dp) if pooled else 1.0,
    )
    return Deployment(step_times(plan, work), options, policy, dp, replicas, devices)


def point_at(where: Deployment, concurrency: float) -> ServedPoint:
    """The aggregated deployment in a closed loop of ``concurrency`` requests.

    Raises:
        InputError: a concurrency below one a replica, or a cache that holds no request.
    """
    steady_state = closed_loop(where.steps(concurrency), where.load(concurrency), where.policy)
    return _point(where, concurrency, steady_state)


def _point(where: Deployment, concurrency: float, served: SteadyState) -> ServedPoint:
    osl = where.options.osl
    rate = concurrency * osl / (served.ttft + osl * served.tpot)
    return ServedPoint(
        concurrency,
        served.tpot,
        served.ttft,
        request_seconds(served.ttft, served.tpot, osl),
        rate,
        rate / where.devices,
        1 / served.tpot,
        served.active * where.dp,
        served.interruption / served.tpot,
        served.host / served.tpot,
        served.utilisation,
        served.full,
    )


def pooled_point(
    where: Deployment,
    concurrency: float,
    pools: Pools,
    transfer_bytes: int,
) -> tuple[ServedPoint, PoolInfo]:
    """Prefill and decode workers apart; ``where`` describes one worker (replicas = 1)."""
    each = concurrency / pools.decode
    steps = where.steps(each)
    loop = pooled_loop(steps, where.load(concurrency), where.policy, pools)
    osl = where.options.osl
    rate = loop.rate * osl
    batch = max(loop.active, 1.0)
    host = (
        where.policy.step(steps.step(batch), batch) - steps.step(batch)
    ) / where.options.accepted
    point = ServedPoint(
        concurrency,
        loop.tpot,
        loop.ttft,
        request_seconds(loop.ttft, loop.tpot, osl),
        rate,
        rate / where.devices,
        1 / loop.tpot,
        loop.active * where.dp,
        0.0,
        host / loop.tpot,
        loop.prefill_busy,
        loop.limit == "decode",
    )
    return point, PoolInfo(
        pools.prefill,
        pools.decode,
        transfer_bytes,
        pools.transfer_seconds,
        loop.prefill_busy,
        loop.decode_busy,
        loop.balance,
        loop.limit,
    )


def frontier_grid(most: float, replicas: int) -> tuple[float, ...]:
    """Concurrencies from one a replica to ``most``, doubling."""
    grid, value = [], float(replicas)
    while value < most:
        grid.append(value)
        value *= 2
    return (*grid, float(most))


def marked(points: Sequence[ServedPoint]) -> tuple[ServedPoint, ...]:
    """``points`` with ``pareto`` set: per device against per user, neither beaten in both."""
    device = np.array([p.output_tokens_per_second_per_device for p in points])
    user = np.array([p.output_tokens_per_second_per_user for p in points])
    out = []
    for i, point in enumerate(points):
        beaten = (
            (device >= device[i]) & (user >= user[i]) & ((device > device[i]) | (user > user[i]))
        )
        out.append(replace(point, pareto=not bool(beaten.any())))
    return tuple(out)
