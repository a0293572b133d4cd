"""Bytes per device besides weights: caches, activations and runtime. Exact integers."""

from __future__ import annotations

from dataclasses import dataclass

from planner.formats.kv import kv_layout
from planner.hardware.profile import DeviceProfile
from planner.models.spec import Attention, ModelSpec
from planner.placement.cache_entries import head_entry_bytes
from planner.placement.layout import Layout
from planner.units import GIB, MIB

PAGE_TOKENS = {"gqa": 16, "mla": 64}
"""Tokens of a cache page: vLLM's default block of 16, FlashMLA's 64."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What an engine keeps beside weights and caches, with where the figure is from."""

    context_bytes: int
    collective_bytes: int
    source: str


RUNTIME = {
    "gpu": Runtime(int(1.0 * GIB), 392 * MIB,
                   "CUDA context and libraries 1 GiB (recalled); NCCL buffers 392 MiB "
                   "(aiconfigurator-core 0.12.0 system files)"),
    "soc": Runtime(int(0.5 * GIB), 0, "CUDA context and libraries 0.5 GiB (recalled)"),
    "cpu": Runtime(int(1.0 * GIB), 0, "process and thread buffers 1 GiB (recalled)"),
}


def runtime_bytes(device: DeviceProfile, layout: Layout) -> int:
    """Context and library bytes of one device; collective buffers if it talks to others."""
    kept = RUNTIME[device.kind]
    return kept.context_bytes + (kept.collective_bytes if layout.ranks > 1 else 0)


def activation_bytes(spec: ModelSpec, layout: Layout, *, chunk_tokens: int, sequences: int) -> int:
    """Peak of temporary tensors on one rank, BF16, in the widest forward pass.

    Residual stream and its copy, plus the widest of: fused query/key/value with attention output,
    gated MLP, permuted expert inputs with their gate and up; plus FP32 logits of all sequences.
    """
    hidden = spec.hidden_size
    attention = spec.attention[0]
    widest = max(_attention_width(attention, layout), _mlp_width(spec, layout))
    tokens = max(chunk_tokens, sequences)
    logits = sequences * (spec.vocab_size // layout.tp) * 4
    return tokens * (2 * hidden + widest) * 2 + logits


def _attention_width(attention: Attention, layout: Layout) -> int:
    heads = attention.heads // layout.tp
    if attention.kind == "mla":
        query = heads * (attention.nope_dim + attention.rope_dim)
        keys = heads * (attention.nope_dim + attention.rope_dim + attention.value_dim)
        return query + keys + heads * attention.value_dim
    kv_heads = max(attention.kv_heads // layout.tp, 1)
    return (2 * heads + 2 * kv_heads) * attention.head_dim


def _mlp_width(spec: ModelSpec, layout: Layout) -> int:
    dense = 3 * (spec.dense_width // layout.tp)
    if spec.experts is None:
        return dense
    experts = spec.experts
    pairs = -(-experts.per_token * layout.dp // layout.ep) if layout.dp > 1 \
        else -(-experts.per_token // layout.ep)
    routed = pairs * (2 * spec.hidden_size + 3 * experts.width // layout.moe_tp)
    return max(dense, routed)


def cache_token_bytes(attention: Attention, kind: str, layout_id: str, tp: int) -> int:
    """Bytes a token and layer that one rank holds for a cache unit (copies over tp included)."""
    heads = 1 if kind == "kv-latent" else max(attention.kv_heads // tp, 1)
    return heads * head_entry_bytes(attention, kv_layout(layout_id), kind)


def cache_token_bytes_whole(attention: Attention, kind: str, layout_id: str) -> int:
    """Bytes a token and layer of one copy of a cache unit (all heads)."""
    return cache_token_bytes(attention, kind, layout_id, 1)


def slot_tokens(attention: Attention, context: int) -> int:
    """Tokens that one sequence's slot occupies: the context in whole pages."""
    page = PAGE_TOKENS[attention.kind]
    return -(-context // page) * page


def usable_bytes(device: DeviceProfile, override: int | None = None) -> int:
    """Bytes of one device that weights, caches, activations and runtime may fill together."""
    if override is not None:
        return override
    return int(device.capacity_bytes.value * device.usable_fraction.value)


def largest_context(attention: Attention, free_bytes: int, sequences: int,
                    token_bytes: int) -> int:
    """The longest context (whole pages) for ``sequences`` slots in ``free_bytes``."""
    page = PAGE_TOKENS[attention.kind]
    if sequences < 1 or token_bytes < 1:
        return 0
    return free_bytes // (sequences * token_bytes * page) * page

