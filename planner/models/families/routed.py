"""Grouped-query attention with routed experts: what each type calls things, as data.

Trinity (AFMoE), Command A+ (cohere2_moe), ERNIE 4.5, K-EXAONE, Flint, Hunyuan-A13B, Hy3, Kolibri 1,
Laguna and Mellum 2: routed experts behind a few dense layers, most with a shared one, and windows
in some layers.
Source: the model code of Hugging Face Transformers, 5.24 and later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from planner.base.records import record
from planner.models import rows
from planner.models.families.common import (
    MLP,
    Backbone,
    GroupedQuery,
    full_layers,
    layers_of,
    listed_kinds,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

_SHARED = rows.SHARED_MLP
_BOTH = ("input_layernorm", "post_attention_layernorm")
_QK = ("q_norm", "k_norm")
_PREDICTED = "num_nextn_predict_layers"


@record
class RoutedKind:
    """``keys``: the usual name of a key, and its own. ``norms``: of a layer over the hidden size;
    ``head_norms``: of queries and keys, over a head; ``head_norms_key`` turns them off.
    ``router`` and ``correction``: the matrix that scores experts and the bias of its choice, ""
    for none; ``corrected`` is what stands before the number of experts in its shape. ``gate``:
    a projection that gates what attention gives, "" for none; ``gate_heads``: by heads, not by
    elements. ``windowed``: some layers have a window; ``pattern`` is the key of the distance of
    full ones. ``first`` prepares the keys. ``shared_key``: the width of the shared expert,
    where it is not that of as many routed ones. ``sinks``: what no query can attend to, a number a
    head, "" for none."""

    keys: tuple[tuple[str, str], ...] = ()
    norms: tuple[str, ...] = _BOTH
    head_norms: tuple[str, str] | None = None
    head_norms_key: str = ""
    router: str = "mlp.gate"
    correction: str = ""
    corrected: tuple[int, ...] = ()
    shared: GatedMlp = _SHARED
    shared_key: str = ""
    gate: str = ""
    gate_heads: bool = False
    sinks: str = ""
    windowed: bool = False
    pattern: str = ""
    first: Callable[[Fields], None] | None = None
    harmless: frozenset[str] = frozenset()


def _hunyuan(fields: Fields) -> None:
    """What Hunyuan states layer by layer, the same in all; experts are ``intermediate_size`` wide.

    Raises:
        DataError: layers differ.
    """
    width = fields.integer("intermediate_size")
    for name, only in (("moe_topk", None), ("moe_intermediate_size", width),
                       ("num_shared_expert", 1)):  # fmt: skip
        value = fields.take(name)
        items = set(value) if isinstance(value, list) and value else {value}
        if len(items) != 1 or (only is not None and items - {only, None}):
            raise fields.error(name, "differs between layers, or from what is modelled")
        fields.change(name, items.pop())
    fields.change("moe_intermediate_size", width)
    fields.alias("num_experts_per_tok", "moe_topk")
    fields.alias("num_shared_experts", "num_shared_expert")
    if fields.take("num_shared_experts") is None:
        fields.state("num_shared_experts", 1)
    fields.integer("moe_layer_num_skipped", low=0, high=0, default=0)
    for name in ("use_cla", "add_classification_head"):
        fields.agree(name, False)


def _ernie(fields: Fields) -> None:
    """ERNIE's layers with experts: from the first to the last of them, each ``interval``-th."""
    fields.agree("use_bias", False)
    layers = fields.integer("num_hidden_layers", high=MAX_LAYERS)
    start = fields.integer("moe_layer_start_index", low=0, high=MAX_LAYERS, default=1)
    end = fields.integer("moe_layer_end_index", low=-1, high=MAX_LAYERS, default=-1)
    step = fields.integer("moe_layer_interval", high=MAX_LAYERS, default=1)
    last = layers - 1 if end == -1 else end
    fields.change("mlp_layer_types", [
        "sparse" if (n + 1) % step == 0 and start <= n <= last else "dense" for n in range(layers)
    ])  # fmt: skip


def _cohere(fields: Fields) -> None:
    """Command A+: ``intermediate_size`` is an expert's width, and dense layers have their own."""
    fields.alias("moe_intermediate_size", "intermediate_size")
    dense = fields.optional_integer("prefix_dense_intermediate_size")
    if dense is not None:
        fields.change("intermediate_size", dense)
    fields.integer("prefix_dense_sliding_window_pattern", high=MAX_LAYERS, default=1)


def _flint(fields: Fields) -> None:
    """Flint's dense layers by number; full attention in every fourth layer, at the ends too."""
    layers = fields.integer("num_hidden_layers", high=MAX_LAYERS)
    if fields.take("layer_types") is None:
        fields.change("layer_types", [
            "full_attention" if n < 2 or n % 4 == 1 or n == layers - 1 else "sliding_attention"
            for n in range(layers)
        ])  # fmt: skip
    step = fields.integer("decoder_sparse_step", high=MAX_LAYERS, default=1)
    stated = fields.take("mlp_only_layers") is not None
    dense = fields.integers("mlp_only_layers", low=0, high=MAX_LAYERS) if stated else (0, 1)
    fields.change("mlp_layer_types", [
        "dense" if n in dense or (n + 1) % step else "sparse" for n in range(layers)
    ])  # fmt: skip


def _kolibri(fields: Fields) -> None:
    """Kolibri's layers all have experts; every fifth attends to the whole past."""
    layers = fields.integer("num_hidden_layers", high=MAX_LAYERS)
    if fields.take("layer_types") is None:
        fields.change("layer_types", [
            "sliding_attention" if (n + 1) % 5 else "full_attention" for n in range(layers)
        ])  # fmt: skip
    fields.change("mlp_layer_types", ["sparse"] * layers)


def _mellum(fields: Fields) -> None:
    """Mellum's layers: full attention and experts where no list says otherwise."""
    layers = fields.integer("num_hidden_layers", high=MAX_LAYERS)
    if fields.take("layer_types") is None:
        fields.change("layer_types", ["full_attention"] * layers)
    if fields.take("mlp_layer_types") is None:
        fields.change("mlp_layer_types", ["sparse"] * layers)
    fields.alias(_PREDICTED, "num_mtp_layers")


def _laguna(fields: Fields) -> None:
    """Laguna's gates by heads, and full attention where no list says otherwise.

    Raises:
        DataError: gates of another kind.
    """
    if fields.take("gating") not in (None, True, "per-head"):
        raise fields.error("gating", "is not true or per-head, which is not understood")
    layers = fields.integer("num_hidden_layers", high=MAX_LAYERS)
    if fields.take("layer_types") is None:
        fields.change("layer_types", ["full_attention"] * layers)
    if fields.take("mlp_layer_types") is None:
        fields.change("mlp_layer_types", ["dense"] + ["sparse"] * (layers - 1))


KINDS: dict[str, RoutedKind] = {
    "afmoe": RoutedKind(
        keys=(("first_k_dense_replace", "num_dense_layers"),),
        norms=(*_BOTH, "pre_mlp_layernorm", "post_mlp_layernorm"), head_norms=_QK,
        router="mlp.router.gate", correction="mlp.expert_bias", gate="gate_proj", windowed=True,
        pattern="global_attn_every_n_layers",
        harmless=frozenset({"load_balance_coeff", "mup_enabled", "n_group", "num_expert_groups",
                            "num_limited_groups", "route_norm", "route_scale", "score_func",
                            "topk_group", "use_grouped_mm"})),
    "cohere2_moe": RoutedKind(
        norms=("input_layernorm",), windowed=True, first=_cohere,
        harmless=frozenset({"expert_selection_fn", "logit_scale",
                            "shared_expert_combination_strategy", "sliding_window_pattern"})),
    "ernie4_5_moe": RoutedKind(
        keys=(("num_experts", "moe_num_experts"), ("num_experts_per_tok", "moe_k"),
              ("num_shared_experts", "moe_num_shared_experts")),
        correction="mlp.moe_statics.e_score_correction_bias", corrected=(1,), first=_ernie,
        harmless=frozenset({"moe_aux_loss_lambda", "moe_capacity", "moe_gate", "moe_norm_min",
                            "moe_orthogonal_loss_lambda", "moe_use_aux_free",
                            "moe_z_loss_lambda"})),
    "exaone_moe": RoutedKind(
        head_norms=_QK, correction="mlp.gate.e_score_correction_bias", windowed=True,
        harmless=frozenset({"n_group", "sliding_window_pattern", "topk_group", "topk_method"})),
    "flint": RoutedKind(
        head_norms=_QK, windowed=True, first=_flint, sinks="softmax_offset",
        shared=GatedMlp("mlp.shared_expert.", "gate_proj", "up_proj", "down_proj", "shared"),
        shared_key="shared_expert_intermediate_size"),
    "hunyuan_v1_moe": RoutedKind(
        head_norms=("query_layernorm", "key_layernorm"), head_norms_key="use_qk_norm",
        router="mlp.gate.wg", first=_hunyuan,
        shared=GatedMlp("mlp.shared_mlp.", "gate_proj", "up_proj", "down_proj", "shared"),
        harmless=frozenset({"attention_head_dim", "capacity_factor", "cla_share_factor",
                            "eod_token_id", "moe_drop_tokens", "moe_random_routing_dropped_token",
                            "norm_type", "num_media_embeds", "org_vocab_size", "pad_id",
                            "route_scale", "use_mixed_mlp_moe", "use_rotary_pos_emb"})),
    "hy_v3": RoutedKind(
        head_norms=_QK, correction="mlp.e_score_correction_bias",
        harmless=frozenset({"enable_moe_fp32_combine", "router_scaling_factor"})),
    "kolibri1": RoutedKind(
        norms=(*_BOTH, "post_attn_norm", "post_ffn_norm"), head_norms=_QK, windowed=True,
        correction="moe.router.expert_bias", shared_key="shared_expert_intermediate_size",
        first=_kolibri),
    "laguna": RoutedKind(
        head_norms=_QK, correction="mlp.gate.e_score_correction_bias", gate="g_proj",
        gate_heads=True, windowed=True, shared_key="shared_expert_intermediate_size",
        first=_laguna,
        harmless=frozenset({"moe_apply_router_weight_on_input", "moe_routed_scaling_factor",
                            "moe_router_logit_softcapping", "qkv_bias"})),
    "mellum": RoutedKind(
        head_norms=_QK, windowed=True, first=_mellum,
        harmless=frozenset({"max_window_layers", "mtp_layer_types", "mtp_mlp_layer_types",
                            "use_sliding_window"})),
}  # fmt: skip
MODEL_TYPES = tuple(KINDS)


@record
class RoutedDecoder:
    """A configuration as it is read; ``heads`` by the layers that have as many."""

    size: Backbone
    storage: Storage
    heads: tuple[tuple[GroupedQuery, tuple[int, ...]], ...]
    experts: Experts
    dense: tuple[int, ...]
    width: int
    normed: bool
    attention: tuple[Attention, ...]


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a decoder with routed experts.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    kind = KINDS[model_type]
    for usual, own in kind.keys:
        fields.alias(usual, own)
    if kind.first is not None:
        kind.first(fields)
    model = _read(fields, kind)
    predicted = fields.integer(_PREDICTED, low=0, high=MAX_LAYERS, default=0)
    fields.finish(kind.harmless)
    left = (f"{predicted} prediction layer ({_PREDICTED}): no list of its tensors is published",)
    return spec_of(origin, model_type, model.size, model.storage, rows=_rows(model, kind),
                   experts=model.experts, dense_width=model.width if model.dense else 0,
                   attention=model.attention, not_counted=left if predicted else ())  # fmt: skip


def _read(fields: Fields, kind: RoutedKind) -> RoutedDecoder:
    size, storage = read_backbone(fields), read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    a = read_grouped_query(fields, size.hidden, biases=biases, kv_heads_optional=True)
    heads = _heads(fields, a, size)
    full, window = size.all_layers, 0
    if kind.windowed:
        full, window = _full(fields, kind, size)
    dense = _dense(fields, size)
    moe = others(size.all_layers, dense)
    width = fields.integer("moe_intermediate_size")
    experts = read_routing(fields, moe, count_key="num_experts", width=width)
    if kind.shared_key:
        shared, wide = 1, fields.integer(kind.shared_key)
    else:
        shared = fields.integer("num_shared_experts", low=0, high=MAX_EXPERTS, default=0)
        wide = shared * width
    normed = kind.head_norms is not None and (
        not kind.head_norms_key or fields.boolean(kind.head_norms_key, default=True)
    )
    groups = [
        own.attention(tuple(n for n in layers if (n in full) == whole),
                      window=0 if whole else window, sinks=bool(kind.sinks))
        for whole in (True, False)
        for own, layers in heads
    ]  # fmt: skip
    return RoutedDecoder(
        size=size, storage=storage, heads=heads, dense=dense, normed=normed,
        experts=replace(experts, shared=shared, shared_width=wide),
        width=fields.integer("intermediate_size") if dense else _unused(fields),
        attention=tuple(group for group in groups if group.layers),
    )  # fmt: skip


def _unused(fields: Fields) -> int:
    """The width of dense layers where there are none."""
    fields.take("intermediate_size")
    return 0


def _heads(
    fields: Fields, a: GroupedQuery, size: Backbone
) -> tuple[tuple[GroupedQuery, tuple[int, ...]], ...]:
    """Query heads, which may differ between layers."""
    listed = fields.integers("num_attention_heads_per_layer", low=1, high=MAX_EXPERTS)
    if not listed:
        return ((a, size.all_layers),)
    if len(listed) != size.layers or any(count % a.kv_heads for count in listed):
        raise fields.error("num_attention_heads_per_layer", f"does not fit {size.layers} layers of "
                           f"{a.kv_heads} key heads")  # fmt: skip
    return tuple(
        (replace(a, heads=count), tuple(n for n, own in enumerate(listed) if own == count))
        for count in sorted(set(listed))
    )


def _full(fields: Fields, kind: RoutedKind, size: Backbone) -> tuple[tuple[int, ...], int]:
    """The layers of full attention, and the window of the others.

    Raises:
        DataError: neither a list nor a distance says which they are.
    """
    window = fields.optional_integer("sliding_window", high=MAX_CONTEXT)
    every = fields.integer(kind.pattern, high=MAX_LAYERS, default=4) if kind.pattern else 0
    if window is None and fields.take("layer_types") is None:
        return size.all_layers, 0
    full = full_layers(fields, size.layers, other="sliding_attention", every=every)
    if window is None and len(full) < size.layers:
        raise fields.error("sliding_window", "is missing, and layer_types has windowed layers")
    return full, window or 0


def _dense(fields: Fields, size: Backbone) -> tuple[int, ...]:
    """The layers without experts: as a list says, or the first so many.

    Raises:
        DataError: neither is stated.
    """
    kinds = listed_kinds(fields, "mlp_layer_types", size.layers, MLP)
    listed = fields.take("is_moe_layer")  # K-EXAONE's release: a flag a layer
    if isinstance(listed, list) and len(listed) == size.layers and not kinds:
        kinds = tuple("sparse" if flag else "dense" for flag in listed)
    if kinds:
        fields.take("first_k_dense_replace")
        return layers_of(kinds, "dense")
    first = fields.optional_integer("first_k_dense_replace", low=0, high=MAX_LAYERS)
    if first is None and fields.has_read("moe_topk"):
        first = 0
    if first is None:
        raise fields.error("mlp_layer_types", "is missing")
    return tuple(n for n in size.all_layers if n < first)


def _rows(model: RoutedDecoder, kind: RoutedKind) -> list[TensorRow]:
    storage, hidden, layers = model.storage, model.size.hidden, model.size.all_layers
    e = model.experts
    made = [*model.size.ends(storage)]
    for a, own in model.heads:
        made += a.rows(storage, hidden, own)
        if kind.gate:
            width = a.heads * (1 if kind.gate_heads else a.head_dim)
            made.append(rows.linear(storage, f"{LAYER}self_attn.{kind.gate}", "attention-qkv",
                                    (width, hidden), own, fused="o-gate",
                                    shard="column"))  # fmt: skip
        if kind.sinks:
            made.append(rows.plain(storage, f"{LAYER}self_attn.{kind.sinks}", "attention-qkv",
                                   (a.heads,), own, fused="sinks", shard="column",
                                   dtype="fp32"))  # fmt: skip
    if kind.head_norms is not None and model.normed:
        dim = model.heads[0][0].head_dim
        made += [rows.norm(storage, f"{LAYER}self_attn.{name}", dim, layers)
                 for name in kind.head_norms]  # fmt: skip
    made += [rows.norm(storage, LAYER + name, hidden, layers) for name in kind.norms]
    made += rows.gated_mlp(storage, rows.DENSE_MLP, model.dense, hidden=hidden, width=model.width)
    made += rows.router(storage, kind.router, hidden, e.count, e.layers)
    if kind.correction and e.layers:
        made.append(rows.plain(storage, LAYER + kind.correction, "router",
                               (*kind.corrected, e.count), e.layers, fused="router-bias",
                               dtype="fp32"))  # fmt: skip
    made += rows.gated_mlp(storage, rows.EXPERT_MLP, e.layers, hidden=hidden, width=e.width,
                           experts=e.count)  # fmt: skip
    if e.shared:
        made += rows.gated_mlp(storage, kind.shared, e.layers, hidden=hidden, width=e.shared_width)
    return made
