"""What lies beside a model's own weights and caches: LoRA adapters while serving, a draft model.

Adapters: an engine holds room for so many of them in every linear layer, each of the largest rank:
A (rank × inputs) and B (outputs × rank) in the plain type. A column-parallel matrix splits B and
keeps A whole on every rank, a row-parallel one the other way round (vLLM lora/layers 0.32,
create_lora_weights, without fully_sharded_loras). An encoder of images has none, unless vLLM is
given enable_tower_connector_lora, nor has the router of experts that nothing gates
(lora/model_manager.py, _create_lora_modules). A draft lies on the last pipeline stage, with a
cache of its own for every token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.base.errors import InputError
from planner.memory.caches import CacheClass, KvOf, cache_classes
from planner.memory.resident import (
    Line,
    Loading,
    as_released,
    rank_weights,
    total,
)
from planner.models.plain import plain_type
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.layout import Layout, stage_of_layer
from planner.placement.modules import is_product, kv_heads_of

LINEAR = frozenset({
    "attention-qkv", "attention-out", "mla-q", "mla-kv", "indexer", "compressor",
    "linear-attention", "mlp-gate-up", "mlp-down", "shared-gate-up", "shared-down", "router",
    "experts-gate-up", "experts-down",
})  # fmt: skip
"""Kinds whose matrices are linear layers of a model."""
OUTSIDE = frozenset({"llama", "mistral", "mixtral", "qwen3", "qwen3_moe", "qwen3_5", "qwen3_5_moe"})
"""Types whose embedding and head take adapters in vLLM too (embedding_modules in
vllm/model_executor/models, 0.32)."""
ONE_PAIR = frozenset(
    {"gpt_oss", "qwen3_5_moe", "qwen3_omni_moe", "qwen3_omni_moe_thinker", "qwen3_vl_moe"}
)
"""Types whose experts' gate and up have one A together in vLLM (is_3d_moe_weight in
vllm/model_executor/models, 0.32; lora/layers/fused_moe.py)."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's --max-lora-rank takes (vllm/config/lora.py 0.32, MaxLoRARanks)."""
MOST_LORAS, MOST_RANK = 4096, 512
_WIDTH = {"fp32": 4}


@dataclass(frozen=True, slots=True)
class Lora:
    """Room for ``adapters`` adapters of rank ``rank`` in every linear layer."""

    adapters: int
    rank: int


@dataclass(frozen=True, slots=True)
class LoadedDraft:
    """A model that drafts tokens; kinds that are ``shared`` are the model's own. ``layout`` is how
    it lies on the ranks of a stage."""

    spec: ModelSpec
    layout: Layout
    shared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExtraModels:
    """Adapters and a draft, where there are any."""

    lora: Lora | None = None
    draft: LoadedDraft | None = None

    def weights(
        self,
        spec: ModelSpec,
        layout: Layout,
        stage: int,
        *,
        layers_here: Sequence[int],
        outside: bool = False,
    ) -> list[Line]:
        """Their bytes on a rank of ``stage``, which holds the layers ``layers_here``; ``outside``:
        the embedding and the head take adapters too."""
        lines = []
        if self.lora is not None:
            lines.append(
                Line(
                    "lora-adapters",
                    _adapters(spec, layout, self.lora, stage, layers_here, outside),
                    f"{self.lora.adapters} of rank {self.lora.rank} in every linear layer",
                )
            )
        if self.draft is not None and stage == layout.pp - 1:
            lines.append(
                Line(
                    "draft-weights",
                    _draft_bytes(self.draft),
                    f"{self.draft.spec.id}, tensor shapes and shards",
                )
            )
        return lines

    def caches(self, layout: Layout, kv: str | KvOf, stage: int) -> tuple[CacheClass, ...]:
        """The caches of the draft on a rank of ``stage``; where the model's differ by layer, BF16.

        Raises:
            UnsupportedError: a cache layout that the draft does not have.
        """
        if self.draft is None or stage != layout.pp - 1:
            return ()
        classes = cache_classes(
            self.draft.spec, self.draft.layout, kv if isinstance(kv, str) else "bf16"
        )
        return tuple(
            replace(cache_class, kind=f"draft-{cache_class.kind}") for cache_class in classes
        )


NOTHING = ExtraModels()


def read_lora(text: str, engine: str = "") -> Lora:
    """``ADAPTERSxRANK``, with x or ×.

    Raises:
        InputError: not two whole numbers, out of range, or no rank that ``engine`` takes.
    """
    left, mark, right = text.strip().lower().replace("×", "x").partition("x")
    if (
        not mark
        or not (left.isascii() and left.isdigit() and len(left) < 9)
        or not (right.isascii() and right.isdigit() and len(right) < 9)
    ):
        raise InputError(
            f"lora {text[:40]!r} is not ADAPTERSxRANK",
            hint="--lora 8x16: room for 8 adapters of rank 16",
        )
    adapters, rank = int(left), int(right)
    for name, value, most in (("adapters", adapters, MOST_LORAS), ("rank", rank, MOST_RANK)):
        if not 1 <= value <= most:
            raise InputError(f"lora: {value} {name} out of range", hint=f"1 to {most}")
    if engine == "vllm" and rank not in RANKS:
        room = next(larger_rank for larger_rank in RANKS if larger_rank > rank)
        raise InputError(
            f"lora: vllm takes no rank of {rank} (--max-lora-rank)",
            hint=f"--lora {adapters}x{room}: adapters of smaller ranks fit into it",
        )
    return Lora(adapters, rank)


def _adapters(
    spec: ModelSpec,
    layout: Layout,
    lora: Lora,
    stage: int,
    layers_here: Sequence[int],
    outside: bool,
) -> int:
    width = _WIDTH.get(plain_type(spec), 2)
    size, ungated = 0, spec.experts is not None and spec.experts.matrices == 2
    for row in spec.rows:
        if row.part != "main" or not is_product(row) or row.copy_of is not None:
            continue
        if row.kind == "router" and ungated:
            continue
        if row.kind in LINEAR and row.layers:
            here = sum(1 for layer in row.layers if layer in layers_here)
            size += here * _pair(spec, row, layout, kv_heads_of(spec, row.layers, row.kind))
        elif outside and spec.model_type in OUTSIDE:
            size += _outside(spec, row, layout, stage)
    return size * lora.adapters * lora.rank * width


def _pair(spec: ModelSpec, row: TensorRow, layout: Layout, kv_heads: int) -> int:
    """Elements of A and B of one layer on a rank, for rank 1: all experts that the rank holds. Gate
    and up that are stored as one have an A each, but in :data:`ONE_PAIR`."""
    outputs, inputs = row.shape
    if (
        row.stacked
        and spec.experts is not None
        and row.kind == "experts-gate-up"
        and outputs == 2 * spec.experts.width
        and spec.model_type not in ONE_PAIR
    ):
        inputs *= 2
    parts = layout.moe_tp if row.experts > 1 else layout.tp
    if row.shard == "column":
        kv = row.kv_outputs if kv_heads else 0
        outputs = -(-(outputs - kv) // parts) + -(-kv // min(parts, kv_heads or 1))
    elif row.shard == "row":
        inputs = -(-inputs // parts)
    experts = row.experts // layout.ep if row.experts > 1 else 1
    return experts * (outputs + inputs)


def _outside(spec: ModelSpec, row: TensorRow, layout: Layout, stage: int) -> int:
    """Elements of an embedding's or head's pair for rank 1: whole on every rank; a tied head has
    one of its own."""
    if row.kind == "head":
        return sum(row.shape) if stage == layout.pp - 1 else 0
    if row.kind != "embedding":
        return 0
    places = (stage == 0) + (spec.tied_embeddings and stage == layout.pp - 1)
    return sum(row.shape) * places


def _draft_bytes(draft: LoadedDraft) -> int:
    rows = tuple(row for row in draft.spec.rows if row.kind not in draft.shared)
    spec = replace(draft.spec, rows=rows)
    parts = tuple(dict.fromkeys(row.part for row in rows if row.part in ("main", "lookup")))
    return total(rank_weights(spec, draft.layout, Loading(parts=parts), as_released, 0))


def held_layers(spec: ModelSpec, layout: Layout, stage: int) -> tuple[int, ...]:
    """The layers of a stage where the first stages take those that are over."""
    return tuple(
        layer for layer, own in enumerate(stage_of_layer(spec.layers, layout.pp)) if own == stage
    )
