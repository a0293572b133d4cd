"""Mamba, Falcon-Mamba and Mamba-2 (Codestral Mamba): decoders without attention.

A sequence keeps states of one size, however long it is. Source: the model code of Hugging Face
Transformers 5.24.
"""

from __future__ import annotations

from planner.models import rows
from planner.models.families.common import Backbone, spec_of
from planner.models.families.jamba import mamba1_rows
from planner.models.families.mamba import mamba2, mamba2_rows
from planner.models.fields import MAX_CONTEXT, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import LAYER, Provenance
from planner.models.spec import Attention, ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("falcon_mamba", "mamba", "mamba2")
_HARMLESS = frozenset({
    "chunk_size", "expand", "hidden_act", "mixer_rms_eps", "rescale_prenorm_residual",
    "residual_in_fp32", "rms_norm", "time_step_floor", "time_step_init_scheme", "time_step_limit",
    "time_step_max", "time_step_min", "time_step_rank", "time_step_scale", "use_associative_scan",
    "use_falcon_mambapy", "use_mambapy",
})  # fmt: skip
_KEYS = (("hidden_size", "d_model"), ("num_hidden_layers", "n_layer"))


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Mamba or Mamba-2 configuration.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    for usual, own in _KEYS:
        fields.alias(usual, own)
    size = Backbone(
        hidden=fields.integer("hidden_size"),
        layers=fields.integer("num_hidden_layers", high=MAX_LAYERS),
        vocab=fields.integer("vocab_size"),
        context=fields.integer("max_position_embeddings", high=MAX_CONTEXT, default=MAX_CONTEXT),
        tied=fields.boolean("tie_word_embeddings", default=model_type != "mamba2"),
    )
    storage = read_storage(fields)
    biases = fields.boolean("use_bias", default=False)
    conv = fields.boolean("use_conv_bias", default=True)
    mixer = _second if model_type == "mamba2" else _first
    attention, mixing = mixer(fields, size, storage, biases=biases, conv=conv)
    fields.finish(_HARMLESS)
    tensors = [*size.ends(storage), *mixing,
               rows.norm(storage, LAYER + "norm", size.hidden, size.all_layers)]  # fmt: skip
    for usual, own in (("model.embed_tokens", "backbone.embeddings"),
                       ("model.norm", "backbone.norm_f"), ("model.", "backbone.")):  # fmt: skip
        tensors = rows.renamed(tensors, usual, own)
    return spec_of(origin, model_type, size, storage, rows=tensors, attention=[attention])


def _first(
    fields: Fields, size: Backbone, storage: Storage, *, biases: bool, conv: bool
) -> tuple[Attention, list[TensorRow]]:
    """Mamba: every channel has a state of its own, in the model's type (vLLM 0.33)."""
    wide = fields.integer("expand", high=MAX_EXPERTS, default=2) * size.hidden
    inner = fields.integer("intermediate_size", default=wide)
    rank = fields.take("time_step_rank")
    steps = -(-size.hidden // 16) if rank in (None, "auto") else fields.integer("time_step_rank")
    states = fields.integer("state_size")
    kernel = fields.integer("conv_kernel", low=2, high=MAX_EXPERTS, default=4)
    a = Attention(
        kind="linear", layers=size.all_layers, heads=inner, kv_heads=inner, head_dim=1,
        key_dim=states, state_elements=inner * states, state_dtype=storage.plain, rule="mamba1",
        conv_elements=inner * (kernel - 1), conv_dtype=storage.plain)  # fmt: skip
    return a, mamba1_rows(storage, a, size.hidden, steps, conv=conv, biases=biases,
                          module="mixer.", normed=False)  # fmt: skip


def _second(
    fields: Fields, size: Backbone, storage: Storage, *, biases: bool, conv: bool
) -> tuple[Attention, list[TensorRow]]:
    """Mamba-2: heads that share B and C in groups.

    Raises:
        DataError: heads are not as wide as ``expand`` hidden sizes.
    """
    heads = fields.integer("num_heads", high=MAX_EXPERTS)
    dim = fields.integer("head_dim")
    inner = fields.integer("expand", high=MAX_EXPERTS, default=2) * size.hidden
    if heads * dim != inner:
        raise fields.error("num_heads", f"is {heads}: of {dim} each they are not {inner}")
    a = mamba2(
        fields, size.all_layers, storage, heads=heads, head_dim=dim,
        groups=fields.integer("n_groups", high=MAX_EXPERTS, default=8),
        states=fields.integer("state_size"), default=storage.plain,
        kernel=fields.integer("conv_kernel", low=2, high=MAX_EXPERTS, default=4))  # fmt: skip
    return a, mamba2_rows(storage, a, size.hidden, conv_bias=conv, biases=biases)
