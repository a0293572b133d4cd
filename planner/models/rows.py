"""Tensor rows shared by the families: one function per building block of a decoder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from planner.base.records import record
from planner.models.spec import Experts, Part, ShardAxis, StoredAs, TensorRow
from planner.models.storage import Storage, stored_type

LAYER = "model.layers.{layer}."
EMBEDDING = "model.embed_tokens.weight"


@record
class Provenance:
    """Where a configuration came from; copied into the ModelSpec."""

    id: str
    public_name: str
    source: str
    source_kind: str
    config_sha256: str


@record
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
    """A weight matrix (outputs, inputs) of a linear layer, which releases may quantise."""
    return TensorRow(
        name=name + ".weight", kind=kind, shape=shape, layers=layers, experts=experts,
        fused=fused, shard=shard, dtype=storage.plain, scale_name=None, scale_shape=None,
        scale_dtype=None, part="main", quantisable=True,
    )  # fmt: skip


def stack(
    storage: Storage,
    name: str,
    kind: str,
    shape: tuple[int, int],
    layers: tuple[int, ...],
    *,
    fused: str,
    shard: ShardAxis,
    experts: int,
    transposed: bool = False,
) -> TensorRow:
    """The matrices (outputs, inputs) of all experts of a layer in one tensor ``name``.

    ``transposed``: the tensor is (experts, inputs, outputs).
    """
    row = replace(linear(storage, name, kind, shape, layers, fused=fused, shard=shard,
                         experts=experts), name=name, stacked=True)  # fmt: skip
    if not transposed:
        return row
    lies = StoredAs(name, stored_type(storage.plain).name, (experts, shape[1], shape[0]))
    return replace(row, stored=lies)


def norm(storage: Storage, name: str, width: int, layers: tuple[int, ...]) -> TensorRow:
    """The weight of an RMS norm over ``width``."""
    fused = name.removeprefix(LAYER).removeprefix("model.").replace(".", "-").replace("_", "-")
    return plain(storage, f"{name}.weight", "norm", (width,), layers, fused=fused)


def bias(storage: Storage, matrix: TensorRow, *, shard: ShardAxis = "replicated") -> TensorRow:
    """The bias of ``matrix``: one value an output, in the plain type."""
    row = plain(
        storage, matrix.name.removesuffix("weight") + "bias", matrix.kind, matrix.shape[:1],
        matrix.layers, fused=matrix.fused + "-bias", shard=shard,
    )  # fmt: skip
    return replace(row, kv_outputs=matrix.kv_outputs)


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
    out_bias: bool | None = None,
    value_dim: int = 0,
    query_parts: int = 1,
) -> list[TensorRow]:
    """Query, key, value and output projections of grouped-query attention.

    ``out_bias`` is for the output alone, as ``biases`` where not given; values are ``value_dim``
    wide, 0 for ``head_dim``; a query projection of two ``query_parts`` makes an output gate too.
    """
    value_dim = value_dim or head_dim
    prefix = LAYER + "self_attn."
    sizes = (("q", query_parts * heads * head_dim), ("k", kv_heads * head_dim),
             ("v", kv_heads * value_dim))  # fmt: skip
    rows = [
        replace(linear(storage, f"{prefix}{letter}_proj", "attention-qkv", (width, hidden), layers,
                       fused="qkv", shard="column"), kv_outputs=0 if letter == "q" else width)
        for letter, width in sizes
    ]  # fmt: skip
    out = linear(storage, prefix + "o_proj", "attention-out", (hidden, heads * value_dim), layers,
                 fused="o", shard="row")  # fmt: skip
    return [*with_biases(storage, rows, biases),
            *with_biases(storage, [out], biases if out_bias is None else out_bias)]  # fmt: skip


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
        plain(storage, EMBEDDING, "embedding", (vocab, hidden), (), fused="embedding",
              shard="vocab"),
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


def renamed(rows: Iterable[TensorRow], old: str, new: str) -> list[TensorRow]:
    """``rows`` with ``new`` in place of ``old`` where a name begins with it."""

    def moved(name: str) -> str:
        return new + name.removeprefix(old) if name.startswith(old) else name

    def lying(stored: StoredAs | None) -> StoredAs | None:
        return None if stored is None else replace(stored, name=moved(stored.name))

    return [
        replace(
            row, name=moved(row.name), stored=lying(row.stored),
            stored_scale=lying(row.stored_scale),
            scale_name=None if row.scale_name is None else moved(row.scale_name),
            extras=tuple(replace(extra, name=moved(extra.name)) for extra in row.extras),
            copy_of=None if row.copy_of is None else moved(row.copy_of),
        )
        for row in rows
    ]  # fmt: skip


def part_of(rows: Iterable[TensorRow], part: Part) -> list[TensorRow]:
    """``rows`` as tensors of ``part``; those of prediction layers are of kind ``mtp``."""
    if part == "mtp":
        return [replace(row, part=part, kind="mtp") for row in rows]
    return [replace(row, part=part) for row in rows]


DENSE_MLP = GatedMlp("mlp.", "gate_proj", "up_proj", "down_proj", "mlp")
SHARED_MLP = GatedMlp("mlp.shared_experts.", "gate_proj", "up_proj", "down_proj", "shared")
NUMBERED_MLP = GatedMlp("block_sparse_moe.experts.{expert}.", "w1", "w3", "w2", "experts")
"""Mixtral's experts: w1 is the gate, w3 the up and w2 the down projection."""
EXPERT_MLP = GatedMlp("mlp.experts.{expert}.", "gate_proj", "up_proj", "down_proj", "experts")


def routed(
    storage: Storage, experts: Experts, layers: tuple[int, ...], *, hidden: int, corrected: bool
) -> list[TensorRow]:
    """Router (with its correction bias), routed and shared experts of ``layers``."""
    if not layers:
        return []
    tensors = router(storage, "mlp.gate", hidden, experts.count, layers)
    if corrected:
        tensors.append(
            plain(
                storage,
                LAYER + "mlp.gate.e_score_correction_bias",
                "router",
                (experts.count,),
                layers,
                fused="router-bias",
                dtype="fp32",
            )
        )
    tensors += gated_mlp(
        storage, EXPERT_MLP, layers, hidden=hidden, width=experts.width, experts=experts.count
    )
    if experts.shared:
        tensors += gated_mlp(storage, SHARED_MLP, layers, hidden=hidden, width=experts.shared_width)
    return tensors


def stacked_experts(rows: Iterable[TensorRow], *, transposed: bool) -> list[TensorRow]:
    """``rows`` with the experts of a layer in one tensor, gate and up side by side: (experts,
    outputs, inputs), ``transposed`` (experts, inputs, outputs)."""
    made: list[TensorRow] = []
    for row in rows:
        name = row.name.replace(".{expert}", "").removesuffix(".weight")
        if row.kind == "experts-gate-up" and name.endswith("up_proj"):
            continue
        if row.experts > 1:
            double = 2 if row.kind == "experts-gate-up" else 1
            row = stack(
                Storage(row.dtype), name.replace("gate_proj", "gate_up_proj"), row.kind,
                (double * row.shape[0], row.shape[1]), row.layers, fused=row.fused,
                shard=row.shard, experts=row.experts, transposed=transposed)  # fmt: skip
        made.append(row)
    return made


def prediction_ends(
    storage: Storage, layers: tuple[int, ...], *, hidden: int, vocab: int, tied: bool, copies: bool
) -> list[TensorRow]:
    """What a prediction layer of DeepSeek-V3 has beside a decoder layer.

    ``copies``: the release stores copies of embedding and head in it.
    """
    head = EMBEDDING if tied else "lm_head.weight"
    both = [
        plain(storage, LAYER + name, "mtp", (vocab, hidden), layers, fused=fused, shard="vocab",
              copy_of=source)
        for name, fused, source in (("embed_tokens.weight", "embedding", EMBEDDING),
                                    ("shared_head.head.weight", "head", head))
    ]  # fmt: skip
    return [
        *(both[:1] if copies else ()),
        norm(storage, LAYER + "enorm", hidden, layers),
        norm(storage, LAYER + "hnorm", hidden, layers),
        plain(storage, LAYER + "eh_proj.weight", "mtp", (hidden, 2 * hidden), layers,
              fused="eh-proj"),
        norm(storage, LAYER + "shared_head.norm", hidden, layers),
        *(both[1:] if copies else ()),
    ]  # fmt: skip
