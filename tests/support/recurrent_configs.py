"""Configurations of releases with experts, recurrences or both, without keys of generation."""

from __future__ import annotations

from typing import Any

_NANO = "MEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEM*EMEMEMEM*EMEMEMEME"
_H56 = "M-M-M-M*" + "-M-M-M-M-M*" * 9 + "-M-M-M-M-M-"
_FULL = "full_attention"


def _kinds(layers: int, full: tuple[int, ...], other: str) -> list[str]:
    return [_FULL if n in full else other for n in range(layers)]


NEMOTRON_3_NANO: dict[str, Any] = {
    "model_type": "nemotron_h", "attention_bias": False, "head_dim": 128, "hidden_size": 2688,
    "hybrid_override_pattern": _NANO, "intermediate_size": 1856, "mamba_head_dim": 64,
    "mamba_num_heads": 64, "mamba_ssm_cache_dtype": "float32", "max_position_embeddings": 262144,
    "moe_intermediate_size": 1856, "moe_shared_expert_intermediate_size": 3712, "n_group": 1,
    "n_groups": 8, "n_routed_experts": 128, "n_shared_experts": 1, "num_attention_heads": 32,
    "num_experts_per_tok": 6, "num_hidden_layers": 52, "num_key_value_heads": 2,
    "ssm_state_size": 128, "conv_kernel": 4, "tie_word_embeddings": False, "topk_group": 1,
    "torch_dtype": "bfloat16", "use_conv_bias": True, "vocab_size": 131072,
}  # fmt: skip
_SUPER = ("MEMEMEM*EMEMEMEM*EMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEMEM*EMEMEMEM*"
          "EMEMEMEME")  # fmt: skip
NEMOTRON_3_SUPER = NEMOTRON_3_NANO | {
    "hidden_size": 4096, "hybrid_override_pattern": _SUPER, "num_hidden_layers": 88,
    "intermediate_size": 2688, "mamba_num_heads": 128, "moe_intermediate_size": 2688,
    "moe_latent_size": 1024, "moe_shared_expert_intermediate_size": 5376,
    "n_routed_experts": 512, "num_experts_per_tok": 22, "num_nextn_predict_layers": 1,
    "mtp_hybrid_override_pattern": "*E",
}  # fmt: skip
NEMOTRON_H_56B: dict[str, Any] = {
    "model_type": "nemotron_h", "attention_head_dim": 128, "hidden_size": 8192,
    "hybrid_override_pattern": _H56, "intermediate_size": 32768, "mamba_head_dim": 64,
    "mamba_num_heads": 256, "max_position_embeddings": 8192, "n_groups": 8, "conv_kernel": 4,
    "num_attention_heads": 64, "num_hidden_layers": 118, "num_key_value_heads": 8,
    "ssm_state_size": 256, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "use_conv_bias": True, "vocab_size": 131072,
}  # fmt: skip
MINIMAX_M3: dict[str, Any] = {
    "model_type": "minimax_m3", "dense_intermediate_size": 12288, "first_k_dense_replace": 3,
    "head_dim": 128, "hidden_size": 6144, "intermediate_size": 3072,
    "max_position_embeddings": 1048576, "moe_intermediate_size": 3072,
    "moe_layer_freq": [0] * 3 + [1] * 57, "n_shared_experts": 1, "num_attention_heads": 64,
    "num_experts_per_tok": 4, "num_hidden_layers": 60, "num_key_value_heads": 4,
    "num_local_experts": 128, "num_mtp_modules": 7, "shared_intermediate_size": 3072,
    "sparse_attention_config": {
        "sparse_attention_freq": [0] * 3 + [1] * 57, "sparse_block_size": 128,
        "sparse_index_dim": 128, "sparse_num_index_heads": 4, "sparse_topk_blocks": 16,
        "use_sparse_attention": True},
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_qk_norm": True,
    "vocab_size": 200064,
}  # fmt: skip
KIMI_LINEAR: dict[str, Any] = {
    "model_type": "kimi_linear", "first_k_dense_replace": 1, "hidden_size": 2304,
    "intermediate_size": 9216, "kv_lora_rank": 512, "dtype": "bfloat16",
    "linear_attn_config": {
        "full_attn_layers": [4, 8, 12, 16, 20, 24, 27], "head_dim": 128, "num_heads": 32,
        "kda_layers": [n for n in range(1, 28) if n not in (4, 8, 12, 16, 20, 24, 27)],
        "short_conv_kernel_size": 4},
    "model_max_length": 1048576, "moe_intermediate_size": 1024, "num_attention_heads": 32,
    "num_experts": 256, "num_experts_per_token": 8, "num_hidden_layers": 27,
    "num_key_value_heads": 32, "num_shared_experts": 1, "q_lora_rank": None,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "tie_word_embeddings": False,
    "v_head_dim": 128, "vocab_size": 163840,
}  # fmt: skip
GLM_4_7_FLASH: dict[str, Any] = {
    "model_type": "glm4_moe_lite", "dtype": "bfloat16", "first_k_dense_replace": 1,
    "hidden_size": 2048, "intermediate_size": 10240, "kv_lora_rank": 512,
    "max_position_embeddings": 202752, "moe_intermediate_size": 1536, "n_group": 1,
    "n_routed_experts": 64, "n_shared_experts": 1, "num_attention_heads": 20,
    "num_experts_per_tok": 4, "num_hidden_layers": 47, "num_key_value_heads": 20,
    "num_nextn_predict_layers": 1, "q_lora_rank": 768, "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64, "tie_word_embeddings": False, "topk_group": 1,
    "topk_method": "noaux_tc", "v_head_dim": 256, "vocab_size": 154880,
}  # fmt: skip
QWEN_1_5_MOE: dict[str, Any] = {
    "model_type": "qwen2_moe", "decoder_sparse_step": 1, "hidden_size": 2048,
    "intermediate_size": 5632, "max_position_embeddings": 8192, "max_window_layers": 21,
    "moe_intermediate_size": 1408, "num_attention_heads": 16, "num_experts": 60,
    "num_experts_per_tok": 4, "num_hidden_layers": 24, "num_key_value_heads": 16,
    "shared_expert_intermediate_size": 5632, "sliding_window": 32768,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_sliding_window": False,
    "vocab_size": 151936,
}  # fmt: skip
GRANITE_4_H_TINY: dict[str, Any] = {
    "model_type": "granitemoehybrid", "attention_bias": False, "hidden_size": 1536,
    "intermediate_size": 512, "layer_types": [
        "attention" if n in (5, 15, 25, 35) else "mamba" for n in range(40)],
    "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_head": 64, "mamba_d_state": 128,
    "mamba_expand": 2, "mamba_n_groups": 1, "mamba_n_heads": 48, "mamba_proj_bias": False,
    "max_position_embeddings": 131072, "num_attention_heads": 12, "num_experts_per_tok": 6,
    "num_hidden_layers": 40, "num_key_value_heads": 4, "num_local_experts": 64,
    "shared_intermediate_size": 1024, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
    "vocab_size": 100352,
}  # fmt: skip
LFM2_1_2B: dict[str, Any] = {
    "model_type": "lfm2", "block_auto_adjust_ff_dim": True, "block_ff_dim": 12288,
    "block_ffn_dim_multiplier": 1.0, "block_multiple_of": 256, "conv_L_cache": 3,
    "conv_bias": False, "full_attn_idxs": [2, 5, 8, 10, 12, 14], "hidden_size": 2048,
    "max_position_embeddings": 128000, "num_attention_heads": 32, "num_hidden_layers": 16,
    "num_key_value_heads": 8, "tie_embedding": True, "torch_dtype": "bfloat16",
    "vocab_size": 65536,
}  # fmt: skip
LFM2_8B_A1B: dict[str, Any] = {
    "model_type": "lfm2_moe", "conv_L_cache": 3, "conv_bias": False, "dtype": "bfloat16",
    "hidden_size": 2048, "intermediate_size": 7168,
    "layer_types": _kinds(24, (2, 6, 10, 14, 18, 21), "conv"),
    "max_position_embeddings": 128000, "moe_intermediate_size": 1792, "num_attention_heads": 32,
    "num_dense_layers": 2, "num_experts": 32, "num_experts_per_tok": 4, "num_hidden_layers": 24,
    "num_key_value_heads": 8, "tie_embedding": True, "use_expert_bias": True,
    "vocab_size": 65536,
}  # fmt: skip
FALCON_H1_0_5B: dict[str, Any] = {
    "model_type": "falcon_h1", "attention_bias": False, "head_dim": 64, "hidden_size": 1024,
    "intermediate_size": 2048, "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_head": 64,
    "mamba_d_ssm": 1536, "mamba_d_state": 128, "mamba_expand": 2, "mamba_n_groups": 1,
    "mamba_n_heads": 24, "mamba_proj_bias": False, "mamba_rms_norm": False,
    "max_position_embeddings": 16384, "mlp_bias": False, "num_attention_heads": 8,
    "num_hidden_layers": 36, "num_key_value_heads": 2, "projectors_bias": False,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 32784,
}  # fmt: skip
JAMBA_V0_1: dict[str, Any] = {
    "model_type": "jamba", "attn_layer_offset": 4, "attn_layer_period": 8,
    "expert_layer_offset": 1, "expert_layer_period": 2, "hidden_size": 4096,
    "intermediate_size": 14336, "mamba_conv_bias": True, "mamba_d_conv": 4, "mamba_d_state": 16,
    "mamba_dt_rank": 256, "mamba_expand": 2, "mamba_proj_bias": False,
    "max_position_embeddings": 262144, "num_attention_heads": 32, "num_experts": 16,
    "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 65536,
}  # fmt: skip
MISTRAL_4_SMALL: dict[str, Any] = {
    "model_type": "mistral4", "dtype": "bfloat16", "first_k_dense_replace": 0,
    "hidden_size": 4096, "intermediate_size": 12288, "kv_lora_rank": 256,
    "max_position_embeddings": 1048576, "moe_intermediate_size": 2048, "n_group": 1,
    "n_routed_experts": 128, "n_shared_experts": 1, "num_attention_heads": 32,
    "num_experts_per_tok": 4, "num_hidden_layers": 36, "num_key_value_heads": 32,
    "q_lora_rank": 1024, "qk_nope_head_dim": 64, "qk_rope_head_dim": 64,
    "tie_word_embeddings": False, "topk_group": 1, "v_head_dim": 128, "vocab_size": 131072,
}  # fmt: skip
PHI_3_5_MOE: dict[str, Any] = {
    "model_type": "phimoe", "attention_bias": True, "hidden_size": 4096,
    "intermediate_size": 6400, "lm_head_bias": True, "max_position_embeddings": 131072,
    "num_attention_heads": 32, "num_experts_per_tok": 2, "num_hidden_layers": 32,
    "num_key_value_heads": 8, "num_local_experts": 16, "sliding_window": 131072,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 32064,
}  # fmt: skip
LONGCAT_FLASH: dict[str, Any] = {
    "model_type": "longcat_flash", "attention_bias": False, "attention_method": "MLA",
    "expert_ffn_hidden_size": 2048, "ffn_hidden_size": 12288, "hidden_size": 6144,
    "kv_lora_rank": 512, "max_position_embeddings": 131072, "moe_topk": 12,
    "n_routed_experts": 512, "num_attention_heads": 64, "num_layers": 28, "q_lora_rank": 1536,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "router_bias": False,
    "torch_dtype": "bfloat16", "v_head_dim": 128, "vocab_size": 131072, "zero_expert_num": 256,
    "zero_expert_type": "identity",
}  # fmt: skip
STEP_3_5_FLASH: dict[str, Any] = {
    "model_type": "step3p5", "attention_other_setting": {
        "attention_type": "sliding_attention", "head_dim": 128, "num_attention_groups": 8,
        "num_attention_heads": 96},
    "head_dim": 128, "hidden_size": 4096, "intermediate_size": 11264,
    "layer_types": [_FULL if n % 4 == 0 else "sliding_attention" for n in range(45)],
    "max_position_embeddings": 262144, "moe_intermediate_size": 1280,
    "moe_layers_enum": ",".join(str(n) for n in range(3, 45)), "moe_num_experts": 288,
    "moe_top_k": 8, "num_attention_groups": 8, "num_attention_heads": 64,
    "num_hidden_layers": 45, "share_expert_dim": 1280, "sliding_window": 512,
    "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 128896,
}  # fmt: skip
DOTS_LLM1: dict[str, Any] = {
    "model_type": "dots1", "attention_bias": False, "first_k_dense_replace": 1, "head_dim": 128,
    "hidden_size": 4096, "intermediate_size": 10944, "max_position_embeddings": 32768,
    "max_window_layers": 62, "moe_intermediate_size": 1408, "n_group": 1,
    "n_routed_experts": 128, "n_shared_experts": 2, "num_attention_heads": 32,
    "num_experts_per_tok": 6, "num_hidden_layers": 62, "num_key_value_heads": 32,
    "sliding_window": None, "tie_word_embeddings": False, "topk_group": 1,
    "torch_dtype": "bfloat16", "vocab_size": 152064,
}  # fmt: skip
LING_MINI_2_0: dict[str, Any] = {
    "model_type": "bailing_moe", "first_k_dense_replace": 1, "head_dim": 128,
    "hidden_size": 2048, "intermediate_size": 5120, "max_position_embeddings": 32768,
    "moe_intermediate_size": 512, "moe_router_enable_expert_bias": True,
    "moe_shared_expert_intermediate_size": 512, "n_group": 8, "num_attention_heads": 16,
    "num_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 20,
    "num_key_value_heads": 4, "num_shared_experts": 1, "tie_word_embeddings": False,
    "topk_group": 4, "torch_dtype": "bfloat16", "use_bias": False, "use_qk_norm": True,
    "use_qkv_bias": False, "vocab_size": 157184,
}  # fmt: skip
RELEASES: dict[str, dict[str, Any]] = {
    name.lower(): value for name, value in list(globals().items())
    if name.isupper() and isinstance(value, dict) and not name.startswith("_")
}  # fmt: skip
