"""Configurations of models that see, as their releases state them: defaults left out stay out."""

from __future__ import annotations

from typing import Any

_V2 = {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16, "in_chans": 3,
       "hidden_size": 3584, "patch_size": 14, "spatial_merge_size": 2, "spatial_patch_size": 14,
       "temporal_patch_size": 2}  # fmt: skip
_V25 = {"depth": 32, "hidden_act": "silu", "hidden_size": 1280, "intermediate_size": 3420,
        "num_heads": 16, "in_chans": 3, "out_hidden_size": 3584, "patch_size": 14,
        "spatial_merge_size": 2, "spatial_patch_size": 14, "window_size": 112,
        "fullatt_block_indexes": [7, 15, 23, 31], "tokens_per_second": 2,
        "temporal_patch_size": 2}  # fmt: skip
_V3 = {"deepstack_visual_indexes": [8, 16, 24], "depth": 27, "hidden_act": "gelu_pytorch_tanh",
       "hidden_size": 1152, "in_channels": 3, "intermediate_size": 4304, "num_heads": 16,
       "num_position_embeddings": 2304, "out_hidden_size": 2048, "patch_size": 16,
       "spatial_merge_size": 2, "temporal_patch_size": 2}  # fmt: skip
_QWEN = {"hidden_size": 3584, "intermediate_size": 18944, "max_position_embeddings": 128000,
         "max_window_layers": 28, "num_attention_heads": 28, "num_hidden_layers": 28,
         "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
         "sliding_window": 32768, "use_sliding_window": False, "vocab_size": 152064}  # fmt: skip
_MOE = {"head_dim": 128, "hidden_size": 2048, "intermediate_size": 768, "mlp_only_layers": [],
        "max_position_embeddings": 65536, "moe_intermediate_size": 768, "norm_topk_prob": True,
        "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
        "num_hidden_layers": 48, "num_key_value_heads": 4, "use_qk_norm": True,
        "vocab_size": 152064}  # fmt: skip
_SIGLIP = {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304,
           "model_type": "siglip_vision_model", "num_attention_heads": 16,
           "num_hidden_layers": 27, "patch_size": 14, "vision_use_head": False}  # fmt: skip
_GEMMA = {"boi_token_index": 255999, "eoi_token_index": 256000, "image_token_index": 262144,
          "mm_tokens_per_image": 256, "model_type": "gemma3", "torch_dtype": "bfloat16",
          "vision_config": _SIGLIP}  # fmt: skip
_GLM_EYES = {"depth": 24, "hidden_size": 1536, "image_size": 336, "intermediate_size": 13696,
             "num_heads": 12, "out_hidden_size": 4096, "patch_size": 14, "spatial_merge_size": 2,
             "temporal_patch_size": 2, "attention_bias": False}  # fmt: skip
_EARS = {"activation_function": "gelu", "d_model": 1280, "encoder_attention_heads": 20,
         "encoder_ffn_dim": 5120, "encoder_layers": 32, "num_hidden_layers": 32,
         "num_mel_bins": 128, "output_dim": 3584, "n_window": 100}  # fmt: skip

GEMMA4_E: dict[str, Any] = {
    "model_type": "gemma4", "tie_word_embeddings": True,
    "text_config": {
        "model_type": "gemma4_text", "dtype": "bfloat16", "hidden_size": 1536,
        "num_hidden_layers": 6, "intermediate_size": 6144, "num_attention_heads": 8,
        "num_key_value_heads": 1, "vocab_size": 2624, "vocab_size_per_layer_input": 2624,
        "hidden_size_per_layer_input": 256, "head_dim": 256, "global_head_dim": 512,
        "layer_types": ["sliding_attention"] * 5 + ["full_attention"]},
    "vision_config": {
        "model_type": "gemma4_vision", "use_clipped_linears": True, "hidden_size": 96,
        "num_attention_heads": 3, "head_dim": 32, "num_key_value_heads": 3, "patch_size": 8,
        "intermediate_size": 200, "num_hidden_layers": 2},
    "audio_config": {
        "model_type": "gemma4_audio", "hidden_size": 64, "num_attention_heads": 4,
        "num_hidden_layers": 3, "subsampling_conv_channels": [16, 8], "conv_kernel_size": 3,
        "output_proj_dims": 40, "use_clipped_linears": False},
}  # fmt: skip
"""A small one of Gemma 4's E models, with clipped matrices in one encoder."""

RELEASES: dict[str, dict[str, Any]] = {
    "qwen2-vl-7b": {"model_type": "qwen2_vl", "torch_dtype": "bfloat16",
                    "tie_word_embeddings": False, "vision_token_id": 151654, **_QWEN,
                    "vision_config": _V2},
    "qwen2.5-vl-7b": {"model_type": "qwen2_5_vl", "torch_dtype": "bfloat16",
                      "tie_word_embeddings": False, "image_token_id": 151655, **_QWEN,
                      "vision_config": _V25},
    "qwen3-vl-30b-a3b": {"model_type": "qwen3_vl_moe", "tie_word_embeddings": False,
                         "text_config": {"model_type": "qwen3_vl_moe_text", "dtype": "bfloat16",
                                         **_MOE, "vocab_size": 151936},
                         "vision_config": _V3},
    "gemma-3-27b-it": {**_GEMMA, "text_config": {
        "head_dim": 128, "hidden_size": 5376, "intermediate_size": 21504,
        "model_type": "gemma3_text", "num_attention_heads": 32, "num_hidden_layers": 62,
        "num_key_value_heads": 16, "query_pre_attn_scalar": 168, "sliding_window": 1024}},
    "gemma-3-4b-it": {**_GEMMA, "text_config": {
        "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
        "num_hidden_layers": 34, "sliding_window": 1024}},
    "mistral-small-3.1-24b": {
        "model_type": "mistral3", "image_token_index": 10, "multimodal_projector_bias": False,
        "projector_hidden_act": "gelu", "spatial_merge_size": 2, "vision_feature_layer": -1,
        "torch_dtype": "bfloat16",
        "text_config": {"head_dim": 128, "hidden_size": 5120, "intermediate_size": 32768,
                        "max_position_embeddings": 131072, "model_type": "mistral",
                        "num_attention_heads": 32, "num_hidden_layers": 40,
                        "num_key_value_heads": 8, "sliding_window": None, "vocab_size": 131072},
        "vision_config": {"head_dim": 64, "hidden_size": 1024, "image_size": 1540,
                          "intermediate_size": 4096, "model_type": "pixtral", "num_channels": 3,
                          "num_attention_heads": 16, "num_hidden_layers": 24,
                          "patch_size": 14}},
    "glm-4.1v-9b": {
        "model_type": "glm4v", "image_token_id": 151343, "tie_word_embeddings": False,
        "text_config": {"attention_bias": True, "dtype": "bfloat16", "hidden_size": 4096,
                        "intermediate_size": 13696, "max_position_embeddings": 65536,
                        "model_type": "glm4v_text", "num_attention_heads": 32,
                        "num_hidden_layers": 40, "num_key_value_heads": 2, "vocab_size": 151552},
        "vision_config": {"model_type": "glm4v", "hidden_dropout_prob": 0.0, **_GLM_EYES}},
    "glm-4.5v": {
        "model_type": "glm4v_moe", "tie_word_embeddings": False,
        "text_config": {"attention_bias": True, "dtype": "bfloat16", "first_k_dense_replace": 1,
                        "head_dim": 128, "hidden_size": 4096, "intermediate_size": 10944,
                        "max_position_embeddings": 65536, "model_type": "glm4v_moe_text",
                        "moe_intermediate_size": 1408, "n_group": 1, "n_routed_experts": 128,
                        "n_shared_experts": 1, "num_attention_heads": 96, "topk_group": 1,
                        "num_experts_per_tok": 8, "num_hidden_layers": 46,
                        "num_key_value_heads": 8, "use_qk_norm": False, "vocab_size": 151552},
        "vision_config": {**_GLM_EYES, "intermediate_size": 10944}},
    "qwen2.5-omni-7b": {
        "model_type": "qwen2_5_omni", "torch_dtype": "bfloat16", "talker_config": {},
        "token2wav_config": {}, "thinker_config": {
            "model_type": "qwen2_5_omni_thinker", "audio_token_index": 151646,
            "text_config": {"model_type": "qwen2_5_omni_text", "init_std": 0.02, **_QWEN},
            "vision_config": {**_V25, "embed_dim": 1280, "in_channels": 3, "init_std": 0.02},
            "audio_config": _EARS}},
    "qwen3-omni-30b-a3b": {
        "model_type": "qwen3_omni_moe", "dtype": "bfloat16", "talker_config": {},
        "code2wav_config": {}, "thinker_config": {
            "model_type": "qwen3_omni_moe_thinker", "audio_token_id": 151675,
            "text_config": {"model_type": "qwen3_omni_moe_text", **_MOE},
            "vision_config": {**_V3, "image_size": 768, "apply_vit_abs_pos_embed": True},
            "audio_config": {**_EARS, "output_dim": 2048, "downsample_hidden_size": 480,
                             "conv_chunksize": 500, "n_window_infer": 800}}},
}  # fmt: skip
