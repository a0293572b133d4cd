"""Vision encoders of Llama 4, Gemma 4 and Kimi-K2.5, as part ``vision``.

Sources: the model code of Hugging Face Transformers (Llama 4, Gemma 4) and of the Kimi-K2.5
release. Llama 4 Scout's encoder and projector are 871,932,416 parameters, its published total
less the text model's.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.audio import clips
from planner.models.families.common import NO_VISION
from planner.models.families.towers import Seen, Tower
from planner.models.fields import GENERIC, MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.spec import ImageEncoder, TensorRow
from planner.models.storage import Storage

__all__ = ["NO_VISION", "gemma4", "gemma4_unified", "gemma4_unified_audio", "kimi_k25", "llama4"]
_CHANNELS = 3
_CLIPPED = (
    *((f"self_attn.{letter}_proj", "attention-qkv") for letter in "qkv"),
    ("self_attn.o_proj", "attention-out"), ("mlp.gate_proj", "mlp-gate-up"),
    ("mlp.up_proj", "mlp-gate-up"), ("mlp.down_proj", "mlp-down"),
)  # fmt: skip


def llama4(fields: Fields, storage: Storage, text_hidden: int) -> list[TensorRow]:
    """The encoder, its pixel-shuffle adapter and the projector of Llama 4.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS)))
    patch, image = fields.integer("patch_size"), fields.integer("image_size")
    channels = fields.integer("num_channels", high=2**8, default=_CHANNELS)
    entry, out = fields.integer("projector_input_dim"), fields.integer("projector_output_dim")
    seen = fields.integer("vision_output_dim")
    if image % patch:
        raise fields.error("patch_size", f"is {patch}; it must divide {image}")
    if seen != out:
        raise fields.error("vision_output_dim", f"is {seen}, and projector_output_dim {out}")
    fields.finish(GENERIC | {"attention_dropout", "multi_modal_projector_bias", "norm_eps",
                             "num_attention_heads", "pixel_shuffle_ratio", "projector_dropout",
                             "rope_theta", "vision_feature_layer",
                             "vision_feature_select_strategy"})  # fmt: skip
    base, block = "vision_model.", "vision_model.model.layers.{layer}."
    t = Tower(storage, "", layers, block)
    tensors = [
        t.one(base + "patch_embedding.linear.weight", "embedding",
              (width, channels * patch * patch)),
        t.one(base + "class_embedding", "embedding", (width,)),
        t.one(base + "positional_embedding_vlm", "embedding", ((image // patch) ** 2 + 1, width)),
        *t.linear(base + "layernorm_pre", "norm", (width,)),
        *t.linear(base + "layernorm_post", "norm", (width,)),
        *t.linear(block + "input_layernorm", "norm", (width,)),
        *t.linear(block + "post_attention_layernorm", "norm", (width,)),
        *(row for letter in "qkv"
          for row in t.linear(f"{block}self_attn.{letter}_proj", "attention-qkv", (width, width))),
        *t.linear(block + "self_attn.o_proj", "attention-out", (width, width)),
        *t.linear(block + "mlp.fc1", "mlp-gate-up", (inner, width)),
        *t.linear(block + "mlp.fc2", "mlp-down", (width, inner)),
        *t.linear(base + "vision_adapter.mlp.fc1", "mlp-gate-up", (entry, inner), bias=False),
        *t.linear(base + "vision_adapter.mlp.fc2", "mlp-down", (out, entry), bias=False),
        *t.linear("multi_modal_projector.linear_1", "mlp-down", (text_hidden, seen), bias=False),
    ]  # fmt: skip
    return rows.part_of(tensors, "vision")


def gemma4(fields: Fields, storage: Storage, text_hidden: int) -> Seen:
    """The encoder and the projection of Gemma 4; ``standardize`` keeps two vectors that are data,
    not parameters, and clipped matrices four values each.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("hidden_size"), fields.integer("intermediate_size")
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS)))
    heads, head = fields.integer("num_attention_heads"), fields.integer("head_dim")
    kv_heads, patch = fields.integer("num_key_value_heads"), fields.integer("patch_size")
    positions = fields.integer("position_embedding_size")
    biases = fields.boolean("attention_bias", default=False)
    clipped = fields.boolean("use_clipped_linears", default=False)
    tokens = fields.integer("default_output_length", default=280)
    pooled = fields.integer("pooling_kernel_size", high=2**8, default=3) ** 2
    if fields.integer("global_head_dim", default=head) != head:
        raise fields.error("global_head_dim", f"is not the head_dim of {head}")
    standard = fields.boolean("standardize", default=False)
    fields.finish(GENERIC | {"hidden_activation", "dtype", "max_position_embeddings"})
    base = "model.vision_tower."
    block = base + "encoder.layers.{layer}."
    t = Tower(storage, "", layers, block)
    tensors = [
        *t.linear(base + "patch_embedder.input_proj", "embedding",
                  (width, _CHANNELS * patch * patch), bias=False),
        t.one(base + "patch_embedder.position_embedding_table", "embedding",
              (2, positions, width)),
        *(row for letter, n in (("q", heads), ("k", kv_heads), ("v", kv_heads))
          for row in t.linear(f"{block}self_attn.{letter}_proj.linear", "attention-qkv",
                              (n * head, width), bias=biases)),
        *t.linear(block + "self_attn.o_proj.linear", "attention-out", (width, heads * head),
                  bias=biases),
        *(t.one(f"{block}self_attn.{letter}_norm.weight", "norm", (head,)) for letter in "qk"),
        *(t.one(f"{block}{name}_layernorm.weight", "norm", (width,))
          for name in ("input", "post_attention", "pre_feedforward", "post_feedforward")),
        *(row for name in ("gate", "up")
          for row in t.linear(f"{block}mlp.{name}_proj.linear", "mlp-gate-up", (inner, width),
                              bias=False)),
        *t.linear(block + "mlp.down_proj.linear", "mlp-down", (width, inner), bias=False),
        *t.linear("model.embed_vision.embedding_projection", "mlp-down", (text_hidden, width),
                  bias=False),
        *(replace(t.one(base + name, "norm", (width,)), counted=False)
          for name in ("std_bias", "std_scale") if standard),
    ]  # fmt: skip
    if clipped:
        t = Tower(storage, "", layers, block)
        tensors += [row for name, kind in _CLIPPED for row in clips(t, block + name, kind)]
    made = ImageEncoder(
        layers=len(layers),
        hidden=width,
        heads=heads,
        inner=inner,
        gated=True,
        pixels=_CHANNELS * patch * patch,
        merge=pooled,
        out=text_hidden,
        patches=tokens * pooled,
        tokens=tokens,
        limit=f"{tokens} tokens of an image, default_output_length",
    )
    return Seen(tuple(rows.part_of(tensors, "vision")), made)


def gemma4_unified(fields: Fields, storage: Storage, text_hidden: int) -> Seen:
    """Gemma 4 without an encoder: patches of pixels through one matrix, positions and norms, then
    to the text model's width.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    side = fields.integer("patch_size") * fields.integer("pooling_kernel_size", high=2**8)
    width, positions = fields.integer("mm_embed_dim"), fields.integer("mm_posemb_size")
    out = fields.integer("output_proj_dims")
    fields.finish(GENERIC | {"dtype", "model_patch_size", "num_soft_tokens"})
    t, pixels = Tower(storage, "model.embed_vision.", ()), _CHANNELS * side * side
    tensors = [
        *t.linear("patch_ln1", "norm", (pixels,)),
        *t.linear("patch_dense", "embedding", (width, pixels)),
        *t.linear("patch_ln2", "norm", (width,)),
        t.one("pos_embedding", "embedding", (positions, 2, width)),
        *t.linear("pos_norm", "norm", (width,)),
        *t.linear("multimodal_embedder.embedding_projection", "mlp-down", (text_hidden, out),
                  bias=False),
    ]  # fmt: skip
    return Seen(tuple(rows.part_of(tensors, "vision")))


def gemma4_unified_audio(fields: Fields, storage: Storage, hidden: int) -> list[TensorRow]:
    """Gemma 4 without an encoder: frames of a waveform through one matrix.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width = fields.integer("audio_embed_dim")
    fields.finish(GENERIC | {"dtype", "output_proj_dims", "audio_samples_per_token"})
    t = Tower(storage, "model.embed_audio.", ())
    return rows.part_of(
        t.linear("embedding_projection", "mlp-down", (hidden, width), bias=False), "audio"
    )


def kimi_k25(fields: Fields, storage: Storage, text_hidden: int) -> list[TensorRow]:
    """The encoder (MoonViT for images and video) and the patch merger of Kimi-K2.5 and Kimi-K3.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width, inner = fields.integer("vt_hidden_size"), fields.integer("vt_intermediate_size")
    layers = tuple(range(fields.integer("vt_num_hidden_layers", high=MAX_LAYERS)))
    patch = fields.integer("patch_size")
    grid = fields.integer("init_pos_emb_height"), fields.integer("init_pos_emb_width")
    kernel = fields.integers("merge_kernel_size", low=1, high=2**8)
    if len(kernel) != 2:
        raise fields.error("merge_kernel_size", "is not a height and a width")
    merged = width * kernel[0] * kernel[1]
    if fields.integer("mm_hidden_size", default=width) != width:
        raise fields.error("mm_hidden_size", f"is not the encoder's {width}")
    if fields.integer("text_hidden_size", default=text_hidden) != text_hidden:
        raise fields.error("text_hidden_size", f"is not the text model's {text_hidden}")
    second = fields.choice("mm_projector_type", ("patchmerger", "patchmergerv2"),
                           default=None) == "patchmergerv2"  # fmt: skip
    heads = fields.integer("qkv_hidden_size", default=width)
    layer_norm = fields.choice("norm_type", ("layernorm", "rmsnorm"),
                               default="layernorm") == "layernorm"  # fmt: skip
    linear, of_patch = (
        fields.boolean(name, default=True) for name in ("linear_bias", "patch_embed_proj_bias")
    )
    attention = fields.boolean("attn_bias", default=linear)
    fields.choice("mlp_type", ("mlp2",), default="mlp2")
    fields.choice("pos_emb_type", ("divided_fixed",), default=None)
    fields.choice("merge_type", ("sd2_tpool",), default="sd2_tpool")
    fields.integer("vt_num_attention_heads", high=MAX_EXPERTS)
    fields.finish(GENERIC | {"_attn_implementation", "activation_func", "init_pos_emb_time",
                             "pos_emb_interpolation_mode", "projector_hidden_act",
                             "projector_ln_eps", "video_attn_type"})  # fmt: skip
    block = "vision_tower.encoder.blocks.{layer}."
    t = Tower(storage, "", layers, block)
    tensors = [
        *t.linear("vision_tower.patch_embed.proj", "embedding", (width, _CHANNELS, patch, patch),
                  bias=of_patch),
        t.one("vision_tower.patch_embed.pos_emb.weight", "embedding", (*grid, width)),
        *t.linear(block + "norm0", "norm", (width,), bias=layer_norm),
        *t.linear(block + "norm1", "norm", (width,), bias=layer_norm),
        *t.linear(block + "wqkv", "attention-qkv", (3 * heads, width), bias=attention),
        *t.linear(block + "wo", "attention-out", (width, heads), bias=attention),
        *t.linear(block + "mlp.fc0", "mlp-gate-up", (inner, width), bias=linear),
        *t.linear(block + "mlp.fc1", "mlp-down", (width, inner), bias=linear),
        *t.linear("vision_tower.encoder.final_layernorm", "norm", (width,), bias=layer_norm),
        *([] if second else t.linear("mm_projector.pre_norm", "norm", (width,))),
        *t.linear("mm_projector.proj.0", "mlp-gate-up", (merged, merged), bias=not second),
        *t.linear("mm_projector.proj.2", "mlp-down", (text_hidden, merged), bias=not second),
        *(t.linear("mm_projector.post_norm", "norm", (text_hidden,), bias=False) if second
          else []),
    ]  # fmt: skip
    return rows.part_of(tensors, "vision")
