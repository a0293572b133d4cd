"""Metadata of GGUF files in the keys of a family's configuration, by architecture.

Sources: ggml-org/llama.cpp src/models/*.cpp (load_arch_hparams, load_arch_tensors) and
convert_hf_to_gguf.py: which key of a configuration each key of the metadata is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner.models.gguf_decoders import DECODERS
from planner.models.gguf_hybrids import HYBRIDS
from planner.models.gguf_metadata import Config, Metadata, heads, shared_routing, sizes


def _deepseek(meta: Metadata) -> Config:
    """Latent attention: the width of a head stands under key_length_mla where key_length is that
    of the latent."""
    rope = meta.whole("rope.dimension_count")
    wide = "_mla" if meta.has("attention.key_length_mla") else ""
    corrected = meta.holds("exp_probs_b.bias")
    count = meta.whole("attention.head_count")
    found: Config = sizes(meta) | shared_routing(meta) | {
        "model_type": "deepseek_v3" if corrected else "deepseek_v2",
        "num_attention_heads": count, "num_key_value_heads": count,
        "kv_lora_rank": meta.whole("attention.kv_lora_rank"), "qk_rope_head_dim": rope,
        "qk_nope_head_dim": meta.whole(f"attention.key_length{wide}") - rope,
        "v_head_dim": meta.whole(f"attention.value_length{wide}"),
    }  # fmt: skip
    if meta.holds("attn_q_a.weight"):
        found["q_lora_rank"] = meta.whole("attention.q_lora_rank")
    else:
        found["q_lora_rank"] = None
    if not corrected:
        del found["num_nextn_predict_layers"]
    return found


def _gpt_oss(meta: Metadata) -> Config:
    """Even layers attend to the window (load_swa_pattern with 2)."""
    kinds = ("sliding_attention", "full_attention")
    return sizes(meta) | heads(meta) | {
        "model_type": "gpt_oss", "intermediate_size": meta.whole("expert_feed_forward_length"),
        "num_local_experts": meta.whole("expert_count"),
        "num_experts_per_tok": meta.whole("expert_used_count"),
        "sliding_window": meta.whole("attention.sliding_window"), "attention_bias": True,
        "layer_types": [kinds[layer % 2] for layer in range(meta.layers)],
    }  # fmt: skip


def _gemma3(meta: Metadata) -> Config:
    return sizes(meta) | heads(meta) | {
        "model_type": "gemma3_text", "intermediate_size": meta.whole("feed_forward_length"),
        "sliding_window": meta.whole("attention.sliding_window"),
        "sliding_window_pattern": meta.whole("attention.sliding_window_pattern", 6),
    }  # fmt: skip


def _gemma4(meta: Metadata) -> Config:
    """Windowed layers have heads of their own width and number; those of full attention may make
    values of keys."""
    layers = meta.layers
    windowed = meta.each("attention.sliding_window_pattern", layers)
    kv = meta.each("attention.head_count_kv", layers)
    local = next((kv[i] for i in range(layers) if windowed[i]), kv[0])
    full = next((i for i in range(layers) if not windowed[i]), 0)
    widths = meta.each("feed_forward_length", layers)
    embedding = meta.width("token_embd.weight")
    text = sizes(meta) | {
        "model_type": "gemma4_text", "num_attention_heads": meta.whole("attention.head_count"),
        "num_key_value_heads": local, "num_global_key_value_heads": kv[full],
        "head_dim": meta.whole("attention.key_length_swa"),
        "global_head_dim": meta.whole("attention.key_length"),
        "attention_k_eq_v": f"blk.{full}.attn_v.weight" not in meta.shapes,
        "sliding_window": meta.whole("attention.sliding_window"),
        "layer_types": ["sliding_attention" if own else "full_attention" for own in windowed],
        "intermediate_size": widths[0], "use_double_wide_mlp": max(widths) > widths[0],
        "num_kv_shared_layers": meta.whole("attention.shared_kv_layers", 0),
        "hidden_size_per_layer_input": meta.whole("embedding_length_per_layer_input", 0),
        "vocab_size_per_layer_input": meta.width("per_layer_token_embd.weight") or embedding,
    }  # fmt: skip
    if meta.has("expert_count"):
        text |= {
            "enable_moe_block": True,
            "num_experts": meta.whole("expert_count"),
            "top_k_experts": meta.whole("expert_used_count"),
            "moe_intermediate_size": meta.whole("expert_feed_forward_length"),
        }
    return {"model_type": "gemma4", "text_config": text}


def _delta(meta: Metadata) -> Config:
    """Gated delta nets; llama.cpp keeps their states in F32."""
    values = meta.whole("ssm.time_step_rank")
    return {
        "linear_num_key_heads": meta.whole("ssm.group_count"), "linear_num_value_heads": values,
        "linear_key_head_dim": meta.whole("ssm.state_size"),
        "linear_value_head_dim": meta.whole("ssm.inner_size") // max(1, values),
        "linear_conv_kernel_dim": meta.whole("ssm.conv_kernel"), "mamba_ssm_dtype": "float32",
        "full_attention_interval": meta.whole("full_attention_interval", 4),
    }  # fmt: skip


def _many_experts(meta: Metadata) -> Config:
    return {
        "num_experts": meta.whole("expert_count"),
        "num_experts_per_tok": meta.whole("expert_used_count"),
        "moe_intermediate_size": meta.whole("expert_feed_forward_length"),
        "shared_expert_intermediate_size": meta.whole("expert_shared_feed_forward_length"),
    }  # fmt: skip


def _qwen35(meta: Metadata) -> Config:
    routed = meta.has("expert_count")
    own = (
        _many_experts(meta) if routed else {"intermediate_size": meta.whole("feed_forward_length")}
    )
    kind = "qwen3_5_moe" if routed else "qwen3_5"
    text = (
        sizes(meta)
        | heads(meta)
        | _delta(meta)
        | own
        | {"model_type": f"{kind}_text", "mtp_num_hidden_layers": meta.prediction}
    )
    return {"model_type": kind, "text_config": text}


def _qwen3_next(meta: Metadata) -> Config:
    return (
        sizes(meta)
        | heads(meta)
        | _delta(meta)
        | _many_experts(meta)
        | {"model_type": "qwen3_next"}
    )


def _phi3(meta: Metadata) -> Config:
    """Its window is switched off in llama.cpp."""
    found = (
        sizes(meta)
        | heads(meta)
        | {"model_type": "phi3", "intermediate_size": meta.whole("feed_forward_length")}
    )
    found.pop("head_dim", None)
    return found


def _glm4_moe(meta: Metadata) -> Config:
    return (
        sizes(meta)
        | heads(meta)
        | shared_routing(meta)
        | {
            "model_type": "glm4_moe",
            "attention_bias": meta.holds("attn_q.bias"),
            "use_qk_norm": meta.holds("attn_q_norm.weight"),
        }
    )


ARCHITECTURE_CONFIGS: Mapping[str, Callable[[Metadata], Config]] = {
    "deepseek2": _deepseek, "gemma3": _gemma3, "gemma4": _gemma4, "glm4moe": _glm4_moe,
    "gpt-oss": _gpt_oss, "phi3": _phi3, "qwen35": _qwen35, "qwen35moe": _qwen35,
    "qwen3next": _qwen3_next, **DECODERS, **HYBRIDS,
}  # fmt: skip
"""Architectures whose rows are made of the file's tensors (``gguf_rows``)."""
