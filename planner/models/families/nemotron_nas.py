"""Nemotron-NAS (Llama-3.3-Nemotron-Super and Ultra): Llama whose layers differ from one another.

A layer may have fewer key and value heads, a narrower MLP, one linear map instead of attention, or
neither half. Source: the model code of the release (DeciLM), and its re-writing in vLLM and SGLang.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.models import rows
from planner.models.families.common import GroupedQuery, read_backbone, spec_of
from planner.models.fields import MAX_EXPERTS, MAX_WIDTH, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("nemotron-nas",)
_MULTIPLE = 256
_OFF = ("sparsify", "window_length", "num_sink_tokens", "unshifted_sink",
        "use_prefill_window_in_sink_attention")  # fmt: skip


@record
class Block:
    """One layer: ``kv_heads`` is 0 without softmax attention, ``linear`` whether one map stands in
    for it, ``width`` the MLP's, 0 without one."""

    kv_heads: int
    linear: bool
    width: int


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Nemotron-NAS configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: windows or sparsity inside a layer, or a linear map for an MLP.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    for name in ("intermediate_size", "num_key_value_heads"):
        if fields.take(name) is not None:
            raise fields.error(name, "is not null; block_configs states it for every layer")
    if size.hidden % heads:
        raise fields.error("num_attention_heads", f"is {heads}; it must divide {size.hidden}")
    biases = fields.boolean("attention_bias", default=False)
    mlp_biases = fields.boolean("mlp_bias", default=False)
    blocks = _blocks(fields, size.layers, size.hidden, heads)
    fields.finish()
    groups = [
        (GroupedQuery(heads, kv, size.hidden // heads, biases), group_layers)
        for kv, group_layers in _alike(block.kv_heads for block in blocks)
        if kv
    ]
    attends = [n for n, block in enumerate(blocks) if block.kv_heads or block.linear]
    thinks = [n for n, block in enumerate(blocks) if block.width]
    tensors = [
        *size.ends(storage),
        *(row for a, group_layers in groups for row in a.rows(storage, size.hidden, group_layers)),
        *_linear(storage, size.hidden, tuple(n for n, b in enumerate(blocks) if b.linear)),
        *_norm(storage, "input_layernorm", size.hidden, tuple(attends)),
        *_norm(storage, "post_attention_layernorm", size.hidden, tuple(thinks)),
        *(row for width, group_layers in _alike(block.width for block in blocks) if width
          for row in rows.gated_mlp(storage, rows.DENSE_MLP, group_layers, hidden=size.hidden,
                                    width=width, biases=mlp_biases)),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors,
                   dense_width=max(block.width for block in blocks),
                   attention=[a.attention(group_layers) for a, group_layers in groups])  # fmt: skip


def _alike(values: Iterable[int]) -> list[tuple[int, tuple[int, ...]]]:
    """(value, layers that have it), by first layer."""
    layers_by_value: dict[int, list[int]] = {}
    for layer, value in enumerate(values):
        layers_by_value.setdefault(value, []).append(layer)
    return [(value, tuple(layers)) for value, layers in layers_by_value.items()]


def _linear(storage: Storage, hidden: int, layers: tuple[int, ...]) -> list[TensorRow]:
    if not layers:
        return []
    return [rows.linear(storage, LAYER + "self_attn.linear_attn", "attention-out",
                        (hidden, hidden), layers, fused="o", shard="replicated")]  # fmt: skip


def _norm(storage: Storage, name: str, hidden: int, layers: tuple[int, ...]) -> list[TensorRow]:
    return [rows.norm(storage, LAYER + name, hidden, layers)] if layers else []


def _blocks(fields: Fields, layers: int, hidden: int, heads: int) -> tuple[Block, ...]:
    stated = fields.take("block_configs")
    if not isinstance(stated, list) or len(stated) != layers:
        count = len(stated) if isinstance(stated, list) else 0
        raise fields.error("block_configs", f"has {count} entries for {layers} layers")
    blocks = []
    for layer, block in enumerate(stated):
        place = f"{fields.place}: block_configs[{layer}]"
        if not isinstance(block, dict):
            raise fields.error("block_configs", f"holds {short_repr(block)}; an object is needed")
        inner = Fields(block, place)
        attention, ffn = inner.nested("attention"), inner.nested("ffn")
        if attention is None or ffn is None:
            raise inner.error("attention" if attention is None else "ffn", "is missing")
        inner.finish({"parallel_blocks"} if block.get("parallel_blocks") is None else ())
        kv_heads, linear = _attention(attention, heads)
        blocks.append(Block(kv_heads, linear, _width(ffn, hidden)))
    return tuple(blocks)


def _attention(fields: Fields, heads: int) -> tuple[int, bool]:
    """(key and value heads, whether a linear map stands in their place)."""
    none = fields.boolean("no_op", default=False)
    linear = fields.boolean("replace_with_linear", default=False)
    group = fields.optional_integer("n_heads_in_group", high=MAX_EXPERTS)
    _refuse(fields)
    if none or linear:
        return 0, linear and not none
    if group is None or heads % group:
        raise fields.error("n_heads_in_group", f"is {group}; it must divide {heads} heads")
    return heads // group, False


def _width(fields: Fields, hidden: int) -> int:
    """The MLP's width: two thirds of so many hidden sizes, in whole multiples of 256."""
    none = fields.boolean("no_op", default=False)
    if fields.boolean("replace_with_linear", default=False) and not none:
        raise _unsupported(fields, "replace_with_linear", "true")
    times, width = fields.take("ffn_mult"), fields.optional_integer("intermediate_size")
    _refuse(fields)
    if none:
        return 0
    if width is not None:
        return width
    if isinstance(times, bool) or not isinstance(times, int | float) or not 0 < times < MAX_WIDTH:
        raise fields.error("ffn_mult", f"is {short_repr(times)}; a positive number is needed")
    return -(-int(2 * times * hidden / 3) // _MULTIPLE) * _MULTIPLE


def _refuse(fields: Fields) -> None:
    for name in _OFF:
        value = fields.take(name)
        if value is not None and value is not False:
            raise _unsupported(fields, name, short_repr(value))
    fields.finish()


def _unsupported(fields: Fields, name: str, value: str) -> UnsupportedError:
    return UnsupportedError(
        f"{fields.place}: {name} is {value}, which is not modelled",
        hint="`plan list models` lists models whose structure is understood; a new one is a file "
             "in planner/models/families")  # fmt: skip
