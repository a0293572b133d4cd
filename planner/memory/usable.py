"""Bytes of one device that weights, caches, activations and runtime may fill together.

Every verb takes them from here. An engine that claims a share of the whole device decides it: vLLM
by its default of --gpu-memory-utilization, SGLang by what it reserves, which grows with the ranks
of a replica and with attention data parallelism. Other engines, memory that is shared with the
system and no engine at all have the device profile's share.
"""

from __future__ import annotations

from planner.base.records import record
from planner.base.units import MIB
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.placement.layout import Layout

LARGE_DEVICE_BYTES = 70 << 30
"""Devices from here on get larger default batches (vLLM, SGLang), A100 apart."""
SAME_SHARE = 1e-6
"""Shares that differ by no more were rounded to bytes."""
_LABELS = {"vllm": "vLLM", "sglang": "SGLang"}
"""Engines that claim a share of the whole device, as their makers write them."""


@record
class UsableMemory:
    """What may be filled of one device of ``capacity_bytes`` [B].

    ``share`` is that of a replica of one rank, and ``source`` says whose it is ("": the device
    profile's). ``engine`` is set where its own rule reserves more for a larger layout, with the
    prefill chunk [tokens] and the sequences of the largest captured batch that the rule counts.
    """

    capacity_bytes: int
    share: float
    source: str = ""
    engine: Engine | None = None
    chunk_tokens: int = 0
    sequences: int = 0

    @property
    def bytes(self) -> int:
        """Usable bytes of a device that is a replica by itself [B]."""
        return int(self.capacity_bytes * self.share)

    def reserved_bytes(self, layout: Layout) -> int:
        """What the engine keeps free of one device of ``layout`` beyond that [B]."""
        if self.engine is None or layout.ranks == 1:
            return 0
        share = sglang_share(
            self.engine, self.capacity_bytes, layout, self.chunk_tokens, self.sequences
        )
        return max(0, self.bytes - int(self.capacity_bytes * share))


def usable_memory(
    device: DeviceProfile,
    engine: Engine | None = None,
    *,
    chunk_tokens: int = 0,
    capacity_bytes: int | None = None,
    share: float | None = None,
) -> UsableMemory:
    """The usable memory of ``device`` under ``engine``.

    Args:
        chunk_tokens: tokens of prompts that a step of one attention rank takes.
        capacity_bytes: replaces the device's [B].
        share: replaces every rule, of a scenario or an engine's flag.
    """
    capacity = int(device.capacity_bytes.value) if capacity_bytes is None else capacity_bytes
    if share is not None:
        return UsableMemory(capacity, share, "set by the scenario")
    if (
        engine is None
        or engine.name not in _LABELS
        or device.unified_memory
        or device.kind == "cpu"
    ):
        return UsableMemory(capacity, device.usable_fraction.value)
    key = "reserved_base" if engine.name == "sglang" else "utilisation"
    constant = engine.constants[key]
    source = f"{_LABELS[engine.name]} {engine.version_text}: {constant.source}, {constant.date}"
    if engine.name == "vllm":
        return UsableMemory(capacity, constant.value, source)
    sequences = largest_batch(engine, large=is_large(device.id, capacity))
    return UsableMemory(
        capacity,
        sglang_share(engine, capacity, Layout(), chunk_tokens, sequences),
        source,
        engine,
        chunk_tokens,
        sequences,
    )


def claimed_share(
    engine: Engine,
    device_id: str,
    capacity_bytes: int,
    layout: Layout,
    chunk_tokens: int,
    *,
    usable_bytes: int | None = None,
) -> float:
    """The share of a device of ``capacity_bytes`` that a replica of ``layout`` may fill under
    SGLang: what its own rule leaves (:func:`sglang_share`); where a plan's ``usable_bytes`` [B] are
    others, somebody set them, and the share is theirs."""
    sequences = largest_batch(engine, large=is_large(device_id, capacity_bytes))
    own = sglang_share(engine, capacity_bytes, Layout(), chunk_tokens, sequences)
    if usable_bytes is not None and abs(own - usable_bytes / capacity_bytes) > SAME_SHARE:
        return round(usable_bytes / capacity_bytes, 3)
    return sglang_share(engine, capacity_bytes, layout, chunk_tokens, sequences)


def is_large(device_id: str, capacity_bytes: int) -> bool:
    """Whether engines take their larger default batches on a device of this id ("": any)."""
    return capacity_bytes >= LARGE_DEVICE_BYTES and "a100" not in device_id


def largest_batch(engine: Engine, *, large: bool) -> int:
    """Sequences of the largest batch that ``engine`` prepares for by default."""
    return engine.integer("max_seqs_large" if large else "max_seqs")


def sglang_share(
    engine: Engine, capacity_bytes: int, layout: Layout, chunk_tokens: int, sequences: int
) -> float:
    """The --mem-fraction-static that SGLang picks where none is given.

    It keeps free what it reserves for activations, captured batches and other ranks; under
    attention data parallelism ``chunk_tokens`` are of one rank, though the flag counts all.
    """
    memory = capacity_bytes / MIB
    reserved = (
        engine.number("reserved_base")
        + max(chunk_tokens, 2048) * engine.number("reserved_per_token")
        + sequences * engine.number("reserved_per_sequence")
        + layout.ranks * engine.number("reserved_per_rank")
    )
    if layout.dp > 1:
        reserved += sequences * layout.dp * engine.number("reserved_per_attention_rank")
    if memory > engine.number("reserved_floor_above"):
        reserved = max(reserved, engine.number("reserved_floor"))
    return max(0.01, round((memory - reserved) / memory, 3))
