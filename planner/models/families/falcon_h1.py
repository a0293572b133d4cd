"""Falcon-H1: attention and a Mamba-2 mixer beside each other in every layer, and a gated MLP."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import read_backbone, read_grouped_query, spec_of
from planner.models.families.mamba import mamba2, mamba2_rows
from planner.models.fields import MAX_EXPERTS, Fields
from planner.models.rows import LAYER, GatedMlp, Provenance
from planner.models.spec import ModelSpec
from planner.models.storage import read_storage

MODEL_TYPES = ("falcon_h1",)
_MLP = GatedMlp("feed_forward.", "gate_proj", "up_proj", "down_proj", "mlp")


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Falcon-H1 configuration. Its state is in the model's type (vLLM 0.32).

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    size, storage = read_backbone(fields), read_storage(fields)
    a = read_grouped_query(
        fields, size.hidden, biases=fields.boolean("attention_bias", default=False)
    )
    heads, dim = fields.integer("mamba_n_heads", high=MAX_EXPERTS), fields.integer("mamba_d_head")
    expand = fields.integer("mamba_expand", high=MAX_EXPERTS, default=2)
    inner = fields.optional_integer("mamba_d_ssm") or expand * size.hidden
    if heads * dim != inner:
        raise fields.error("mamba_d_ssm", f"is not {heads} heads of {dim}")
    mamba = mamba2(
        fields, size.all_layers, storage, heads=heads, head_dim=dim,
        groups=fields.integer("mamba_n_groups", high=MAX_EXPERTS),
        states=fields.integer("mamba_d_state"), default=storage.plain,
        kernel=fields.integer("mamba_d_conv", high=MAX_EXPERTS, default=4))  # fmt: skip
    conv = fields.boolean("mamba_conv_bias", default=True)
    into, out = (
        fields.boolean(name, default=False) for name in ("mamba_proj_bias", "projectors_bias")
    )
    normed = fields.boolean("mamba_rms_norm", default=False)
    width = fields.integer("intermediate_size")
    mlp = fields.boolean("mlp_bias", default=False)
    if into != out:
        raise fields.error("projectors_bias", f"is {out} and mamba_proj_bias {into}, which is not "
                           "understood")  # fmt: skip
    fields.finish()
    hidden, layers = size.hidden, size.all_layers
    tensors = [
        *(row for row in size.ends(storage) if row.name != "model.norm.weight"),
        rows.norm(storage, "model.final_layernorm", hidden, ()),
        *a.rows(storage, hidden, layers),
        *mamba2_rows(storage, mamba, hidden, module="mamba.", conv_bias=conv, biases=into,
                     normed=normed),
        *(rows.norm(storage, LAYER + name, hidden, layers)
          for name in ("input_layernorm", "pre_ff_layernorm")),
        *rows.gated_mlp(storage, _MLP, layers, hidden=hidden, width=width, biases=mlp),
    ]  # fmt: skip
    return spec_of(origin, model_type, size, storage, rows=tensors, dense_width=width,
                   attention=[a.attention(layers), mamba])  # fmt: skip
