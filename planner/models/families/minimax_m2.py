"""MiniMax-M2: norms over all query and all key heads, routed experts with a correction bias."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import (
    read_backbone,
    read_grouped_query,
    read_routing,
    spec_of,
)
from planner.models.fields import HARMLESS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("minimax_m2",)
_HARMLESS = HARMLESS | {"rotary_dim", "scoring_func", "partial_rotary_factor"}


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a MiniMax-M2 configuration; ``intermediate_size`` is the expert width.

    The prediction modules that it names are not in the published files, so they are not counted:
    the files' total is the main model's.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size = read_backbone(fields)
    storage = read_storage(fields, default="bf16")
    a = read_grouped_query(fields, size.hidden, biases=False)
    layers, hidden = size.all_layers, size.hidden
    experts = read_routing(
        fields, layers, count_key="num_local_experts", width=fields.integer("intermediate_size")
    )
    normed = fields.boolean("use_qk_norm", default=True)
    fields.choice("qk_norm_type", ("per_layer",), default="per_layer")
    biased = fields.boolean("use_routing_bias", default=True)
    fields.integer("shared_intermediate_size", low=0, high=0, default=0)
    fields.boolean("use_mtp", default=False)
    mtp = [fields.integer(name, low=0, high=MAX_LAYERS, default=0)
           for name in ("mtp_transformer_layers", "num_mtp_modules")]  # fmt: skip
    if any(mtp):
        fields.leave_out(
            "prediction modules: the configuration names them, the files of the "
            "release do not hold them"
        )
    fields.finish(_HARMLESS)
    tensors = [
        *size.ends(storage),
        *a.rows(storage, hidden, layers),
        *((rows.norm(storage, LAYER + "self_attn.q_norm", a.heads * a.head_dim, layers),
           rows.norm(storage, LAYER + "self_attn.k_norm", a.kv_heads * a.head_dim, layers))
          if normed else ()),
        *rows.layer_norms(storage, hidden, layers),
        *rows.router(storage, "block_sparse_moe.gate", hidden, experts.count, layers),
        *((rows.plain(storage, LAYER + "block_sparse_moe.e_score_correction_bias", "router",
                      (experts.count,), layers, fused="router-bias", dtype="fp32"),)
          if biased else ()),
        *rows.gated_mlp(storage, rows.NUMBERED_MLP, layers, hidden=hidden, width=experts.width,
                        experts=experts.count),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, experts=experts,
                   attention=[a.attention(layers)])  # fmt: skip
