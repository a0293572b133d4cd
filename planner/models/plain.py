"""The plain type of a model: what its server computes in."""

from __future__ import annotations

from dataclasses import replace

from planner.models.spec import ModelSpec


def plain_type(spec: ModelSpec) -> str:
    """The type an engine computes in: of the embedding, else of the norms. GGUF files keep norms
    in FP32 whatever that is; engines compute in FP16 (llama.cpp, and vLLM's default for them)."""
    if spec.quantization.startswith("ggml-"):
        return "fp16"
    of = {row.kind: row.dtype for row in reversed(spec.rows) if row.part == "main"}
    types = (of.get(kind) for kind in ("embedding", "norm"))
    return next((dtype for dtype in types if dtype in ("bf16", "fp16", "fp32")), "bf16")


def with_states_in(spec: ModelSpec, dtype: str) -> ModelSpec:
    """``spec`` with the states of linear attention in ``dtype`` where its release states no type:
    vLLM keeps them in the model's own (--mamba-ssm-cache-dtype auto)."""
    if not any(a.state_assumed for a in spec.attention):
        return spec
    return replace(
        spec,
        attention=tuple(
            replace(a, state_dtype=dtype) if a.state_assumed else a for a in spec.attention
        ),
    )
