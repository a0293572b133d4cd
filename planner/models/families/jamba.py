"""Jamba: Mamba layers, an attention layer in every eight, experts in every other MLP."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import (
    others,
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import Attention, ModelSpec, StoredAs, TensorRow
from planner.models.storage import Storage, read_storage, stored_type

MODEL_TYPES = ("jamba",)
_MLP = GatedMlp("feed_forward.", "gate_proj", "up_proj", "down_proj", "mlp")
_EXPERT = GatedMlp("feed_forward.experts.{expert}.", "gate_proj", "up_proj", "down_proj",
                   "experts")  # fmt: skip
_KIND = "linear-attention"


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Jamba configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size, storage = read_backbone(fields), read_storage(fields)
    a = read_grouped_query(fields, size.hidden, biases=False)
    full = _every(fields, "attn_layer", size.all_layers)
    moe = _every(fields, "expert_layer", size.all_layers)
    width = fields.integer("intermediate_size")
    if fields.integer("num_experts", high=MAX_EXPERTS) == 1:
        moe = ()
    experts = read_routing(fields, moe, count_key="num_experts", width=width) if moe else None
    fields.take("num_experts_per_tok")
    mamba = _mamba(fields, size.hidden, others(size.all_layers, full), storage)
    rank = fields.take("mamba_dt_rank")
    steps = -(-size.hidden // 16) if rank == "auto" else fields.integer("mamba_dt_rank")
    conv = fields.boolean("mamba_conv_bias", default=True)
    biases = fields.boolean("mamba_proj_bias", default=False)
    fields.finish()
    hidden, dense = size.hidden, others(size.all_layers, moe)
    tensors = [
        *(row for row in size.ends(storage) if row.name != "model.norm.weight"),
        rows.norm(storage, "model.final_layernorm", hidden, ()),
        *(a.rows(storage, hidden, full) if full else []),
        *mamba1_rows(storage, mamba, hidden, steps, conv=conv, biases=biases),
        *(rows.norm(storage, LAYER + name, hidden, size.all_layers)
          for name in ("input_layernorm", "pre_ff_layernorm")),
        *rows.gated_mlp(storage, _MLP, dense, hidden=hidden, width=width),
        *rows.router(storage, "feed_forward.router", hidden, experts.count if experts else 1, moe),
        *rows.gated_mlp(storage, _EXPERT, moe, hidden=hidden, width=width,
                        experts=experts.count if experts else 1),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if dense else 0,
                   attention=[a.attention(full), mamba])  # fmt: skip


def _every(fields: Fields, name: str, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The layers that the period and the offset of ``name`` choose."""
    period = fields.integer(name + "_period", high=MAX_LAYERS)
    offset = fields.integer(name + "_offset", low=0, high=MAX_LAYERS)
    return tuple(n for n in layers if n % period == offset)


def _mamba(fields: Fields, hidden: int, layers: tuple[int, ...], storage: Storage) -> Attention:
    """Mamba: every channel has a state of its own, in the model's type (vLLM 0.32)."""
    states = fields.integer("mamba_d_state")
    kernel = fields.integer("mamba_d_conv", high=MAX_EXPERTS)
    inner = fields.integer("mamba_expand", high=MAX_EXPERTS) * hidden
    return Attention(
        kind="linear", layers=layers, heads=inner, kv_heads=inner, head_dim=1, key_dim=states,
        state_elements=inner * states, state_dtype=storage.plain, rule="mamba1",
        conv_elements=inner * (kernel - 1), conv_dtype=storage.plain)  # fmt: skip


def mamba1_rows(
    storage: Storage, a: Attention, hidden: int, steps: int, *, conv: bool, biases: bool,
    module: str = "mamba.", normed: bool = True,
) -> list[TensorRow]:  # fmt: skip
    """The mixer's tensors under ``module``; ``normed``: norms of steps, B and C, as Jamba has."""
    if not a.layers:
        return []
    prefix, layers, inner, states = LAYER + module, a.layers, a.heads, a.key_dim
    into = rows.linear(storage, prefix + "in_proj", _KIND, (2 * inner, hidden), layers,
                       fused="linear-in", shard="column")  # fmt: skip
    out = rows.linear(storage, prefix + "out_proj", _KIND, (hidden, inner), layers,
                      fused="linear-out", shard="row")  # fmt: skip
    step = rows.linear(storage, prefix + "dt_proj", _KIND, (inner, steps), layers,
                       fused="linear-dt", shard="column")  # fmt: skip
    vectors = [("conv1d.weight", (inner, 1, a.conv_elements // inner + 1)), ("D", (inner,))]
    vectors += [("conv1d.bias", (inner,))] if conv else []
    decay = rows.plain(storage, prefix + "A_log", _KIND, (inner * states,), layers,
                       fused="linear-decay", shard="column")  # fmt: skip
    return [
        *rows.with_biases(storage, [into], biases),
        rows.linear(storage, prefix + "x_proj", _KIND, (steps + 2 * states, inner), layers,
                    fused="linear-x", shard="row"),
        *rows.with_biases(storage, [step], True),
        *(rows.plain(storage, prefix + name, _KIND, shape, layers, fused="linear-" + name,
                     shard="column") for name, shape in vectors),
        replace(decay, stored=StoredAs(decay.name, stored_type(storage.plain).name,
                                       (inner, states))),
        *(rows.norm(storage, f"{prefix}{name}_layernorm", width, layers)
          for name, width in (("dt", steps), ("b", states), ("c", states)) if normed),
        *rows.with_biases(storage, [out], biases),
    ]  # fmt: skip
