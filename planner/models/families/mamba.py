"""Mamba-2 mixers, as Nemotron-H, Granite 4 and Falcon-H1 have them.

One projection makes gate, values, B, C and steps; a short convolution runs over values, B and C;
the state-space recurrence follows (arXiv:2405.21060). Its state is (head width, states) a head.
"""

from __future__ import annotations

from dataclasses import replace

from planner.models import rows
from planner.models.fields import MAX_EXPERTS, Fields
from planner.models.rows import LAYER
from planner.models.spec import Attention, TensorRow
from planner.models.storage import Storage

STATE_TYPES = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
KIND = "linear-attention"


def mamba2(
    fields: Fields, layers: tuple[int, ...], storage: Storage, *, heads: int, head_dim: int,
    groups: int, states: int, kernel: int, default: str,
) -> Attention:  # fmt: skip
    """The mixer of ``layers``. Its state is in ``mamba_ssm_cache_dtype``, where that is absent in
    ``default``; the convolution remembers all but one of its inputs in the plain type.

    Raises:
        DataError: heads are not a multiple of groups.
    """
    if heads % groups or max(heads, groups) > MAX_EXPERTS:
        raise fields.error("n_groups", f"is {groups}; it must divide {heads} heads")
    named = fields.choice("mamba_ssm_cache_dtype", (*STATE_TYPES, "auto"), default="auto")
    return Attention(
        kind="linear", layers=layers, heads=heads, kv_heads=groups, head_dim=head_dim,
        key_dim=states, state_elements=heads * head_dim * states,
        state_dtype=STATE_TYPES.get(named, default), rule="mamba2",
        conv_elements=(heads * head_dim + 2 * groups * states) * (kernel - 1),
        conv_dtype=storage.plain,
    )  # fmt: skip


def mamba2_rows(
    storage: Storage, a: Attention, hidden: int, *, module: str = "mixer.", conv_bias: bool = True,
    biases: bool = False, normed: bool = True,
) -> list[TensorRow]:  # fmt: skip
    """The mixer's tensors under ``module``; ``normed``: a gated norm before the output."""
    if not a.layers:
        return []
    prefix, layers, width = LAYER + module, a.layers, a.heads * a.head_dim
    shared = 2 * a.kv_heads * a.key_dim
    channels = width + shared
    kernel = a.conv_elements // channels + 1
    joined = replace(
        rows.linear(storage, prefix + "in_proj", KIND, (2 * width + shared + a.heads, hidden),
                    layers, fused="linear-in", shard="column"), kv_outputs=shared)  # fmt: skip
    out = rows.linear(storage, prefix + "out_proj", KIND, (hidden, width), layers,
                      fused="linear-out", shard="row")  # fmt: skip
    vectors: list[tuple[str, tuple[int, ...], str]] = [
        ("conv1d.weight", (channels, 1, kernel), "linear-conv")
    ]
    if conv_bias:
        vectors.append(("conv1d.bias", (channels,), "linear-conv-bias"))
    for name, fused in (("dt_bias", "linear-dt"), ("A_log", "linear-decay"), ("D", "linear-skip")):
        vectors.append((name, (a.heads,), fused))
    if normed:
        vectors.append(("norm.weight", (width,), "linear-norm"))
    return [
        *rows.with_biases(storage, [joined], biases),
        *(rows.plain(storage, prefix + name, KIND, shape, layers, fused=fused, shard="column")
          for name, shape, fused in vectors),
        *rows.with_biases(storage, [out], biases),
    ]  # fmt: skip
