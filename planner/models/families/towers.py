"""Transformer blocks of encoders of images and sound: what a release calls them, as data."""

from __future__ import annotations

from dataclasses import replace

from planner.base.records import record
from planner.models import rows
from planner.models.spec import ImageEncoder, ShardAxis, TensorRow
from planner.models.storage import Storage


@record
class Blocks:
    """Names inside one block. ``qkv`` is one matrix for all three, or three of a head count each;
    ``up`` one matrix, or gate and up. Biases of queries, keys and values by name."""

    prefix: str
    norms: tuple[str, str]
    qkv: tuple[str, ...]
    out: str
    up: tuple[str, ...]
    down: str
    norm_bias: bool = True
    qkv_bias: tuple[str, ...] = ()
    out_bias: bool = True
    mlp_bias: bool = True


_ALL = ("attn.qkv",)
_SPLIT = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_GATED = ("mlp.gate_proj", "mlp.up_proj")
_PIXTRAL = ("attention.q_proj", "attention.k_proj", "attention.v_proj")
_LAYER_NORMS = ("norm1", "norm2")

QWEN2 = Blocks(
    "blocks.{layer}.", _LAYER_NORMS, _ALL, "attn.proj", ("mlp.fc1",), "mlp.fc2", qkv_bias=_ALL
)
QWEN25 = Blocks(
    "blocks.{layer}.",
    _LAYER_NORMS,
    _ALL,
    "attn.proj",
    _GATED,
    "mlp.down_proj",
    norm_bias=False,
    qkv_bias=_ALL,
)
QWEN25_OMNI = replace(
    QWEN25, qkv=("attn.q", "attn.k", "attn.v"), qkv_bias=("attn.q", "attn.k", "attn.v")
)
QWEN3 = replace(QWEN2, up=("mlp.linear_fc1",), down="mlp.linear_fc2")
GLM4V = replace(QWEN25, qkv_bias=(), out_bias=False, mlp_bias=False)
SIGLIP = Blocks(
    "encoder.layers.{layer}.",
    ("layer_norm1", "layer_norm2"),
    _SPLIT,
    "self_attn.out_proj",
    ("mlp.fc1",),
    "mlp.fc2",
    qkv_bias=_SPLIT,
)
PIXTRAL = Blocks(
    "transformer.layers.{layer}.",
    ("attention_norm", "ffn_norm"),
    _PIXTRAL,
    "attention.o_proj",
    ("feed_forward.gate_proj", "feed_forward.up_proj"),
    "feed_forward.down_proj",
    norm_bias=False,
    out_bias=False,
    mlp_bias=False,
)
WHISPER = Blocks(
    "layers.{layer}.",
    ("self_attn_layer_norm", "final_layer_norm"),
    _SPLIT,
    "self_attn.out_proj",
    ("fc1",),
    "fc2",
    qkv_bias=("self_attn.q_proj", "self_attn.v_proj"),
)
QWEN3_AUDIO = replace(WHISPER, qkv_bias=_SPLIT)


@record
class Seen:
    """The tensors of an encoder and its projector, and what it works on."""

    rows: tuple[TensorRow, ...]
    encoder: ImageEncoder | None = None


@record
class Tower:
    """Builds rows under ``base``; names that begin with ``block`` are in each of ``layers``."""

    storage: Storage
    base: str
    layers: tuple[int, ...]
    block: str = ""

    def one(
        self,
        name: str,
        kind: str,
        shape: tuple[int, ...],
        shard: ShardAxis = "replicated",
    ) -> TensorRow:
        """One tensor."""
        inside = self.layers if self.block and name.startswith(self.block) else ()
        fused = "vision-" + name.removeprefix(self.block).replace(".", "-").replace("_", "-")
        return rows.plain(
            self.storage, self.base + name, kind, shape, inside, fused=fused, shard=shard
        )

    def linear(
        self,
        name: str,
        kind: str,
        shape: tuple[int, ...],
        *,
        bias: bool = True,
        shard: ShardAxis = "replicated",
    ) -> list[TensorRow]:
        """Weight and, where wanted, bias; of norms and convolutions too."""
        weight = self.one(f"{name}.weight", kind, shape, shard)
        beside: ShardAxis = "column" if shard == "column" else "replicated"
        return [weight, self.one(f"{name}.bias", kind, shape[:1], beside)] if bias else [weight]

    def blocks(self, names: Blocks, width: int, inner: int) -> list[TensorRow]:
        """The rows of all blocks. Engines divide their matrices over tensor-parallel ranks: vLLM
        and SGLang build encoders of the same column- and row-parallel layers as text models."""
        t, at = replace(self, block=names.prefix), names.prefix
        fused = 3 if len(names.qkv) == 1 else 1
        return [
            *(row for norm in names.norms
              for row in t.linear(at + norm, "norm", (width,), bias=names.norm_bias)),
            *(row for name in names.qkv
              for row in t.linear(at + name, "attention-qkv", (fused * width, width),
                                  bias=name in names.qkv_bias, shard="column")),
            *t.linear(at + names.out, "attention-out", (width, width), bias=names.out_bias,
                      shard="row"),
            *(row for name in names.up
              for row in t.linear(at + name, "mlp-gate-up", (inner, width), bias=names.mlp_bias,
                                  shard="column")),
            *t.linear(at + names.down, "mlp-down", (width, inner), bias=names.mlp_bias,
                      shard="row"),
        ]  # fmt: skip
