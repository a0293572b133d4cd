"""MiniCPM 3: latent attention in every layer, and a gated MLP."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import read_backbone, spec_of
from planner.models.families.latent import latent_rows
from planner.models.fields import MAX_EXPERTS, Fields
from planner.models.rows import Provenance
from planner.models.spec import Attention, ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("minicpm3",)
_HARMLESS = frozenset({"dim_model_base", "head_dim", "qk_head_dim", "rope_interleave",
                       "scale_depth", "scale_emb"})  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a MiniCPM 3 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size, storage = read_backbone(fields), read_storage(fields)
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    kv_heads = fields.integer("num_key_value_heads", high=MAX_EXPERTS, default=heads)
    if kv_heads != heads:
        raise fields.error("num_key_value_heads", f"is {kv_heads}; latent attention has {heads}")
    nope, rope = fields.integer("qk_nope_head_dim"), fields.integer("qk_rope_head_dim")
    a = Attention(
        kind="mla", layers=size.all_layers, heads=heads, kv_heads=heads, head_dim=nope + rope,
        q_lora_rank=fields.optional_integer("q_lora_rank"), nope_dim=nope, rope_dim=rope,
        kv_lora_rank=fields.integer("kv_lora_rank"),
        value_dim=fields.integer("v_head_dim", default=max(1, size.hidden // heads)))  # fmt: skip
    biases = fields.boolean("attention_bias", default=False)
    inner = fields.boolean("mlp_bias", default=False)
    width = fields.integer("intermediate_size")
    fields.finish(_HARMLESS)
    layers, hidden = size.all_layers, size.hidden
    tensors = [
        *size.ends(storage),
        *latent_rows(storage, a, hidden, layers, biases=biases),
        *rows.layer_norms(storage, hidden, layers),
        *rows.gated_mlp(storage, rows.DENSE_MLP, layers, hidden=hidden, width=width, biases=inner),
    ]
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   attention=[a])  # fmt: skip
