"""Audio encoders of Qwen2.5-Omni and Qwen3-Omni, of Whisper's blocks, as part ``audio``.

Source: the model code of Hugging Face Transformers 5.24.

Gemma 4's E models have a conformer.
"""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import record
from planner.models import rows
from planner.models.families.towers import QWEN3_AUDIO, WHISPER, Tower
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.spec import TensorRow
from planner.models.storage import Storage


@record
class _Sizes:
    width: int
    inner: int
    layers: tuple[int, ...]
    bins: int


def _sizes(fields: Fields, hidden: int) -> _Sizes:
    """Raises DataError where a size is missing, or the output is not the text model's width."""
    read = _Sizes(
        width=fields.integer("d_model"),
        inner=fields.integer("encoder_ffn_dim"),
        layers=tuple(range(fields.integer("encoder_layers", high=MAX_LAYERS))),
        bins=fields.integer("num_mel_bins", high=2**12, default=128),
    )
    heads = fields.integer("encoder_attention_heads", high=MAX_EXPERTS)
    if read.width % heads:
        raise fields.error("encoder_attention_heads", f"is {heads}; it must divide {read.width}")
    if fields.integer("output_dim") != hidden:
        raise fields.error("output_dim", f"is not the text model's {hidden}")
    return read


def qwen25(fields: Fields, storage: Storage, hidden: int, base: str) -> list[TensorRow]:
    """Two convolutions over time, blocks, one matrix, and a token before and after a sound.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    s = _sizes(fields, hidden)
    fields.finish()
    t = Tower(storage, base, s.layers)
    return rows.part_of([
        *t.linear("conv1", "embedding", (s.width, s.bins, 3)),
        *t.linear("conv2", "embedding", (s.width, s.width, 3)),
        t.one("audio_bos_eos_token.weight", "embedding", (2, hidden)),
        *t.blocks(WHISPER, s.width, s.inner),
        *t.linear("ln_post", "norm", (s.width,)),
        *t.linear("proj", "mlp-down", (hidden, s.width)),
    ], "audio")  # fmt: skip


def qwen3(fields: Fields, storage: Storage, hidden: int, base: str) -> list[TensorRow]:
    """Three convolutions that halve time and mel bins, blocks, two matrices.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    s = _sizes(fields, hidden)
    channels = fields.integer("downsample_hidden_size", default=480)
    fields.finish()
    left = s.bins
    for _ in range(3):
        left = (left + 1) // 2
    t = Tower(storage, base, s.layers)
    return rows.part_of([
        *t.linear("conv2d1", "embedding", (channels, 1, 3, 3)),
        *t.linear("conv2d2", "embedding", (channels, channels, 3, 3)),
        *t.linear("conv2d3", "embedding", (channels, channels, 3, 3)),
        *t.linear("conv_out", "embedding", (s.width, channels * left), bias=False),
        *t.blocks(QWEN3_AUDIO, s.width, s.inner),
        *t.linear("ln_post", "norm", (s.width,)),
        *t.linear("proj1", "mlp-gate-up", (s.width, s.width)),
        *t.linear("proj2", "mlp-down", (hidden, s.width)),
    ], "audio")  # fmt: skip


_BLOCK = "layers.{layer}."
_LIMITS = ("input_min", "input_max", "output_min", "output_max")


def clips(t: Tower, name: str, kind: str) -> list[TensorRow]:
    """The four values that a clipped matrix keeps its inputs and outputs within: buffers."""
    return [replace(t.one(f"{name}.{limit}", kind, ()), counted=False) for limit in _LIMITS]


def gemma4_audio(fields: Fields, storage: Storage, hidden: int) -> list[TensorRow]:
    """The tensors of the encoder and its projection to the text model's width.

    Raises:
        DataError: a key is missing, malformed or not understood.
    """
    width = fields.integer("hidden_size", default=1024)
    layers = tuple(range(fields.integer("num_hidden_layers", high=MAX_LAYERS, default=12)))
    heads = fields.integer("num_attention_heads", high=MAX_EXPERTS, default=8)
    first, second = fields.integers("subsampling_conv_channels", low=1, high=2**16) or (128, 32)
    kernel = fields.integer("conv_kernel_size", high=2**10, default=5)
    out = fields.integer("output_proj_dims", default=1536)
    clipped = fields.boolean("use_clipped_linears", default=True)
    if width % heads:
        raise fields.error("num_attention_heads", f"is {heads}; it must divide {width}")
    fields.finish()
    t = Tower(storage, "model.audio_tower.", layers, _BLOCK)
    entry = "subsample_conv_projection."

    def linear(name: str, kind: str, shape: tuple[int, int]) -> list[TensorRow]:
        return [
            *t.linear(f"{_BLOCK}{name}.linear", kind, shape, bias=False),
            *(clips(t, _BLOCK + name, kind) if clipped else ()),
        ]

    def norms(*names: str) -> list[TensorRow]:
        return [row for name in names for row in t.linear(_BLOCK + name, "norm", (width,),
                                                          bias=False)]  # fmt: skip

    tensors = [
        *t.linear(entry + "layer0.conv", "embedding", (first, 1, 3, 3), bias=False),
        *t.linear(entry + "layer0.norm", "norm", (first,), bias=False),
        *t.linear(entry + "layer1.conv", "embedding", (second, first, 3, 3), bias=False),
        *t.linear(entry + "layer1.norm", "norm", (second,), bias=False),
        *t.linear(entry + "input_proj_linear", "embedding", (width, first // 4 * second),
                  bias=False),
        *(row for half in ("feed_forward1", "feed_forward2") for row in (
            *linear(half + ".ffw_layer_1", "mlp-gate-up", (4 * width, width)),
            *linear(half + ".ffw_layer_2", "mlp-down", (width, 4 * width)),
            *norms(half + ".pre_layer_norm", half + ".post_layer_norm"))),
        t.one(_BLOCK + "self_attn.per_dim_scale", "norm", (width // heads,)),
        *(row for letter in "qkv"
          for row in linear(f"self_attn.{letter}_proj", "attention-qkv", (width, width))),
        *linear("self_attn.post", "attention-out", (width, width)),
        *t.linear(_BLOCK + "self_attn.relative_k_proj", "attention-qkv", (width, width),
                  bias=False),
        *linear("lconv1d.linear_start", "mlp-gate-up", (2 * width, width)),
        *linear("lconv1d.linear_end", "mlp-down", (width, width)),
        *t.linear(_BLOCK + "lconv1d.depthwise_conv1d", "mlp-gate-up", (width, 1, kernel),
                  bias=False),
        *norms("lconv1d.pre_layer_norm", "lconv1d.conv_norm", "norm_pre_attn", "norm_post_attn",
               "norm_out"),
        *t.linear("output_proj", "mlp-down", (out, width)),
        *Tower(storage, "model.embed_audio.", ()).linear("embedding_projection", "mlp-down",
                                                         (hidden, out), bias=False),
    ]  # fmt: skip
    return rows.part_of(tensors, "audio")
