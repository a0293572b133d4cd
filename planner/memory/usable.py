"""Bytes of one device that weights, caches, activations and runtime may fill together.

Every verb takes them from here. An engine that claims a share of the whole device decides it: vLLM
by its default of --gpu-memory-utilization, SGLang by what it reserves, which grows with the ranks
of a replica and with attention data parallelism. llama.cpp takes no share: what is free, less the
margin that its own fitting leaves. Other engines, memory that is shared with the system and no
engine at all have the device profile's share.
"""

from __future__ import annotations

from math import floor

from planner.base.records import record
from planner.base.units import format_bytes
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import Engine
from planner.memory.sglang_share import PROMPT_GRAPHS, PromptGraphs, prompt_graphs, sglang_share
from planner.messages.message import message
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout

LARGE_DEVICE_BYTES = 70 << 30
"""Devices from here on get larger default batches (vLLM, SGLang), A100 apart."""
SAME_SHARE = 1e-6
"""Shares that differ by no more were rounded to bytes."""
_LABELS = {"vllm": "vLLM", "sglang": "SGLang"}
"""Engines that claim a share of the whole device, as their makers write them."""
FIT_MARGIN = "fit_margin_bytes"
"""The constant of an engine that fills what is free of a device but for a margin [B]."""


@record
class UsableMemory:
    """What may be filled of one device of ``capacity_bytes`` [B].

    ``share`` is that of a replica of one rank, and ``source`` says whose it is ("": the device
    profile's). ``engine`` is set where it claims the share and counts what lies in it, with the
    prefill chunk [tokens] of an attention rank and how prompts are captured; ``by_rule``: the share
    is of its own rule, which may reserve more for a larger layout. ``server`` is the engine,
    whether it claims a share or not.
    """

    capacity_bytes: int
    share: float
    source: str = ""
    engine: Engine | None = None
    chunk_tokens: int = 0
    graphs: PromptGraphs = "plain"
    by_rule: bool = True
    server: Engine | None = None

    @property
    def bytes(self) -> int:
        """Usable bytes of a device that is a replica by itself [B]."""
        return int(self.capacity_bytes * self.share)

    def reserved_bytes(self, layout: Layout) -> int:
        """What the engine keeps free of one device of ``layout`` beyond that [B]; less than nothing
        in pipelines, whose prompts SGLang does not capture."""
        if self.engine is None or self.engine.name != "sglang" or not self.by_rule:
            return 0
        if layout.ranks == 1:
            return 0
        share = sglang_share(
            self.engine, self.capacity_bytes, layout, self.chunk_tokens, graphs=self.graphs
        )
        return self.bytes - int(self.capacity_bytes * share)


def usable_memory(
    device: DeviceProfile,
    engine: Engine | None = None,
    spec: ModelSpec | None = None,
    *,
    chunk_tokens: int = 0,
    capacity_bytes: int | None = None,
    share: float | None = None,
) -> UsableMemory:
    """The usable memory of ``device`` under ``engine``, which serves ``spec`` (None: any).

    Args:
        chunk_tokens: tokens of prompts that a step of one attention rank takes.
        capacity_bytes: replaces the device's [B].
        share: replaces every rule, of a scenario or an engine's flag.
    """
    capacity = int(device.capacity_bytes.value) if capacity_bytes is None else capacity_bytes
    if (
        engine is None
        or engine.name not in _LABELS
        or device.unified_memory
        or device.kind == "cpu"
    ):
        if share is not None:
            return UsableMemory(capacity, share, "set by the scenario", server=engine)
        if engine is not None and FIT_MARGIN in engine.constants and device.kind == "gpu":
            return _but_for_a_margin(capacity, engine, max(len(device.cards), 1))
        return UsableMemory(capacity, device.usable_fraction.value, server=engine)
    if share is not None:
        return UsableMemory(
            capacity,
            share,
            "set by the scenario",
            engine,
            chunk_tokens,
            by_rule=False,
            server=engine,
        )
    key = "reserved_base" if engine.name == "sglang" else "utilisation"
    constant = engine.constants[key]
    source = message(
        "assumptions.of_engine_version",
        engine=_LABELS[engine.name],
        version=engine.version_text,
        source=f"{constant.source}, {constant.date}",
    )
    if engine.name == "vllm":
        return UsableMemory(capacity, constant.value, source, engine, chunk_tokens, server=engine)
    graphs = prompt_graphs(spec)
    return UsableMemory(
        capacity,
        sglang_share(engine, capacity, Layout(), chunk_tokens, graphs=graphs),
        source,
        engine,
        chunk_tokens,
        graphs,
        server=engine,
    )


def _but_for_a_margin(capacity: int, engine: Engine, cards: int) -> UsableMemory:
    """All of a device of ``capacity`` [B] but the margin that ``engine`` leaves on each card."""
    margin = engine.constants[FIT_MARGIN]
    left = max(capacity - int(margin.value) * cards, 0)
    source = message(
        "assumptions.margin_of_engine",
        engine=engine.name,
        margin=format_bytes(margin.value),
        source=f"{margin.source}, {margin.date}",
    )
    return UsableMemory(capacity, left / capacity, source, server=engine)


def shared_memory_utilization(usable_bytes: int, capacity_bytes: int) -> float:
    """vLLM's --gpu-memory-utilization on a memory of ``capacity_bytes`` that the system and other
    programs use as well, in hundredths: its default is that of a device of its own, and refuses to
    start where less is free."""
    return floor(100 * (usable_bytes / capacity_bytes + SAME_SHARE)) / 100


def claimed_share(
    engine: Engine,
    capacity_bytes: int,
    layout: Layout,
    chunk_tokens: int,
    *,
    usable_bytes: int | None = None,
) -> float:
    """The share of a device of ``capacity_bytes`` that a replica of ``layout`` may fill under
    SGLang: what its own rule leaves (:func:`sglang_share`); where a plan's ``usable_bytes`` [B] are
    others, somebody set them, and the share is theirs. Which prompts are captured follows from the
    plan's share; without one, those that most is reserved for are."""
    for graphs in PROMPT_GRAPHS:
        own = sglang_share(engine, capacity_bytes, Layout(), chunk_tokens, graphs=graphs)
        if usable_bytes is None or abs(own - usable_bytes / capacity_bytes) <= SAME_SHARE:
            return sglang_share(engine, capacity_bytes, layout, chunk_tokens, graphs=graphs)
    assert usable_bytes is not None
    return round(usable_bytes / capacity_bytes, 3)


def is_large(device_id: str, capacity_bytes: int) -> bool:
    """Whether engines take their larger default batches on a device of this id ("": any)."""
    return capacity_bytes >= LARGE_DEVICE_BYTES and "a100" not in device_id
