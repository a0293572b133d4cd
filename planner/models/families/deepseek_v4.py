"""DeepSeek-V4: compressed attention, hash routing, FP4 experts, hyper-connections.

One vector of ``head_dim`` a token is key and value of all heads. Layers of ratio 4 (csa) and 128
(hca) compress the past and keep a window of it as it is; ratio 0 keeps the window alone. Tensor
names and types are those of the release; shapes agree with published lists of its headers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from planner.base.errors import UnsupportedError
from planner.base.strict_json import short_repr
from planner.models import rows
from planner.models.families.common import Backbone, read_backbone, spec_of
from planner.models.fields import HARMLESS, MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.quantization.forms import DEEPSEEK_FP4, store
from planner.models.rows import GatedMlp, Provenance
from planner.models.spec import Attention, AttentionKind, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("deepseek_v4", "deepseek_ref")
_HARMLESS = HARMLESS | {
    "compress_rope_theta", "hc_eps", "hc_sinkhorn_iters", "norm_topk_prob",
    "routed_scaling_factor", "scoring_func", "swiglu_limit",
}  # fmt: skip
_KINDS: dict[int, AttentionKind] = {4: "csa", 128: "hca", 0: "swa"}


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a DeepSeek-V4 configuration.

    Without ``expert_dtype`` the experts are quantised like everything else (the FP8 releases).

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: a compression ratio that is not 4, 128 or 0.
    """
    storage = read_storage(fields)
    config = _read(fields)
    fields.finish(_HARMLESS)
    tensors = [*ends(storage, config), *decoder(storage, config, config.size.all_layers),
               *prediction(storage, config)]  # fmt: skip
    return spec_of(
        origin, model_type, config.size, storage, rows=tensors, experts=config.experts,
        mtp_layers=config.prediction, attention=config.attention,
    )  # fmt: skip


def _read(fields: Fields) -> V4Structure:
    size = read_backbone(fields)
    if fields.boolean("attention_bias", default=False):
        raise fields.error("attention_bias", "is true; DeepSeek-V4 has no biases")
    mtp = fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    ratios = fields.integers("compress_ratios", low=0, high=2**16) or _ratios_of_layer_types(
        fields, mtp
    )
    _check_mlp_types(fields)
    ratios = tuple(0 if ratio == 1 else ratio for ratio in ratios)  # both a window: vLLM 0.33
    if len(ratios) == size.layers:  # prediction layers that are left out have windows: vLLM 0.33
        ratios += (0,) * mtp
    if len(ratios) != size.layers + mtp:
        raise fields.error("compress_ratios", f"has {len(ratios)} entries for {size.layers} layers "
                           f"and {mtp} prediction layers")  # fmt: skip
    unknown = sorted(set(ratios) - set(_KINDS))
    if unknown or any(ratios[size.layers :]):
        wrong = unknown[0] if unknown else max(ratios[size.layers :])
        raise UnsupportedError(f"{fields.place}: compress_ratios holds {wrong}; understood: 4, 128 "
                               "and 0, and 0 for prediction layers",
                               hint="`plan list models` lists models whose structure is "
                                    "understood; a further one is a file in "
                                    "planner/models/families")  # fmt: skip
    stated = fields.take("quantization_config")
    if isinstance(stated, dict) and stated.get("expert_dtype") is not None:
        fields.state("expert_dtype", stated["expert_dtype"])
    dtype = fields.choice("expert_dtype", ("fp4", "fp8"), default="fp8")
    groups = fields.integer("o_groups", high=MAX_EXPERTS)
    attention = _attention(fields, ratios[: size.layers])
    if attention[0].heads * attention[0].head_dim % groups:
        raise fields.error("o_groups", f"is {groups}; it must divide the outputs of all heads")
    return V4Structure(
        size=size, attention=attention, experts=_experts(fields, size), ratios=ratios,
        prediction=mtp, out_groups=groups, out_rank=fields.integer("o_lora_rank"),
        streams=fields.integer("hc_mult", high=MAX_EXPERTS), fp4=dtype == "fp4",
    )  # fmt: skip


_KIND_OF_WORD: dict[str, AttentionKind] = {
    "compressed_sparse_attention": "csa", "heavily_compressed_attention": "hca",
    "sliding_attention": "swa",
}  # fmt: skip


def _ratios_of_layer_types(fields: Fields, mtp: int) -> tuple[int, ...]:
    """The ratios as transformers spells them: a word a layer, and a rate for each word.

    Raises:
        DataError: a word that is not understood.
    """
    words = fields.strings("layer_types")
    unknown = sorted(set(words) - set(_KIND_OF_WORD))
    if unknown:
        raise fields.error(
            "layer_types",
            f"holds {short_repr(unknown[0])}; understood: " + ", ".join(_KIND_OF_WORD),
        )
    usual = {kind: ratio for ratio, kind in _KINDS.items()}
    stated = fields.nested("compress_rates") or Fields({}, fields.place)
    rates = {word: stated.integer(word, low=0, high=2**16, default=usual[kind])
             for word, kind in _KIND_OF_WORD.items()}  # fmt: skip
    stated.finish()
    return tuple(rates[word] for word in words) + (0,) * mtp if words else ()


def _check_mlp_types(fields: Fields) -> None:
    """Read the number of hash layers out of ``mlp_layer_types``, where that is what is stated.

    Raises:
        DataError: a word that is not understood, or hash layers after others.
    """
    words = fields.strings("mlp_layer_types")
    count = words.count("hash_moe")
    if words != ("hash_moe",) * count + ("moe",) * (len(words) - count):
        raise fields.error("mlp_layer_types", "is not hash_moe first and then moe")
    if words:
        fields.state("num_hash_layers", count)


def _attention(fields: Fields, ratios: tuple[int, ...]) -> tuple[Attention, ...]:
    """One group a compression ratio."""
    head_dim, rope = fields.integer("head_dim"), fields.integer("qk_rope_head_dim")
    if rope >= head_dim:
        raise fields.error("qk_rope_head_dim", f"is {rope}; a head has {head_dim}")
    base = Attention(
        kind="csa", layers=(), heads=fields.integer("num_attention_heads", high=MAX_EXPERTS),
        kv_heads=fields.integer("num_key_value_heads", high=1), head_dim=head_dim,
        q_lora_rank=fields.integer("q_lora_rank"), nope_dim=head_dim - rope, rope_dim=rope,
        value_dim=head_dim, window=fields.integer("sliding_window", high=MAX_CONTEXT), sinks=True,
    )  # fmt: skip
    indexed = replace(
        base, indexer_heads=fields.integer("index_n_heads", high=MAX_EXPERTS),
        indexer_dim=fields.integer("index_head_dim"), indexer_topk=fields.integer("index_topk"),
    )  # fmt: skip
    groups = []
    for ratio, kind in _KINDS.items():
        layers = tuple(layer for layer, own in enumerate(ratios) if own == ratio)
        group = indexed if kind == "csa" else base
        if layers:
            groups.append(replace(group, kind=kind, layers=layers, ratio=max(ratio, 1)))
    return tuple(groups)


def _experts(fields: Fields, size: Backbone) -> Experts:
    count = fields.integer("n_routed_experts", high=MAX_EXPERTS)
    per_token = fields.integer("num_experts_per_tok", high=MAX_EXPERTS)
    if per_token > count:
        raise fields.error("num_experts_per_tok", f"is {per_token}; there are {count} experts")
    width = fields.integer("moe_intermediate_size")
    shared = fields.integer("n_shared_experts", high=MAX_EXPERTS)
    hashed = fields.integer("num_hash_layers", low=0, high=size.layers, default=0)
    fields.choice("topk_method", ("noaux_tc",), default="noaux_tc")
    return Experts(
        layers=size.all_layers, count=count, per_token=per_token, width=width, shared=shared,
        shared_width=shared * width, groups=1, groups_per_token=1,
        hash_layers=tuple(range(hashed)),
    )  # fmt: skip


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
        *_attention_rows(storage, config, layers),
        *(row for group in groups if group.layers for row in _compression(storage, config, group)),
        *_norms(storage, config, layers),
        *_mixing(storage, config, layers),
        *_feed_forward(storage, config, layers),
    ]


def prediction(storage: Storage, config: V4Structure) -> list[TensorRow]:
    """Prediction layers: a windowed decoder layer each, with projections of its two inputs.

    Embedding and head are the main model's and are not stored again.
    """
    hidden, tensors = config.size.hidden, []
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
        tensors += rows.part_of(rows.renamed(own, _LAYER, f"mtp.{number}."), "mtp")
    return tensors


def _attention_rows(
    storage: Storage, config: V4Structure, layers: tuple[int, ...]
) -> list[TensorRow]:
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

    compressor_rows = compressor(_LAYER + "attn.compressor.", "compressor", a.head_dim)
    if not a.indexer_topk:
        return compressor_rows
    prefix, rank = _LAYER + "attn.indexer.", a.q_lora_rank or 0
    return [
        *compressor_rows,
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
    tensors = rows.gated_mlp(storage, mlp, layers, hidden=hidden, width=width, experts=count)
    return rows.renamed(tensors, rows.LAYER, _LAYER)
