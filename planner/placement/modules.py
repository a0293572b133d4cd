"""Inventory × layout: the modules of a model as GEMMs, with their shards per rank.

A *module* is one kind in one set of layers (all tensors of a kind that layers share). Costs are
computed once a module and multiplied by layer counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from planner.models.inventory import row_bytes
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.placement.layout import Layout

PLANNED_KINDS = (
    "attention-qkv", "mla-q", "mla-kv", "attention-out", "linear-attention", "mlp-gate-up",
    "mlp-down", "experts-gate-up", "experts-down", "shared-gate-up", "shared-down",
)
AS_RELEASED_KINDS = ("embedding", "indexer", "router", "norm", "head")
EXPERT_KINDS = ("experts-gate-up", "experts-down")


@dataclass(frozen=True, slots=True)
class Gemm:
    """One matrix multiplication of a layer: members are (outputs, inputs) of the fused matrices."""

    members: tuple[tuple[int, int], ...]
    shard: str
    key_value: tuple[bool, ...]

    @property
    def inputs(self) -> int:
        return self.members[0][1]


@dataclass(frozen=True, slots=True)
class Module:
    """One kind in one set of layers; ``gemms`` of one layer (of one expert, for experts).

    ``stored_bytes`` are the bytes of one layer as released, scales and vectors included (all
    experts). ``vector_bytes`` are the part that no scheme changes (biases, norms). ``scheme`` is
    what its matrices were released in, None where they are plain elements of ``dtype``.
    """

    kind: str
    layers: tuple[int, ...]
    experts: int
    gemms: tuple[Gemm, ...]
    stored_bytes: int
    vector_bytes: int
    dtype: str
    scheme: str | None = None


def _gemms(rows: Sequence[TensorRow]) -> tuple[Gemm, ...]:
    groups: dict[str, list[TensorRow]] = {}
    for row in rows:
        if row.is_matrix:
            groups.setdefault(row.fused, []).append(row)
    return tuple(
        Gemm(members=tuple((r.shape[0], r.shape[1]) for r in group), shard=group[0].shard,
             key_value=tuple(".k_proj." in r.name or ".v_proj." in r.name for r in group))
        for group in groups.values())


def modules(spec: ModelSpec) -> tuple[Module, ...]:
    """The modules of the main model in reading order."""
    grouped: dict[tuple[str, tuple[int, ...]], list[TensorRow]] = {}
    for row in spec.rows:
        if row.part == "main" and row.copy_of is None:
            grouped.setdefault((row.kind, row.layers), []).append(row)
    ordered = sorted(grouped.items(), key=lambda item: kind_order(item[0][0]))
    out = []
    for (kind, layers), rows in ordered:
        matrices = [r for r in rows if r.is_matrix]
        vectors = sum(row_bytes(r) for r in rows if not r.is_matrix)
        out.append(Module(
            kind=kind, layers=layers, experts=max((r.experts for r in rows), default=1),
            gemms=_gemms(rows),
            stored_bytes=sum(row_bytes(r) for r in rows),
            vector_bytes=vectors,
            dtype=(matrices or rows)[0].dtype, scheme=(matrices or rows)[0].scheme))
    return tuple(out)


_ORDER = {kind: i for i, kind in enumerate((
    "embedding", "attention-qkv", "mla-q", "mla-kv", "attention-out", "indexer",
    "linear-attention", "mlp-gate-up", "mlp-down", "router", "experts-gate-up", "experts-down",
    "shared-gate-up", "shared-down", "norm", "head", "kv-k", "kv-v", "kv-latent"))}


def kind_order(kind: str) -> int:
    """Position of a kind in reading order (through a layer, then the caches)."""
    return _ORDER.get(kind, len(_ORDER))


def shard_members(module: Module, gemm: Gemm, layout: Layout, kv_heads: int,
                  ) -> list[tuple[int, int]]:
    """(outputs, inputs) of each member on one rank.

    Column-parallel matrices split outputs, row-parallel ones inputs; key and value projections
    keep whole heads, copied where tp exceeds the head count. Experts split over MoE tp.
    """
    width = layout.moe_tp if module.kind in EXPERT_KINDS else layout.tp
    shards = []
    for (outputs, inputs), is_kv in zip(gemm.members, gemm.key_value, strict=True):
        if gemm.shard in ("column", "vocab"):
            parts = min(width, kv_heads) if is_kv and kv_heads else width
            shards.append((outputs // parts, inputs))
        elif gemm.shard == "row":
            shards.append((outputs, inputs // width))
        else:
            shards.append((outputs, inputs))
    return shards


def local_experts(module: Module, layout: Layout) -> int:
    """Experts a rank holds (1 for modules without experts)."""
    return module.experts // layout.ep if module.kind in EXPERT_KINDS else 1


def expected_distinct_experts(count: int, per_token: int, tokens: float) -> float:
    """E·(1 − (1 − k/E)^B): distinct experts that ``tokens`` independent tokens touch in a layer.

    Exact for equal marginals, whatever the group limits (each token's k picks are distinct).
    """
    share: float = (1.0 - per_token / count) ** tokens
    return count * (1.0 - share)


def attention_of(spec: ModelSpec) -> Attention:
    """The attention of a model whose layers are alike (all bundled ones)."""
    return spec.attention[0]
