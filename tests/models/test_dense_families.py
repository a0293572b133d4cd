"""Dense families: totals and caches of releases, small checkpoints, and keys that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from planner.base.errors import PlannerError
from planner.models import catalog
from planner.models.catalog import resolve_model
from planner.models.families.plain import KINDS
from planner.models.inventory import Inventory, expand
from planner.models.kv import cache_description, sequence_bytes
from planner.models.spec import ModelSpec
from planner.placement.layout import shape_problem

Build = Callable[[dict[str, Any]], ModelSpec]
CONFIGS = Path(catalog.__file__).parent / "configs"
# id: parameters, and bytes of the BF16 caches of 8,192 tokens, written out by hand: layers x 2 x
# KV heads x width x 2 B, of windowed layers at most the window.
RELEASES = {
    "gemma-2b": (2_506_172_416, 18 * 2 * 1 * 256 * 2 * 8192),
    "gemma-7b": (8_537_680_896, 28 * 2 * 16 * 256 * 2 * 8192),
    "gemma-2-2b": (2_614_341_888, 13 * 2 * 4 * 256 * 2 * (8192 + 4096)),
    "gemma-2-9b": (9_241_705_984, 21 * 2 * 8 * 256 * 2 * (8192 + 4096)),
    "gemma-2-27b": (27_227_128_320, 23 * 2 * 16 * 128 * 2 * (8192 + 4096)),
    "gemma-3n-e2b": (4_435_182_688, 2 * 2 * 256 * 2 * (4 * 8192 + 16 * 512)),
    "gemma-3n-e4b": (6_835_235_568, 2 * 2 * 256 * 2 * (4 * 8192 + 16 * 512)),
    "glm-4-9b": (9_399_951_360, 40 * 2 * 2 * 128 * 2 * 8192),
    "glm-4-9b-0414": (9_400_279_040, 40 * 2 * 2 * 128 * 2 * 8192),
    "glm-4-32b-0414": (32_566_081_536, 61 * 2 * 2 * 128 * 2 * 8192),
    "granite-3.3-2b": (2_533_539_840, 40 * 2 * 8 * 64 * 2 * 8192),
    "granite-3.3-8b": (8_170_864_640, 40 * 2 * 8 * 128 * 2 * 8192),
    "olmo-2-7b": (7_298_617_344, 32 * 2 * 32 * 128 * 2 * 8192),
    "olmo-2-13b": (13_716_198_400, 40 * 2 * 40 * 128 * 2 * 8192),
    "olmo-2-32b": (32_234_279_936, 64 * 2 * 8 * 128 * 2 * 8192),
    "olmo-3-7b": (7_298_011_136, 2 * 32 * 128 * 2 * (8 * 8192 + 24 * 4096)),
    "olmo-3-32b": (32_233_522_176, 2 * 8 * 128 * 2 * (16 * 8192 + 48 * 4096)),
    "command-r": (34_980_831_232, 40 * 2 * 64 * 128 * 2 * 8192),
    "command-r-plus": (103_810_674_688, 64 * 2 * 8 * 128 * 2 * 8192),
    "command-r7b": (8_028_033_024, 2 * 8 * 128 * 2 * (8 * 8192 + 24 * 4096)),
    "command-a": (111_057_580_032, 2 * 8 * 128 * 2 * (16 * 8192 + 48 * 4096)),
    "phi-1.5": (1_418_270_720, 24 * 2 * 32 * 64 * 2 * 8192),
    "phi-2": (2_779_683_840, 32 * 2 * 32 * 80 * 2 * 8192),
    "smollm3-3b": (3_075_098_624, 36 * 2 * 4 * 128 * 2 * 8192),
    "seed-oss-36b": (36_151_104_512, 64 * 2 * 8 * 128 * 2 * 8192),
    "exaone-4.0-32b": (32_003_216_384, 2 * 8 * 128 * 2 * (16 * 8192 + 48 * 4096)),
    "ernie-4.5-0.3b": (360_748_032, 18 * 2 * 2 * 128 * 2 * 8192),
    "hunyuan-7b": (7_504_568_320, 32 * 2 * 8 * 128 * 2 * 8192),
    "mistral-nemo": (12_247_782_400, 40 * 2 * 8 * 128 * 2 * 8192),
    "nemotron-super-49b": (49_867_145_216, 49 * 2 * 8 * 128 * 2 * 8192),
    "mimo-7b": (7_622_619_136, 36 * 2 * 8 * 128 * 2 * 8192),
}
# Of types without a bundled release: the sizes that Devstral 2 123B and Ministral 8B state.
STATED = {
    "ministral3": ({"hidden_size": 12288, "num_hidden_layers": 88, "num_attention_heads": 96,
                    "num_key_value_heads": 8, "intermediate_size": 28672, "vocab_size": 131072,
                    "sliding_window": None}, 125_025_988_608, 88 * 2 * 8 * 128 * 2 * 8192),
    "ministral": ({"hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32,
                   "num_key_value_heads": 8, "intermediate_size": 12288, "vocab_size": 131072,
                   "layer_types": (["full_attention"] + ["sliding_attention"] * 3) * 9,
                   "sliding_window": 4096}, 8_019_808_256,
                  2 * 8 * 128 * 2 * (9 * 8192 + 27 * 4096)),
    "olmo": ({"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
              "intermediate_size": 11008, "vocab_size": 50304}, 6_888_095_744,
             32 * 2 * 32 * 128 * 2 * 8192),
}  # fmt: skip
SMALL = {
    "hidden_size": 96,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "vocab_size": 50,
    "num_key_value_heads": 2,
    "intermediate_size": 80,
    "max_position_embeddings": 256,
    "head_dim": 16,
    "sliding_window": 64,
    "torch_dtype": "bfloat16",
}
# What each type beside Llama's tensors has in a layer, and what it has not.
OWN = {
    "cohere": ({"input_layernorm"}, {"post_attention_layernorm", "q_norm"}),
    "cohere2": ({"input_layernorm"}, {"post_attention_layernorm", "q_norm"}),
    "ernie4_5": (set(), {"q_norm"}),
    "exaone4": ({"q_norm", "k_norm", "post_feedforward_layernorm"}, {"input_layernorm"}),
    "gemma": (set(), {"post_feedforward_layernorm"}),
    "gemma2": ({"pre_feedforward_layernorm", "post_feedforward_layernorm"}, {"q_norm"}),
    "glm": ({"gate_up_proj"}, {"gate_proj", "post_mlp_layernorm"}),
    "glm4": ({"gate_up_proj", "post_self_attn_layernorm", "post_mlp_layernorm"}, {"gate_proj"}),
    "granite": (set(), {"q_norm"}),
    "hunyuan_v1_dense": ({"query_layernorm", "key_layernorm"}, {"q_norm"}),
    "ministral": (set(), {"q_norm"}),
    "ministral3": (set(), {"q_norm"}),
    "olmo": (set(), {"input_layernorm", "post_attention_layernorm", "norm"}),
    "olmo2": ({"q_norm", "post_feedforward_layernorm"}, {"input_layernorm"}),
    "olmo3": ({"q_norm", "post_feedforward_layernorm"}, {"input_layernorm"}),
    "seed_oss": (set(), {"q_norm"}),
    "smollm3": (set(), {"q_norm"}),
}


def _cache(spec: ModelSpec) -> int:
    return sequence_bytes(cache_description(spec), 8192, "bf16")


@pytest.mark.parametrize("model_id", RELEASES)
def test_totals_and_caches_of_releases(model_id: str) -> None:
    spec = resolve_model(model_id)
    assert (Inventory(spec).parameters_total, _cache(spec)) == RELEASES[model_id]


@pytest.mark.parametrize("model_type", STATED)
def test_totals_and_caches_of_stated_sizes(build: Build, model_type: str) -> None:
    sizes, total, cache = STATED[model_type]
    spec = build(
        {
            "model_type": model_type,
            "max_position_embeddings": 32768,
            "torch_dtype": "bfloat16",
            **sizes,
        }
    )
    assert (Inventory(spec).parameters_total, _cache(spec)) == (total, cache)


def test_types_of_their_own_are_rows_of_the_table() -> None:
    assert set(OWN) <= set(KINDS)
    assert {"llama", "mistral", "mixtral", "olmoe", "phi3", "qwen2", "qwen3"} <= set(KINDS)


@pytest.mark.parametrize("model_type", OWN)
def test_what_a_type_has_beside_llama(build: Build, model_type: str) -> None:
    spec = build(SMALL | {"model_type": model_type})
    parts = {part for item in expand(spec) for part in item.name.split(".")}
    has, has_not = OWN[model_type]
    assert has <= parts
    assert not has_not & parts
    assert {"q_proj", "k_proj", "v_proj", "o_proj", "down_proj"} <= parts


@pytest.mark.parametrize("model_type", [*OWN, "phi", "mimo", "gemma3n_text"])
def test_a_small_checkpoint_that_agrees(
    tmp_path: Path, write_safetensors: Callable[..., None], build: Build, model_type: str
) -> None:
    config = _small(model_type)
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = [(item.name, item.dtype, item.shape) for item in expand(build(config))]
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert resolve_model(str(tmp_path)).rows == build(config).rows
    write_safetensors(tmp_path / "model.safetensors", tensors[1:])
    with pytest.raises(PlannerError, match="is missing"):
        resolve_model(str(tmp_path))


def _small(model_type: str) -> dict[str, Any]:
    more: dict[str, dict[str, Any]] = {
        "mimo": {"num_nextn_predict_layers": 1, "sliding_window": None},
        "gemma3n_text": {
            "layer_types": ["sliding_attention", "full_attention"] * 2 + ["full_attention"],
            "num_kv_shared_layers": 2,
            "laurel_rank": 8,
            "altup_num_inputs": 3,
            "hidden_size_per_layer_input": 16,
            "vocab_size_per_layer_input": 40,
        },
    }
    dropped = {"phi": ("head_dim", "sliding_window")}.get(model_type, ())
    kept = {key: value for key, value in SMALL.items() if key not in dropped}
    return kept | {"model_type": model_type} | more.get(model_type, {})


@pytest.mark.parametrize(
    ("model_id", "change", "reason"),
    [
        ("command-r", {"use_qk_norm": "yes"}, "true or false is needed"),
        ("command-r7b", {"use_qk_norm": True}, "use_qk_norm is True; only False is modelled"),
        ("command-r7b", {"use_parallel_block": False}, "use_parallel_block"),
        ("command-r7b", {"sliding_window_pattern": "LGL"}, "L … L G is understood"),
        ("exaone-4.0-32b", {"sliding_window_pattern": 0}, "sliding_window_pattern is 0"),
        ("exaone-4.0-32b", {"num_experts": 8}, "keys not understood: 'num_experts'"),
        ("hunyuan-7b", {"use_cla": True}, "use_cla is True; only False is modelled"),
        ("hunyuan-7b", {"norm_type": "layer"}, "norm_type"),
        ("granite-3.3-8b", {"shared_intermediate_size": 64}, "'shared_intermediate_size'"),
        ("glm-4-32b-0414", {"n_routed_experts": 8}, "'n_routed_experts'"),
        ("olmo-2-7b", {"layer_scales": True}, "'layer_scales'"),
        ("olmo-3-7b", {"layer_types": ["mamba"] * 32}, "holds 'mamba'"),
        ("gemma-2-9b", {"layer_types": ["full_attention"]}, "1 entries for 42 layers"),
        ("gemma-2-9b", {"sliding_window_size": 8}, "'sliding_window_size'"),
        ("gemma-2b", {"use_bidirectional_attention": True}, "'use_bidirectional_attention'"),
        ("seed-oss-36b", {"num_key_value_heads": 7}, "must divide 80 heads"),
        ("ernie-4.5-0.3b", {"moe_num_experts": 4}, "'moe_num_experts'"),
        ("smollm3-3b", {"use_sliding_window": True, "sliding_window": 9}, "layer_types is missing"),
        ("phi-2", {"n_experts": 2}, "'n_experts'"),
        ("mimo-7b", {"add_swa_attention_sink_bias": True}, "'add_swa_attention_sink_bias'"),
        ("nemotron-super-49b", {"block_configs": []}, "0 entries for 80 layers"),
        ("nemotron-super-49b", {"intermediate_size": 7}, "block_configs states it"),
    ],
)
def test_a_key_that_changes_the_structure_is_refused(
    build: Build, model_id: str, change: dict[str, Any], reason: str
) -> None:
    config = json.loads((CONFIGS / f"{model_id}.json").read_text(encoding="utf-8")) | change
    with pytest.raises(PlannerError) as caught:
        build(config)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("part", "change", "reason"),
    [
        ("attention", {"window_length": 1024}, "window_length is 1024, which is not modelled"),
        ("attention", {"n_heads_in_group": 7}, "must divide 64 heads"),
        ("attention", {"mystery": 1}, "'mystery'"),
        ("ffn", {"replace_with_linear": True}, "replace_with_linear is true"),
        ("ffn", {"ffn_mult": -1}, "a positive number is needed"),
        ("ffn", {"sparsify": ["2:4"]}, "sparsify"),
    ],
)
def test_a_block_that_is_not_understood_is_refused(
    build: Build, part: str, change: dict[str, Any], reason: str
) -> None:
    config = json.loads((CONFIGS / "nemotron-super-49b.json").read_text(encoding="utf-8"))
    config["block_configs"][3][part] |= change
    with pytest.raises(PlannerError) as caught:
        build(config)
    assert reason in caught.value.message
    assert "block_configs[3]" in caught.value.message


def test_layers_of_nemotron_nas_differ(build: Build) -> None:
    spec = resolve_model("nemotron-super-49b")
    assert len(spec.attention[0].layers) == 49
    norms = {row.name.split(".")[-2]: len(row.layers) for row in spec.rows if row.kind == "norm"}
    assert norms == {"norm": 0, "input_layernorm": 49, "post_attention_layernorm": 80}
    config = json.loads((CONFIGS / "nemotron-super-49b.json").read_text(encoding="utf-8"))
    config["block_configs"][0]["attention"] |= {"no_op": False, "replace_with_linear": True}
    config["block_configs"][1]["attention"]["n_heads_in_group"] = 16
    config["block_configs"][2]["ffn"]["no_op"] = True
    changed = build(config)
    assert [(len(a.layers), a.kv_heads) for a in changed.attention] == [(1, 4), (47, 8)]
    less = 2 * 8 * 128 * 8192 + 2 * 8192**2 - 8192**2  # q, k, v, o, and one matrix instead
    less += 2 * 4 * 128 * 8192 + 3 * 8192 * 28672 + 8192
    assert Inventory(spec).parameters_total - Inventory(changed).parameters_total == less


def test_layers_that_borrow_a_cache_keep_none() -> None:
    spec = resolve_model("gemma-3n-e4b")
    groups = [(len(a.layers), a.window, a.borrows) for a in spec.attention]
    assert groups == [(4, 0, False), (16, 512, False), (3, 0, True), (12, 512, True)]
    kept = {cache.layer for cache in cache_description(spec)}
    assert kept == set(range(20))
    assert "all are on one stage" in shape_problem(spec, 1, 1, 2)
    assert shape_problem(spec, 2, 1, 1) == ""
    assert spec.not_counted == (
        "the audio encoder: the configuration has no audio_config",
        "the vision encoder: the configuration has no vision_config",
    )


def test_encoders_of_gemma_3n_are_named_once(build: Build) -> None:
    text = _small("gemma3n_text")
    spec = build(
        {
            "model_type": "gemma3n",
            "text_config": text,
            "torch_dtype": "bfloat16",
            "vision_config": {"model_type": "gemma3n_vision"},
            "audio_config": {"model_type": "gemma3n_audio"},
        }
    )
    assert spec.not_counted == (
        "the vision encoder (MobileNet-V5) and its embedder",
        "the audio encoder and its embedder",
    )


def test_projections_that_nothing_reads_may_be_stored_or_not(
    tmp_path: Path, write_safetensors: Callable[..., None], build: Build
) -> None:
    config = _small("gemma3n_text")
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    spec = build(config)
    idle = [row for row in spec.rows if row.part == "unused"]
    assert {row.name.split(".")[-2] for row in idle} == {"k_proj", "v_proj", "k_norm"}
    assert {row.layers for row in idle} == {(3, 4)}
    used = replace(spec, rows=tuple(row for row in spec.rows if row.part != "unused"))
    assert Inventory(used).parameters_total == Inventory(spec).parameters_total
    tensors = [(item.name, item.dtype, item.shape) for item in expand(used)]
    write_safetensors(tmp_path / "model.safetensors", tensors)
    assert resolve_model(str(tmp_path)).rows == used.rows


def test_the_small_gemma_4_has_an_embedding_a_layer(build: Build) -> None:
    text = {
        "model_type": "gemma4_text",
        "hidden_size": 1536,
        "num_hidden_layers": 35,
        "vocab_size": 262144,
        "max_position_embeddings": 131072,
        "num_attention_heads": 8,
        "num_key_value_heads": 1,
        "intermediate_size": 6144,
        "num_kv_shared_layers": 20,
        "use_double_wide_mlp": True,
        "hidden_size_per_layer_input": 256,
        "layer_types": (["sliding_attention"] * 4 + ["full_attention"]) * 7,
    }
    spec = build({"model_type": "gemma4", "torch_dtype": "bfloat16", "text_config": text})
    assert Inventory(spec).parameters_total == 4_628_569_344
    assert _cache(spec) == 2 * 2 * (3 * 512 * 8192 + 12 * 256 * 512)
    assert [a.borrows for a in spec.attention] == [False, False, True, True]
    assert spec.dense_width == 2 * 6144
