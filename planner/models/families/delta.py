"""What Qwen3-Next and Qwen3.5 share: gated delta nets, gated attention, a gated shared expert.

Kimi delta attention: a delta net whose decay is a vector, a convolution each for q, k, v.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.families.common import GroupedQuery
from planner.models.fields import MAX_EXPERTS, Fields
from planner.models.rows import LAYER, GatedMlp
from planner.models.spec import Attention, Experts, TensorRow
from planner.models.storage import Storage

_SHARED = GatedMlp("mlp.shared_expert.", "gate_proj", "up_proj", "down_proj", "shared")
_STATE_TYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def read_delta(fields: Fields, layers: tuple[int, ...], storage: Storage) -> Attention:
    """The gated delta net of ``layers``.

    Its state is one (key width, value width) matrix a value head, in FP32 unless
    ``mamba_ssm_dtype`` says otherwise; its convolution remembers all but one of the kernel's
    inputs, in the plain type.

    Raises:
        DataError: value heads are not a multiple of key heads.
    """
    keys = fields.integer("linear_num_key_heads", high=MAX_EXPERTS)
    values = fields.integer("linear_num_value_heads", high=MAX_EXPERTS)
    if values % keys:
        raise fields.error("linear_num_key_heads", f"is {keys}; it must divide {values}")
    key_dim, value_dim = (fields.integer(f"linear_{name}_head_dim") for name in ("key", "value"))
    kernel = fields.integer("linear_conv_kernel_dim", high=MAX_EXPERTS)
    stated = fields.take("mamba_ssm_dtype") is not None
    state = fields.choice("mamba_ssm_dtype", _STATE_TYPES, default="float32")
    return Attention(
        kind="linear", layers=layers, heads=values, kv_heads=keys, head_dim=value_dim,
        key_dim=key_dim, state_elements=values * key_dim * value_dim,
        state_dtype=_STATE_TYPES[state],
        conv_elements=(2 * keys * key_dim + values * value_dim) * (kernel - 1),
        conv_dtype=storage.plain, state_assumed=not stated,
    )  # fmt: skip


def delta_tail(storage: Storage, a: Attention, hidden: int, *, kernel: int) -> list[TensorRow]:
    """Convolution, decay, norm and output of a gated delta net."""
    prefix, layers = LAYER + "linear_attn.", a.layers
    channels = 2 * a.kv_heads * a.key_dim + a.heads * a.head_dim
    kind = "linear-attention"
    return [
        rows.plain(storage, prefix + "conv1d.weight", kind, (channels, 1, kernel), layers,
                   fused="linear-conv", shard="column"),
        rows.plain(storage, prefix + "dt_bias", kind, (a.heads,), layers, fused="linear-dt",
                   shard="column"),
        rows.plain(storage, prefix + "A_log", kind, (a.heads,), layers, fused="linear-decay",
                   shard="column"),
        rows.norm(storage, prefix + "norm", a.head_dim, layers),
        rows.linear(storage, prefix + "out_proj", kind, (hidden, a.heads * a.head_dim), layers,
                    fused="linear-out", shard="row"),
    ]  # fmt: skip


def kernel_of(a: Attention) -> int:
    """The width of the convolution."""
    return a.conv_elements // (2 * a.kv_heads * a.key_dim + a.heads * a.head_dim) + 1


def gated_attention(
    storage: Storage, a: GroupedQuery, hidden: int, layers: tuple[int, ...]
) -> list[TensorRow]:
    """Grouped-query attention whose query projection also makes a gate for its output."""
    if not layers:
        return []
    return [
        *a.rows(storage, hidden, layers, query_parts=2),
        rows.norm(storage, LAYER + "self_attn.q_norm", a.head_dim, layers),
        rows.norm(storage, LAYER + "self_attn.k_norm", a.head_dim, layers),
    ]  # fmt: skip


def read_shared_expert(fields: Fields, experts: Experts) -> Experts:
    """``experts`` with the shared expert of ``shared_expert_intermediate_size``."""
    width = fields.integer("shared_expert_intermediate_size")
    return replace(experts, shared=1, shared_width=width)


def experts_rows(
    storage: Storage, e: Experts, hidden: int, layers: tuple[int, ...], *, stacked: bool
) -> list[TensorRow]:
    """Router, routed experts (one tensor a layer where ``stacked``), the gated shared expert."""
    name = LAYER + "mlp.experts."
    if stacked:
        routed = [
            rows.stack(storage, name + "gate_up_proj", "experts-gate-up", (2 * e.width, hidden),
                       layers, fused="experts-gate-up", shard="column", experts=e.count),
            rows.stack(storage, name + "down_proj", "experts-down", (hidden, e.width), layers,
                       fused="experts-down", shard="row", experts=e.count),
        ]  # fmt: skip
    else:
        routed = rows.gated_mlp(storage, rows.EXPERT_MLP, layers, hidden=hidden, width=e.width,
                                experts=e.count)  # fmt: skip
    return [
        *rows.router(storage, "mlp.gate", hidden, e.count, layers),
        *routed,
        *rows.gated_mlp(storage, _SHARED, layers, hidden=hidden, width=e.shared_width),
        rows.plain(storage, LAYER + "mlp.shared_expert_gate.weight", "shared-gate-up",
                   (1, hidden), layers, fused="shared-gate"),
    ]  # fmt: skip


_KIND = "linear-attention"


def kda(
    layers: tuple[int, ...],
    storage: Storage,
    *,
    heads: int,
    dim: int,
    kernel: int,
) -> Attention:
    """The attention of ``layers``; its state is FP32 (vLLM 0.32: kda_state_dtype)."""
    return Attention(
        kind="linear", layers=layers, heads=heads, kv_heads=heads, head_dim=dim, key_dim=dim,
        state_elements=heads * dim * dim, state_dtype="fp32", rule="kda",
        conv_elements=3 * heads * dim * (kernel - 1), conv_dtype=storage.plain)  # fmt: skip


def read_kda(
    fields: Fields, nested: Fields | None, layers: tuple[int, ...], storage: Storage
) -> Attention:
    """Its sizes from ``linear_attn_config``, or from the keys that transformers saves them under.

    Raises:
        DataError: a size is missing, or both places state it and differ.
    """
    sizes = []
    for inner, outer in (
        ("num_heads", "linear_num_heads"),
        ("head_dim", "linear_head_dim"),
        ("short_conv_kernel_size", "linear_conv_kernel_dim"),
    ):
        own = None if nested is None else nested.optional_integer(inner, high=MAX_EXPERTS)
        if own is not None and fields.take(outer) not in (None, own):
            raise fields.error(outer, f"is not the {own} of linear_attn_config")
        sizes.append(fields.integer(outer, high=MAX_EXPERTS) if own is None else own)
    return kda(layers, storage, heads=sizes[0], dim=sizes[1], kernel=sizes[2])


def kda_rows(
    storage: Storage, a: Attention, hidden: int, *, full_gate: bool, full_decay: bool = False,
    decay_shape: tuple[int, ...] | None = None, out: str = "o_proj",
) -> list[TensorRow]:  # fmt: skip
    """Its tensors; output gate and decay are projected at full rank or through one head's width."""
    if not a.layers:
        return []
    prefix, width, dim = LAYER + "self_attn.", a.heads * a.head_dim, a.head_dim
    kernel = a.conv_elements // (3 * width) + 1
    inner = [("q_proj", width), ("k_proj", width), ("v_proj", width), ("b_proj", a.heads)]
    inner += [("g_proj", width)] if full_gate else []
    inner += [("f_proj", width)] if full_decay else []
    low = [letter for letter, full in (("f", full_decay), ("g", full_gate)) if not full]
    vector: list[tuple[str, tuple[int, ...], str]] = [
        (f"{letter}_conv1d.weight", (width, 1, kernel), storage.plain) for letter in "qkv"
    ]
    vector += [
        ("dt_bias", (width,), "fp32"),
        ("A_log", (1, 1, a.heads, 1) if decay_shape is None else decay_shape, "fp32"),
    ]
    return [
        *(rows.linear(storage, prefix + name, _KIND, (outputs, hidden), a.layers,
                      fused="linear-in", shard="column") for name, outputs in inner),
        *(rows.linear(storage, f"{prefix}{name}_a_proj", _KIND, (dim, hidden), a.layers,
                      fused="linear-low", shard="replicated") for name in low),
        *(rows.linear(storage, f"{prefix}{name}_b_proj", _KIND, (width, dim), a.layers,
                      fused=f"linear-{name}", shard="column") for name in low),
        *(replace(rows.plain(storage, prefix + name, _KIND, shape, a.layers,
                             fused="linear-" + name, shard="column"), dtype=dtype)
          for name, shape, dtype in vector),
        rows.norm(storage, prefix + "o_norm", dim, a.layers),
        rows.linear(storage, prefix + out, _KIND, (hidden, width), a.layers,
                    fused="linear-out", shard="row"),
    ]  # fmt: skip
