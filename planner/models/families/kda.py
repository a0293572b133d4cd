"""Kimi delta attention: a delta net whose decay is a vector, a convolution each for q, k, v."""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.fields import MAX_EXPERTS, Fields
from planner.models.rows import LAYER
from planner.models.spec import Attention, TensorRow
from planner.models.storage import Storage

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
