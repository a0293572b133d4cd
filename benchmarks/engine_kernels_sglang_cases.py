"""Models of two layers, checkpoints' quantisation configs and caches that SGLang's selectors are
asked for: the cases of engine_kernels_sglang_run.py."""

from __future__ import annotations

from typing import Any

BASE = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "num_hidden_layers": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "torch_dtype": "bfloat16",
    "hidden_act": "silu",
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 14336,
}
LATENT = {
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "hidden_size": 7168,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "moe_intermediate_size": 2048,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "n_group": 8,
    "topk_group": 4,
    "first_k_dense_replace": 1,
    "moe_layer_freq": 1,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
    "topk_method": "noaux_tc",
    "norm_topk_prob": True,
}


def _model(architecture: str, model_type: str, **more: Any) -> dict[str, Any]:
    return {**BASE, "architectures": [architecture], "model_type": model_type, **more}


MODELS = {
    "llama": _model("LlamaForCausalLM", "llama"),
    "mixtral": _model("MixtralForCausalLM", "mixtral", num_local_experts=8, num_experts_per_tok=2),
    "qwen3-moe": _model(
        "Qwen3MoeForCausalLM",
        "qwen3_moe",
        moe_intermediate_size=768,
        num_experts=128,
        num_experts_per_tok=8,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        norm_topk_prob=True,
    ),
    "deepseek-v3": _model("DeepseekV3ForCausalLM", "deepseek_v3", **LATENT),
    "deepseek-v3.2": _model(
        "DeepseekV32ForCausalLM",
        "deepseek_v32",
        **LATENT,
        index_topk=2048,
        index_n_heads=64,
        index_head_dim=128,
    ),
    "gpt-oss": _model(
        "GptOssForCausalLM",
        "gpt_oss",
        num_attention_heads=64,
        head_dim=64,
        hidden_size=2880,
        intermediate_size=2880,
        num_local_experts=32,
        num_experts_per_tok=4,
        sliding_window=128,
        layer_types=["sliding_attention", "full_attention"],
        quantization_config={"quant_method": "mxfp4", "modules_to_not_convert": []},
    ),
}
LINEAR, EXPERTS = "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.experts"


def _grouped(layout: str, weights: str, inputs: str = "", group: int = 0) -> dict[str, Any]:
    """A compressed-tensors config: weights and inputs as ``BITS TYPE STRATEGY``."""

    def side(text: str, dynamic: Any) -> dict[str, Any] | None:
        if not text:
            return None
        bits, kind, strategy = text.split()
        return {
            "num_bits": int(bits),
            "type": kind,
            "strategy": strategy,
            "symmetric": True,
            "dynamic": dynamic,
            **({"group_size": group} if "group" in strategy else {}),
            **({"block_structure": [128, 128]} if strategy == "block" else {}),
        }

    return {
        "quant_method": "compressed-tensors",
        "format": layout,
        "ignore": ["lm_head"],
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": side(weights, False),
                "input_activations": side(inputs, "local" if "tensor_group" in inputs else True),
                "output_activations": None,
            }
        },
    }


def _by_layer(scheme: str, other: str) -> dict[str, Any]:
    algorithms = {"FP8": {"quant_algo": "FP8"}, "NVFP4": {"quant_algo": "NVFP4", "group_size": 16}}
    layers = {LINEAR: scheme, EXPERTS: scheme, "model.layers.0.mlp.down_proj": other}
    return {
        "quant_method": "modelopt",
        "quant_algo": "MIXED_PRECISION",
        "kv_cache_scheme": None,
        "quantized_layers": {name: algorithms[word] for name, word in layers.items()},
    }


BLOCKS = {"activation_scheme": "dynamic", "weight_block_size": [128, 128]}
CT = "compressed-tensors"
CASES: list[tuple[str, str, dict[str, Any] | None, str]] = [
    ("bf16", "", None, ""),
    ("fp8-tensor", CT, _grouped("float-quantized", "8 float tensor", "8 float tensor"), ""),
    ("fp8-channel", CT, _grouped("float-quantized", "8 float channel", "8 float token"), ""),
    ("fp8-block", CT, _grouped("float-quantized", "8 float block", "8 float group", 128), ""),
    ("fp8-w8a16", CT, _grouped("naive-quantized", "8 float channel"), ""),
    ("int8-w8a8", CT, _grouped("int-quantized", "8 int channel", "8 int token"), "w8a8_int8"),
    ("int8-w8a8", "unasked", _grouped("int-quantized", "8 int channel", "8 int token"), ""),
    ("int8-w8a16", CT, _grouped("pack-quantized", "8 int channel"), ""),
    ("int4-w4a16", CT, _grouped("pack-quantized", "4 int group", group=128), ""),
    ("int4-w4a16-g32", CT, _grouped("pack-quantized", "4 int group", group=32), ""),
    (
        "nvfp4",
        CT,
        _grouped("nvfp4-pack-quantized", "4 float tensor_group", "4 float tensor_group", 16),
        "",
    ),
    ("nvfp4-w4a16", CT, _grouped("nvfp4-pack-quantized", "4 float tensor_group", group=16), ""),
    ("fp8-tensor", "fp8", {"quant_method": "fp8", "activation_scheme": "dynamic"}, ""),
    ("fp8-block", "fp8", {"quant_method": "fp8", **BLOCKS}, ""),
    ("fp8-block-ue8m0", "fp8", {"quant_method": "fp8", "scale_fmt": "ue8m0", **BLOCKS}, ""),
    ("fp8-tensor", "modelopt", {"quant_method": "modelopt", "quant_algo": "FP8"}, "modelopt_fp8"),
    (
        "nvfp4",
        "modelopt",
        {
            "quant_method": "modelopt",
            "quant_algo": "NVFP4",
            "group_size": 16,
            "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"group_size": 16}}},
        },
        "modelopt_fp4",
    ),
    ("fp8-tensor", "modelopt-mixed", _by_layer("FP8", "NVFP4"), ""),
    ("nvfp4", "modelopt-mixed", _by_layer("NVFP4", "FP8"), ""),
    (
        "int4-w4a16",
        "gptq",
        {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True},
        "",
    ),
    (
        "int8-w8a16",
        "gptq",
        {"quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": False, "sym": True},
        "",
    ),
    ("int8-block", "blockwise-int8", {"quant_method": "blockwise_int8", **BLOCKS}, ""),
]
"""(scheme, checkpoint format, its quantization_config, ``--quantization`` as exports set it)."""
CACHES = {"bf16": "bf16", "fp8_e4m3": "fp8", "nvfp4": "nvfp4"}
KINDS = {
    "llama": "heads",
    "gpt-oss": "heads-sinks",
    "deepseek-v3": "latent-dense",
    "deepseek-v3.2": "latent-sparse",
}
