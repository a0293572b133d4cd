"""Encoders of images that a projector joins to a text model: CLIP, SigLIP, Pixtral, InternViT.

LLaVA and LLaVA-NeXT, PaliGemma, Idefics 3 and SmolVLM, InternVL, Command A Vision, LFM2-VL,
LightOnOCR and GLM-OCR.
Sources: the model code of Hugging Face Transformers 5.24; of InternVL's own releases that of vLLM
0.33.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.strict_json import short_repr
from planner.models import rows
from planner.models.families.towers import GLM4V, SIGLIP, Blocks, Seen, Tower
from planner.models.families.vision_qwen import pixtral, pixtral_rows, tower_sizes
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, MAX_WIDTH, Fields
from planner.models.spec import ImageEncoder, TensorRow
from planner.models.storage import Storage

_INTERN = Blocks(
    "encoder.layers.{layer}.",
    ("norm1", "norm2"),
    ("attn.qkv",),
    "attn.proj",
    ("mlp.fc1",),
    "mlp.fc2",
    qkv_bias=("attn.qkv",),
)
_SPLIT = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
_INTERN_HF = Blocks(
    "encoder.layer.{layer}.",
    ("layernorm_before", "layernorm_after"),
    _SPLIT,
    "attention.projection_layer",
    ("mlp.fc1",),
    "mlp.fc2",
    qkv_bias=_SPLIT,
)
_MOST_SHUFFLED = 2**6
_CLIP = "clip_vision_model"


def _square(
    fields: Fields, storage: Storage, *, image: int, patch: int, base: str, clip: bool = False
) -> Seen:
    """A tower whose images are one square: SigLIP's, or CLIP's with a class of its own."""
    s = tower_sizes(fields, image=image, patch=patch)
    headed = not clip and fields.boolean("vision_use_head", default=True)
    fields.finish({"projection_dim", "vocab_size", "num_image_tokens", "projector_hidden_act"})
    t, side = Tower(storage, base, s.layers), s.image // s.patch
    tensors = [
        *t.linear("embeddings.patch_embedding", "embedding",
                  (s.width, s.channels, s.patch, s.patch), bias=not clip),
        t.one("embeddings.position_embedding.weight", "embedding", (side**2 + clip, s.width)),
        *([t.one("embeddings.class_embedding", "embedding", (s.width,)),
           *t.linear("pre_layrnorm", "norm", (s.width,))] if clip else []),
        *t.blocks(SIGLIP, s.width, s.inner),
        *t.linear("post_layernorm", "norm", (s.width,)),
        *(_pooling(t, s.width, s.inner) if headed else []),
    ]  # fmt: skip
    made = ImageEncoder(
        layers=len(s.layers), hidden=s.width, heads=s.heads, inner=s.inner, gated=False,
        pixels=s.channels * s.patch**2, merge=1, out=s.width, patches=side**2, tokens=side**2,
        limit=f"every image is {s.image} pixels square and {side**2} tokens")  # fmt: skip
    return Seen(tuple(tensors), made)


def _pooling(t: Tower, width: int, inner: int) -> list[TensorRow]:
    """The head of SigLIP that pools patches, which files hold and nothing here asks for."""
    return [
        t.one("head.probe", "embedding", (1, 1, width)),
        t.one("head.attention.in_proj_weight", "attention-qkv", (3 * width, width)),
        t.one("head.attention.in_proj_bias", "attention-qkv", (3 * width,)),
        *t.linear("head.attention.out_proj", "attention-out", (width, width)),
        *t.linear("head.layernorm", "norm", (width,)),
        *t.linear("head.mlp.fc1", "mlp-gate-up", (inner, width)),
        *t.linear("head.mlp.fc2", "mlp-down", (width, inner)),
    ]


def _joined(seen: Seen, own: list[TensorRow]) -> tuple[TensorRow, ...]:
    """The rows of a tower and of what joins it, as part ``vision``."""
    return tuple(rows.part_of([*seen.rows, *own], "vision"))


def llava(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """LLaVA: CLIP, SigLIP or Pixtral, and two matrices to the text model.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    seen, width = _of_llava(outer, fields, storage)
    own = _two(outer, storage, "multi_modal_projector.", width, hidden)
    made = None if seen.encoder is None else replace(seen.encoder, out=hidden)
    return Seen(_joined(seen, own), made)


def llava_next(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """LLaVA-NeXT: as LLaVA, and a vector that ends a row of an image cut into tiles; how many
    tiles an image has is not modelled."""
    seen, width = _of_llava(outer, fields, storage)
    own = _two(outer, storage, "multi_modal_projector.", width, hidden)
    own.append(Tower(storage, "", ()).one("image_newline", "embedding", (hidden,)))
    for key in ("image_grid_pinpoints", "use_image_newline_parameter", "vision_aspect_ratio"):
        outer.take(key)
    return Seen(_joined(seen, own))


def _of_llava(outer: Fields, fields: Fields, storage: Storage) -> tuple[Seen, int]:
    """The tower, and how wide what it gives is: as many layers' as are taken."""
    layers = outer.take("vision_feature_layer")
    taken = len(layers) if isinstance(layers, list) else 1
    outer.take("vision_feature_select_strategy")
    values = outer.take("vision_config")
    usual = fields.take("model_type")  # the type that the whole model's class makes of it
    kind = values.get("model_type", usual) if isinstance(values, dict) else usual
    if kind not in (_CLIP, "siglip_vision_model", "pixtral"):
        raise fields.error("model_type", f"is {short_repr(kind)}; CLIP, SigLIP and Pixtral are "
                           "understood here")  # fmt: skip
    if kind != usual and isinstance(values, dict):  # the defaults of its own class
        fields = outer.part(values, "vision_config", str(kind))
    width = fields.integer("hidden_size")
    if kind == "pixtral":
        return Seen(tuple(pixtral_rows(fields, storage))), width * taken
    return _square(fields, storage, image=336, patch=14, base="vision_tower.vision_model.",
                   clip=kind == _CLIP), width * taken  # fmt: skip


def _two(
    outer: Fields, storage: Storage, base: str, width: int, hidden: int, inner: int = 0
) -> list[TensorRow]:
    """Two matrices with biases, ``inner`` wide between them where that is not the text's width."""
    biases = outer.boolean("multimodal_projector_bias", default=True)
    p = Tower(storage, base, ())
    return [*p.linear("linear_1", "mlp-gate-up", (inner or hidden, width), bias=biases),
            *p.linear("linear_2", "mlp-down", (hidden, inner or hidden), bias=biases)]  # fmt: skip


def paligemma(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """PaliGemma: SigLIP and one matrix.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    whole = outer.integer("projection_dim", default=hidden)
    out = fields.integer("projection_dim", default=whole)
    seen = _square(fields, storage, image=224, patch=14, base="vision_tower.vision_model.")
    assert seen.encoder is not None
    own = Tower(storage, "multi_modal_projector.", ()).linear(
        "linear", "mlp-down", (out, seen.encoder.hidden))  # fmt: skip
    return Seen(_joined(seen, own), replace(seen.encoder, out=out))


def idefics3(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """Idefics 3 and SmolVLM: SigLIP, and one matrix over shuffled patches; tiles are not modelled.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    scale = outer.integer("scale_factor", high=_MOST_SHUFFLED, default=2)
    fields.take("model_type")
    for key in ("size", "max_image_size", "tie_word_embeddings", "use_base_siglip"):
        fields.take(key)
    s = tower_sizes(fields, image=224, patch=32)
    fields.finish()
    t = Tower(storage, "model.vision_model.", s.layers)
    tensors = [
        *t.linear("embeddings.patch_embedding", "embedding",
                  (s.width, s.channels, s.patch, s.patch)),
        t.one("embeddings.position_embedding.weight", "embedding",
              ((s.image // s.patch) ** 2, s.width)),
        *t.blocks(SIGLIP, s.width, s.inner),
        *t.linear("post_layernorm", "norm", (s.width,)),
        *Tower(storage, "model.connector.modality_projection.", ()).linear(
            "proj", "mlp-down", (hidden, s.width * scale**2), bias=False),
    ]  # fmt: skip
    return Seen(tuple(rows.part_of(tensors, "vision")))


def cohere2(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """Command A Vision: SigLIP, and two matrices with a gate between them; tiles are not modelled.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    factor = outer.integer("downsample_factor", high=_MOST_SHUFFLED, default=2)
    inner = outer.integer("alignment_intermediate_size")
    seen = _square(fields, storage, image=224, patch=16,
                   base="model.vision_tower.vision_model.")  # fmt: skip
    assert seen.encoder is not None
    p = Tower(storage, "model.multi_modal_projector.", ())
    own = [*p.linear("linear_1", "mlp-gate-up", (inner, seen.encoder.hidden * factor**2)),
           *p.linear("linear_2", "mlp-down", (hidden, inner // 2))]  # fmt: skip
    return Seen(_joined(seen, own))


def internvl_chat(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """InternVL's own releases: InternViT, and a norm and two matrices over shuffled patches.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    s = tower_sizes(fields, image=448, patch=14)
    biased, normed = (
        fields.boolean(name, default=default)
        for name, default in (("qkv_bias", True), ("qk_normalization", False))
    )
    if normed or not biased:
        raise fields.error("qk_normalization", "or qkv_bias is not as InternViT-300M has it")
    plain = fields.choice("norm_type", ("layer_norm",), default="layer_norm")
    fields.finish({"architectures", "attn_target", "drop_path_rate", "dropout", "intermediate_act",
                   "initializer_factor", "use_flash_attn", "use_fa3_attn", "model_type",
                   "return_dict", "hidden_act"})  # fmt: skip
    assert plain
    for key in ("downsample_ratio", "dynamic_image_size", "force_image_size", "max_dynamic_patch",
                "min_dynamic_patch", "pad2square", "ps_version", "select_layer", "template",
                "use_backbone_lora", "use_llm_lora", "use_thumbnail", "system_message",
                "image_fold", "output_attentions", "hidden_size"):  # fmt: skip
        outer.take(key)
    merged, base = 4 * s.width, "vision_model."
    block = "encoder.layers.{layer}."
    t = Tower(storage, base, s.layers, block)
    p = Tower(storage, "mlp1.", ())
    tensors = [
        *t.linear("embeddings.patch_embedding", "embedding",
                  (s.width, s.channels, s.patch, s.patch)),
        t.one("embeddings.class_embedding", "embedding", (1, 1, s.width)),
        t.one("embeddings.position_embedding", "embedding",
              (1, (s.image // s.patch) ** 2 + 1, s.width)),
        *t.blocks(_INTERN, s.width, s.inner),
        *(t.one(f"{block}ls{n}", "norm", (s.width,)) for n in (1, 2)),
        *p.linear("0", "norm", (merged,)), *p.linear("1", "mlp-gate-up", (hidden, merged)),
        *p.linear("3", "mlp-down", (hidden, hidden)),
    ]  # fmt: skip
    return Seen(tuple(rows.part_of(tensors, "vision")))


def internvl(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """InternVL as Transformers has it; tiles are not modelled.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS)))
    image, patch = (_side(fields, name, default)
                    for name, default in (("image_size", 448), ("patch_size", 14)))  # fmt: skip
    channels = fields.integer("num_channels", high=2**8, default=3)
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    if width % heads:
        raise fields.error("num_attention_heads", f"is {heads}; it must divide {width}")
    biases = fields.boolean("attention_bias", default=False)
    normed = fields.boolean("use_qk_norm", default=False)
    pooled = fields.boolean("use_mean_pooling", default=True)
    masked = fields.boolean("use_mask_token", default=False)
    if not fields.boolean("use_absolute_position_embeddings", default=True):
        raise fields.error("use_absolute_position_embeddings", "is false")
    norms = fields.choice("norm_type", ("layer_norm", "rms_norm"), default="layer_norm")
    fields.finish({"layer_scale_init_value", "projection_dropout", "model_type"})
    for key in ("downsample_ratio", "vision_feature_layer", "vision_feature_select_strategy",
                "image_seq_length"):  # fmt: skip
        outer.take(key)
    block, merged = "encoder.layer.{layer}.", 4 * width
    t = Tower(storage, "model.vision_tower.", layers, block)
    p = Tower(storage, "model.multi_modal_projector.", ())
    layer_norm = norms == "layer_norm"
    blocks = replace(_INTERN_HF, qkv_bias=_SPLIT if biases else (), norm_bias=layer_norm)
    tensors = [
        t.one("embeddings.cls_token", "embedding", (1, 1, width)),
        *([t.one("embeddings.mask_token", "embedding", (1, 1, width))] if masked else []),
        *t.linear("embeddings.patch_embeddings.projection", "embedding",
                  (width, channels, patch, patch)),
        t.one("embeddings.position_embeddings", "embedding",
              (1, (image // patch) ** 2 + 1, width)),
        *t.blocks(blocks, width, inner),
        *(t.one(f"{block}attention.{letter}_norm.weight", "norm", (width,))
          for letter in "qk" if normed),
        *(t.one(f"{block}lambda_{n}", "norm", (width,)) for n in (1, 2)),
        *([] if pooled else t.linear("layernorm", "norm", (width,))),
        *p.linear("layer_norm", "norm", (merged,)),
        *p.linear("linear_1", "mlp-gate-up", (hidden, merged)),
        *p.linear("linear_2", "mlp-down", (hidden, hidden)),
    ]  # fmt: skip
    return Seen(tuple(rows.part_of(tensors, "vision")))


def _side(fields: Fields, name: str, default: int) -> int:
    """A size that may be stated for both sides, which are the same."""
    value = fields.take(name)
    if not isinstance(value, list):
        return fields.integer(name, high=MAX_WIDTH, default=default)
    sides = fields.integers(name, low=1, high=MAX_WIDTH)
    if len(set(sides)) != 1:
        raise fields.error(name, "is not a square's side")
    return sides[0]


def lfm2(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """LFM2-VL: SigLIP 2, and a norm and two matrices over shuffled patches; tiles are not modelled.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    factor = outer.integer("downsample_factor", high=_MOST_SHUFFLED, default=2)
    inner = outer.integer("projector_hidden_size", default=2560)
    biases = outer.boolean("projector_bias", default=True)
    normed = outer.boolean("projector_use_layernorm", default=True)
    outer.choice("projector_hidden_act", ("gelu",), default="gelu")
    for key in ("do_image_splitting", "encoder_patch_size", "max_image_tokens", "max_num_patches",
                "max_pixels_tolerance", "max_tiles", "min_image_tokens", "min_tiles", "tile_size",
                "use_image_special_tokens", "use_thumbnail", "vision_feature_layer"):  # fmt: skip
        outer.take(key)
    places = fields.integer("num_patches", default=256)
    headed = fields.boolean("vision_use_head", default=True)
    s = tower_sizes(fields, image=512, patch=16)
    fields.finish()
    t = Tower(storage, "model.vision_tower.vision_model.", s.layers)
    p, merged = Tower(storage, "model.multi_modal_projector.", ()), s.width * factor**2
    tensors = [
        *t.linear("embeddings.patch_embedding", "embedding",
                  (s.width, s.channels * s.patch**2)),
        t.one("embeddings.position_embedding.weight", "embedding", (places, s.width)),
        *t.blocks(SIGLIP, s.width, s.inner),
        *t.linear("post_layernorm", "norm", (s.width,)),
        *(_pooling(t, s.width, s.inner) if headed else []),
        *(p.linear("layer_norm", "norm", (merged,)) if normed else []),
        *p.linear("linear_1", "mlp-gate-up", (inner, merged), bias=biases),
        *p.linear("linear_2", "mlp-down", (hidden, inner), bias=biases),
    ]  # fmt: skip
    return Seen(tuple(rows.part_of(tensors, "vision")))


def lighton(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """LightOnOCR: Pixtral and Mistral 3's projector under names of its own."""
    seen = pixtral(outer, fields, storage, hidden)
    made = rows.renamed(seen.rows, "vision_tower.", "model.vision_encoder.")
    return replace(
        seen, rows=tuple(rows.renamed(made, "multi_modal_projector.", "model.vision_projection."))
    )


def glm_ocr(outer: Fields, fields: Fields, storage: Storage, hidden: int) -> Seen:
    """GLM-OCR: normed heads, gated blocks, a strided convolution that merges and a gated merger.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("depth", high=MAX_LAYERS)))
    heads = fields.integer("num_heads", high=MAX_EXPERTS)
    channels = fields.integer("in_channels", high=2**8, default=3)
    frames = fields.integer("temporal_patch_size", high=2**8, default=2)
    patch = fields.integer("patch_size", high=2**12, default=14)
    merge = fields.integer("spatial_merge_size", high=_MOST_SHUFFLED, default=2)
    out = fields.integer("out_hidden_size", default=hidden)
    biases = fields.boolean("attention_bias", default=True)
    if width % heads:
        raise fields.error("num_heads", f"is {heads}; it must divide {width}")
    fields.finish({"image_size", "model_type"})
    for key in ("image_end_token_id", "image_start_token_id", "video_end_token_id",
                "video_start_token_id"):  # fmt: skip
        outer.take(key)
    text = outer.take("text_config")
    predicted = text.get("num_nextn_predict_layers") if isinstance(text, dict) else None
    if predicted:
        outer.leave_out(f"{short_repr(predicted)} prediction layer (num_nextn_predict_layers)")
    blocks = replace(GLM4V, qkv_bias=GLM4V.qkv if biases else (), out_bias=biases,
                     mlp_bias=biases)  # fmt: skip
    t = Tower(storage, "model.visual.", layers, blocks.prefix)
    tensors = [
        *t.linear("patch_embed.proj", "embedding", (width, channels, frames, patch, patch)),
        *t.blocks(blocks, width, inner),
        *(t.one(f"{blocks.prefix}attn.{letter}_norm.weight", "norm", (width // heads,))
          for letter in "qk"),
        *t.linear("post_layernorm", "norm", (width,), bias=False),
        *t.linear("downsample", "mlp-down", (out, width, merge, merge)),
        *t.linear("merger.proj", "mlp-down", (out, out), bias=False),
        *t.linear("merger.post_projection_norm", "norm", (out,)),
        *(row for name in ("gate", "up")
          for row in t.linear(f"merger.{name}_proj", "mlp-gate-up", (out * channels, out),
                              bias=False)),
        *t.linear("merger.down_proj", "mlp-down", (out, out * channels), bias=False),
    ]  # fmt: skip
    return Seen(tuple(rows.part_of(tensors, "vision")))
