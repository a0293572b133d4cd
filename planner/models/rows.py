"""Tensor rows shared by the families: one function per building block of a decoder."""

from __future__ import annotations

from dataclasses import dataclass

from planner.models.spec import ShardAxis, TensorRow
from planner.models.storage import Storage

LAYER = "model.layers.{layer}."
_SCALE_SUFFIX = "weight_scale_inv"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a configuration came from; copied into the ModelSpec."""

    id: str
    public_name: str
    source: str
    source_kind: str
    config_sha256: str


@dataclass(frozen=True, slots=True)
class GatedMlp:
    """Names and kinds of one gated MLP: ``gate`` and ``up`` are one GEMM, then ``down``."""

    prefix: str
    gate: str
    up: str
    down: str
    kind: str


def plain(
    storage: Storage,
    name: str,
    kind: str,
    shape: tuple[int, ...],
    layers: tuple[int, ...],
    *,
    fused: str,
    shard: ShardAxis = "replicated",
    dtype: str | None = None,
    copy_of: str | None = None,
) -> TensorRow:
    """A row that no scheme of the release quantises, in ``dtype`` or the plain type."""
    return TensorRow(
        name=name, kind=kind, shape=shape, layers=layers, experts=1, fused=fused, shard=shard,
        dtype=dtype or storage.plain, scale_name=None, scale_shape=None, scale_dtype=None,
        part="main", copy_of=copy_of,
    )  # fmt: skip


def linear(
    storage: Storage,
    name: str,
    kind: str,
    shape: tuple[int, int],
    layers: tuple[int, ...],
    *,
    fused: str,
    shard: ShardAxis,
    experts: int = 1,
) -> TensorRow:
    """A weight matrix (outputs, inputs), quantised in blocks where the release quantises."""
    block = storage.block
    scale_shape = None if block is None else (-(-shape[0] // block), -(-shape[1] // block))
    return TensorRow(
        name=name + ".weight", kind=kind, shape=shape, layers=layers, experts=experts,
        fused=fused, shard=shard, dtype=storage.plain if block is None else "e4m3fn",
        scale_name=None if block is None else f"{name}.{_SCALE_SUFFIX}",
        scale_shape=scale_shape, scale_dtype=None if block is None else "fp32", part="main",
    )  # fmt: skip


def norm(storage: Storage, name: str, width: int, layers: tuple[int, ...]) -> TensorRow:
    """The weight of an RMS norm over ``width``."""
    fused = name.removeprefix(LAYER).removeprefix("model.").replace(".", "-").replace("_", "-")
    return plain(storage, f"{name}.weight", "norm", (width,), layers, fused=fused)


def bias(
    storage: Storage, matrix: TensorRow, *, shard: ShardAxis = "replicated"
) -> TensorRow:
    """The bias of ``matrix``: one value an output, in the plain type."""
    return plain(
        storage, matrix.name.removesuffix("weight") + "bias", matrix.kind, matrix.shape[:1],
        matrix.layers, fused=matrix.fused + "-bias", shard=shard,
    )  # fmt: skip


def with_biases(storage: Storage, rows: list[TensorRow], wanted: bool) -> list[TensorRow]:
    """``rows``, and where ``wanted`` a bias after each; a column split cuts its bias too."""
    if not wanted:
        return rows
    return [
        item
        for row in rows
        for item in (
            row,
            bias(storage, row, shard="column" if row.shard == "column" else "replicated"),
        )
    ]


def gqa(
    storage: Storage,
    layers: tuple[int, ...],
    *,
    hidden: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    biases: bool,
) -> list[TensorRow]:
    """Query, key, value and output projections of grouped-query attention."""
    prefix = LAYER + "self_attn."
    sizes = (("q", heads), ("k", kv_heads), ("v", kv_heads))
    rows = [
        linear(storage, f"{prefix}{letter}_proj", "attention-qkv", (count * head_dim, hidden),
               layers, fused="qkv", shard="column")
        for letter, count in sizes
    ]  # fmt: skip
    rows.append(
        linear(storage, prefix + "o_proj", "attention-out", (hidden, heads * head_dim), layers,
               fused="o", shard="row")
    )  # fmt: skip
    return with_biases(storage, rows, biases)


def gated_mlp(
    storage: Storage,
    mlp: GatedMlp,
    layers: tuple[int, ...],
    *,
    hidden: int,
    width: int,
    experts: int = 1,
    biases: bool = False,
) -> list[TensorRow]:
    """Gate, up and down projections of one MLP class; ``experts`` copies in each layer."""
    if not layers:
        return []
    group = "" if mlp.kind == "mlp" else mlp.kind + "-"
    prefix = LAYER + mlp.prefix
    rows = [
        linear(storage, prefix + name, mlp.kind + "-gate-up", (width, hidden), layers,
               fused=group + "gate-up", shard="column", experts=experts)
        for name in (mlp.gate, mlp.up)
    ]  # fmt: skip
    rows.append(
        linear(storage, prefix + mlp.down, mlp.kind + "-down", (hidden, width), layers,
               fused=group + "down", shard="row", experts=experts)
    )  # fmt: skip
    return with_biases(storage, rows, biases)


def router(
    storage: Storage, name: str, hidden: int, experts: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    """The matrix that scores the experts; releases keep it in the plain type."""
    if not layers:
        return []
    return [plain(storage, f"{LAYER}{name}.weight", "router", (experts, hidden), layers,
                  fused="router")]  # fmt: skip


def ends(storage: Storage, *, hidden: int, vocab: int, tied: bool) -> list[TensorRow]:
    """Embedding, final norm, and the head unless it is the embedding."""
    rows = [
        plain(storage, "model.embed_tokens.weight", "embedding", (vocab, hidden), (),
              fused="embedding", shard="vocab"),
        norm(storage, "model.norm", hidden, ()),
    ]  # fmt: skip
    if not tied:
        rows.append(plain(storage, "lm_head.weight", "head", (vocab, hidden), (), fused="head",
                          shard="vocab"))  # fmt: skip
    return rows


def layer_norms(storage: Storage, hidden: int, layers: tuple[int, ...]) -> list[TensorRow]:
    """The norms before attention and before the MLP."""
    return [
        norm(storage, LAYER + "input_layernorm", hidden, layers),
        norm(storage, LAYER + "post_attention_layernorm", hidden, layers),
    ]


DENSE_MLP = GatedMlp("mlp.", "gate_proj", "up_proj", "down_proj", "mlp")
SHARED_MLP = GatedMlp("mlp.shared_experts.", "gate_proj", "up_proj", "down_proj", "shared")
EXPERT_MLP = GatedMlp("mlp.experts.{expert}.", "gate_proj", "up_proj", "down_proj", "experts")
