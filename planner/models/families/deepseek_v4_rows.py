"""The structure of DeepSeek-V4 and its tensors, under the names of its release."""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.models import rows
from planner.models.families.common import Backbone
from planner.models.quantization.forms import DEEPSEEK_FP4, store
from planner.models.rows import GatedMlp
from planner.models.spec import Attention, Experts, TensorRow
from planner.models.storage import Storage

_LAYER = "layers.{layer}."
_EXPERT = GatedMlp("ffn.experts.{expert}.", "w1", "w3", "w2", "experts")
_SHARED = GatedMlp("ffn.shared_experts.", "w1", "w3", "w2", "shared")


@dataclass(frozen=True, slots=True)
class V4Structure:
    """The typed configuration. ``streams`` residual streams are mixed around each half layer."""

    size: Backbone
    attention: tuple[Attention, ...]
    experts: Experts
    ratios: tuple[int, ...]
    prediction: int
    out_groups: int
    out_rank: int
    streams: int
    fp4: bool


def ends(storage: Storage, config: V4Structure) -> list[TensorRow]:
    """Embedding, final norm, head, and what joins the residual streams before the head."""
    size = config.size
    matrix = (size.vocab, size.hidden)
    head = [rows.plain(storage, "head.weight", "head", matrix, (), fused="head", shard="vocab")]
    return [
        rows.plain(storage, "embed.weight", "embedding", matrix, (), fused="embedding",
                   shard="vocab"),
        rows.plain(storage, "norm.weight", "norm", (size.hidden,), (), fused="norm"),
        *_head_mixing(storage, config, "", ()),
        *([] if size.tied else head),
    ]  # fmt: skip


def decoder(storage: Storage, config: V4Structure, layers: tuple[int, ...]) -> list[TensorRow]:
    """Every tensor of decoder layers ``layers``, main or prediction."""
    groups = [
        replace(group, layers=tuple(layer for layer in layers if layer in set(group.layers)))
        for group in config.attention
    ]
    return [
        *_attention(storage, config, layers),
        *(row for group in groups if group.layers for row in _compression(storage, config, group)),
        *_norms(storage, config, layers),
        *_mixing(storage, config, layers),
        *_feed_forward(storage, config, layers),
    ]


def prediction(storage: Storage, config: V4Structure) -> list[TensorRow]:
    """Prediction layers: a windowed decoder layer each, with projections of its two inputs.

    Embedding and head are the main model's and are not stored again.
    """
    hidden, found = config.size.hidden, []
    for number in range(config.prediction):
        layers = (config.size.layers + number,)
        own = [
            *decoder(storage, config, layers),
            *(rows.linear(storage, _LAYER + name, "mtp", (hidden, hidden), layers,
                          fused=name.replace("_", "-"), shard="replicated")
              for name in ("e_proj", "h_proj")),
            *(rows.plain(storage, f"{_LAYER}{name}.weight", "mtp", (hidden,), layers, fused=name)
              for name in ("enorm", "hnorm", "norm")),
            *_head_mixing(storage, config, _LAYER, layers),
        ]  # fmt: skip
        found += rows.part_of(rows.renamed(own, _LAYER, f"mtp.{number}."), "mtp")
    return found


def _attention(storage: Storage, config: V4Structure, layers: tuple[int, ...]) -> list[TensorRow]:
    a, hidden, prefix = config.attention[0], config.size.hidden, _LAYER + "attn."
    rank = a.q_lora_rank or 0
    low = config.out_groups * config.out_rank
    return [
        rows.linear(storage, prefix + "wq_a", "mla-q", (rank, hidden), layers, fused="q-a",
                    shard="replicated"),
        rows.plain(storage, prefix + "q_norm.weight", "norm", (rank,), layers, fused="q-norm"),
        rows.linear(storage, prefix + "wq_b", "mla-q", (a.heads * a.head_dim, rank), layers,
                    fused="q-b", shard="column"),
        rows.linear(storage, prefix + "wkv", "mla-kv", (a.head_dim, hidden), layers, fused="kv",
                    shard="replicated"),
        rows.plain(storage, prefix + "kv_norm.weight", "norm", (a.head_dim,), layers,
                   fused="kv-norm"),
        rows.plain(storage, prefix + "attn_sink", "mla-q", (a.heads,), layers, fused="sinks",
                   shard="column", dtype="fp32"),
        rows.linear(storage, prefix + "wo_a", "attention-out",
                    (low, a.heads * a.head_dim // config.out_groups), layers, fused="o-a",
                    shard="column"),
        rows.linear(storage, prefix + "wo_b", "attention-out", (hidden, low), layers, fused="o-b",
                    shard="row"),
    ]  # fmt: skip


def _compression(storage: Storage, config: V4Structure, a: Attention) -> list[TensorRow]:
    """The compressor of csa and hca, and csa's indexer with a compressor of its own.

    A csa entry overlaps two groups of tokens, so its projections are two vectors wide.
    """
    if a.kind == "swa":
        return []
    hidden, overlap = config.size.hidden, 2 if a.kind == "csa" else 1

    def compressor(prefix: str, kind: str, width: int) -> list[TensorRow]:
        wide, stem = overlap * width, "indexer-" if kind == "indexer" else ""
        return [
            *(rows.plain(storage, f"{prefix}{name}.weight", kind, (wide, hidden), a.layers,
                         fused=stem + "compressor") for name in ("wkv", "wgate")),
            rows.plain(storage, prefix + "ape", kind, (a.ratio, wide), a.layers,
                       fused=stem + "positions", dtype="fp32"),
            rows.plain(storage, prefix + "norm.weight", "norm" if kind != "indexer" else kind,
                       (width,), a.layers, fused=stem + "compressor-norm"),
        ]  # fmt: skip

    found = compressor(_LAYER + "attn.compressor.", "compressor", a.head_dim)
    if not a.indexer_topk:
        return found
    prefix, rank = _LAYER + "attn.indexer.", a.q_lora_rank or 0
    return [
        *found,
        rows.linear(storage, prefix + "wq_b", "indexer", (a.indexer_heads * a.indexer_dim, rank),
                    a.layers, fused="indexer-q", shard="replicated"),
        rows.plain(storage, prefix + "weights_proj.weight", "indexer", (a.indexer_heads, hidden),
                   a.layers, fused="indexer-weights"),
        *compressor(prefix + "compressor.", "indexer", a.indexer_dim),
    ]  # fmt: skip


def _norms(storage: Storage, config: V4Structure, layers: tuple[int, ...]) -> list[TensorRow]:
    return [
        rows.plain(storage, f"{_LAYER}{name}.weight", "norm", (config.size.hidden,), layers,
                   fused=name.replace("_", "-"))
        for name in ("attn_norm", "ffn_norm")
    ]  # fmt: skip


def _mixing(storage: Storage, config: V4Structure, layers: tuple[int, ...]) -> list[TensorRow]:
    """Hyper-connections of both halves: weights that read, write and mix the streams."""
    n = config.streams
    shapes = (("fn", ((2 + n) * n, n * config.size.hidden)), ("base", ((2 + n) * n,)),
              ("scale", (3,)))  # fmt: skip
    return [
        rows.plain(storage, f"{_LAYER}hc_{half}_{name}", "norm", shape, layers,
                   fused=f"hc-{half}-{name}", dtype="fp32")
        for half in ("attn", "ffn")
        for name, shape in shapes
    ]  # fmt: skip


def _head_mixing(
    storage: Storage, config: V4Structure, prefix: str, layers: tuple[int, ...]
) -> list[TensorRow]:
    n = config.streams
    shapes = (("fn", (n, n * config.size.hidden)), ("base", (n,)), ("scale", (1,)))
    return [
        rows.plain(storage, f"{prefix}hc_head_{name}", "norm", shape, layers,
                   fused=f"hc-head-{name}", dtype="fp32")
        for name, shape in shapes
    ]  # fmt: skip


def _feed_forward(
    storage: Storage, config: V4Structure, layers: tuple[int, ...]
) -> list[TensorRow]:
    e, hidden = config.experts, config.size.hidden
    hashed = tuple(layer for layer in layers if layer in e.hash_layers)
    scored = tuple(layer for layer in layers if layer not in e.hash_layers)
    table = rows.plain(storage, _LAYER + "ffn.gate.tid2eid", "router",
                       (config.size.vocab, e.per_token), hashed, fused="hash-table",
                       dtype="int64")  # fmt: skip
    routed = _gated(storage, _EXPERT, layers, hidden, e.width, e.count)
    return [
        rows.plain(storage, _LAYER + "ffn.gate.weight", "router", (e.count, hidden), layers,
                   fused="router"),
        *((rows.plain(storage, _LAYER + "ffn.gate.bias", "router", (e.count,), scored,
                      fused="router-bias", dtype="fp32"),) if scored else ()),
        *(rows.part_of([table], "lookup") if hashed else ()),
        *(store(row, DEEPSEEK_FP4) if config.fp4 else row for row in routed),
        *_gated(storage, _SHARED, layers, hidden, e.shared_width, 1),
    ]  # fmt: skip


def _gated(
    storage: Storage, mlp: GatedMlp, layers: tuple[int, ...], hidden: int, width: int, count: int
) -> list[TensorRow]:
    found = rows.gated_mlp(storage, mlp, layers, hidden=hidden, width=width, experts=count)
    return rows.renamed(found, rows.LAYER, _LAYER)
