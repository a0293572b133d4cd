"""Whisper: an encoder of sound and a decoder that attends to it. Its tensors are counted; plans are
not made of it. Source: the model code of Hugging Face Transformers 5.24.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families import why_unplanned
from planner.models.families.common import Backbone, spec_of
from planner.models.families.towers import WHISPER, Tower
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.rows import Provenance
from planner.models.spec import ModelSpec, TensorRow
from planner.models.storage import Storage, read_storage

MODEL_TYPES = ("whisper",)
_HARMLESS = frozenset({
    "activation_dropout", "activation_function", "apply_spec_augment", "classifier_proj_size",
    "decoder_layerdrop", "dropout", "encoder_layerdrop", "init_std", "is_encoder_decoder",
    "mask_feature_length",
    "mask_feature_min_masks", "mask_feature_prob", "mask_time_length", "mask_time_min_masks",
    "mask_time_prob", "median_filter_width", "num_hidden_layers", "scale_embedding",
})  # fmt: skip


def build(fields: Fields, model_type: str, origin: Provenance) -> ModelSpec:
    """The ModelSpec of a Whisper configuration, for its counts.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    storage = read_storage(fields, default="fp32")
    width, bins = fields.integer("d_model"), fields.integer("num_mel_bins", high=2**12)
    sources = fields.integer("max_source_positions")
    size = Backbone(
        hidden=width,
        layers=fields.integer("decoder_layers", high=MAX_LAYERS),
        vocab=fields.integer("vocab_size"),
        context=fields.integer("max_target_positions"),
        tied=fields.boolean("tie_word_embeddings", default=True),
    )
    encoding = tuple(range(fields.integer("encoder_layers", high=MAX_LAYERS)))
    inner = (fields.integer("encoder_ffn_dim"), fields.integer("decoder_ffn_dim"))
    for key in ("encoder_attention_heads", "decoder_attention_heads"):
        heads = fields.integer(key, high=MAX_EXPERTS)
        if width % heads:
            raise fields.error(key, f"is {heads}; it must divide {width}")
    fields.boolean("use_weighted_layer_sum", default=False)
    fields.finish(_HARMLESS)
    ears = Tower(storage, "model.encoder.", encoding)
    hearing = [
        *ears.linear("conv1", "embedding", (width, bins, 3)),
        *ears.linear("conv2", "embedding", (width, width, 3)),
        ears.one("embed_positions.weight", "embedding", (sources, width)),
        *ears.blocks(WHISPER, width, inner[0]),
        *ears.linear("layer_norm", "norm", (width,)),
    ]  # fmt: skip
    spec = spec_of(
        origin,
        model_type,
        size,
        storage,
        attention=(),
        dense_width=inner[1],
        rows=[*_decoder(storage, size, inner[1]), *rows.part_of(hearing, "audio")],
    )
    return replace(spec, unplanned=why_unplanned(model_type, {}))


def _decoder(storage: Storage, size: Backbone, inner: int) -> list[TensorRow]:
    """Blocks as the encoder's, and between their halves attention to the encoder's outputs."""
    t, width = Tower(storage, "model.decoder.", size.all_layers, "layers.{layer}."), size.hidden
    across = "layers.{layer}.encoder_attn"
    return [
        t.one("embed_tokens.weight", "embedding", (size.vocab, width)),
        t.one("embed_positions.weight", "embedding", (size.context, width)),
        *t.blocks(WHISPER, width, inner),
        *(row for letter in "qkv"
          for row in t.linear(f"{across}.{letter}_proj", "attention-qkv", (width, width),
                              bias=letter != "k")),
        *t.linear(f"{across}.out_proj", "attention-out", (width, width)),
        *t.linear(f"{across}_layer_norm", "norm", (width,)),
        *t.linear("layer_norm", "norm", (width,)),
        *([] if size.tied else Tower(storage, "", ()).linear(
            "proj_out", "head", (size.vocab, width), bias=False)),
    ]  # fmt: skip
