"""The projections of multi-head latent attention, in the names of DeepSeek-V2."""

from __future__ import annotations

from planner.models import rows
from planner.models.rows import LAYER
from planner.models.spec import Attention, TensorRow
from planner.models.storage import Storage


def latent_rows(
    storage: Storage, a: Attention, hidden: int, layers: tuple[int, ...], *, biases: bool = False,
    module: str = "self_attn.", gate: bool = False,
) -> list[TensorRow]:  # fmt: skip
    """Query (compressed where ``q_lora_rank`` is given), latent, its expansion, output.

    ``biases``: of the compressing projections and of the output; ``gate``: a projection whose
    sigmoid multiplies the output of every head.
    """
    if not layers:
        return []
    prefix, q_width = LAYER + module, a.heads * a.head_dim
    kv_a = rows.linear(
        storage,
        prefix + "kv_a_proj_with_mqa",
        "mla-kv",
        (a.kv_lora_rank + a.rope_dim, hidden),
        layers,
        fused="kv-a",
        shard="replicated",
    )
    kv_b = rows.linear(
        storage,
        prefix + "kv_b_proj",
        "mla-kv",
        (a.heads * (a.nope_dim + a.value_dim), a.kv_lora_rank),
        layers,
        fused="kv-b",
        shard="column",
    )
    out = rows.linear(
        storage,
        prefix + "o_proj",
        "attention-out",
        (hidden, a.heads * a.value_dim),
        layers,
        fused="o",
        shard="row",
    )
    kv_norm = rows.norm(storage, prefix + "kv_a_layernorm", a.kv_lora_rank, layers)
    if a.q_lora_rank is None:
        query = [
            rows.linear(
                storage,
                prefix + "q_proj",
                "mla-q",
                (q_width, hidden),
                layers,
                fused="q",
                shard="column",
            )
        ]
    else:
        q_a = rows.linear(
            storage,
            prefix + "q_a_proj",
            "mla-q",
            (a.q_lora_rank, hidden),
            layers,
            fused="q-a",
            shard="replicated",
        )
        query = [
            *rows.with_biases(storage, [q_a], biases),
            rows.norm(storage, prefix + "q_a_layernorm", a.q_lora_rank, layers),
            rows.linear(
                storage,
                prefix + "q_b_proj",
                "mla-q",
                (q_width, a.q_lora_rank),
                layers,
                fused="q-b",
                shard="column",
            ),
        ]
    gated = (
        [
            rows.linear(
                storage,
                prefix + "g_proj",
                "mla-q",
                (a.heads * a.value_dim, hidden),
                layers,
                fused="o-gate",
                shard="column",
            )
        ]
        if gate
        else []
    )
    return [*query, *gated, *rows.with_biases(storage, [kv_a], biases), kv_norm, kv_b,
            *rows.with_biases(storage, [out], biases)]  # fmt: skip
