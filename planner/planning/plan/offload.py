"""What a plan file says of weights in the memory of a host."""

from __future__ import annotations

from typing import Literal

from planner.base.records import cached_record


@cached_record
class OffloadSeconds:
    """A decode step by place: the three add up to TPOT without prefill interference."""

    device: float
    host: float
    link: float


@cached_record
class OffloadInfo:
    """What is offloaded to the memory of ``sockets`` sockets of ``host``, and what a step spends
    there. ``places``: the first ``layers`` have their ``kinds`` in host memory, or the least
    popular experts of every layer are there. Experts are counted over all layers; ``hit_rate``
    is the share of routed tokens (of layers, in dense models) that the device serves. ``mode``
    is for decode and ``prompt_mode`` for prefill: computed on the CPU, or fetched.
    ``memory_bytes`` is the host's room, ``host_bytes`` of it used; ``device_bytes`` are the
    weights on the device. ``flags`` are the server's.
    """

    host: str
    sockets: int
    memory_bytes: int
    places: Literal["layers", "experts"]
    kinds: tuple[str, ...]
    layers: tuple[int, ...]
    experts_on_device: int
    experts_in_host: int
    device_bytes: int
    host_bytes: int
    scheme_device: tuple[str, ...]
    scheme_host: tuple[str, ...]
    hit_rate: float
    mode: Literal["computed", "fetched"]
    prompt_mode: Literal["computed", "fetched"]
    step_seconds: OffloadSeconds
    link_bytes_per_second: float
    engine: str
    flags: tuple[str, ...]
    basis: str
