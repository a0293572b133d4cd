"""Audio encoders of Qwen2.5-Omni and Qwen3-Omni, of Whisper's blocks, as part ``audio``.

Source: the model code of Hugging Face Transformers 5.24.
"""

from __future__ import annotations

from planner.models import rows
from planner.models.families.towers import QWEN3_AUDIO, WHISPER, Tower
from planner.models.fields import MAX_EXPERTS, MAX_LAYERS, Fields
from planner.models.spec import TensorRow
from planner.models.storage import Storage
from planner.records import record


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
