"""Configuration keys that several families share, read and checked the same way."""

from __future__ import annotations

from dataclasses import dataclass

from planner.errors import UnsupportedError
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.spec import Attention, Experts


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class GroupedQuery:
    """Grouped-query attention: ``heads`` over ``kv_heads`` of ``head_dim``."""

    heads: int
    kv_heads: int
    head_dim: int
    biases: bool

    def attention(self, layers: tuple[int, ...]) -> Attention:
        """The structure record for ``layers``."""
        return Attention(
            kind="gqa", layers=layers, heads=self.heads, kv_heads=self.kv_heads,
            head_dim=self.head_dim,
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
    window = fields.optional_integer("sliding_window", high=MAX_CONTEXT)
    used = fields.boolean("use_sliding_window", default=switch_default)
    fields.optional_integer("max_window_layers", low=0, high=MAX_LAYERS)
    kinds = set(fields.strings("layer_types")) - {"full_attention"}
    if window is not None and used:
        raise UnsupportedError(
            f"{fields.place}: sliding_window is {window}; sliding-window attention is not "
            "modelled yet, and its cache is smaller than full attention's"
        )
    if kinds:
        raise UnsupportedError(
            f"{fields.place}: layer_types holds {ascii(sorted(kinds)[0])[:60]}; only "
            "full_attention is modelled yet"
        )


def read_routing(
    fields: Fields, layers: tuple[int, ...], *, count_key: str, width: int
) -> Experts:
    """Routed experts without groups and without shared experts.

    Raises:
        DataError: more experts are chosen than there are.
    """
    count = fields.integer(count_key, high=MAX_EXPERTS)
    per_token = fields.integer("num_experts_per_tok", high=MAX_EXPERTS)
    if per_token > count:
        raise fields.error("num_experts_per_tok", f"is {per_token}; there are {count} experts")
    return Experts(
        layers=layers, count=count, per_token=per_token, width=width, shared=0, shared_width=0,
        groups=1, groups_per_token=1,
    )  # fmt: skip
