"""Plain decoders: what each model type adds to Llama, or leaves out, is a row of :data:`KINDS`.

Apertus, Arcee, Cohere Command, CWM, Ernie 4.5, EXAONE 4, Gemma 1 and 2, GLM-4, Granite 3, Hunyuan,
InternLM3, Llama 2 and 3, Ministral, Mistral, Mixtral, Nemotron-4, OLMo 1 to 3, OLMoE, Phi-3 and
Phi-4, Qwen2, Qwen3, Seed-OSS, SmolLM3, StableLM and VaultGemma: grouped-query attention and one
gated MLP a layer, or routed experts. Source: the model code of Hugging Face Transformers 5.24;
names are those of the releases. What a configuration leaves out is in ``data/class_defaults.toml``.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.models import rows
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    full_layers,
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    refuse_windows,
    spec_of,
)
from planner.models.fields import MAX_CONTEXT, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

_BOTH = ("input_layernorm", "post_attention_layernorm")
_AFTER = ("post_attention_layernorm", "post_feedforward_layernorm")
_SANDWICH = (*_BOTH, "pre_feedforward_layernorm", "post_feedforward_layernorm")


@record
class ExpertNames:
    """Keys and names of routed experts: ``count`` is the key of how many there are; their width is
    ``intermediate_size``."""

    count: str
    router: str
    mlp: rows.GatedMlp


@record
class DecoderKind:
    """Differences of one model type from Llama.

    ``norms`` are those of a layer over the hidden size, ``final_norm`` whether there is one behind
    the last. ``head_norms`` are the norms of queries and of keys; ``over`` is what one weight of
    them covers: one head, all heads in a row, or a matrix of heads × width; ``head_norms_key`` is
    the key that turns them off. ``biases_key`` is the key of the biases of query, key and value;
    the output has one with them, never, or by a key of its own; ``mlp_bias`` is the key of the
    MLP's. ``fused_mlp``: gate and up are one matrix. Without ``layer_types``, each ``every``-th
    layer has full attention and the others a window; ``pattern`` is the key of another interval.
    ``all_windowed``: they all have the window that is stated. ``only`` are keys that change the
    structure, each with the value that is understood; ``refused`` are such keys of which none is.
    ``kv_heads_stated`` and ``head_dim_stated``: the key must be there. ``windows`` says which
    layers attend to one: those that are ``listed``, all where one is ``stated``, ``none``;
    ``refused`` (and ``refused-on``, where an absent switch means on) where a window is not
    understood; ``listed-only``: layers are full or windowed as a list says, which must be there.
    ``fused_qkv``: query, key and value are one matrix. ``experts``: every layer has routed experts
    instead of an MLP. ``harmless`` are keys that change no tensor of this type. ``gated``: the MLP
    has a gate. ``norm_bias``: every norm has a bias. ``activated``: the activation learns two
    values a layer, and keeps two more that are data. ``sinks``: every head has a learned one.
    """

    norms: tuple[str, ...] = _BOTH
    final_norm: bool = True
    head_norms: tuple[str, str] | None = None
    over: str = "head"
    head_norms_key: str = ""
    biases: bool | str = "attention_bias"
    out_bias: bool | str = True
    mlp_bias: bool | str = False
    fused_mlp: bool = False
    every: int = 0
    pattern: str = ""
    all_windowed: bool = False
    only: tuple[tuple[str, object], ...] = ()
    refused: tuple[str, ...] = ()
    kv_heads_stated: bool = False
    head_dim_stated: bool = False
    windows: str = "listed"
    fused_qkv: bool = False
    experts: ExpertNames | None = None
    harmless: frozenset[str] = frozenset()
    gated: bool = True
    norm_bias: bool = False
    activated: bool = False
    sinks: bool = False


_QK = ("q_norm", "k_norm")
KINDS: dict[str, DecoderKind] = {
    "apertus": DecoderKind(norms=("attention_layernorm", "feedforward_layernorm"), head_norms=_QK,
                         mlp_bias="mlp_bias", gated=False, windows="none", activated=True),
    "arcee": DecoderKind(mlp_bias="mlp_bias", gated=False, windows="none"),
    "cohere": DecoderKind(norms=("input_layernorm",), head_norms=_QK, over="heads",
                        head_norms_key="use_qk_norm"),
    "cohere2": DecoderKind(norms=("input_layernorm",), every=4, pattern="sliding_window_pattern",
                         only=(("use_qk_norm", False),)),
    "cwm": DecoderKind(biases=False, windows="listed-only"),
    "ernie4_5": DecoderKind(biases="use_bias", mlp_bias="use_bias"),
    "exaone4": DecoderKind(norms=_AFTER, head_norms=_QK, biases=False, every=4,
                         pattern="sliding_window_pattern"),
    "flex_olmo": DecoderKind(
        norms=_AFTER, head_norms=_QK, over="all", windows="none",
        experts=ExpertNames("num_experts", "mlp.gate", rows.EXPERT_MLP),
        harmless=frozenset({"norm_topk_prob"})),
    "gemma": DecoderKind(),
    "gemma2": DecoderKind(norms=_SANDWICH, every=2),
    "glm": DecoderKind(out_bias=False, fused_mlp=True),
    "glm4": DecoderKind(norms=(*_BOTH, "post_self_attn_layernorm", "post_mlp_layernorm"),
                      out_bias=False, fused_mlp=True),
    "granite": DecoderKind(mlp_bias="mlp_bias"),
    "granite_swa": DecoderKind(mlp_bias="mlp_bias", windows="listed-only", sinks=True,
                             harmless=frozenset({"layer_rope_theta"})),
    "hunyuan_v1_dense": DecoderKind(
        head_norms=("query_layernorm", "key_layernorm"), head_norms_key="use_qk_norm",
        only=(("use_cla", False), ("mlp_bias", False), ("add_classification_head", False))),
    "jais2": DecoderKind(mlp_bias="mlp_bias", gated=False, norm_bias=True, windows="none"),
    "llama": DecoderKind(mlp_bias="mlp_bias", windows="none"),
    "internlm3": DecoderKind(biases="qkv_bias", out_bias="bias", mlp_bias="bias", windows="none"),
    "iquestcoder": DecoderKind(mlp_bias="mlp_bias", windows="refused",
                               harmless=frozenset({"clip_qkv"})),
    "ministral": DecoderKind(biases=False, all_windowed=True),
    "ministral3": DecoderKind(biases=False, all_windowed=True),
    "mistral": DecoderKind(mlp_bias="mlp_bias", windows="stated"),
    "mixtral": DecoderKind(
        biases=False, kv_heads_stated=True, windows="refused-on",
        experts=ExpertNames("num_local_experts", "block_sparse_moe.gate", rows.NUMBERED_MLP),
        harmless=frozenset({"router_jitter_noise"})),
    "nemotron": DecoderKind(mlp_bias="mlp_bias", gated=False, norm_bias=True, windows="none"),
    "olmo": DecoderKind(norms=(), final_norm=False),
    "olmo2": DecoderKind(norms=_AFTER, head_norms=_QK, over="all"),
    "olmo3": DecoderKind(norms=_AFTER, head_norms=_QK, over="all", every=4),
    "olmoe": DecoderKind(
        head_norms=_QK, over="all", refused=("clip_qkv",), windows="none",
        experts=ExpertNames("num_experts", "mlp.gate", rows.EXPERT_MLP),
        harmless=frozenset({"norm_topk_prob"})),
    "phi3": DecoderKind(
        biases=False, fused_qkv=True, fused_mlp=True, windows="stated",
        harmless=frozenset({"embd_pdrop", "original_max_position_embeddings",
                            "partial_rotary_factor", "resid_pdrop"})),
    "qwen2": DecoderKind(biases=True, out_bias=False, kv_heads_stated=True, windows="refused",
                       harmless=frozenset({"use_mrope"})),
    "qwen3": DecoderKind(head_norms=_QK, kv_heads_stated=True, head_dim_stated=True,
                       windows="refused"),
    "seed_oss": DecoderKind(out_bias="attention_out_bias", mlp_bias="mlp_bias"),
    "smollm3": DecoderKind(mlp_bias="mlp_bias"),
    "stablelm": DecoderKind(
        biases="use_qkv_bias", out_bias=False, norm_bias=True, windows="none",
        only=(("qk_layernorm", False), ("use_parallel_residual", False))),
    "vaultgemma": DecoderKind(norms=("input_layernorm", "pre_feedforward_layernorm"), every=2),
}  # fmt: skip


MODEL_TYPES = tuple(KINDS)
_UNDERSTOOD = (
    "`plan list models` lists models whose structure is understood; a "
    "further one is a file in planner/models/families"
)


@record
class PlainDecoder:
    """A plain decoder as its configuration states it; ``width`` is the MLP's or an expert's."""

    size: Backbone
    storage: Storage
    heads: GroupedQuery
    width: int
    experts: Experts | None
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
    return build_kind(fields, model_type, KINDS[model_type], origin)


def build_kind(fields: Fields, model_type: str, kind: DecoderKind, origin: Provenance) -> ModelSpec:
    """As :func:`build`, of a type that is ``kind``.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: a key has a value that changes the structure.
    """
    model = _read(fields, kind)
    fields.finish(kind.harmless)
    return spec_of(origin, model_type, model.size, model.storage, rows=_rows(model, kind),
                   dense_width=0 if kind.experts else model.width, experts=model.experts,
                   attention=model.groups)  # fmt: skip


def _read(fields: Fields, kind: DecoderKind) -> PlainDecoder:
    """The sizes of a configuration of ``kind``; keys that nobody read are left to the caller.

    Raises:
        DataError: a key is missing or malformed.
        UnsupportedError: a key has a value that changes the structure.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = kind.biases
    if isinstance(biases, str):
        biases = fields.boolean(biases, default=False)
    if kind.biases != "attention_bias":
        fields.agree("attention_bias", biases)
    inner = kind.mlp_bias
    if isinstance(inner, str):
        inner = fields.boolean(inner, default=False)
    if kind.mlp_bias != "mlp_bias":
        fields.agree("mlp_bias", inner)
    heads = read_grouped_query(fields, size.hidden, biases=biases,
                               kv_heads_optional=not kind.kv_heads_stated,
                               head_dim_optional=not kind.head_dim_stated)  # fmt: skip
    out = kind.out_bias
    for name in kind.refused:
        if fields.take(name) is not None:
            raise UnsupportedError(f"{fields.place}: {name} is not understood", hint=_UNDERSTOOD)
    for name, understood in kind.only:
        _only(fields, name, understood)
    width, names = fields.integer("intermediate_size"), kind.experts
    return PlainDecoder(
        size=size, storage=storage, heads=heads, width=width,
        experts=None if names is None
        else read_routing(fields, size.all_layers, count_key=names.count, width=width),
        out_bias=fields.boolean(out, default=False) if isinstance(out, str) else out and biases,
        mlp_bias=inner,
        head_norms=_head_norms(fields, kind), groups=_groups(fields, size, heads, kind),
    )  # fmt: skip


def _rows(model: PlainDecoder, kind: DecoderKind) -> list[TensorRow]:
    """The tensors of ``model``, as :func:`_read` gives it."""
    storage, hidden, layers = model.storage, model.size.hidden, model.size.all_layers
    ends = [row for row in model.size.ends(storage) if kind.final_norm or row.kind != "norm"]
    made = [
        *ends,
        *(
            _fused_attention(model)
            if kind.fused_qkv
            else model.heads.rows(storage, hidden, layers, out_bias=model.out_bias)
        ),
        *(_head_norm_rows(model, kind) if model.head_norms else ()),
        *(rows.norm(storage, LAYER + name, hidden, layers) for name in kind.norms),
        *_mlp(model, kind),
    ]
    norms = [row for row in made if row.kind == "norm" and kind.norm_bias]
    return [*made, *(rows.bias(storage, row) for row in norms),
            *(_learned(storage, layers) if kind.activated else ()),
            *((rows.plain(storage, LAYER + "self_attn.sinks", "attention-qkv",
                          (model.heads.heads,), layers, fused="sinks", shard="column"),)
              if kind.sinks else ())]  # fmt: skip


def _learned(storage: Storage, layers: tuple[int, ...]) -> list[TensorRow]:
    """What an xIELU activation learns, one value each, and two that published counts leave out."""
    return [
        replace(rows.plain(storage, f"{LAYER}mlp.act_fn.{name}", "norm", shape, layers,
                           fused="activation-" + name), counted=bool(shape))
        for name, shape in (("alpha_p", (1,)), ("alpha_n", (1,)), ("beta", ()), ("eps", ()))
    ]  # fmt: skip


def _only(fields: Fields, name: str, understood: object) -> None:
    value = fields.take(name)
    if value is not None and value != understood:
        raise UnsupportedError(
            f"{fields.place}: {name} is {ascii(value)[:60]}; only {understood!a} is modelled",
            hint=_UNDERSTOOD,
        )


def _head_norms(fields: Fields, kind: DecoderKind) -> bool:
    if kind.head_norms is None or not kind.head_norms_key:
        return kind.head_norms is not None
    return fields.boolean(kind.head_norms_key, default=True)


def _groups(
    fields: Fields, size: Backbone, heads: GroupedQuery, kind: DecoderKind
) -> tuple[Attention, ...]:
    """Full and windowed layers; a window that is null or switched off means full ones.

    Raises:
        DataError: layers are windowed, and no window is stated.
        UnsupportedError: a window where none is understood.
    """
    if not kind.windows.startswith("listed"):
        if kind.windows.startswith("refused"):
            refuse_windows(fields, switch_default=kind.windows == "refused-on")
        stated = kind.windows == "stated" and fields.optional_integer(
            "sliding_window", high=MAX_CONTEXT)  # fmt: skip
        return (heads.attention(size.all_layers, window=stated or 0),)
    window = fields.optional_integer("sliding_window", high=MAX_CONTEXT)
    every = _interval(fields, kind)
    used = fields.boolean("use_sliding_window", default=bool(every or kind.all_windowed))
    fields.optional_integer("max_window_layers", low=0, high=MAX_LAYERS)
    by_list = fields.take("layer_types") is not None or kind.windows == "listed-only"
    if not by_list and (window is None or not used):
        full = size.all_layers
    elif kind.all_windowed and not by_list:
        full = ()
    else:
        full = full_layers(fields, size.layers, other="sliding_attention", every=every)
    rest = others(size.all_layers, full)
    if rest and window is None:
        raise fields.error("sliding_window", "is missing, and layer_types has windowed layers")
    return tuple(
        group
        for group in (
            heads.attention(full, sinks=kind.sinks),
            heads.attention(rest, window=window or 0, sinks=kind.sinks),
        )
        if group.layers
    )


def _interval(fields: Fields, kind: DecoderKind) -> int:
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


def _head_norm_rows(model: PlainDecoder, kind: DecoderKind) -> list[TensorRow]:
    a = model.heads
    assert kind.head_norms is not None
    tensors = []
    for name, count in zip(kind.head_norms, (a.heads, a.kv_heads), strict=True):
        width = a.head_dim if kind.over == "head" else count * a.head_dim
        row = rows.norm(model.storage, f"{LAYER}self_attn.{name}", width, model.size.all_layers)
        shape = (count, a.head_dim) if kind.over == "heads" else row.shape
        tensors.append(replace(row, shape=shape))
    return tensors


def _fused_attention(model: PlainDecoder) -> list[TensorRow]:
    """Query, key and value as one matrix, and the output."""
    storage, hidden, layers, a = (
        model.storage, model.size.hidden, model.size.all_layers, model.heads)  # fmt: skip
    qkv = rows.linear(storage, LAYER + "self_attn.qkv_proj", "attention-qkv",
                      ((a.heads + 2 * a.kv_heads) * a.head_dim, hidden), layers, fused="qkv",
                      shard="column")  # fmt: skip
    joined = replace(qkv, kv_outputs=2 * a.kv_heads * a.head_dim)
    out = rows.linear(storage, LAYER + "self_attn.o_proj", "attention-out",
                      (hidden, a.heads * a.head_dim), layers, fused="o", shard="row")  # fmt: skip
    return [*rows.with_biases(storage, [joined], a.biases),
            *rows.with_biases(storage, [out], model.out_bias)]  # fmt: skip


def _mlp(model: PlainDecoder, kind: DecoderKind) -> list[TensorRow]:
    storage, hidden, layers = model.storage, model.size.hidden, model.size.all_layers
    if kind.experts is not None and model.experts is not None:
        count = model.experts.count
        return [
            *rows.router(storage, kind.experts.router, hidden, count, layers),
            *rows.gated_mlp(storage, kind.experts.mlp, layers, hidden=hidden, width=model.width,
                            experts=count),
        ]  # fmt: skip
    split = rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=hidden, width=model.width,
                           biases=model.mlp_bias)  # fmt: skip
    if not kind.gated:
        return [row for row in split if ".gate_proj." not in row.name]
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
