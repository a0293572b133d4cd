"""Vision encoders of Qwen2-VL, Qwen2.5-VL, Qwen3-VL, Qwen3.5, Qwen-Omni and GLM-4V.

Patches of a few frames, blocks, and a merger of 2 × 2 patches to one token. Source: the model code
of Hugging Face Transformers 5.24.

Those of Gemma 3 (SigLIP) and Mistral 3 (Pixtral) come with their projectors.
"""

from __future__ import annotations

from collections.abc import Iterable

from planner.base.records import record
from planner.models import rows
from planner.models.families.towers import (
    GLM4V,
    PIXTRAL,
    QWEN2,
    QWEN3,
    QWEN25,
    QWEN25_OMNI,
    SIGLIP,
    Blocks,
    Seen,
    Tower,
)
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.spec import ImageEncoder, TensorRow
from planner.models.storage import Storage

_IMAGE_TOKENS = 16384
_LIMIT = (
    "16384 tokens of the largest image: 16384 × 2² patches' pixels in the release's "
    "preprocessor_config.json"
)
"""max_pixels 12845056 = 16384 × 28² of Qwen2-VL and Qwen2.5-VL, size.longest_edge 16777216 =
16384 × 32² of Qwen3-VL, Qwen3.5 and Qwen3.6 (files of the releases, as quoted 2026-11)."""
_GLM_TOKENS, _GLM_LIMIT = (
    6144,
    "6144 tokens of the largest image: size.longest_edge "
    "9633792 of the release's preprocessor_config.json over two frames of 28² pixels a token",
)
_VIDEO_FRAMES = 14  # vLLM 0.32, qwen2_vl.py _MAX_FRAMES_PER_VIDEO


@record
class _Patches:
    """What all of these state of a patch and of its way to a token."""

    width: int
    layers: tuple[int, ...]
    channels: int
    frames: int
    patch: int
    merge: int
    heads: int

    @property
    def merged(self) -> int:
        return self.width * self.merge**2

    @property
    def kernel(self) -> tuple[int, ...]:
        return (self.channels, self.frames, self.patch, self.patch)

    def seen(
        self,
        tensors: Iterable[TensorRow],
        blocks: Blocks,
        inner: int,
        out: int,
        *,
        tokens: int = _IMAGE_TOKENS,
        limit: str = _LIMIT,
        video: int = 0,
    ) -> Seen:
        """The rows as part ``vision``, with what memory needs."""
        made = ImageEncoder(
            layers=len(self.layers), hidden=self.width, heads=self.heads, inner=inner,
            gated=len(blocks.up) > 1, pixels=self.channels * self.frames * self.patch**2,
            merge=self.merge**2, out=out, patches=tokens * self.merge**2, tokens=tokens,
            limit=limit, frames=video)  # fmt: skip
        return Seen(tuple(rows.part_of(tensors, "vision")), made)


def _patches(fields: Fields, width: int, *, patch: int) -> _Patches:
    channels = fields.optional_integer("in_channels", high=2**8)
    older = fields.optional_integer("in_chans", high=2**8)
    if None not in (channels, older) and channels != older:
        raise fields.error("in_chans", f"is {older}, and in_channels {channels}")
    read = _Patches(
        width=width, layers=tuple(range(fields.integer("depth", high=MAX_LAYERS))),
        channels=channels or older or 3,
        frames=fields.integer("temporal_patch_size", high=2**8, default=2),
        patch=fields.integer("patch_size", high=2**12, default=patch),
        merge=fields.integer("spatial_merge_size", high=2**8, default=2),
        heads=fields.integer("num_heads", high=MAX_EXPERTS, default=16))  # fmt: skip
    if width % read.heads:
        raise fields.error("num_heads", f"is {read.heads}; it must divide {width}")
    return read


def _same(fields: Fields, key: str, hidden: int) -> None:
    if fields.integer(key, default=hidden) != hidden:
        raise fields.error(key, f"is not the text model's {hidden}")


def _two_step(t: Tower, merged: int, hidden: int, names: tuple[str, str]) -> list[TensorRow]:
    """Merged patches → as wide → one token of the text model."""
    return [*t.linear(names[0], "mlp-gate-up", (merged, merged)),
            *t.linear(names[1], "mlp-down", (hidden, merged))]  # fmt: skip


def qwen2(fields: Fields, storage: Storage, hidden: int, base: str) -> Seen:
    """Qwen2-VL: ``embed_dim`` is the encoder's width, ``hidden_size`` the text model's.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    p = _patches(fields, fields.integer("embed_dim", default=1280), patch=14)
    inner = p.width * fields.integer("mlp_ratio", high=2**8, default=4)
    _same(fields, "hidden_size", hidden)
    fields.finish()
    t = Tower(storage, base, p.layers)
    tensors = [
        *t.linear("patch_embed.proj", "embedding", (p.width, *p.kernel), bias=False),
        *t.blocks(QWEN2, p.width, inner),
        *t.linear("merger.ln_q", "norm", (p.width,)),
        *_two_step(t, p.merged, hidden, ("merger.mlp.0", "merger.mlp.2")),
    ]  # fmt: skip
    return p.seen(tensors, QWEN2, inner, hidden, video=_VIDEO_FRAMES)


def qwen25(
    fields: Fields,
    storage: Storage,
    hidden: int,
    base: str,
    *,
    split: bool = False,
) -> Seen:
    """Qwen2.5-VL, and Qwen2.5-Omni's, which keeps queries, keys and values apart (``split``).

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    p = _patches(fields, fields.integer("hidden_size"), patch=14)
    if fields.integer("embed_dim", default=p.width) != p.width:
        raise fields.error("embed_dim", f"is not the hidden_size of {p.width}")
    inner = fields.integer("intermediate_size", default=3420)
    _same(fields, "out_hidden_size", hidden)
    fields.finish()
    blocks = QWEN25_OMNI if split else QWEN25
    t = Tower(storage, base, p.layers)
    tensors = [
        *t.linear("patch_embed.proj", "embedding", (p.width, *p.kernel), bias=False),
        *t.blocks(blocks, p.width, inner),
        *t.linear("merger.ln_q", "norm", (p.width,), bias=False),
        *_two_step(t, p.merged, hidden, ("merger.mlp.0", "merger.mlp.2")),
    ]  # fmt: skip
    return p.seen(tensors, blocks, inner, hidden, video=_VIDEO_FRAMES)


def qwen25_omni(fields: Fields, storage: Storage, hidden: int, base: str) -> Seen:
    """As :func:`qwen25`, with queries, keys and values apart."""
    return qwen25(fields, storage, hidden, base, split=True)


def qwen3(
    fields: Fields,
    storage: Storage,
    hidden: int,
    base: str,
    *,
    mergers: str = "deepstack_merger_list",
    norm: str = "norm",
    linears: tuple[str, str] = ("linear_fc1", "linear_fc2"),
) -> Seen:
    """Qwen3-VL and Qwen3.5: learned positions, and a merger more for each layer that is seen deep
    in the text model (``deepstack_visual_indexes``), whose features are beside the last ones.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    p = _patches(fields, fields.integer("hidden_size"), patch=16)
    inner = fields.integer("intermediate_size")
    positions = fields.integer("num_position_embeddings", default=2304)
    deep = fields.integers("deepstack_visual_indexes", low=0, high=len(p.layers) - 1)
    _same(fields, "out_hidden_size", hidden)
    fields.finish()
    t = Tower(storage, base, p.layers)

    def merger(name: str, width: int) -> list[TensorRow]:
        return [
            *t.linear(f"{name}.{norm}", "norm", (width,)),
            *_two_step(t, p.merged, hidden, (f"{name}.{linears[0]}", f"{name}.{linears[1]}")),
        ]

    tensors = [
        *t.linear("patch_embed.proj", "embedding", (p.width, *p.kernel)),
        t.one("pos_embed.weight", "embedding", (positions, p.width)),
        *t.blocks(QWEN3, p.width, inner),
        *merger("merger", p.width),
        *(row for i in range(len(deep)) for row in merger(f"{mergers}.{i}", p.merged)),
    ]  # fmt: skip
    return p.seen(tensors, QWEN3, inner, hidden * (1 + len(deep)))


def qwen3_omni(fields: Fields, storage: Storage, hidden: int, base: str) -> Seen:
    """As :func:`qwen3`, with other names of the mergers."""
    return qwen3(
        fields,
        storage,
        hidden,
        base,
        mergers="merger_list",
        norm="ln_q",
        linears=("mlp.0", "mlp.2"),
    )


def glm4v(fields: Fields, storage: Storage, hidden: int, base: str) -> Seen:
    """GLM-4.1V, 4.5V and 4.6V: blocks gated ``out_hidden_size`` wide, a strided convolution that
    merges, and a gated merger ``intermediate_size`` wide.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    p = _patches(fields, fields.integer("hidden_size"), patch=14)
    image = fields.integer("image_size", default=336)
    inner = fields.integer("intermediate_size")
    biases = fields.boolean("attention_bias", default=False)
    _same(fields, "out_hidden_size", hidden)
    if biases:
        raise fields.error("attention_bias", "is true; GLM-4V's encoder has no biases")
    fields.finish()
    t = Tower(storage, base, p.layers)
    tensors = [
        t.one("embeddings.position_embedding.weight", "embedding",
              ((image // p.patch) ** 2, p.width)),
        *t.linear("patch_embed.proj", "embedding", (p.width, *p.kernel)),
        *t.linear("post_conv_layernorm", "norm", (p.width,), bias=False),
        *t.blocks(GLM4V, p.width, hidden),
        *t.linear("post_layernorm", "norm", (p.width,), bias=False),
        *t.linear("downsample", "mlp-down", (hidden, p.width, p.merge, p.merge)),
        *t.linear("merger.proj", "mlp-down", (hidden, hidden), bias=False),
        *t.linear("merger.post_projection_norm", "norm", (hidden,)),
        *(row for name in ("gate", "up")
          for row in t.linear(f"merger.{name}_proj", "mlp-gate-up", (inner, hidden), bias=False)),
        *t.linear("merger.down_proj", "mlp-down", (hidden, inner), bias=False),
    ]  # fmt: skip
    return p.seen(tensors, GLM4V, hidden, hidden, tokens=_GLM_TOKENS, limit=_GLM_LIMIT)


@record
class TowerSizes:
    """Sizes that encoders of square images state."""

    width: int
    inner: int
    layers: tuple[int, ...]
    heads: int
    channels: int
    image: int
    patch: int


def tower_sizes(fields: Fields, *, image: int, patch: int) -> TowerSizes:
    """The sizes of an encoder; ``image`` and ``patch`` are a side's pixels where none are stated.

    Raises:
        DataError: a key is missing or malformed, or heads do not divide the width.
    """
    read = TowerSizes(
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
    s = tower_sizes(fields, image=224, patch=16)
    tokens = outer.integer("mm_tokens_per_image", default=256)
    if fields.boolean("vision_use_head", default=False):
        raise fields.error("vision_use_head", "is true; Gemma 3 has no pooling head")
    side = s.image // s.patch
    if side**2 % tokens:
        raise outer.error("mm_tokens_per_image", f"is {tokens}; it must divide {side**2} patches")
    fields.finish()
    t = Tower(storage, "vision_tower.vision_model.", s.layers)
    p = Tower(storage, "multi_modal_projector.", ())
    tensors = [
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
    return Seen(tuple(rows.part_of(tensors, "vision")), made)


def pixtral(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """Pixtral with Mistral 3's projector: a norm, merged patches to one, two matrices.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    s = _pixtral_sizes(fields)
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
    p = Tower(storage, "multi_modal_projector.", ())
    tensors = [
        *_pixtral_tower(storage, s),
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
    return Seen(tuple(rows.part_of(tensors, "vision")), made)


def _pixtral_sizes(fields: Fields) -> TowerSizes:
    s = tower_sizes(fields, image=1024, patch=16)
    if fields.integer("head_dim", default=s.width // s.heads) * s.heads != s.width:
        raise fields.error("head_dim", f"times {s.heads} heads is not {s.width}")
    return s


def _pixtral_tower(storage: Storage, s: TowerSizes) -> list[TensorRow]:
    t = Tower(storage, "vision_tower.", s.layers)
    return [
        *t.linear("patch_conv", "embedding", (s.width, s.channels, s.patch, s.patch), bias=False),
        *t.linear("ln_pre", "norm", (s.width,), bias=False),
        *t.blocks(PIXTRAL, s.width, s.inner),
    ]


def pixtral_rows(fields: Fields, storage: Storage) -> list[TensorRow]:
    """Pixtral without a projector, as LLaVA's releases of it have it.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    s = _pixtral_sizes(fields)
    fields.finish()
    return _pixtral_tower(storage, s)
