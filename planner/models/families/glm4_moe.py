"""GLM-4.5, 4.5-Air, 4.6, dots.llm1, DeepSeekMoE: grouped queries, routed and shared experts."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    Backbone,
    GroupedQuery,
    others,
    read_backbone,
    read_grouped_query,
    read_shared_routing,
    refuse_windows,
    spec_of,
)
from planner.models.fields import HARMLESS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Experts, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("deepseek", "dots1", "glm4_moe")
_HARMLESS = HARMLESS | {
    "norm_topk_prob", "partial_rotary_factor", "routed_scaling_factor", "scoring_func",
    "topk_method",
}  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a GLM-4.5 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    attention = read_grouped_query(fields, size.hidden, biases=biases)
    normed = fields.boolean("use_qk_norm", default=model_type == "dots1")
    if model_type == "dots1":
        refuse_windows(fields, switch_default=False)
    mtp = fields.integer("num_nextn_predict_layers", low=0, high=MAX_LAYERS, default=0)
    first = fields.integer("first_k_dense_replace", low=0, high=MAX_LAYERS)
    if model_type == "deepseek":  # the router has no correction; every layer behind has experts
        fields.agree("attention_bias", False)
        fields.integer("moe_layer_freq", high=1, default=1)
    moe = tuple(layer for layer in size.all_layers if layer >= first)
    experts = read_shared_routing(fields, moe)
    width, corrected = fields.integer("intermediate_size"), model_type != "deepseek"
    fields.finish(_HARMLESS)
    dense = others(size.all_layers, moe)
    after = tuple(range(size.layers, size.layers + mtp))

    def decoder(layers: tuple[int, ...], dense: tuple[int, ...]) -> list[TensorRow]:
        return _decoder(storage, size, attention, experts, layers, dense, width, normed,
                        corrected)  # fmt: skip

    tensors = [
        *size.ends(storage),
        *decoder(size.all_layers, dense),
        *rows.part_of([*rows.prediction_ends(storage, after, hidden=size.hidden, vocab=size.vocab,
                                             tied=size.tied, copies=True),
                       *decoder(after, ())] if after else [], "mtp"),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   dense_width=width if dense else 0, mtp_layers=mtp,
                   attention=[attention.attention(size.all_layers)])  # fmt: skip


def _decoder(
    storage: Storage, size: Backbone, a: GroupedQuery, experts: Experts, layers: tuple[int, ...],
    dense: tuple[int, ...], width: int, normed: bool, corrected: bool,
) -> list[TensorRow]:  # fmt: skip
    hidden, moe = size.hidden, others(layers, dense)
    norms = [rows.norm(storage, f"{LAYER}self_attn.{name}", a.head_dim, layers)
             for name in ("q_norm", "k_norm")]  # fmt: skip
    tensors = [
        *a.rows(storage, hidden, layers, out_bias=False),
        *(norms if normed else ()),
        *rows.layer_norms(storage, hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, dense, hidden=hidden, width=width),
    ]  # fmt: skip
    return tensors + rows.routed(storage, experts, moe, hidden=hidden, corrected=corrected)
