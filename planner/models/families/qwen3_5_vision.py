"""The vision encoder of Qwen3.5. Source: the model code of Hugging Face Transformers."""

from __future__ import annotations

from planner.models import rows
from planner.models.fields import GENERIC, MAX_LAYERS, Fields
from planner.models.spec import TensorRow
from planner.models.storage import Storage

_BLOCK = "model.visual.blocks.{layer}."


def read_vision(fields: Fields, storage: Storage, text_hidden: int) -> list[TensorRow]:
    """The tensors of the vision encoder and its merger, as part ``vision``.

    Raises:
        DataError: a key is missing, malformed or not understood, or its output is not the text
            model's width.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("depth", high=MAX_LAYERS)))
    channels, patch = fields.integer("in_channels"), fields.integer("patch_size")
    frames = fields.integer("temporal_patch_size")
    positions = fields.integer("num_position_embeddings")
    merged = width * fields.integer("spatial_merge_size", high=2**8) ** 2
    if fields.integer("out_hidden_size") != text_hidden:
        raise fields.error("out_hidden_size", f"is not the text model's {text_hidden}")
    if fields.take("deepstack_visual_indexes"):
        raise fields.error("deepstack_visual_indexes", "lists layers, which is not understood")
    fields.take("num_heads")
    fields.finish(GENERIC | {"dtype"})

    def matrix(name: str, kind: str, shape: tuple[int, ...]) -> list[TensorRow]:
        inside = layers if name.startswith(_BLOCK) else ()
        fused = "vision-" + name.removeprefix(_BLOCK).replace(".", "-").replace("_", "-")
        return [rows.plain(storage, f"{name}.weight", kind, shape, inside, fused=fused),
                rows.plain(storage, f"{name}.bias", kind, shape[:1], inside,
                           fused=fused + "-bias")]  # fmt: skip

    found = [
        *matrix("model.visual.patch_embed.proj", "embedding",
                (width, channels, frames, patch, patch)),
        rows.plain(storage, "model.visual.pos_embed.weight", "embedding", (positions, width), (),
                   fused="vision-positions"),
        *matrix(_BLOCK + "norm1", "norm", (width,)),
        *matrix(_BLOCK + "norm2", "norm", (width,)),
        *matrix(_BLOCK + "attn.qkv", "attention-qkv", (3 * width, width)),
        *matrix(_BLOCK + "attn.proj", "attention-out", (width, width)),
        *matrix(_BLOCK + "mlp.linear_fc1", "mlp-gate-up", (inner, width)),
        *matrix(_BLOCK + "mlp.linear_fc2", "mlp-down", (width, inner)),
        *matrix("model.visual.merger.norm", "norm", (width,)),
        *matrix("model.visual.merger.linear_fc1", "mlp-gate-up", (merged, merged)),
        *matrix("model.visual.merger.linear_fc2", "mlp-down", (text_hidden, merged)),
    ]  # fmt: skip
    return rows.part_of(found, "vision")
