"""Vision encoders of Gemma 3 (SigLIP) and Mistral 3 (Pixtral), with their projectors.

Source: the model code of Hugging Face Transformers 5.24.
"""

from __future__ import annotations

from planner.models import rows
from planner.models.families.towers import PIXTRAL, SIGLIP, Seen, Tower
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.spec import ImageEncoder
from planner.models.storage import Storage
from planner.records import record


@record
class _Sizes:
    width: int
    inner: int
    layers: tuple[int, ...]
    heads: int
    channels: int
    image: int
    patch: int


def _sizes(fields: Fields, *, image: int, patch: int) -> _Sizes:
    read = _Sizes(
        width=fields.integer("hidden_size"), inner=fields.integer("intermediate_size"),
        layers=tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS))),
        heads=fields.integer("num_attention_heads", high=MAX_EXPERTS),
        channels=fields.integer("num_channels", high=2**8, default=3),
        image=fields.integer("image_size", default=image),
        patch=fields.integer("patch_size", high=2**12, default=patch))  # fmt: skip
    if read.width % read.heads:
        raise fields.error("num_attention_heads", f"is {read.heads}; it must divide {read.width}")
    if read.image < read.patch:
        raise fields.error("image_size", f"is {read.image}; a patch has {read.patch} pixels a side")
    return read


def gemma3(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """SigLIP without its pooling head, and a norm and one matrix to the text model's width.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    s = _sizes(fields, image=224, patch=16)
    tokens = outer.integer("mm_tokens_per_image", default=256)
    if fields.boolean("vision_use_head", default=False):
        raise fields.error("vision_use_head", "is true; Gemma 3 has no pooling head")
    side = s.image // s.patch
    if side**2 % tokens:
        raise outer.error("mm_tokens_per_image", f"is {tokens}; it must divide {side**2} patches")
    fields.finish()
    t = Tower(storage, "vision_tower.vision_model.", s.layers)
    p = Tower(storage, "multi_modal_projector.", ())
    found = [
        *t.linear("embeddings.patch_embedding", "embedding",
                  (s.width, s.channels, s.patch, s.patch)),
        t.one("embeddings.position_embedding.weight", "embedding", (side**2, s.width)),
        *t.blocks(SIGLIP, s.width, s.inner),
        *t.linear("post_layernorm", "norm", (s.width,)),
        p.one("mm_input_projection_weight", "mlp-down", (s.width, hidden)),
        p.one("mm_soft_emb_norm.weight", "norm", (s.width,)),
    ]  # fmt: skip
    made = ImageEncoder(
        layers=len(s.layers),
        hidden=s.width,
        heads=s.heads,
        inner=s.inner,
        gated=False,
        pixels=s.channels * s.patch**2,
        merge=side**2 // tokens,
        out=hidden,
        patches=side**2,
        tokens=tokens,
        limit=f"every image is {s.image} pixels square and {tokens} tokens",
    )
    return Seen(tuple(rows.part_of(found, "vision")), made)


def pixtral(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """Pixtral with Mistral 3's projector: a norm, merged patches to one, two matrices.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    s = _sizes(fields, image=1024, patch=16)
    if fields.integer("head_dim", default=s.width // s.heads) * s.heads != s.width:
        raise fields.error("head_dim", f"times {s.heads} heads is not {s.width}")
    merge = outer.integer("spatial_merge_size", high=2**8, default=2)
    biases = outer.boolean("multimodal_projector_bias", default=False)
    layer = outer.take("vision_feature_layer")
    if layer not in (None, -1):
        raise outer.error("vision_feature_layer", "is not -1: other layers are not understood")
    if s.image < s.patch * merge:
        raise fields.error(
            "image_size", f"is {s.image}; a token has {s.patch * merge} pixels a side"
        )
    fields.finish()
    t = Tower(storage, "vision_tower.", s.layers)
    p = Tower(storage, "multi_modal_projector.", ())
    found = [
        *t.linear("patch_conv", "embedding", (s.width, s.channels, s.patch, s.patch), bias=False),
        *t.linear("ln_pre", "norm", (s.width,), bias=False),
        *t.blocks(PIXTRAL, s.width, s.inner),
        *p.linear("norm", "norm", (s.width,), bias=False),
        *p.linear("patch_merger.merging_layer", "mlp-down", (s.width, s.width * merge**2),
                  bias=False),
        *p.linear("linear_1", "mlp-gate-up", (hidden, s.width), bias=biases),
        *p.linear("linear_2", "mlp-down", (hidden, hidden), bias=biases),
    ]  # fmt: skip
    side = s.image // s.patch // merge
    made = ImageEncoder(
        layers=len(s.layers),
        hidden=s.width,
        heads=s.heads,
        inner=s.inner,
        gated=True,
        pixels=s.channels * s.patch**2,
        merge=merge**2,
        out=hidden,
        patches=(side * merge) ** 2,
        tokens=side**2,
        limit=f"{side**2} tokens of an image {s.image} pixels square, the largest",
    )
    return Seen(tuple(rows.part_of(found, "vision")), made)
