"""The vision encoder of MiniMax-M3: patches of two frames, a CLIP-like stack, two projections."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.towers import Tower
from planner.models.fields import MAX_LAYERS, Fields
from planner.models.spec import TensorRow
from planner.models.storage import Storage

_CHANNELS = 3


def read_vision(
    fields: Fields,
    storage: Storage,
    text_hidden: int,
    *,
    projector: int,
) -> list[TensorRow]:
    """The encoder and both projectors, ``projector`` features between their matrices.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS)))
    patch = fields.integer("patch_size")
    channels = fields.integer("num_channels", high=2**8, default=_CHANNELS)
    compression = fields.nested("img_token_compression_config")
    place = fields if compression is None else compression
    merge, frames = (
        place.integer(name, high=2**6, default=2)
        for name in ("spatial_merge_size", "temporal_patch_size")
    )
    for name, value in (("spatial_merge_size", merge), ("temporal_patch_size", frames)):
        if fields.integer(name, high=2**6, default=value) != value:
            raise fields.error(name, f"is not the {value} of img_token_compression_config")
    if compression is not None:
        compression.choice("image_token_compression_method", ("patch_merge",),
                           default="patch_merge")  # fmt: skip
        compression.finish()
    fields.finish({"dtype", "image_size", "num_attention_heads", "position_embedding_type",
                   "rope_mode", "projection_dim", "vocab_size", "vision_segment_max_frames",
                   "initializer_factor"})  # fmt: skip
    base = "vision_tower.vision_model."
    block = base + "encoder.layers.{layer}."
    t = Tower(storage, "", layers, block)
    found = [
        t.one(base + "embeddings.patch_embedding.weight", "embedding",
              (width, channels, frames, patch, patch)),
        *t.linear(base + "pre_layrnorm", "norm", (width,)),
        *(row for name in ("layer_norm1", "layer_norm2")
          for row in t.linear(block + name, "norm", (width,))),
        *(row for letter in "qkv"
          for row in t.linear(f"{block}self_attn.{letter}_proj", "attention-qkv", (width, width))),
        *t.linear(block + "self_attn.out_proj", "attention-out", (width, width)),
        *t.linear(block + "mlp.fc1", "mlp-gate-up", (inner, width)),
        *t.linear(block + "mlp.fc2", "mlp-down", (width, inner)),
        *t.linear("multi_modal_projector.linear_1", "mlp-gate-up", (projector, width)),
        *t.linear("multi_modal_projector.linear_2", "mlp-down", (text_hidden, projector)),
        *t.linear("patch_merge_mlp.linear_1", "mlp-gate-up",
                  (projector, text_hidden * merge * merge)),
        *t.linear("patch_merge_mlp.linear_2", "mlp-down", (text_hidden, projector)),
    ]  # fmt: skip
    return rows.part_of(found, "vision")
