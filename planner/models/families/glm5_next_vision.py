"""The vision encoder of GLM-5-next: patches of two frames, normed heads, a gated merger."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.towers import Tower
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.spec import TensorRow
from planner.models.storage import Storage

_CHANNELS = 3


def read_vision(fields: Fields, storage: Storage) -> list[TensorRow]:
    """The encoder and its merger.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("depth", high=MAX_LAYERS)))
    heads, patch = fields.integer("num_heads", high=MAX_EXPERTS), fields.integer("patch_size")
    frames = fields.integer("temporal_patch_size", high=2**6)
    merge = fields.integer("spatial_merge_size", high=2**6)
    channels = fields.integer("in_channels", high=2**8, default=_CHANNELS)
    out, wide = fields.integer("out_hidden_size"), fields.integer("projection_intermediate_size")
    biases = fields.boolean("attention_bias", default=True)
    if width % heads:
        raise fields.error("num_heads", f"is {heads}; it must divide {width}")
    fields.finish({"dtype", "image_size", "swiglu_limit"})
    base = "model.visual."
    block = base + "blocks.{layer}."
    t = Tower(storage, "", layers, block)
    found = [
        *t.linear(base + "patch_embed.proj", "embedding", (width, channels, frames, patch, patch)),
        *(t.one(f"{block}norm{n}.weight", "norm", (width,)) for n in (1, 2)),
        *t.linear(block + "attn.qkv", "attention-qkv", (3 * width, width), bias=biases),
        *t.linear(block + "attn.proj", "attention-out", (width, width), bias=biases),
        *(t.one(f"{block}attn.{letter}_norm.weight", "norm", (width // heads,))
          for letter in "qk"),
        *(row for name in ("gate", "up")
          for row in t.linear(f"{block}mlp.{name}_proj", "mlp-gate-up", (inner, width),
                              bias=biases)),
        *t.linear(block + "mlp.down_proj", "mlp-down", (width, inner), bias=biases),
        t.one(base + "post_layernorm.weight", "norm", (width,)),
        *t.linear(base + "downsample", "mlp-down", (out, width, merge, merge)),
        t.one(base + "merger.proj.weight", "mlp-down", (out, out)),
        *t.linear(base + "merger.post_projection_norm", "norm", (out,)),
        *(t.one(f"{base}merger.{name}_proj.weight", "mlp-gate-up", (wide, out))
          for name in ("gate", "up")),
        t.one(base + "merger.down_proj.weight", "mlp-down", (out, wide)),
    ]  # fmt: skip
    return rows.part_of(found, "vision")
