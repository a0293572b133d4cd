"""Bytes per device besides weights: caches, activations and runtime. Exact integers."""

from __future__ import annotations

from planner.base.records import record
from planner.base.units import GIB, MIB
from planner.hardware.profile import DeviceProfile
from planner.messages.message import Text, message
from planner.models.spec import Attention, ModelSpec
from planner.placement.layout import Layout


@record
class Runtime:
    """What an engine keeps beside weights and caches, with where the figure is from."""

    context_bytes: int
    collective_bytes: int
    source: Text


RUNTIME = {
    "gpu": Runtime(
        int(1.0 * GIB),
        392 * MIB,
        "CUDA context and libraries 1 GiB (recalled); NCCL buffers 392 MiB "
        "(aiconfigurator-core 0.12.0 system files)",
    ),
    "soc": Runtime(int(0.5 * GIB), 0, "CUDA context and libraries 0.5 GiB (recalled)"),
    "accelerator": Runtime(
        int(1.0 * GIB),
        392 * MIB,
        "libraries 1 GiB, collective buffers 392 MiB, as on a GPU (assumption)",
    ),
    "cpu": Runtime(int(1.0 * GIB), 0, "process and thread buffers 1 GiB (recalled)"),
}


def runtime_of(device: DeviceProfile) -> Runtime:
    """What is kept on ``device``; on platforms other than CUDA the figures of CUDA stand in."""
    kept = RUNTIME[device.kind]
    if device.platform in ("", "cuda", "cpu") or device.kind == "accelerator":
        return kept
    return Runtime(
        kept.context_bytes,
        kept.collective_bytes,
        message("assumptions.context_libraries_and_buffers_on", platform=device.platform),
    )


def runtime_bytes(device: DeviceProfile, layout: Layout) -> int:
    """Context and library bytes of one device; collective buffers if it talks to others [B]."""
    kept = runtime_of(device)
    return kept.context_bytes + (kept.collective_bytes if layout.ranks > 1 else 0)


def activation_bytes(spec: ModelSpec, layout: Layout, *, chunk_tokens: int, sequences: int) -> int:
    """Peak of temporary tensors on one rank, BF16, in the widest forward pass.

    Residual stream and its copy, plus the widest of: fused query/key/value with attention output,
    gated MLP, permuted expert inputs with their gate and up; plus FP32 logits of all sequences.
    """
    token, sequence = activation_rates(spec, layout)
    return max(chunk_tokens, sequences) * token + sequences * sequence


def activation_rates(spec: ModelSpec, layout: Layout) -> tuple[int, int]:
    """(bytes a token of the widest pass, bytes of a sequence's logits); see above."""
    widest = max(_mlp_width(spec, layout), *(_attention_width(a, layout) for a in spec.attention))
    return (2 * spec.hidden_size + widest) * 2, (spec.vocab_size // layout.tp) * 4


def _attention_width(attention: Attention, layout: Layout) -> int:
    heads = attention.heads // layout.tp
    if attention.kind == "mla":
        query = heads * (attention.nope_dim + attention.rope_dim)
        keys = heads * (attention.nope_dim + attention.rope_dim + attention.value_dim)
        return query + keys + heads * attention.value_dim
    kv_heads = max(attention.kv_heads // layout.tp, 1)
    if attention.kind == "linear":
        return 2 * kv_heads * attention.key_dim + 3 * heads * attention.head_dim
    values = attention.value_dim or attention.head_dim
    return (heads + kv_heads) * (attention.head_dim + values)


def _mlp_width(spec: ModelSpec, layout: Layout) -> int:
    dense = 3 * (spec.dense_width // layout.tp)
    if spec.experts is None:
        return dense
    experts = spec.experts
    pairs = (
        -(-experts.per_token * layout.dp // layout.ep)
        if layout.dp > 1
        else -(-experts.per_token // layout.ep)
    )
    routed = pairs * (
        2 * (experts.latent or spec.hidden_size) + experts.matrices * experts.width // layout.moe_tp
    )
    return max(dense, routed)
