"""Families of the registries without a bundled release: parameters of releases, exactly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.type_configs import JOINED, SMALL, STATED, config_of

from planner.base.errors import PlannerError
from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory, expand
from planner.models.kv import cache_description, sequence_bytes
from planner.models.spec import ModelSpec

Build = Callable[[dict[str, Any]], ModelSpec]
# Bytes of 16-bit caches of 8,192 tokens: layers x 2 x KV heads x width x 2 B, of windows theirs.
CACHES = {
    "apertus": 32 * 2 * 8 * 128 * 2 * 8192,
    "baichuan": 32 * 2 * 32 * 128 * 2 * 8192,
    "chatglm": 28 * 2 * 2 * 128 * 2 * 8192,
    "cwm": 16 * 2 * 8 * 128 * 2 * 8192 + 48 * 2 * 8 * 128 * 2 * 8192,
    "falcon": 32 * 2 * 1 * 64 * 2 * 8192,
    "gpt_bigcode": 40 * 2 * 1 * 128 * 2 * 8192,
    "hunyuan_v1_moe": 32 * 2 * 8 * 128 * 2 * 8192,
    "mimo_v2": 10 * 8 * (192 + 128) * 2 * 8192 + 60 * 8 * (192 + 128) * 2 * 128,
    "starcoder2": 30 * 2 * 2 * 128 * 2 * 4096,
    "vaultgemma": 13 * 2 * 4 * 256 * 2 * (8192 + 512),
}
NAMES = {
    "baichuan": ("model.layers.0.self_attn.W_pack.weight", (12288, 4096)),
    "bloom": ("transformer.word_embeddings_layernorm.bias", (4096,)),
    "chatglm": ("transformer.encoder.layers.27.mlp.dense_h_to_4h.weight", (27392, 4096)),
    "ernie4_5_moe": ("model.layers.1.mlp.moe_statics.e_score_correction_bias", (1, 64)),
    "exaone": ("transformer.h.31.attn.attention.out_proj.weight", (4096, 4096)),
    "falcon": ("transformer.h.0.self_attention.query_key_value.weight", (4672, 4544)),
    "gpt_bigcode": ("transformer.wpe.weight", (8192, 6144)),
    "gpt_neox": ("gpt_neox.layers.0.attention.query_key_value.bias", (12288,)),
    "gptj": ("lm_head.bias", (50400,)),
    "hunyuan_v1_moe": ("model.layers.0.mlp.gate.wg.weight", (64, 4096)),
    "internlm2": ("model.layers.0.feed_forward.w3.weight", (14336, 4096)),
    "mimo_v2": ("model.layers.0.self_attn.qkv_proj.weight", (27136, 6144)),
    "opt": ("model.decoder.embed_positions.weight", (2050, 4096)),
    "qwen": ("transformer.h.0.mlp.w2.weight", (11008, 4096)),
    "starcoder2": ("model.layers.0.mlp.c_fc.bias", (12288,)),
}


@pytest.mark.parametrize("model_type", STATED)
def test_parameters_are_those_of_the_release(build: Build, model_type: str) -> None:
    assert Inventory(build(config_of(model_type))).parameters_total == STATED[model_type][2]


@pytest.mark.parametrize("model_type", [name for name, (_, _, total) in JOINED.items() if total])
def test_parameters_of_models_that_see_are_those_of_the_release(
    build: Build, model_type: str
) -> None:
    counts = Inventory(build(config_of(model_type)))
    assert counts.parameters_total + counts.parameters_vision == JOINED[model_type][2]


@pytest.mark.parametrize("model_type", CACHES)
def test_caches_are_those_of_the_heads(build: Build, model_type: str) -> None:
    spec = build(config_of(model_type))
    assert sequence_bytes(cache_description(spec), 8192, "bf16") == CACHES[model_type]


@pytest.mark.parametrize("model_type", NAMES)
def test_tensors_are_called_as_in_the_release(build: Build, model_type: str) -> None:
    name, shape = NAMES[model_type]
    assert {t.name: t.shape for t in expand(build(config_of(model_type)))}[name] == shape


def _small(model_type: str) -> dict[str, Any]:
    config = config_of(model_type)
    changes: dict[str, Any] = {"vocab_size": 64, "padded_vocab_size": 64, "num_hidden_layers": 2,
                               "n_layer": 2, "num_layers": 2, "layer_types": _two(config),
                               "moe_num_experts": 4, "moe_k": 2, "n_routed_experts": 4,
                               "num_experts_per_tok": 2, "num_experts": 4, "moe_topk": [2] * 2,
                               "moe_intermediate_size": None, "num_shared_expert": [1] * 2,
                               "moe_layer_end_index": -1, "hybrid_layer_pattern": [0, 1],
                               "moe_layer_freq": _listed(config)}  # fmt: skip
    kept = {key: value for key, value in changes.items() if key in config and value is not None}
    return config | kept


def _listed(config: dict[str, Any]) -> list[int] | None:
    return [0, 1] if isinstance(config.get("moe_layer_freq"), list) else None


def _two(config: dict[str, Any]) -> list[str]:
    return ["sliding_attention", "full_attention"]


@pytest.mark.parametrize(
    "model_type",
    [
        *STATED,
        *(k for k in SMALL if k != "whisper"),
        *(k for k, one in JOINED.items() if not one[2]),
    ],
)
def test_a_small_checkpoint_that_agrees(
    tmp_path: Path, write_safetensors: Callable[..., None], build: Build, model_type: str
) -> None:
    config = config_of(model_type) if model_type not in STATED else _small(model_type)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    spec = build(config)
    tensors = [(item.name, item.dtype, item.shape) for item in expand(spec)]
    assert len({name for name, _, _ in tensors}) == len(tensors)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert resolve_model(str(tmp_path)).rows == spec.rows
    write_safetensors(tmp_path / "model.safetensors", tensors[1:])
    with pytest.raises(PlannerError, match="is missing"):
        resolve_model(str(tmp_path))


@pytest.mark.parametrize(
    ("model_type", "change", "reason"),
    [
        ("apertus", {"attention_bias": "yes"}, "true or false"),
        ("baichuan", {"attention_bias": True}, "only false is modelled"),
        ("chatglm", {"post_layer_norm": False}, "only True is modelled"),
        ("chatglm", {"pre_seq_len": 128}, "only None is modelled"),
        ("cwm", {"layer_types": None}, "layer_types is missing"),
        ("ernie4_5_moe", {"use_bias": True}, "use_bias is True"),
        ("falcon", {"num_ln_in_parallel_attn": 3}, "the range is 1 to 2"),
        ("hunyuan_v1_moe", {"moe_topk": [8] * 31 + [4]}, "differs between layers"),
        ("hunyuan_v1_moe", {"moe_intermediate_size": [64] * 32}, "what is modelled"),
        ("minicpm", {"sparse_config": {"kernel_size": 32}}, "sparse_config is not understood"),
        ("opt", {"layer_norm_elementwise_affine": False}, "is false, which is not understood"),
        (
            "llava",
            {"vision_config": {"model_type": "vit", "hidden_size": 64}},
            "'vit'; CLIP, SigLIP",
        ),
        ("internvl_chat", {"llm_config": None}, "llm_config is missing"),
        ("laguna", {"gating": "per-element"}, "gating is not true"),
        ("qwen", {"no_bias": False}, "no_bias is false"),
        ("stablelm", {"use_parallel_residual": True}, "only False is modelled"),
        ("starcoder2", {"norm_type": "rms_norm"}, "norm_type"),
        ("laguna", {"num_attention_heads_per_layer": [8, 8, 8]}, "does not fit 4 layers"),
        ("exaone_moe", {"layer_types": None}, "layer_types is missing"),
        ("hy_v3", {"mlp_layer_types": None}, "mlp_layer_types is missing"),
        ("mamba2", {"num_heads": 7}, "they are not 256"),
    ],
)
def test_a_key_that_changes_the_structure_is_refused(
    build: Build, model_type: str, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PlannerError) as caught:
        build(config_of(model_type) | change)
    assert reason in caught.value.message


def test_of_two_contexts_the_shorter_counts(build: Build) -> None:
    assert build(config_of("qwen")).max_context == 8192


def test_a_decoder_without_attention_keeps_states_of_one_size(build: Build) -> None:
    spec = build(config_of("mamba2"))
    caches = cache_description(spec)
    assert {cache.kind for cache in caches} == {"state"}
    assert sequence_bytes(caches, 10, "bf16") == sequence_bytes(caches, 10**6, "bf16")


def test_heads_may_differ_between_layers(build: Build) -> None:
    spec = build(config_of("laguna"))
    assert [(a.heads, a.window, a.layers) for a in spec.attention] == [
        (4, 0, (3,)),
        (8, 64, (0, 1, 2)),
    ]
