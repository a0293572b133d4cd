"""Architectures that are known and not modelled: why, and what a configuration of them must say."""

from __future__ import annotations

from collections.abc import Mapping

from planner.records import record


@record
class Refused:
    """``reason`` completes "… is not modelled:"; ``needs`` are keys without which the tensors of
    the architecture cannot be counted, whoever models it."""

    reason: str
    needs: tuple[str, ...] = ()


REFUSED: dict[str, Refused] = {
    "glm5_next": Refused("Kimi delta attention, pooled indexer keys and four residual streams "
                         "(hc_mult)"),
    "kimi_k3": Refused("Kimi delta attention, experts in a latent space "
                       "(routed_expert_hidden_size) and attention residuals "
                       "(attn_res_block_size)"),
    "kimi_linear": Refused("Kimi delta attention"),
    "minimax_m3": Refused("block-sparse attention with an index of its own, and two numbers of "
                          "prediction layers (num_mtp_modules, num_nextn_predict_layers)",
                          ("sparse_attention_config",)),
}  # fmt: skip


def refusal_of(model_type: str, values: Mapping[str, object]) -> str:
    """Why ``model_type`` is refused, with the keys its configuration lacks; "" if it is unknown."""
    found = REFUSED.get(model_type)
    if found is None:
        return ""
    text = values.get("text_config")
    inner = text if isinstance(text, dict) else {}
    missing = [key for key in found.needs if values.get(key) is None and inner.get(key) is None]
    lacks = f"; the configuration is incomplete, it lacks {', '.join(missing)}" if missing else ""
    return f"{model_type} is not modelled: {found.reason}{lacks}"
