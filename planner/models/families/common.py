"""Configuration keys that several families share, read and checked the same way.

Lists of one word or one flag a layer, as hybrid models state what each layer is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from planner.base.errors import DataError, UnsupportedError
from planner.base.records import record
from planner.models.fields import GENERIC, MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import Provenance, ends, gqa
from planner.models.spec import Attention, Experts, ModelSpec, TensorRow
from planner.models.storage import Storage


@record
class Backbone:
    """Sizes every decoder has. Widths in elements, context in tokens."""

    hidden: int
    layers: int
    vocab: int
    context: int
    tied: bool

    @property
    def all_layers(self) -> tuple[int, ...]:
        return tuple(range(self.layers))

    def ends(self, storage: Storage) -> list[TensorRow]:
        """Embedding, final norm, and the head unless it is the embedding."""
        return ends(storage, hidden=self.hidden, vocab=self.vocab, tied=self.tied)


@record
class GroupedQuery:
    """Grouped-query attention: ``heads`` over ``kv_heads`` of ``head_dim``."""

    heads: int
    kv_heads: int
    head_dim: int
    biases: bool

    def attention(
        self, layers: tuple[int, ...], *, window: int = 0, chunked: bool = False,
        sinks: bool = False,
    ) -> Attention:  # fmt: skip
        """The structure record for ``layers``."""
        return Attention(
            kind="gqa", layers=layers, heads=self.heads, kv_heads=self.kv_heads,
            head_dim=self.head_dim, window=window, chunked=chunked, sinks=sinks,
        )  # fmt: skip

    def rows(
        self, storage: Storage, hidden: int, layers: tuple[int, ...], *,
        out_bias: bool | None = None, query_parts: int = 1,
    ) -> list[TensorRow]:  # fmt: skip
        """Its projections in ``layers``; the options as in :func:`planner.models.rows.gqa`."""
        return gqa(
            storage, layers, hidden=hidden, heads=self.heads, kv_heads=self.kv_heads,
            head_dim=self.head_dim, biases=self.biases, out_bias=out_bias, query_parts=query_parts,
        )  # fmt: skip


def read_backbone(fields: Fields) -> Backbone:
    """Hidden size, layers, vocabulary, context and whether the head is the embedding."""
    return Backbone(
        hidden=fields.integer("hidden_size"),
        layers=fields.integer("num_hidden_layers", high=MAX_LAYERS),
        vocab=fields.integer("vocab_size"),
        context=fields.integer("max_position_embeddings", high=MAX_CONTEXT),
        tied=fields.boolean("tie_word_embeddings", default=False),
    )


def read_grouped_query(
    fields: Fields,
    hidden: int,
    *,
    biases: bool,
    kv_heads_optional: bool = False,
    head_dim_optional: bool = True,
) -> GroupedQuery:
    """Heads, KV heads and head width.

    Where a key may be absent, there are as many KV heads as heads, and the head width is
    hidden / heads; families whose own defaults differ require the key.

    Raises:
        DataError: heads are not a multiple of KV heads, or do not divide the hidden size.
    """
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    default = heads if kv_heads_optional else None
    kv_heads = fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=default)
    head_dim = fields.optional_integer("head_dim")
    if heads % kv_heads:
        raise fields.error("num_key_value_heads", f"is {kv_heads}; it must divide {heads} heads")
    if head_dim is None:
        if not head_dim_optional:
            raise fields.error("head_dim", "is missing")
        if hidden % heads:
            raise fields.error("num_attention_heads", f"is {heads}; it must divide {hidden}")
        head_dim = hidden // heads
    return GroupedQuery(heads=heads, kv_heads=kv_heads, head_dim=head_dim, biases=biases)


def refuse_windows(fields: Fields, *, switch_default: bool) -> None:
    """Refuse sliding-window attention; ``switch_default`` is the meaning of an absent switch.

    Raises:
        UnsupportedError: a layer attends to a window only.
    """
    window = fields.optional_integer("sliding_window", low=0, high=MAX_CONTEXT)
    used = fields.boolean("use_sliding_window", default=switch_default)
    fields.optional_integer("max_window_layers", low=0, high=MAX_LAYERS)
    kinds = set(fields.strings("layer_types")) - {"full_attention"}
    if window and used:
        raise UnsupportedError(
            f"{fields.place}: sliding_window is {window}; sliding-window attention is not "
            "modelled yet, and its cache is smaller than full attention's",
            hint="`plan list models` lists models whose structure is understood; a "
            "further one is a file in planner/models/families",
        )
    if kinds:
        raise UnsupportedError(
            f"{fields.place}: layer_types holds {ascii(sorted(kinds)[0])[:60]}; only "
            "full_attention is modelled yet",
            hint="`plan list models` lists models whose structure is understood; a "
            "further one is a file in planner/models/families",
        )


def read_routing(fields: Fields, layers: tuple[int, ...], *, count_key: str, width: int) -> Experts:
    """Routed experts without groups and without shared experts.

    Raises:
        DataError: more experts are chosen than there are.
    """
    for other in {"num_experts", "num_local_experts"} - {count_key}:
        fields.alias(count_key, other)
    count = fields.integer(count_key, high=MAX_EXPERTS)
    per_token = fields.integer("num_experts_per_tok", high=MAX_EXPERTS)
    if per_token > count:
        raise fields.error("num_experts_per_tok", f"is {per_token}; there are {count} experts")
    return Experts(
        layers=layers, count=count, per_token=per_token, width=width, shared=0, shared_width=0,
        groups=1, groups_per_token=1,
    )  # fmt: skip


NO_VISION = "the vision encoder: the configuration has no vision_config"
NO_AUDIO = "the audio encoder: the configuration has no audio_config"
NO_PREDICTION = "prediction layers: the configuration does not say whether the files hold any"


def spec_of(
    origin: Provenance, model_type: str, size: Backbone, storage: Storage, *,
    attention: Iterable[Attention], rows: Iterable[TensorRow], experts: Experts | None = None,
    dense_width: int = 0, mtp_layers: int = 0, not_counted: tuple[str, ...] = (),
) -> ModelSpec:  # fmt: skip
    """The ModelSpec of a family's parts; attention groups without layers are left out."""
    return ModelSpec(
        id=origin.id, public_name=origin.public_name, model_type=model_type, layers=size.layers,
        hidden_size=size.hidden, vocab_size=size.vocab, max_context=size.context,
        tied_embeddings=size.tied, attention=tuple(a for a in attention if a.layers),
        experts=experts if experts is not None and experts.layers else None,
        dense_width=dense_width, mtp_layers=mtp_layers, quantization=storage.plain,
        source=origin.source, source_kind=origin.source_kind,
        config_sha256=origin.config_sha256, rows=tuple(rows), not_counted=not_counted,
    )  # fmt: skip


# Keys around a text model that say how to find images and sounds among its tokens.
_AROUND = GENERIC | {
    "image_token_id", "video_token_id", "image_token_index", "vision_start_token_id",
    "vision_end_token_id", "audio_token_id", "boa_token_id", "boi_token_id",
    "eoa_token_id", "eoa_token_index", "eoi_token_id", "vision_soft_tokens_per_image",
    "ignore_index", "media_placeholder_token_id", "use_unified_vision_chunk",
    "video_placeholder", "torch_dtype", "dtype", "language_model_only",
}  # fmt: skip


def text_of(
    fields: Fields, model_types: Iterable[str], *, unnamed: str | None = None, hears: bool = False
) -> tuple[Fields, Fields | None]:
    """The text model inside a larger configuration, and the vision encoder's, if there is one.

    The type of elements and tied embeddings may be stated outside, once, for both. ``unnamed`` is
    the type of a text model that does not state it, where it need not. ``hears``: the family counts
    the audio encoder itself.

    Raises:
        DataError: no text model, one of another type, or keys around it that are not understood.
    """
    text = fields.nested("text_config")
    if text is None:
        raise fields.error("text_config", "is missing")
    text.choice("model_type", model_types, default=unnamed)
    if unnamed is not None:
        text.assume_type(unnamed)
    text.take("quantization_config")
    if text.take("pruned_heads"):
        raise text.error("pruned_heads", "is not empty; pruned models are not understood")
    vision = fields.nested("vision_config")
    if vision is None:
        fields.leave_out(NO_VISION)
    if fields.nested("audio_config") is not None and not hears:
        fields.leave_out("the audio encoder (audio_config)")
    for key in ("tie_word_embeddings", "dtype", "torch_dtype"):
        text.inherit(fields, key)
    fields.finish(_AROUND)
    return text, vision


def full_layers(fields: Fields, layers: int, *, other: str, every: int = 0) -> tuple[int, ...]:
    """Layers of full attention: those ``layer_types`` lists, else each ``every``-th.

    Raises:
        DataError: a list of another length, a type that is neither full nor ``other``, or
            neither list nor interval.
    """
    kinds = fields.strings("layer_types")
    if not kinds:
        if not every:
            raise fields.error("layer_types", "is missing")
        return tuple(layer for layer in range(layers) if (layer + 1) % every == 0)
    if len(kinds) != layers:
        raise fields.error("layer_types", f"has {len(kinds)} entries for {layers} layers")
    unknown = sorted(set(kinds) - {"full_attention", other})
    if unknown:
        raise fields.error("layer_types", f"holds {ascii(unknown[0])[:60]}; understood: "
                           f"full_attention, {other}")  # fmt: skip
    return tuple(layer for layer, kind in enumerate(kinds) if kind == "full_attention")


def others(layers: Iterable[int], chosen: Iterable[int]) -> tuple[int, ...]:
    """The layers that are not ``chosen``, in order."""
    without = set(chosen)
    return tuple(layer for layer in layers if layer not in without)


def read_shared_routing(
    fields: Fields, layers: tuple[int, ...], *, ungrouped: bool = True, shared: int | None = None
) -> Experts:
    """Routed experts in groups and shared experts, in the keys of DeepSeek and GLM.

    ``ungrouped``: absent groups mean one group; otherwise they must be stated. ``shared`` is the
    number of shared experts of a family that does not state it.

    Raises:
        DataError: groups do not divide, or more experts are chosen than the groups hold.
    """
    for other in ("num_experts", "num_local_experts"):
        fields.alias("n_routed_experts", other)
    count = fields.integer("n_routed_experts", high=MAX_EXPERTS)
    width = fields.integer("moe_intermediate_size")
    if shared is None:
        shared = fields.integer("n_shared_experts", low=0, high=MAX_EXPERTS)
    per_token = fields.integer("num_experts_per_tok", high=MAX_EXPERTS)
    default_group = 1 if ungrouped else None
    groups = fields.integer("n_group", high=MAX_EXPERTS, default=default_group)
    chosen = fields.integer("topk_group", high=MAX_EXPERTS, default=default_group)
    if count % groups:
        raise fields.error("n_group", f"is {groups}; it must divide {count} experts")
    if chosen > groups:
        raise fields.error("topk_group", f"is {chosen}; there are {groups} groups")
    if per_token > count // groups * chosen:
        raise fields.error(
            "num_experts_per_tok",
            f"is {per_token}; {chosen} groups hold {count // groups * chosen} experts",
        )
    return Experts(
        layers=layers, count=count, per_token=per_token, width=width, shared=shared,
        shared_width=shared * width, groups=groups, groups_per_token=chosen,
    )  # fmt: skip


def refuse_dense_steps(fields: Fields) -> None:
    """Refuse layers without experts in families whose every layer has them.

    Raises:
        DataError: some layers are dense.
    """
    if fields.integer("decoder_sparse_step", default=1) != 1:
        raise fields.error("decoder_sparse_step", "is not 1; dense layers are not understood here")
    if fields.take("mlp_only_layers"):
        raise fields.error("mlp_only_layers", "lists dense layers, which are not understood here")


ATTENTION = {"full_attention": "full", "attention": "full", "sliding_attention": "window",
             "linear_attention": "linear", "mamba": "linear", "conv": "linear"}  # fmt: skip
"""What transformers and releases call a layer's mixer."""
MLP = {"dense": "dense", "sparse": "sparse"}
_DIGITS = len(str(MAX_LAYERS))


def listed_kinds(
    fields: Fields, name: str, layers: int, words: Mapping[str, str], *, after: int = 0
) -> tuple[str, ...]:
    """What key ``name`` calls each layer, translated by ``words``; empty where it is absent. The
    ``after`` prediction layers behind them may be in it too.

    Raises:
        DataError: a list of another length, or a word that is not understood.
    """
    stated = fields.strings(name)
    if not stated:
        return ()
    if len(stated) not in (layers, layers + after):
        raise fields.error(name, f"has {len(stated)} entries for {layers} layers")
    unknown = sorted(set(stated) - set(words))
    if unknown:
        raise fields.error(name, f"holds {ascii(unknown[0])[:60]}; understood: "
                           + ", ".join(words))  # fmt: skip
    return tuple(words[word] for word in stated)


def flagged(fields: Fields, name: str, layers: int) -> tuple[int, ...] | None:
    """The layers that a list of one 0 or 1 a layer marks with 1; None where it is absent.

    Raises:
        DataError: a list of another length, or with other numbers.
    """
    flags = fields.integers(name, low=0, high=1)
    if not flags:
        return None
    if len(flags) != layers:
        raise fields.error(name, f"has {len(flags)} entries for {layers} layers")
    return tuple(layer for layer, flag in enumerate(flags) if flag)


def layers_of(kinds: tuple[str, ...], kind: str) -> tuple[int, ...]:
    """The layers that are ``kind``."""
    return tuple(layer for layer, layer_kind in enumerate(kinds) if layer_kind == kind)


def entry_of_layers(layered: Fields, layers: tuple[int, ...], called: str) -> Fields:
    """The one entry that ``layers`` have, and no others, in ``per_layer_config``: the object of
    what some layers have otherwise, by their numbers.

    Raises:
        DataError: another set of layers, or entries that differ.
    """
    names = layered.names()
    values = [layered.take(name) for name in names]
    numbers = {int(name) for name in names if name.isdecimal() and len(name) <= _DIGITS}
    if numbers != set(layers) or len(names) != len(layers):
        raise DataError(
            f"{layered.place} is not about the {called}",
            hint="compare it with the configuration of the release",
        )
    if any(value != values[0] for value in values):
        raise DataError(
            f"{layered.place} differs between layers, which is not understood",
            hint="compare it with the configuration of the release",
        )
    return layered.nested(names[0]) or layered
