"""Metadata of GGUF files in the keys of a family's configuration, by architecture.

Sources: ggml-org/llama.cpp src/models/*.cpp (load_arch_hparams, load_arch_tensors) and
convert_hf_to_gguf.py: which key of a configuration each key of the metadata is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner.models.gguf_header import Config, Metadata, heads, shared_routing, sizes
from planner.models.gguf_hybrids import HYBRIDS

_KINDS = ("full_attention", "sliding_attention")


def _decoder(meta: Metadata, model_type: str, **more: object) -> Config:
    """What every decoder states, its type and what more it has."""
    return (
        sizes(meta)
        | heads(meta)
        | {
            "model_type": model_type,
            "intermediate_size": meta.integer("feed_forward_length"),
            **more,
        }
    )


def _like(model_type: str) -> Callable[[Metadata], Config]:
    """A decoder without keys of its own."""

    def read(meta: Metadata) -> Config:
        return _decoder(meta, model_type)

    return read


def _biased(model_type: str, *keys: str) -> Callable[[Metadata], Config]:
    """A decoder whose ``keys`` say whether queries, keys and values have biases."""

    def read(meta: Metadata) -> Config:
        return _decoder(meta, model_type, **dict.fromkeys(keys, meta.holds("attn_q.bias")))

    return read


def _windows(meta: Metadata, every: int) -> Config:
    """Windowed layers: as listed one by one, else all but each ``every``-th."""
    layers = meta.layers
    if meta.listed("attention.sliding_window_pattern"):
        local = meta.each("attention.sliding_window_pattern", layers)
    else:
        local = tuple(int((layer + 1) % every > 0) for layer in range(layers))
    return {
        "sliding_window": meta.integer("attention.sliding_window"),
        "layer_types": [_KINDS[bool(is_local)] for is_local in local],
    }


def _gemma2(meta: Metadata) -> Config:
    return _decoder(meta, "gemma2", **_windows(meta, 2))


def _gemma3n(meta: Metadata) -> Config:
    """The rank of the low-rank path is that of its tensor."""
    widths = meta.each("feed_forward_length", meta.layers)
    return _decoder(
        meta, "gemma3n_text", **_windows(meta, 5) | {
            "intermediate_size": list(widths),
            "altup_num_inputs": meta.integer("altup.num_inputs"),
            "laurel_rank": meta.width("blk.0.laurel_l.weight"),
            "num_kv_shared_layers": meta.integer("attention.shared_kv_layers", 0),
            "hidden_size_per_layer_input": meta.integer("embedding_length_per_layer_input"),
            "vocab_size_per_layer_input": meta.width("per_layer_token_embd.weight"),
        })  # fmt: skip


def _cohere(meta: Metadata) -> Config:
    return _decoder(meta, "cohere", use_qk_norm=meta.holds("attn_q_norm.weight"))


def _cohere2(meta: Metadata) -> Config:
    return _decoder(meta, "cohere2", **_windows(meta, 4))


def _olmo2(meta: Metadata) -> Config:
    """OLMo 3 is OLMo 2 with windows."""
    if not meta.has("attention.sliding_window"):
        return _decoder(meta, "olmo2")
    return _decoder(meta, "olmo3", **_windows(meta, 4))


def _exaone4(meta: Metadata) -> Config:
    windows = _windows(meta, 4) if meta.has("attention.sliding_window") else {}
    return _decoder(meta, "exaone4", **windows)


def _granite(meta: Metadata) -> Config:
    return _decoder(
        meta,
        "granite",
        attention_bias=meta.holds("attn_q.bias"),
        mlp_bias=meta.holds("ffn_up.bias"),
    )


def _granite_moe(meta: Metadata) -> Config:
    shared = meta.integer("expert_shared_feed_forward_length", 0)
    return _decoder(
        meta,
        "granitemoeshared" if shared else "granitemoe",
        num_local_experts=meta.integer("expert_count"),
        num_experts_per_tok=meta.integer("expert_used_count"),
        **({"shared_intermediate_size": shared} if shared else {}),
    )


def _seed_oss(meta: Metadata) -> Config:
    return _decoder(
        meta,
        "seed_oss",
        attention_bias=meta.holds("attn_q.bias"),
        attention_out_bias=meta.holds("attn_output.bias"),
        mlp_bias=meta.holds("ffn_up.bias"),
    )


def _hunyuan(meta: Metadata) -> Config:
    return _decoder(
        meta,
        "hunyuan_v1_dense",
        use_qk_norm=meta.holds("attn_q_norm.weight"),
        attention_bias=meta.holds("attn_q.bias"),
    )


def _qwen2_moe(meta: Metadata) -> Config:
    return _decoder(
        meta,
        "qwen2_moe",
        num_experts=meta.integer("expert_count"),
        num_experts_per_tok=meta.integer("expert_used_count"),
        moe_intermediate_size=meta.integer("expert_feed_forward_length"),
        shared_expert_intermediate_size=meta.integer("expert_shared_feed_forward_length"),
    )


def _qwen3_vl_moe(meta: Metadata) -> Config:
    """The text model has the tensors of Qwen3-MoE."""
    return _decoder(
        meta,
        "qwen3_moe",
        num_experts=meta.integer("expert_count"),
        num_experts_per_tok=meta.integer("expert_used_count"),
        moe_intermediate_size=meta.integer("expert_feed_forward_length"),
    )


def _olmoe(meta: Metadata) -> Config:
    return _decoder(
        meta,
        "olmoe",
        num_experts=meta.integer("expert_count"),
        num_experts_per_tok=meta.integer("expert_used_count"),
    )


def _minimax_m2(meta: Metadata) -> Config:
    return _decoder(
        meta,
        "minimax_m2",
        num_local_experts=meta.integer("expert_count"),
        num_experts_per_tok=meta.integer("expert_used_count"),
    )


def _dots1(meta: Metadata) -> Config:
    config = _decoder(meta, "dots1") | shared_routing(meta)
    del config["num_nextn_predict_layers"]
    return config


def _mimo2(meta: Metadata) -> Config:
    """Windowed layers have key and value heads of their own number; an expert's layer has a
    router."""
    layers = meta.layers
    local = meta.each("attention.sliding_window_pattern", layers)
    kv = meta.each("attention.head_count_kv", layers)
    full_at = next((n for n in range(layers) if not local[n]), 0)
    local_at = next((n for n in range(layers) if local[n]), full_at)
    routed = [int(f"blk.{n}.ffn_gate_inp.weight" in meta.shapes) for n in range(layers)]
    config = _decoder(meta, "mimo_v2_flash") | shared_routing(meta) | {
        "num_key_value_heads": kv[full_at], "swa_num_key_value_heads": kv[local_at],
        "v_head_dim": meta.integer("attention.value_length"),
        "sliding_window": meta.integer("attention.sliding_window"),
        "hybrid_layer_pattern": [int(is_local) for is_local in local], "moe_layer_freq": routed,
        "add_full_attention_sink_bias": f"blk.{full_at}.attn_sinks.weight" in meta.shapes,
        "add_swa_attention_sink_bias": f"blk.{local_at}.attn_sinks.weight" in meta.shapes,
    }  # fmt: skip
    del config["num_nextn_predict_layers"], config["first_k_dense_replace"]
    return config


DECODERS: Mapping[str, Callable[[Metadata], Config]] = {
    "chatglm": _biased("glm", "attention_bias"), "cohere2": _cohere2, "command-r": _cohere,
    "dots1": _dots1, "ernie4_5": _biased("ernie4_5", "use_bias"), "exaone4": _exaone4,
    "gemma": _like("gemma"), "gemma2": _gemma2, "gemma3n": _gemma3n,
    "glm4": _biased("glm4", "attention_bias"), "granite": _granite, "granitemoe": _granite_moe,
    "hunyuan-dense": _hunyuan, "mimo2": _mimo2, "minimax-m2": _minimax_m2, "olmo2": _olmo2,
    "olmoe": _olmoe, "phi2": _like("phi"), "qwen2moe": _qwen2_moe,
    "qwen2vl": _like("qwen2_5_vl_text"), "qwen3vl": _like("qwen3_vl_text"),
    "qwen3vlmoe": _qwen3_vl_moe, "seed_oss": _seed_oss,
    "smollm3": _like("smollm3"),
}  # fmt: skip


def _deepseek(meta: Metadata) -> Config:
    """Latent attention: the width of a head stands under key_length_mla where key_length is that
    of the latent."""
    rope = meta.integer("rope.dimension_count")
    wide = "_mla" if meta.has("attention.key_length_mla") else ""
    corrected = meta.holds("exp_probs_b.bias")
    count = meta.integer("attention.head_count")
    config: Config = sizes(meta) | shared_routing(meta) | {
        "model_type": "deepseek_v3" if corrected else "deepseek_v2",
        "num_attention_heads": count, "num_key_value_heads": count,
        "kv_lora_rank": meta.integer("attention.kv_lora_rank"), "qk_rope_head_dim": rope,
        "qk_nope_head_dim": meta.integer(f"attention.key_length{wide}") - rope,
        "v_head_dim": meta.integer(f"attention.value_length{wide}"),
    }  # fmt: skip
    if meta.holds("attn_q_a.weight"):
        config["q_lora_rank"] = meta.integer("attention.q_lora_rank")
    else:
        config["q_lora_rank"] = None
    if not corrected:
        del config["num_nextn_predict_layers"]
    return config


def _gpt_oss(meta: Metadata) -> Config:
    """Even layers attend to the window (load_swa_pattern with 2)."""
    kinds = ("sliding_attention", "full_attention")
    return sizes(meta) | heads(meta) | {
        "model_type": "gpt_oss", "intermediate_size": meta.integer("expert_feed_forward_length"),
        "num_local_experts": meta.integer("expert_count"),
        "num_experts_per_tok": meta.integer("expert_used_count"),
        "sliding_window": meta.integer("attention.sliding_window"), "attention_bias": True,
        "layer_types": [kinds[layer % 2] for layer in range(meta.layers)],
    }  # fmt: skip


def _gemma3(meta: Metadata) -> Config:
    return sizes(meta) | heads(meta) | {
        "model_type": "gemma3_text", "intermediate_size": meta.integer("feed_forward_length"),
        "sliding_window": meta.integer("attention.sliding_window"),
        "sliding_window_pattern": meta.integer("attention.sliding_window_pattern", 6),
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
        "model_type": "gemma4_text", "num_attention_heads": meta.integer("attention.head_count"),
        "num_key_value_heads": local, "num_global_key_value_heads": kv[full],
        "head_dim": meta.integer("attention.key_length_swa"),
        "global_head_dim": meta.integer("attention.key_length"),
        "attention_k_eq_v": f"blk.{full}.attn_v.weight" not in meta.shapes,
        "sliding_window": meta.integer("attention.sliding_window"),
        "layer_types": ["sliding_attention" if own else "full_attention" for own in windowed],
        "intermediate_size": widths[0], "use_double_wide_mlp": max(widths) > widths[0],
        "num_kv_shared_layers": meta.integer("attention.shared_kv_layers", 0),
        "hidden_size_per_layer_input": meta.integer("embedding_length_per_layer_input", 0),
        "vocab_size_per_layer_input": meta.width("per_layer_token_embd.weight") or embedding,
    }  # fmt: skip
    if meta.has("expert_count"):
        text |= {
            "enable_moe_block": True,
            "num_experts": meta.integer("expert_count"),
            "top_k_experts": meta.integer("expert_used_count"),
            "moe_intermediate_size": meta.integer("expert_feed_forward_length"),
        }
    return {"model_type": "gemma4", "text_config": text}


def _delta(meta: Metadata) -> Config:
    """Gated delta nets; llama.cpp keeps their states in F32."""
    values = meta.integer("ssm.time_step_rank")
    return {
        "linear_num_key_heads": meta.integer("ssm.group_count"), "linear_num_value_heads": values,
        "linear_key_head_dim": meta.integer("ssm.state_size"),
        "linear_value_head_dim": meta.integer("ssm.inner_size") // max(1, values),
        "linear_conv_kernel_dim": meta.integer("ssm.conv_kernel"), "mamba_ssm_dtype": "float32",
        "full_attention_interval": meta.integer("full_attention_interval", 4),
    }  # fmt: skip


def _many_experts(meta: Metadata) -> Config:
    return {
        "num_experts": meta.integer("expert_count"),
        "num_experts_per_tok": meta.integer("expert_used_count"),
        "moe_intermediate_size": meta.integer("expert_feed_forward_length"),
        "shared_expert_intermediate_size": meta.integer("expert_shared_feed_forward_length"),
    }  # fmt: skip


def _qwen35(meta: Metadata) -> Config:
    routed = meta.has("expert_count")
    own = (
        _many_experts(meta)
        if routed
        else {"intermediate_size": meta.integer("feed_forward_length")}
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
    config = (
        sizes(meta)
        | heads(meta)
        | {"model_type": "phi3", "intermediate_size": meta.integer("feed_forward_length")}
    )
    config.pop("head_dim", None)
    return config


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
