"""What a plan says about the prefixes that its caches keep, where that was asked for."""

from __future__ import annotations

from planner.base.records import cached_record
from planner.messages.message import Text


@cached_record
class ReuseInfo:
    """How prompts repeat: the workload it is of, its source, and the hit rate of an unlimited
    cache."""

    workload: str
    source: str
    ideal_hit_rate: float


@cached_record
class CacheWorth:
    """The plan with all caches in one format, on its best layout and batch over all ``devices``:
    prefix tokens that one replica keeps, hit rate, times and rate."""

    kv: str
    devices: int
    batch: int
    capacity_tokens: int
    hit_rate: float
    ttft_seconds: float
    tpot_seconds: float
    output_tokens_per_second: float


@cached_record
class OffloadedPrefixes:
    """Prefixes beyond device memory, in ``bytes_per_device`` of ``tier`` (host or nvme).
    ``capacity_tokens`` of one replica; ``includes``: whether the engine also keeps the device's
    prefixes there. ``loaded_tokens`` of an average prompt are loaded in ``load_seconds``, queueing
    for the ``link`` included; computing them would take ``compute_seconds``. ``link_busy`` is the
    link's utilization. ``loads``: whether loading is faster; if not, ``why``."""

    tier: str
    bytes_per_device: int
    capacity_tokens: int
    includes: bool
    hit_rate: float
    loaded_tokens: int
    load_seconds: float
    compute_seconds: float
    link: str
    bytes_per_second: float
    link_busy: float
    loads: bool
    why: Text
    source: str


@cached_record
class PrefixCache:
    """The prefix cache of one replica, beside weights and running sequences. ``capacity_tokens``
    stay for ``lifetime_seconds`` unused at ``requests_per_second``, and ``device_hit_rate`` of a
    prompt is found in them; ``hit_rate``, which the plan's times assume, includes offloaded
    prefixes. ``by_cache``: the same question for each cache format, the best first."""

    reuse: ReuseInfo
    capacity_tokens: int
    lifetime_seconds: float
    requests_per_second: float
    device_hit_rate: float
    hit_rate: float
    tier: str
    load_seconds: float
    by_cache: tuple[CacheWorth, ...]
    offload: OffloadedPrefixes | None = None
