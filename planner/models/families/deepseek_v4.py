"""DeepSeek-V4: compressed attention, hash routing, FP4 experts, hyper-connections.

One vector of ``head_dim`` a token is key and value of all heads. Layers of ratio 4 (csa) and 128
(hca) compress the past and keep a window of it as it is; ratio 0 keeps the window alone. Tensor
names and types are those of the release; shapes agree with published lists of its headers.
"""

from __future__ import annotations

from dataclasses import replace

from planner.errors import UnsupportedError
from planner.models.families.common import Backbone, read_backbone, spec_of
from planner.models.families.deepseek_v4_rows import V4Structure, decoder, ends, prediction
from planner.models.fields import HARMLESS, MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import Provenance
from planner.models.spec import Attention, AttentionKind, Experts, ModelSpec
from planner.models.storage import read_storage
from planner.models.strict_json import shown

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
    ratios = fields.integers("compress_ratios", low=0, high=2**16) or _spelt(fields, mtp)
    _check_mlp_types(fields)
    if len(ratios) != size.layers + mtp:
        raise fields.error("compress_ratios", f"has {len(ratios)} entries for {size.layers} layers "
                           f"and {mtp} prediction layers")  # fmt: skip
    unknown = sorted(set(ratios) - set(_KINDS))
    if unknown or any(ratios[size.layers :]):
        wrong = unknown[0] if unknown else max(ratios[size.layers :])
        raise UnsupportedError(f"{fields.place}: compress_ratios holds {wrong}; understood: 4, 128 "
                               "and 0, and 0 for prediction layers",
                               hint="`plan models` lists models whose structure is "
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


_SPELT: dict[str, AttentionKind] = {
    "compressed_sparse_attention": "csa", "heavily_compressed_attention": "hca",
    "sliding_attention": "swa",
}  # fmt: skip


def _spelt(fields: Fields, mtp: int) -> tuple[int, ...]:
    """The ratios as transformers spells them: a word a layer, and a rate for each word.

    Raises:
        DataError: a word that is not understood.
    """
    words = fields.strings("layer_types")
    unknown = sorted(set(words) - set(_SPELT))
    if unknown:
        raise fields.error(
            "layer_types", f"holds {shown(unknown[0])}; understood: " + ", ".join(_SPELT)
        )
    usual = {kind: ratio for ratio, kind in _KINDS.items()}
    stated = fields.nested("compress_rates") or Fields({}, fields.place)
    rates = {word: stated.integer(word, low=0, high=2**16, default=usual[kind])
             for word, kind in _SPELT.items()}  # fmt: skip
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
