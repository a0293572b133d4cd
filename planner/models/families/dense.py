"""Dense decoders that are Llama with other norms, biases, ties and windows.

Cohere Command, Ernie 4.5, EXAONE 4, Gemma 1 and 2, GLM-4, Granite 3, Hunyuan, Ministral, OLMo 1
to 3, Seed-OSS and SmolLM3: what each adds or leaves out is a record of :data:`KINDS`.
"""

from __future__ import annotations

from dataclasses import replace

from planner.errors import UnsupportedError
from planner.models import rows
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    full_layers,
    others,
    read_backbone,
    spec_of,
)
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage
from planner.records import record

_BOTH = ("input_layernorm", "post_attention_layernorm")
_AFTER = ("post_attention_layernorm", "post_feedforward_layernorm")
_SANDWICH = (*_BOTH, "pre_feedforward_layernorm", "post_feedforward_layernorm")


@record
class DenseKind:
    """Differences of one model type from Llama.

    ``norms`` are those of a layer over the hidden size, ``final_norm`` whether there is one behind
    the last. ``head_norms`` are the norms of queries and of keys; ``over`` is what one weight of
    them covers: one head, all heads in a row, or a matrix of heads × width; ``head_norms_key`` is
    the key that turns them off. ``biases_key`` is the key of the biases of query, key and value;
    the output has one with them, never, or by a key of its own; ``mlp_bias`` is the key of the
    MLP's. ``fused_mlp``: gate and up are one matrix. Without ``layer_types``, each ``every``-th
    layer has full attention and the others a window; ``pattern`` is the key of another interval.
    ``all_windowed``: they all have the window that is stated. ``only`` are keys that change the
    structure, each with the value that is understood.
    """

    norms: tuple[str, ...] = _BOTH
    final_norm: bool = True
    head_norms: tuple[str, str] | None = None
    over: str = "head"
    head_norms_key: str = ""
    biases_key: str = "attention_bias"
    out_bias: bool | str = True
    mlp_bias: str = ""
    fused_mlp: bool = False
    every: int = 0
    pattern: str = ""
    all_windowed: bool = False
    only: tuple[tuple[str, object], ...] = ()


_QK = ("q_norm", "k_norm")
KINDS: dict[str, DenseKind] = {
    "cohere": DenseKind(norms=("input_layernorm",), head_norms=_QK, over="heads",
                        head_norms_key="use_qk_norm"),
    "cohere2": DenseKind(norms=("input_layernorm",), every=4, pattern="sliding_window_pattern",
                         only=(("use_qk_norm", False),)),
    "ernie4_5": DenseKind(biases_key="use_bias", mlp_bias="use_bias"),
    "exaone4": DenseKind(norms=_AFTER, head_norms=_QK, biases_key="", every=4,
                         pattern="sliding_window_pattern"),
    "gemma": DenseKind(),
    "gemma2": DenseKind(norms=_SANDWICH, every=2),
    "glm": DenseKind(out_bias=False, fused_mlp=True),
    "glm4": DenseKind(norms=(*_BOTH, "post_self_attn_layernorm", "post_mlp_layernorm"),
                      out_bias=False, fused_mlp=True),
    "granite": DenseKind(mlp_bias="mlp_bias"),
    "hunyuan_v1_dense": DenseKind(
        head_norms=("query_layernorm", "key_layernorm"), head_norms_key="use_qk_norm",
        only=(("use_cla", False), ("mlp_bias", False), ("add_classification_head", False))),
    "ministral": DenseKind(biases_key="", all_windowed=True),
    "ministral3": DenseKind(biases_key="", all_windowed=True),
    "olmo": DenseKind(norms=(), final_norm=False),
    "olmo2": DenseKind(norms=_AFTER, head_norms=_QK, over="all"),
    "olmo3": DenseKind(norms=_AFTER, head_norms=_QK, over="all", every=4),
    "seed_oss": DenseKind(out_bias="attention_out_bias", mlp_bias="mlp_bias"),
    "smollm3": DenseKind(mlp_bias="mlp_bias"),
}  # fmt: skip


MODEL_TYPES = tuple(KINDS)


@record
class Dense:
    """A dense decoder as its configuration states it; ``width`` is the MLP's."""

    size: Backbone
    storage: Storage
    heads: GroupedQuery
    width: int
    out_bias: bool
    mlp_bias: bool
    head_norms: bool
    groups: tuple[Attention, ...]


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a dense configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: a key has a value that changes the structure.
    """
    kind = KINDS[model_type]
    model = read_dense(fields, kind)
    fields.finish()
    return spec_of(origin, model_type, model.size, model.storage, rows=dense_rows(model, kind),
                   dense_width=model.width, attention=model.groups)  # fmt: skip


def read_dense(fields: Fields, kind: DenseKind) -> Dense:
    """The sizes of a configuration of ``kind``; keys that nobody read are left to the caller.

    Raises:
        DataError: a key is missing or malformed.
        UnsupportedError: a key has a value that changes the structure.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = bool(kind.biases_key) and fields.boolean(kind.biases_key, default=False)
    heads = _heads(fields, size.hidden, biases)
    out = kind.out_bias
    for name, understood in kind.only:
        _only(fields, name, understood)
    return Dense(
        size=size, storage=storage, heads=heads, width=fields.integer("intermediate_size"),
        out_bias=fields.boolean(out, default=False) if isinstance(out, str) else out and biases,
        mlp_bias=bool(kind.mlp_bias) and fields.boolean(kind.mlp_bias, default=False),
        head_norms=_head_norms(fields, kind), groups=_groups(fields, size, heads, kind),
    )  # fmt: skip


def dense_rows(model: Dense, kind: DenseKind) -> list[TensorRow]:
    """The tensors of ``model``, as :func:`read_dense` gives it."""
    storage, hidden, layers = model.storage, model.size.hidden, model.size.all_layers
    ends = [row for row in model.size.ends(storage) if kind.final_norm or row.kind != "norm"]
    return [
        *ends,
        *model.heads.rows(storage, hidden, layers, out_bias=model.out_bias),
        *(_head_norm_rows(model, kind) if model.head_norms else ()),
        *(rows.norm(storage, LAYER + name, hidden, layers) for name in kind.norms),
        *_mlp(model, kind),
    ]


def _heads(fields: Fields, hidden: int, biases: bool) -> GroupedQuery:
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    kv_heads = fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads)
    if heads % kv_heads:
        raise fields.error("num_key_value_heads", f"is {kv_heads}; it must divide {heads} heads")
    head_dim = fields.optional_integer("head_dim")
    if head_dim is None and hidden % heads:
        raise fields.error("num_attention_heads", f"is {heads}; it must divide {hidden}")
    return GroupedQuery(heads, kv_heads, head_dim or hidden // heads, biases)


def _only(fields: Fields, name: str, understood: object) -> None:
    value = fields.take(name)
    if value is not None and value != understood:
        raise UnsupportedError(
            f"{fields.place}: {name} is {ascii(value)[:60]}; only {understood!a} is modelled",
            hint="`plan models` lists models whose structure is understood; a further one is a "
                 "file in planner/models/families")  # fmt: skip


def _head_norms(fields: Fields, kind: DenseKind) -> bool:
    if kind.head_norms is None or not kind.head_norms_key:
        return kind.head_norms is not None
    return fields.boolean(kind.head_norms_key, default=True)


def _groups(
    fields: Fields, size: Backbone, heads: GroupedQuery, kind: DenseKind
) -> tuple[Attention, ...]:
    """Full and windowed layers; a window that is null or switched off means full ones."""
    window = fields.optional_integer("sliding_window", high=MAX_CONTEXT)
    every = _interval(fields, kind)
    used = fields.boolean("use_sliding_window", default=bool(every or kind.all_windowed))
    fields.optional_integer("max_window_layers", low=0, high=MAX_LAYERS)
    stated = fields.take("layer_types") is not None
    if not stated and (window is None or not used):
        full = size.all_layers
    elif kind.all_windowed and not stated:
        full = ()
    else:
        full = full_layers(fields, size.layers, other="sliding_attention", every=every)
    rest = others(size.all_layers, full)
    if rest and window is None:
        raise fields.error("sliding_window", "is missing, and layer_types has windowed layers")
    return tuple(
        group
        for group in (heads.attention(full), heads.attention(rest, window=window or 0))
        if group.layers
    )


def _interval(fields: Fields, kind: DenseKind) -> int:
    """The distance of full layers: a number, or EXAONE's letters, of which G is a full one."""
    if not kind.pattern:
        return kind.every
    value = fields.take(kind.pattern)
    if isinstance(value, str):
        length = len(value)
        if not length or length > MAX_LAYERS or value != "L" * (length - 1) + "G":
            raise fields.error(kind.pattern, f"is {ascii(value)[:60]}; L … L G is understood")
        return length
    return fields.integer(kind.pattern, high=MAX_LAYERS, default=kind.every)


def _head_norm_rows(model: Dense, kind: DenseKind) -> list[TensorRow]:
    a = model.heads
    assert kind.head_norms is not None
    found = []
    for name, count in zip(kind.head_norms, (a.heads, a.kv_heads), strict=True):
        width = a.head_dim if kind.over == "head" else count * a.head_dim
        row = rows.norm(model.storage, f"{LAYER}self_attn.{name}", width, model.size.all_layers)
        shape = (count, a.head_dim) if kind.over == "heads" else row.shape
        found.append(replace(row, shape=shape))
    return found


def _mlp(model: Dense, kind: DenseKind) -> list[TensorRow]:
    storage, hidden, layers = model.storage, model.size.hidden, model.size.all_layers
    split = rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=hidden, width=model.width,
                           biases=model.mlp_bias)  # fmt: skip
    if not kind.fused_mlp:
        return split
    both = rows.linear(
        storage,
        LAYER + "mlp.gate_up_proj",
        "mlp-gate-up",
        (2 * model.width, hidden),
        layers,
        fused="gate-up",
        shard="column",
    )
    return [both, *split[2:]]
