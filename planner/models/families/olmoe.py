"""OLMoE: norms over all query and all key heads, routed experts in every layer."""

from __future__ import annotations

from planner.errors import UnsupportedError
from planner.models import rows
from planner.models.families.common import (
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.fields import HARMLESS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("olmoe",)


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of an OLMoE configuration; ``intermediate_size`` is the expert width.

    Raises:
        DataError: a key is missing, malformed or not understood.
        UnsupportedError: clipped queries, keys and values.
    """
    size = read_backbone(fields)
    storage = read_storage(fields)
    biases = fields.boolean("attention_bias", default=False)
    a = read_grouped_query(fields, size.hidden, biases=biases, kv_heads_optional=True)
    layers, hidden = size.all_layers, size.hidden
    experts = read_routing(
        fields, layers, count_key="num_experts", width=fields.integer("intermediate_size")
    )
    if fields.take("clip_qkv") is not None:
        raise UnsupportedError(
            f"{fields.place}: clip_qkv is not understood",
            hint="`plan models` lists models whose structure is understood; a "
            "further one is a file in planner/models/families",
        )
    fields.finish(HARMLESS | {"norm_topk_prob"})
    tensors = [
        *size.ends(storage),
        *a.rows(storage, hidden, layers),
        rows.norm(storage, LAYER + "self_attn.q_norm", a.heads * a.head_dim, layers),
        rows.norm(storage, LAYER + "self_attn.k_norm", a.kv_heads * a.head_dim, layers),
        *rows.layer_norms(storage, hidden, layers),
        *rows.router(storage, "mlp.gate", hidden, experts.count, layers),
        *rows.gated_mlp(storage, rows.EXPERT_MLP, layers, hidden=hidden, width=experts.width,
                        experts=experts.count),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   attention=[a.attention(layers)])  # fmt: skip
