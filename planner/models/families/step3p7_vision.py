"""The vision encoder of Step-3.7: a CLIP-like stack with layer scales, two convolutions that halve
a side each, and one projection. Source: the model code of Hugging Face Transformers 5.24, and its
names of the release's tensors (conversion_mapping.py)."""

from __future__ import annotations

from planner.models import rows
from planner.models.families.towers import Seen, Tower
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, MAX_WIDTH, Fields
from planner.models.spec import ImageEncoder
from planner.models.storage import Storage
from planner.models.strict_json import shown

_CHANNELS = 3
_RATIO = 8960 / 1536
_KERNEL, _FEWER = (3, 3), 4
"""Of both convolutions together: patches a side for one token's."""
_FIXED = {"use_abs_posemb": True, "use_ln_post": False, "use_ln_pre": True, "use_rope2d": True,
          "ues_cls_token": False, "use_cls_token": False}  # fmt: skip
"""Parts that the model code has, or has not, whatever these keys of releases say."""
_HARMLESS = frozenset({"layer_scale_init_value", "ls_init_value", "max_position_embeddings",
                       "output_dim", "pool_type"})  # fmt: skip


def read_vision(fields: Fields, storage: Storage, text_hidden: int, *, bias: bool) -> Seen:
    """The encoder and its projector, with a ``bias`` or not.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    fields.assume_type("step3p5_vision")
    for name, other in (
        ("hidden_size", "width"),
        ("num_hidden_layers", "layers"),
        ("num_attention_heads", "heads"),
    ):
        fields.alias(name, other)
    width = fields.integer("hidden_size")
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS)))
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS)
    image, patch = fields.integer("image_size"), fields.integer("patch_size")
    channels = fields.integer("num_channels", high=2**8, default=_CHANNELS)
    inner = _inner(fields, width)
    for name, has in _FIXED.items():
        if fields.boolean(name, default=has) is not has:
            raise fields.error(name, f"is {str(not has).lower()}, which is not understood")
    if image < patch:
        raise fields.error("image_size", f"is {image}; a patch has {patch} pixels a side")
    if width % heads:
        raise fields.error("num_attention_heads", f"is {heads}; it must divide {width}")
    fields.finish(_HARMLESS)
    side = image // patch
    base, block = "vision_model.", "transformer.resblocks.{layer}."
    t = Tower(storage, base, layers, block)
    found = [
        t.one("conv1.weight", "embedding", (width, channels, patch, patch)),
        t.one("positional_embedding", "embedding", (side**2, width)),
        *t.linear("ln_pre", "norm", (width,)),
        *(row for name in ("ln_1", "ln_2") for row in t.linear(block + name, "norm", (width,))),
        *(t.one(f"{block}ls_{n}.gamma", "norm", (width,)) for n in (1, 2)),
        t.one(block + "attn.in_proj_weight", "attention-qkv", (3 * width, width), "column"),
        t.one(block + "attn.in_proj_bias", "attention-qkv", (3 * width,), "column"),
        *t.linear(block + "attn.out_proj", "attention-out", (width, width), shard="row"),
        *t.linear(block + "mlp.c_fc", "mlp-gate-up", (inner, width), shard="column"),
        *t.linear(block + "mlp.c_proj", "mlp-down", (width, inner), shard="row"),
        *t.linear("vit_downsampler1", "mlp-down", (2 * width, width, *_KERNEL)),
        *t.linear("vit_downsampler2", "mlp-down", (4 * width, 2 * width, *_KERNEL)),
        *Tower(storage, "", ()).linear("vit_large_projector", "mlp-down",
                                       (text_hidden, 4 * width), bias=bias),
    ]  # fmt: skip
    tokens = (-(-side // _FEWER)) ** 2
    made = ImageEncoder(
        layers=len(layers), hidden=width, heads=heads, inner=inner, gated=False,
        pixels=channels * patch**2, merge=_FEWER**2, out=text_hidden, patches=side**2,
        tokens=tokens, limit=f"{tokens} tokens of {image} × {image} pixels (image_size): the "
        "processor cuts a larger image into several")  # fmt: skip
    return Seen(tuple(rows.part_of(found, "vision")), made)


def _inner(fields: Fields, width: int) -> int:
    """Features between the matrices of an MLP: the class computes them from ``mlp_ratio``, which
    counts whatever ``intermediate_size`` says."""
    ratio = fields.take("mlp_ratio")
    if ratio is None:
        ratio = _RATIO
        fields.assume("mlp_ratio", "8960/1536 (default of step3p5_vision)")
    if (
        isinstance(ratio, bool)
        or not isinstance(ratio, int | float)
        or not 1 <= width * ratio <= MAX_WIDTH
    ):
        raise fields.error("mlp_ratio", f"is {shown(ratio)}; a ratio of widths is needed")
    inner = int(width * ratio)
    stated = fields.take("intermediate_size")
    if stated not in (None, inner):
        raise fields.error("intermediate_size", f"is {shown(stated)}; mlp_ratio gives {inner}")
    return inner
