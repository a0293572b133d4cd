"""The --mem-fraction-static that SGLang picks where none is given, by its own formula.

It keeps free what it reserves for activations of a chunk of prompts, for captured batches of
decoding and of prompts, and for other ranks. Chunks and captured batches go by the memory of a
device and the ranks of a stage: ``data/sglang_tiers.csv``. The reserves by version are constants of
``data/engines.toml``.
"""

from __future__ import annotations

import csv
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Literal

from planner.base.records import record
from planner.base.units import MIB
from planner.base.versions import Version, version_of
from planner.memory.engines.catalog import Engine
from planner.models.spec import ModelSpec
from planner.placement.layout import Layout

_DATA = Path(__file__).resolve().parent / "data" / "sglang_tiers.csv"
PromptGraphs = Literal["none", "plain", "latent"]
"""Whether prompts are captured, and which reserve that has: a list of sizes, or MLA's."""
PROMPT_GRAPHS: tuple[PromptGraphs, ...] = ("latent", "plain", "none")
"""From the largest reserve to none."""
_LEAST_TOKENS = 2048
_WIDE = 300
"""Captured batches from here on have more reserved under attention data parallelism."""
_UNCAPTURED = ("csa", "hca", "swa")
"""Attention whose prompts are not captured: DeepSeek-V4's."""


@record
class SglangTier:
    """Defaults on devices from a size on, for stages of ``ranks`` and more: the chunk of prompts
    [tokens] and the largest captured batch [sequences]."""

    since: Version
    from_mib: float
    ranks: int
    chunk: int
    graph_batch: int


def sglang_tier(engine: Engine, capacity_bytes: int, layout: Layout) -> SglangTier:
    """The defaults of ``engine`` on a device of ``capacity_bytes`` under ``layout``."""
    memory = capacity_bytes / MIB
    able = [
        tier
        for tier in _tiers()
        if tier.since <= engine.version
        and tier.from_mib <= memory
        and tier.ranks <= layout.tp * layout.dp
    ]
    return max(able, key=lambda tier: (tier.from_mib, tier.since, tier.ranks))


def prompt_graphs(spec: ModelSpec | None) -> PromptGraphs:
    """How SGLang captures prompts of ``spec`` by default: not those of DeepSeek-V4, of Kimi's
    delta attention and of models that see; with a reserve of its own where latents are kept."""
    if spec is None:
        return "plain"
    kinds = {a.kind for a in spec.attention}
    sees = any(row.part == "vision" for row in spec.rows)
    if sees or kinds & set(_UNCAPTURED) or any(a.rule == "kda" for a in spec.attention):
        return "none"
    return "latent" if "mla" in kinds else "plain"


def sglang_share(
    engine: Engine,
    capacity_bytes: int,
    layout: Layout,
    chunk_tokens: int,
    *,
    graphs: PromptGraphs = "plain",
    running: int = 0,
) -> float:
    """The fraction on a device of ``capacity_bytes`` under ``layout``.

    ``chunk_tokens`` are of one attention rank; ``running`` is --max-running-requests, 0 where it
    is not given: no larger batch is captured.
    """
    memory = capacity_bytes / MIB
    batch = sglang_tier(engine, capacity_bytes, layout).graph_batch
    if running and engine.integer("graphs_to_running"):
        batch = min(batch, running)
    reserved = (
        engine.number("reserved_base")
        + max(chunk_tokens, _LEAST_TOKENS) * engine.number("reserved_per_token")
        + batch * engine.number("reserved_per_sequence")
        + layout.ranks * engine.number("reserved_per_rank")
    )
    if layout.dp > 1:
        wide = engine.number("reserved_per_wide_rank") if batch > _WIDE else 0
        reserved += batch * layout.dp * (engine.number("reserved_per_attention_rank") + wide)
    if layout.pp == 1 and graphs == "latent":
        reserved += engine.number("reserved_latent_prompts")
    elif layout.pp == 1 and graphs == "plain":
        reserved += _prompt_sizes(chunk_tokens) * engine.number("reserved_per_prompt_size")
    if memory > engine.number("reserved_floor_above"):
        reserved = max(reserved, engine.number("reserved_floor"))
    return max(0.01, round((memory - reserved) / memory, 3))


def _prompt_sizes(most: int) -> int:
    """How many sizes of prompts are captured up to ``most`` tokens."""
    sizes = chain(
        range(4, 33, 4),
        range(48, 257, 16),
        range(288, 513, 32),
        range(576, 1025, 64),
        range(1280, 4097, 256),
        range(4608, most + 1, 512),
    )
    return sum(size <= most for size in sizes)


@cache
def _tiers() -> tuple[SglangTier, ...]:
    with _DATA.open(encoding="utf-8", newline="") as file:
        return tuple(
            SglangTier(
                version_of(row["since"]),
                float(row["from_mib"]),
                int(row["ranks"]),
                int(row["chunk"]),
                int(row["graph_batch"]),
            )
            for row in csv.DictReader(file)
        )
