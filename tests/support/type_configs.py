"""A configuration for every ``model_type`` that a family reads: of a bundled release, of releases
that other tests have, or with the sizes that a release states, with its parameters."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from planner.models import catalog
from support import recurrent_configs, seeing

CONFIGS = Path(catalog.__file__).parent / "configs"
_BF16 = {"torch_dtype": "bfloat16"}


def _sizes(
    hidden: int, layers: int, heads: int, kv: int, inner: int, vocab: int, **more: Any
) -> dict[str, Any]:
    return {
        "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv, "intermediate_size": inner, "vocab_size": vocab,
        "max_position_embeddings": 4096, **_BF16, **more,
    }  # fmt: skip


_WINDOWS = ["sliding_attention"] * 3 + ["full_attention"]
STATED: dict[str, tuple[str, dict[str, Any], int]] = {
    "apertus": ("Apertus-8B", _sizes(4096, 32, 32, 8, 21504, 131072), 8_053_338_176),
    "baichuan": ("Baichuan2-7B", {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 11008, "vocab_size": 125696, "model_max_length": 4096, **_BF16},
        7_505_973_248),
    "bloom": ("bloom-7b1", {
        "n_embed": 4096, "n_layer": 30, "num_attention_heads": 32, "seq_length": 2048,
        "vocab_size": 250880, "tie_word_embeddings": True, "torch_dtype": "float16"},
        7_069_016_064),
    "chatglm": ("chatglm3-6b", {
        "hidden_size": 4096, "num_layers": 28, "num_attention_heads": 32, "kv_channels": 128,
        "ffn_hidden_size": 13696, "padded_vocab_size": 65024, "seq_length": 8192,
        "multi_query_attention": True, "multi_query_group_num": 2, "add_qkv_bias": True,
        "add_bias_linear": False, "rmsnorm": True, "post_layer_norm": True,
        "torch_dtype": "float16"}, 6_243_584_000),
    "cwm": ("cwm", _sizes(6144, 64, 48, 8, 21504, 128256, sliding_window=8192,
                          layer_types=(["full_attention"] + ["sliding_attention"] * 3) * 16),
            32_581_097_472),
    "deepseek": ("deepseek-moe-16b", _sizes(
        2048, 28, 16, 16, 10944, 102400, n_routed_experts=64, n_shared_experts=2,
        num_experts_per_tok=6, moe_intermediate_size=1408, first_k_dense_replace=1,
        moe_layer_freq=1, norm_topk_prob=False, scoring_func="softmax"), 16_375_728_128),
    "ernie4_5_moe": ("ERNIE-4.5-21B-A3B", _sizes(
        2560, 28, 20, 4, 12288, 103424, moe_num_experts=64, moe_k=6, moe_num_shared_experts=2,
        moe_intermediate_size=1536, moe_layer_start_index=1, moe_layer_end_index=27,
        moe_layer_interval=1, head_dim=128, tie_word_embeddings=True), 21_825_437_888),
    "exaone": ("EXAONE-3.5-7.8B", {
        "hidden_size": 4096, "num_layers": 32, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 102400,
        "max_position_embeddings": 32768, "activation_function": "silu", **_BF16},
        7_818_448_896),
    "falcon": ("falcon-7b", {
        "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71,
        "vocab_size": 65024, "multi_query": True, "parallel_attn": True, "bias": False,
        "new_decoder_architecture": False, "alibi": False, "max_position_embeddings": 2048,
        "tie_word_embeddings": True, **_BF16}, 6_921_720_704),
    "gpt_bigcode": ("starcoder", {
        "n_embd": 6144, "n_layer": 40, "n_head": 48, "n_inner": 24576, "n_positions": 8192,
        "vocab_size": 49152, "multi_query": True, "tie_word_embeddings": True, **_BF16},
        15_517_456_384),
    "gpt_neox": ("pythia-6.9b", {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 16384, "vocab_size": 50432, "max_position_embeddings": 2048,
        "attention_bias": True, "use_parallel_residual": True, "torch_dtype": "float16"},
        6_857_302_016),
    "gptj": ("gpt-j-6b", {
        "n_embd": 4096, "n_layer": 28, "n_head": 16, "n_positions": 2048, "rotary": True,
        "vocab_size": 50400, "tie_word_embeddings": False, "torch_dtype": "float16"},
        6_050_882_784),
    "hunyuan_v1_moe": ("Hunyuan-A13B", _sizes(
        4096, 32, 32, 8, 3072, 128167, num_experts=64, moe_topk=[8] * 32,
        moe_intermediate_size=[3072] * 32, num_shared_expert=[1] * 32, use_qk_norm=True,
        use_cla=False, head_dim=128, tie_word_embeddings=True), 80_393_183_232),
    "internlm2": ("internlm2_5-7b", _sizes(4096, 32, 32, 8, 14336, 92544, bias=False),
                  7_737_708_544),
    "internlm3": ("internlm3-8b", _sizes(4096, 48, 32, 2, 10240, 128512, head_dim=128, bias=False,
                                         qkv_bias=False), 8_804_241_408),
    "iquestcoder": ("IQuest-Coder-V1-40B", _sizes(5120, 80, 40, 8, 27648, 76800, head_dim=128),
                    39_794_283_520),
    "mimo_v2": ("MiMo-V2.5-Pro", _sizes(
        6144, 70, 128, 8, 16384, 152576, head_dim=192, v_head_dim=128, swa_head_dim=192,
        swa_num_attention_heads=128, swa_num_key_value_heads=8, swa_v_head_dim=128,
        sliding_window=128, sliding_window_size=128, hybrid_layer_pattern=([0] + [1] * 6) * 10,
        moe_layer_freq=[0] + [1] * 69, n_routed_experts=384, num_experts_per_tok=8, n_group=1,
        topk_group=1, moe_intermediate_size=2048, n_shared_experts=None, scoring_func="sigmoid",
        topk_method="noaux_tc", attention_projection_layout="fused_qkv", attention_bias=False,
        attention_value_scale=0.612, add_swa_attention_sink_bias=True,
        num_nextn_predict_layers=3), 1_021_248_126_336),
    "minicpm": ("MiniCPM-2B", _sizes(2304, 40, 36, 36, 5760, 122753, scale_emb=12,
                                     scale_depth=1.4, dim_model_base=256), 2_724_880_896),
    "opt": ("opt-6.7b", {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "ffn_dim": 16384,
        "vocab_size": 50272, "max_position_embeddings": 2048, "word_embed_proj_dim": 4096,
        "do_layer_norm_before": True, "enable_bias": True, "tie_word_embeddings": True,
        "torch_dtype": "float16"}, 6_658_473_984),
    "PanguEmbedded": ("openPangu-Embedded-7B", _sizes(
        4096, 34, 32, 8, 12800, 153376, bias=True, tie_word_embeddings=False), 8_030_887_936),
    "qwen": ("Qwen-7B", {
        "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
        "intermediate_size": 22016, "kv_channels": 128, "seq_length": 8192, "no_bias": True,
        "max_position_embeddings": 32768, "vocab_size": 151936, **_BF16}, 7_721_324_544),
    "stablelm": ("stablelm-2-1_6b", _sizes(2048, 24, 32, 32, 5632, 100352, use_qkv_bias=True,
                                           use_parallel_residual=False, qk_layernorm=False),
                 1_644_515_328),
    "starcoder2": ("starcoder2-3b", _sizes(3072, 30, 24, 2, 12288, 49152, use_bias=True,
                                           sliding_window=4096, norm_type="layer_norm",
                                           mlp_type="default", tie_word_embeddings=True),
                   3_030_371_328),
    "vaultgemma": ("vaultgemma-1b", _sizes(1152, 26, 4, 4, 6912, 256000, head_dim=256,
                                           sliding_window=512, tie_word_embeddings=True),
                   1_038_741_120),
}  # fmt: skip
"""The release that has these sizes, its configuration without what changes no tensor, and its
parameters: published for most, and what Transformers builds of the types that it has."""
_EXPERTS = {"num_experts": 16, "num_experts_per_tok": 4, "num_shared_experts": 1,
            "moe_intermediate_size": 96, "head_dim": 32}  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {
    "arcee": _sizes(128, 4, 4, 2, 256, 512),
    "afmoe": _sizes(128, 4, 4, 2, 256, 512, **_EXPERTS, num_dense_layers=1, sliding_window=64,
                    global_attn_every_n_layers=4, layer_types=_WINDOWS),
    "axk1": _sizes(128, 4, 4, 4, 256, 512, kv_lora_rank=64, q_lora_rank=96, qk_nope_head_dim=32,
                   qk_rope_head_dim=16, v_head_dim=32, n_routed_experts=16, n_shared_experts=1,
                   num_experts_per_tok=4, moe_intermediate_size=96, n_group=4, topk_group=2,
                   first_k_dense_replace=1),
    "bailing_moe": _sizes(128, 4, 4, 2, 256, 512, **_EXPERTS, first_k_dense_replace=1,
                          use_qk_norm=True, use_bias=False, use_qkv_bias=False),
    "bailing_hybrid": _sizes(
        128, 4, 4, 4, 256, 512, **_EXPERTS, first_k_dense_replace=1, layer_group_size=4,
        kv_lora_rank=64, q_lora_rank=96, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32,
        short_conv_kernel_size=4, linear_head_dim=32, n_group=4, topk_group=2),
    "cohere2_moe": _sizes(128, 4, 4, 2, 96, 512, num_experts=16, num_experts_per_tok=4,
                          num_shared_experts=1, head_dim=32, prefix_dense_intermediate_size=256,
                          sliding_window=64, layer_types=_WINDOWS, first_k_dense_replace=1),
    "exaone_moe": _sizes(128, 4, 4, 2, 256, 512, **_EXPERTS, sliding_window=64,
                         layer_types=_WINDOWS, first_k_dense_replace=1, n_group=1, topk_group=1),
    "falcon_mamba": {"hidden_size": 128, "num_hidden_layers": 4, "state_size": 16, "expand": 2,
                     "conv_kernel": 4, "time_step_rank": 8, "vocab_size": 512,
                     "intermediate_size": 256, "tie_word_embeddings": False, **_BF16},
    "flex_olmo": _sizes(128, 4, 4, 4, 96, 512, num_experts=7, num_experts_per_tok=5),
    "glm5_next_text": _sizes(
        128, 4, 4, 4, 256, 512, layer_types=["linear_attention"] * 3 + ["full_attention"],
        kv_lora_rank=64, q_lora_rank=96, qk_nope_head_dim=32, qk_rope_head_dim=0, v_head_dim=32,
        index_n_heads=4, index_head_dim=32, index_topk=64, index_kpool=4, hc_mult=4,
        linear_num_heads=4, linear_head_dim=32, linear_conv_kernel_dim=4, n_routed_experts=16,
        n_shared_experts=1, num_experts_per_tok=4, moe_intermediate_size=96,
        first_k_dense_replace=1),
    "flint": _sizes(128, 6, 4, 2, 256, 512, num_experts=16, num_experts_per_tok=4, head_dim=32,
                    moe_intermediate_size=96, shared_expert_intermediate_size=160,
                    sliding_window=64, mlp_only_layers=[0, 1]),
    "granitemoe": _sizes(128, 4, 4, 2, 96, 512, num_local_experts=16, num_experts_per_tok=4),
    "granitemoe_swa": _sizes(160, 4, 5, 1, 96, 512, num_local_experts=16, num_experts_per_tok=4,
                             shared_intermediate_size=64, sliding_window=64,
                             layer_types=_WINDOWS),
    "granitemoeshared": _sizes(128, 4, 4, 2, 96, 512, num_local_experts=16,
                               num_experts_per_tok=4, shared_intermediate_size=64),
    "granite_swa": _sizes(160, 4, 5, 1, 256, 512, sliding_window=64, layer_types=_WINDOWS,
                          tie_word_embeddings=True),
    "hy_v3": _sizes(128, 4, 4, 2, 256, 512, **_EXPERTS,
                    mlp_layer_types=["dense"] + ["sparse"] * 3),
    "hyperclovax": _sizes(128, 4, 4, 2, 256, 512, use_post_norm=True),
    "jais2": _sizes(128, 4, 4, 4, 256, 512, attention_bias=True, mlp_bias=True),
    "kolibri1": _sizes(128, 5, 4, 2, 256, 512, num_experts=16, num_experts_per_tok=4, head_dim=32,
                       moe_intermediate_size=96, shared_expert_intermediate_size=160,
                       sliding_window=64),
    "laguna": _sizes(128, 4, 4, 2, 256, 512, num_experts=16, num_experts_per_tok=4, head_dim=32,
                     moe_intermediate_size=96, shared_expert_intermediate_size=96,
                     sliding_window=64, layer_types=_WINDOWS,
                     mlp_layer_types=["dense"] + ["sparse"] * 3,
                     num_attention_heads_per_layer=[8, 8, 8, 4]),
    "mellum": _sizes(128, 4, 4, 2, 256, 512, **_EXPERTS | {"num_shared_experts": None},
                     sliding_window=64, layer_types=_WINDOWS),
    "mamba": {"hidden_size": 128, "num_hidden_layers": 4, "state_size": 16, "expand": 2,
              "conv_kernel": 4, "time_step_rank": "auto", "vocab_size": 512,
              "tie_word_embeddings": True, **_BF16},
    "mamba2": {"hidden_size": 128, "num_hidden_layers": 4, "state_size": 32, "expand": 2,
               "conv_kernel": 4, "num_heads": 8, "head_dim": 32, "n_groups": 2,
               "vocab_size": 512, "tie_word_embeddings": False, **_BF16},
    "TeleFLM": _sizes(128, 4, 4, 4, 256, 512, use_mup=True, input_mult=1.0, output_mult=1.0,
                      mup_scale_factor=8.0),
    "xverse": _sizes(128, 4, 4, 4, 256, 512),
    "ministral3": _sizes(128, 4, 4, 2, 256, 512, sliding_window=None),
    "minicpm3": _sizes(128, 4, 4, 4, 256, 512, kv_lora_rank=64, q_lora_rank=96,
                       qk_nope_head_dim=32, qk_rope_head_dim=16, tie_word_embeddings=True),
    "nemotron": _sizes(128, 4, 4, 2, 256, 512),
    "olmo": _sizes(128, 4, 4, 4, 256, 512),
    "persimmon": _sizes(128, 4, 4, 4, 256, 512, qk_layernorm=True),
    "sarvam_mla": _sizes(128, 4, 4, 4, 256, 512, kv_lora_rank=64, q_lora_rank=None,
                         qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, num_experts=16,
                         num_shared_experts=1, num_experts_per_tok=4, moe_intermediate_size=96,
                         first_k_dense_replace=1),
    "sarvam_moe": _sizes(128, 4, 4, 2, 256, 512, **_EXPERTS, first_k_dense_replace=1,
                         use_qk_norm=True, use_bias=False, use_qkv_bias=False),
    "whisper": {
        "activation_function": "gelu", "d_model": 64, "decoder_attention_heads": 4,
        "decoder_ffn_dim": 128, "decoder_layers": 2, "encoder_attention_heads": 4,
        "encoder_ffn_dim": 128, "encoder_layers": 2, "is_encoder_decoder": True,
        "max_source_positions": 100, "max_target_positions": 48, "num_hidden_layers": 2,
        "num_mel_bins": 16, "torch_dtype": "float16", "vocab_size": 512},
}  # fmt: skip
"""Small ones, of types whose release is in no test."""
_CLIP = {"hidden_size": 1024, "image_size": 336, "intermediate_size": 4096, "patch_size": 14,
         "model_type": "clip_vision_model", "num_attention_heads": 16, "num_hidden_layers": 24,
         "projection_dim": 768}  # fmt: skip
_SIGLIP = {"hidden_size": 1152, "image_size": 224, "intermediate_size": 4304, "patch_size": 14,
           "model_type": "siglip_vision_model", "num_attention_heads": 16,
           "num_hidden_layers": 27, "vision_use_head": False}  # fmt: skip
_VICUNA = _sizes(4096, 32, 32, 32, 11008, 32064, model_type="llama")
_QWEN25_7B = _sizes(3584, 28, 28, 4, 18944, 151674, model_type="qwen2")
_INTERN_VIT = {"model_type": "intern_vit_6b", "hidden_size": 1024, "image_size": 448,
               "intermediate_size": 4096, "norm_type": "layer_norm", "num_attention_heads": 16,
               "num_hidden_layers": 24, "patch_size": 14, "qk_normalization": False,
               "qkv_bias": True, "use_flash_attn": True}  # fmt: skip
JOINED: dict[str, tuple[str, dict[str, Any], int]] = {
    "cohere2_vision": ("a small one", {
        "alignment_intermediate_size": 512, "downsample_factor": 2,
        "text_config": _sizes(128, 4, 4, 2, 256, 512, model_type="cohere2", sliding_window=64,
                              layer_types=_WINDOWS, tie_word_embeddings=True),
        "vision_config": _SIGLIP | {"num_hidden_layers": 2}}, 0),
    "gemma4_unified": ("a small one", {
        "text_config": _sizes(128, 6, 4, 2, 256, 512, model_type="gemma4_unified_text",
                              head_dim=32, global_head_dim=64, sliding_window=64,
                              layer_types=["sliding_attention"] * 5 + ["full_attention"]),
        "vision_config": {"mm_embed_dim": 96, "mm_posemb_size": 40, "output_proj_dims": 96,
                          "patch_size": 4, "pooling_kernel_size": 3},
        "audio_config": {"audio_embed_dim": 64}}, 0),
    "glm_ocr": ("a small one", {
        "text_config": _sizes(128, 2, 4, 2, 256, 512, model_type="glm_ocr_text", head_dim=32),
        "vision_config": {"depth": 2, "hidden_size": 96, "intermediate_size": 128, "num_heads": 4,
                          "out_hidden_size": 128}}, 0),
    "lfm2_vl": ("a small one", {
        "projector_hidden_size": 160, "downsample_factor": 2,
        "text_config": recurrent_configs.LFM2_1_2B | {"vocab_size": 512},
        "vision_config": {"hidden_size": 96, "intermediate_size": 128, "num_attention_heads": 4,
                          "num_hidden_layers": 2, "num_patches": 64, "patch_size": 16,
                          "vision_use_head": False}}, 0),
    "lighton_ocr": ("a small one", {
        "spatial_merge_size": 2,
        "text_config": _sizes(128, 2, 4, 2, 256, 512, model_type="qwen3", head_dim=32),
        "vision_config": {"hidden_size": 96, "image_size": 56, "intermediate_size": 128,
                          "num_attention_heads": 4, "num_hidden_layers": 2, "patch_size": 14}}, 0),
    "llava_onevision": ("a small one", {
        "text_config": _sizes(128, 2, 4, 2, 256, 512, model_type="qwen2"),
        "vision_config": _SIGLIP | {"num_hidden_layers": 2, "image_size": 56}}, 0),
    "idefics3": ("a small one", {
        "scale_factor": 2, "text_config": _sizes(128, 4, 4, 2, 256, 512, model_type="llama"),
        "vision_config": {"hidden_size": 96, "image_size": 56, "intermediate_size": 128,
                          "num_attention_heads": 4, "num_hidden_layers": 2, "patch_size": 14}}, 0),
    "internvl": ("a small one", {
        "text_config": _QWEN25_7B | {"num_hidden_layers": 2},
        "vision_config": {"hidden_size": 96, "image_size": [56, 56], "intermediate_size": 128,
                          "num_attention_heads": 4, "num_hidden_layers": 2,
                          "patch_size": [14, 14], "attention_bias": True}}, 0),
    "internvl_chat": ("InternVL3-8B", {
        "downsample_ratio": 0.5, "llm_config": _QWEN25_7B, "vision_config": _INTERN_VIT,
        "max_dynamic_patch": 12, "ps_version": "v2", "select_layer": -1, **_BF16},
        7_944_373_760),
    "llava": ("llava-1.5-7b-hf", {
        "image_token_index": 32000, "projector_hidden_act": "gelu", "text_config": _VICUNA,
        "vision_feature_layer": -2, "vision_feature_select_strategy": "default",
        "vision_config": _CLIP}, 7_063_427_072),
    "llava_next": ("llava-v1.6-vicuna-7b-hf", {
        "image_token_index": 32000, "image_grid_pinpoints": [[336, 672]],
        "text_config": _VICUNA, "vision_feature_layer": -2, "vision_config": _CLIP},
        7_063_431_168),
    "paligemma": ("paligemma-3b-pt-224", {
        "image_token_index": 257152, "projection_dim": 2048, "hidden_size": 2048,
        "vocab_size": 257216,
        "text_config": _sizes(2048, 18, 8, 1, 16384, 257216, model_type="gemma", head_dim=256,
                              num_image_tokens=256, tie_word_embeddings=True),
        "vision_config": _SIGLIP | {"projection_dim": 2048}}, 2_923_466_480),
    "smolvlm": ("a small one", {
        "scale_factor": 3, "text_config": _sizes(96, 2, 4, 2, 128, 256, model_type="llama"),
        "vision_config": {"hidden_size": 96, "image_size": 84, "intermediate_size": 128,
                          "num_attention_heads": 4, "num_hidden_layers": 2, "patch_size": 14}}, 0),
}  # fmt: skip
"""Models whose encoder a projector joins to the text model; 0 where no release has the sizes."""
_SEEING = {"qwen2_vl": "qwen2-vl-7b", "qwen2_5_vl": "qwen2.5-vl-7b", "glm4v": "glm-4.1v-9b",
           "glm4v_moe": "glm-4.5v", "qwen2_5_omni": "qwen2.5-omni-7b",
           "qwen3_omni_moe": "qwen3-omni-30b-a3b"}  # fmt: skip


@cache
def _bundled() -> dict[str, dict[str, Any]]:
    """The first bundled configuration of each type; ids are in alphabetical order."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(catalog.model_ids()):
        config = json.loads((CONFIGS / f"{name}.json").read_text(encoding="utf-8"))
        if "quantization_config" not in config or config["model_type"] not in found:
            found.setdefault(config["model_type"], config)
    return found


@cache
def _tested() -> dict[str, dict[str, Any]]:
    """Configurations that other tests have: of the recurrent, and of those that see."""
    found = {
        value["model_type"]: value
        for value in vars(recurrent_configs).values()
        if isinstance(value, dict) and "model_type" in value
    }
    return found | {kind: seeing.RELEASES[name] for kind, name in _SEEING.items()}


def _inside(outer: str, model_type: str) -> dict[str, Any]:
    """The text model of a bundled configuration as a model by itself."""
    text = _bundled().get(outer, _tested().get(outer, {})).get("text_config", {})
    return _BF16 | text | {"model_type": model_type}


def _around(outer: str, text: dict[str, Any], inner: str) -> dict[str, Any]:
    """``text`` inside a larger configuration, without its encoder."""
    return {"model_type": outer, **_BF16, "text_config": text | {"model_type": inner}}


@cache
def types() -> dict[str, dict[str, Any]]:
    """Every type that has a configuration here, with it."""
    texts = {"gemma3n_text": "gemma3n", "gemma4_text": "gemma4", "llama4_text": "llama4",
             "qwen3_5_text": "qwen3_5", "qwen3_5_moe_text": "qwen3_5_moe"}  # fmt: skip
    small = {kind: config | {"model_type": kind} for kind, config in SMALL.items()}
    minimax = recurrent_configs.MINIMAX_M3
    return {
        "glm5_next": _around("glm5_next", SMALL["glm5_next_text"], "glm5_next_text"),
        "minimax_m3_vl": _around("minimax_m3_vl", minimax, "minimax_m3_vl_text"),
        "minimax_m3_vl_text": minimax | {"model_type": "minimax_m3_vl_text"},
        "step3p7": _around("step3p7", _tested()["step3p5"], "step3p5"),
        **_tested(),
        **_bundled(),
        **{inner: _inside(outer, inner) for inner, outer in texts.items()},
        **small,
        **{
            kind: config | {"model_type": kind}
            for kind, (_, config, _) in (*STATED.items(), *JOINED.items())
        },
    }


def config_of(model_type: str) -> dict[str, Any]:
    """A configuration of ``model_type`` without the class that its release names."""
    return {key: value for key, value in types()[model_type].items()
            if key not in ("architectures", "auto_map")}  # fmt: skip
