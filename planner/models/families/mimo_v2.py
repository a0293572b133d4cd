"""MiMo-V2: windowed layers with sinks and more KV heads, narrow values, routed experts.

MiMo-V2-Flash keeps queries, keys and values by themselves, MiMo-V2.5 and later in one matrix where
``attention_projection_layout`` says so (SGLang 0.5.23 reads either under both names).
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.strict_json import short_repr
from planner.models import rows
from planner.models.families.common import (
    NO_PREDICTION,
    others,
    read_backbone,
    read_grouped_query,
    read_shared_routing,
    spec_of,
)
from planner.models.fields import HARMLESS, MAX_CONTEXT, MAX_EXPERTS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("mimo_v2", "mimo_v2_flash")
_HARMLESS = HARMLESS | {
    "attention_value_scale", "layernorm_epsilon", "moe_router_dtype", "norm_topk_prob",
    "num_nextn_predict_layers", "partial_rotary_factor", "routed_scaling_factor", "scoring_func",
    "swa_rope_theta",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a MiMo-V2 configuration. It does not name its prediction layers.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    if fields.boolean("attention_bias", default=False):
        raise fields.error("attention_bias", "is true; MiMo-V2 has no biases")
    local = _marked(fields, "hybrid_layer_pattern", size.layers, "layer_types",
                    ("full_attention", "sliding_attention"))  # fmt: skip
    moe = _marked(fields, "moe_layer_freq", size.layers, "mlp_layer_types", ("dense", "sparse"))
    groups = _attention(fields, size.hidden, others(size.all_layers, local), local)
    if fields.take("n_shared_experts") not in (None, 0):
        raise fields.error("n_shared_experts", "is not null; MiMo-V2 has no shared experts")
    experts = read_shared_routing(fields, moe, shared=0)
    width = fields.integer("intermediate_size")
    fields.choice("topk_method", ("noaux_tc",), default="noaux_tc")
    layout = fields.choice("attention_projection_layout", ("split", "fused_qkv"), default="split")
    fields.finish(_HARMLESS)
    hidden, dense = size.hidden, others(size.all_layers, moe)
    tensors = [
        *size.ends(storage),
        *(
            row
            for group in groups
            for row in _attention_rows(storage, group, hidden, joined=layout == "fused_qkv")
        ),
        *rows.layer_norms(storage, hidden, size.all_layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden, width=width),
        *rows.routed(storage, experts, moe, hidden=hidden, corrected=True),
    ]
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if dense else 0, not_counted=(NO_PREDICTION,),
                   attention=groups)  # fmt: skip


def _marked(
    fields: Fields, name: str, layers: int, words: str, kinds: tuple[str, str]
) -> tuple[int, ...]:
    """The layers that a list of one 0 or 1 a layer marks with 1, or one of ``kinds`` a layer.

    Raises:
        DataError: a list of another length, no list, or two that contradict each other.
    """
    flags = fields.integers(name, low=0, high=1)
    spelt = fields.strings(words)
    unknown = sorted(set(spelt) - set(kinds))
    if unknown:
        raise fields.error(words, f"holds {short_repr(unknown[0])}; understood: {', '.join(kinds)}")
    marks = tuple(kinds.index(word) for word in spelt)
    if flags and marks and flags != marks:
        raise fields.error(words, f"contradicts {name}")
    flags = flags or marks
    if len(flags) != layers:
        raise fields.error(name, f"has {len(flags)} entries for {layers} layers")
    return tuple(layer for layer, flag in enumerate(flags) if flag)


def _window(fields: Fields) -> int:
    """The tokens before it that a token sees. transformers writes one more into
    ``sliding_window``, the token itself, and leaves ``sliding_window_size`` as it was."""
    stated = fields.integer("sliding_window", high=MAX_CONTEXT)
    window = fields.integer("sliding_window_size", default=stated)
    if window not in (stated, stated - 1):
        raise fields.error("sliding_window_size", f"is not the sliding_window of {stated}")
    if fields.integer("attention_chunk_size", default=window) != window:
        raise fields.error("attention_chunk_size", f"is not the sliding_window of {window}")
    return window


def _attention(
    fields: Fields, hidden: int, full: tuple[int, ...], local: tuple[int, ...]
) -> tuple[Attention, ...]:
    a = read_grouped_query(fields, hidden, biases=False, head_dim_optional=False)
    values = fields.integer("v_head_dim")
    window = _window(fields)
    heads = fields.integer("swa_num_attention_heads", high=MAX_EXPERTS, default=a.heads)
    kv_heads = fields.integer("swa_num_key_value_heads", high=MAX_EXPERTS)
    if heads % kv_heads:
        raise fields.error("swa_num_key_value_heads", f"is {kv_heads}; it must divide {heads}")
    group = replace(
        a.attention(full),
        value_dim=values,
        sinks=fields.boolean("add_full_attention_sink_bias", default=False),
    )
    windowed = Attention(
        kind="gqa", layers=local, heads=heads, kv_heads=kv_heads,
        head_dim=fields.integer("swa_head_dim", default=a.head_dim),
        value_dim=fields.integer("swa_v_head_dim", default=values), window=window,
        sinks=fields.boolean("add_swa_attention_sink_bias", default=True),
    )  # fmt: skip
    return tuple(attention for attention in (group, windowed) if attention.layers)


def _attention_rows(
    storage: Storage, a: Attention, hidden: int, *, joined: bool
) -> list[TensorRow]:
    tensors = rows.gqa(storage, a.layers, hidden=hidden, heads=a.heads, kv_heads=a.kv_heads,
                     head_dim=a.head_dim, biases=False, value_dim=a.value_dim)  # fmt: skip
    if joined:
        *parts, out = tensors
        shape = (sum(row.shape[0] for row in parts), hidden)
        whole = rows.linear(storage, LAYER + "self_attn.qkv_proj", "attention-qkv", shape, a.layers,
                            fused="qkv", shard="column")  # fmt: skip
        tensors = [replace(whole, kv_outputs=sum(row.kv_outputs for row in parts)), out]
    if a.sinks:
        tensors.append(rows.plain(storage, LAYER + "self_attn.attention_sink_bias",
                                  "attention-qkv", (a.heads,), a.layers, fused="sinks",
                                  shard="column"))  # fmt: skip
    return tensors
