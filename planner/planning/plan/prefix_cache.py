"""What a plan says about the prefixes that its caches keep, where that was asked for."""

from __future__ import annotations

from planner.base.records import cached_record


@cached_record
class ReuseInfo:
    """How prompts come back: the workload it is of, where its numbers come from, and the share of a
    prompt that a cache without end finds."""

    workload: str
    source: str
    ideal_hit_rate: float


@cached_record
class CacheWorth:
    """The plan with every cache in one format, on its best layout and batch over all ``devices``:
    tokens of prefixes that one replica keeps on them, share of a prompt that is found, times and
    rate."""

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

    ``capacity_tokens`` of one replica; what the engine keeps there ``includes`` what the devices
    keep, or not. ``loaded_tokens`` of an average prompt come from there in ``load_seconds``, its
    wait for the ``link`` included; computing them would take ``compute_seconds``. ``link_busy`` is
    the share of time that the link loads. ``loads``: whether that is worth it; where not, ``why``.
    """

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
    why: str
    source: str


@cached_record
class PrefixCache:
    """Prefixes of one replica beside its weights and running sequences.

    ``capacity_tokens`` stay for ``lifetime_seconds`` untouched at ``requests_per_second``, and
    ``device_hit_rate`` of a prompt is found in them; ``hit_rate`` is what the plan's times assume,
    the tier beyond the devices included. ``by_cache``: the same question with one cache format
    each, the best first.
    """

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
