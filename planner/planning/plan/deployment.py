"""What a plan file says of a deployment in pools: prefill workers before decode workers."""

from __future__ import annotations

from typing import Literal

from planner.base.records import cached_record
from planner.messages.message import Text
from planner.planning.plan.recommendation import GainRange

Mode = Literal["aggregated", "disaggregated"]
AUTO, AGGREGATED, DISAGGREGATED = MODES = ("auto", "aggregated", "disaggregated")
"""How a plan may be asked for."""


@cached_record
class PoolLayout:
    """Ranks of one worker."""

    tp: int
    dp: int
    pp: int
    ep: int


@cached_record
class PoolUnit:
    """Layers of one kind (one ``part`` of it) under one scheme; no layers outside the stack."""

    kind: str
    layers: tuple[int, ...]
    scheme: str
    part: str | None = None

    @property
    def matrix(self) -> str:
        """The kind, and the part where it is one matrix of it."""
        return f"{self.kind}.{self.part}" if self.part else self.kind


@cached_record
class PrefillPool:
    """Workers that only run prefill. ``batch``: prompts per pass of a rank at most;
    ``utilisation``: share of the pool's highest rate; ``ttft_seconds`` of the deployment is
    ``queue_seconds``, ``read_seconds`` of the pass, the transfer and the first decode step."""

    device: str
    workers: int
    devices_per_worker: int
    layout: PoolLayout
    batch: int
    units: tuple[PoolUnit, ...]
    schemes: tuple[str, ...]
    memory_bytes: int
    usable_bytes: int
    prompt_tokens_per_second: float
    ttft_seconds: float
    queue_seconds: float
    read_seconds: float
    utilisation: float
    loss: float


@cached_record
class DecodePool:
    """Workers that only decode: the units of the plan itself. ``batch``: sequences of one worker;
    ``utilisation``: share of the rate of full batches."""

    device: str
    workers: int
    devices_per_worker: int
    layout: PoolLayout
    batch: int
    units: tuple[PoolUnit, ...]
    schemes: tuple[str, ...]
    tpot_seconds: float
    output_tokens_per_second: float
    utilisation: float
    loss: float


@cached_record
class CacheTransfer:
    """Transfer of one prompt's cache: ``bytes`` to all ranks of a decode replica, ``seconds`` over
    ``bytes_per_second`` of each device's ``link``; ``basis`` of that bandwidth."""

    bytes: int
    seconds: float
    bytes_per_second: float
    link: str
    basis: Text


@cached_record
class HeldPrompts:
    """Gain of pools, with its probability, over one pool that holds prompts until every attention
    rank has one, as the engine's ``flag`` does."""

    flag: str
    gain: GainRange
    probability: float


@cached_record
class AggregatedPlan:
    """The recommended plan with one pool, on as many devices. ``holding``: what is left of the
    pools' gain over the best plan that holds prompts; None where that is no faster, or not
    supported."""

    name: Text
    schemes: tuple[str, ...]
    kv: str
    layout: PoolLayout
    replicas: int
    devices: int
    batch: int
    output_tokens_per_second: float
    output_tokens_per_second_per_device: float
    tpot_seconds: float
    ttft_seconds: float
    holding: HeldPrompts | None


@cached_record
class DeploymentInfo:
    """Separate prefill and decode pools; ``kv`` is the cache layout of both. ``probability`` that
    they beat ``aggregated``, ``gain`` over it (None where no aggregated plan keeps the limits);
    ``limit``: what sets the rate (prefill, decode or transfer); ``bound``: a rate that no pools
    exceed [tokens/s], ``proved`` where the plan reaches it."""

    mode: Mode
    why: Text
    probability: float | None
    gain: GainRange | None
    prefill: PrefillPool
    decode: DecodePool
    kv: str
    transfer: CacheTransfer
    aggregated: AggregatedPlan | None
    limit: str
    bound: float
    proved: bool
