"""Families with experts and recurrences: published totals, caches by kind, what is refused."""

import json
import re

import pytest
from support.recurrent_configs import GLM_4_7_FLASH, NEMOTRON_3_NANO, RELEASES

from planner.base.errors import DataError, PlannerError
from planner.models.configuration import spec_from_bytes
from planner.models.drafting import prediction_spec
from planner.models.inventory import Inventory
from planner.models.kv import cache_description, entry_bytes, layer_caches, sequence_bytes
from planner.placement.modules import linear_of, modules


def build(config):
    return spec_from_bytes(json.dumps(config).encode(), "config.json", model_id="m",
                           public_name="m", source="", source_kind="file")  # fmt: skip


# Totals are those of the safetensors indices, where they are published with the corrections of
# routers; bytes of one sequence of 4096 tokens, keys and values in BF16, states as kept.
@pytest.mark.parametrize(
    ("name", "total", "cached"),
    [
        ("nemotron_3_nano", 31_577_940_288, 74_248_192),
        ("nemotron_3_super", 120_668_707_840, 203_784_192),
        ("nemotron_h_56b", 56_324_350_464, 1_080_377_344),
        ("minimax_m3", 426_174_572_928, 563_085_312),
        ("kimi_linear", 49_122_681_728, 76_447_744),
        ("glm_4_7_flash", 29_943_393_920, 221_773_824),
        ("qwen_1_5_moe", 14_315_784_192, 805_306_368),
        ("granite_4_h_tiny", 6_939_037_248, 62_584_832),
        ("lfm2_1_2b", 1_170_340_608, 50_413_568),
        ("lfm2_8b_a1b", 8_339_930_560, 50_479_104),
        ("falcon_h1_0_5b", 521_411_104, 90_040_320),
        ("jamba_v0_1", 51_570_323_328, 75_825_152),
        ("mistral_4_small", 118_972_826_624, 94_371_840),
        ("phi_3_5_moe", 41_873_153_344, 536_870_912),
        ("longcat_flash", 560_664_980_480, 264_241_152),
        ("step_3_5_flash", 196_956_130_368, 270_532_608),
        ("dots_llm1", 142_774_381_696, 4_160_749_568),
        ("ling_mini_2_0", 16_255_643_392, 167_772_160),
    ],
)
def test_totals_and_caches_of_releases(name, total, cached):
    spec = build(RELEASES[name])
    assert Inventory(spec).parameters_total == total
    assert sequence_bytes(cache_description(spec), 4096, "bf16") == cached
    assert modules(spec)


def test_every_release_has_a_total():
    assert len(RELEASES) == 18


def test_prediction_of_glm_4_7_flash_holds_copies_of_embedding_and_head():
    found = Inventory(build(GLM_4_7_FLASH))
    assert found.parameters_total + found.parameters_mtp == 31_221_488_576
    assert found.parameters_mtp - found.parameters_mtp_unique == 2 * 154_880 * 2048


def test_a_mamba_state_is_fp32_and_its_groups_are_copied_beyond_their_number():
    """Nano: 64 heads of 64 × 128 in FP32; 6144 channels remember 3 inputs in BF16, 2 · 8 · 128 of
    them in groups."""
    spec = build(NEMOTRON_3_NANO)
    (cache,) = layer_caches(linear_of(spec, 0), 0)
    assert entry_bytes(cache, "fp8") == 64 * 64 * 128 * 4 + 6144 * 3 * 2
    assert entry_bytes(cache, "bf16", 8) == (64 * 64 * 128 * 4 + 6144 * 3 * 2) // 8
    shared = 2 * 8 * 128
    assert (
        entry_bytes(cache, "bf16", 16)
        == 64 * 64 * 128 * 4 // 16 + (6144 - shared + 2 * shared) * 3 * 2 // 16
    )


def test_experts_of_super_are_two_matrices_in_a_latent_space():
    spec = build(RELEASES["nemotron_3_super"])
    experts = spec.experts
    assert experts is not None
    assert (experts.latent, experts.matrices, experts.shared_width) == (1024, 2, 5376)
    routed = [row.shape for row in spec.rows if ".experts." in row.name and row.part == "main"]
    assert routed == [(2688, 1024), (1024, 2688)]
    assert spec.mtp_layers == 1


def test_layers_run_attention_beside_a_recurrence_or_two_attentions():
    falcon, longcat = build(RELEASES["falcon_h1_0_5b"]), build(RELEASES["longcat_flash"])
    kinds = [cache.kind for cache in cache_description(falcon) if cache.layer == 3]
    assert sorted(kinds) == ["kv", "state"]
    assert [c.kind for c in cache_description(longcat) if c.layer == 3] == ["latent", "latent"]


def test_an_index_of_minimax_m3_keeps_one_key_a_token():
    spec = build(RELEASES["minimax_m3"])
    by_layer = {n: [c for c in cache_description(spec) if c.layer == n] for n in (2, 3)}
    assert [c.kind for c in by_layer[2]] == ["kv"]
    assert [(c.kind, c.parts) for c in by_layer[3]] == [
        ("indexer", (("indexer", 128),)),
        ("kv", (("k", 128), ("v", 128))),
    ] or [c.kind for c in by_layer[3]] == ["kv", "indexer"]
    assert spec.attention[1].indexer_topk == 16 * 128
    assert any("num_mtp_modules" in left for left in spec.not_counted)


def test_layers_of_a_short_convolution_keep_all_but_one_input():
    spec = build(RELEASES["lfm2_1_2b"])
    (cache,) = layer_caches(linear_of(spec, 0), 0)
    assert cache.parts == (("conv", 2 * 2048),)
    assert entry_bytes(cache, "bf16", 4) == 2 * 2048 * 2 // 4


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("nemotron_3_nano", {"hybrid_override_pattern": "MEX"}, "hybrid_override_pattern"),
        ("nemotron_3_nano", {"hybrid_override_pattern": "ME"}, "num_hidden_layers is 52"),
        ("nemotron_3_nano", {"layers_block_type": ["mamba"]}, "contradicts"),
        ("nemotron_3_nano", {"n_groups": 7}, "must divide 64"),
        ("nemotron_3_nano", {"mamba_ssm_cache_dtype": "int8"}, "mamba_ssm_cache_dtype"),
        (
            "nemotron_3_nano",
            {"n_routed_experts": None, "moe_intermediate_size": None},
            "lacks n_routed_experts, moe_intermediate_size",
        ),
        ("minimax_m3", {"attention_output_gate": True}, "attention_output_gate"),
        ("minimax_m3", {"moe_layer_freq": [1]}, "1 entries for 60"),
        ("kimi_linear", {"num_nextn_predict_layers": 1}, "num_nextn_predict_layers"),
        ("kimi_linear", {"topk_group": 2}, "topk_group is 2 of 1"),
        ("kimi_linear", {"linear_num_heads": 5}, "is not the 32"),
        ("granite_4_h_tiny", {"mamba_d_head": 32}, "mamba_d_head"),
        ("granite_4_h_tiny", {"layer_types": ["rnn"] * 40}, "holds 'rnn'"),
        ("lfm2_1_2b", {"block_ffn_dim_multiplier": "x"}, "block_ffn_dim_multiplier"),
        ("falcon_h1_0_5b", {"mamba_d_ssm": 100}, "24 heads of 64"),
        ("longcat_flash", {"moe_topk": 1000}, "there are 768 experts"),
        ("step_3_5_flash", {"moe_top_k": 289}, "there are 288 experts"),
        ("step_3_5_flash", {"mlp_bias": True}, "mlp_bias"),
        ("step_3_5_flash", {"sliding_window": None}, "sliding_window is missing"),
    ],
)
def test_what_these_families_do_not_understand(name, change, reason):
    with pytest.raises(PlannerError) as caught:
        build(RELEASES[name] | change)
    assert reason in caught.value.message


def test_unknown_keys_are_refused_by_name():
    with pytest.raises(DataError, match=re.escape("'mamba_twist'")):
        build(NEMOTRON_3_NANO | {"mamba_twist": 2})


def names_of(spec):
    return {
        name.format(layer=layer)
        for row in spec.rows
        if row.part == "mtp"
        for name in [row.name]
        for layer in row.layers
    }


def test_the_prediction_layer_of_longcat():
    """Half a layer without experts, and a copy of the embedding (vLLM's names of its tensors);
    num_nextn_predict_layers 0 in the configuration is a checkpoint without it."""
    spec = build(RELEASES["longcat_flash"])
    inside = "model.mtp.layers.0."
    assert spec.mtp_layers == 1
    assert names_of(spec) == {
        "model.mtp.embed_tokens.weight",
        "model.mtp.norm.weight",
        *(
            f"{inside}{name}.weight"
            for name in (
                "eh_proj",
                "enorm.m",
                "hnorm.m",
                "input_layernorm",
                "post_attention_layernorm",
                *(
                    f"self_attn.{one}"
                    for one in (
                        "q_a_proj",
                        "q_b_proj",
                        "kv_a_proj_with_mqa",
                        "kv_b_proj",
                        "o_proj",
                        "q_a_layernorm",
                        "kv_a_layernorm",
                    )
                ),
                *(f"transformer_layer.mlp.{one}_proj" for one in ("gate", "up", "down")),
            )
        ),
    }
    hidden, vocab = 6144, 131072
    attention = (
        hidden * (1536 + 576) + 1536 + 512 + 1536 * 64 * 192 + 512 * 64 * 256 + 64 * 128 * hidden
    )
    own = attention + 3 * hidden * 12288 + 2 * hidden * hidden + 5 * hidden
    assert Inventory(spec).parameters_mtp == own + vocab * hidden
    without = build(RELEASES["longcat_flash"] | {"num_nextn_predict_layers": 0})
    assert (without.mtp_layers, names_of(without)) == (0, set())
    taken = ("num_nextn_predict_layers", "1 (default of longcat_flash)")
    assert taken in spec.assumed_keys
    assert taken not in without.assumed_keys
    assert Inventory(without).parameters_total == Inventory(spec).parameters_total
    kinds = {row.name.rpartition("self_attn.")[2]: row.kind for row in prediction_spec(spec).rows}
    assert (kinds["o_proj.weight"], kinds["q_b_proj.weight"]) == ("attention-out", "mla-q")


def test_prediction_layers_of_step_have_kinds_and_heads_of_their_own():
    """Releases list their kinds behind those of the model; the layers are dense."""
    config = RELEASES["step_3_5_flash"]
    after = {
        "num_nextn_predict_layers": 3,
        "layer_types": [*config["layer_types"], *["sliding_attention"] * 3],
    }
    spec = build(config | after)
    assert spec.mtp_layers == 3
    assert not [row for row in spec.rows if row.part == "mtp" and row.experts > 1]
    assert {
        "model.layers.45.transformer.shared_head.output.weight",
        "model.layers.47.transformer.shared_head.norm.weight",
        "model.layers.46.mlp.down_proj.weight",
        "model.layers.45.eh_proj.weight",
        "model.layers.46.self_attn.g_proj.weight",
    } <= names_of(spec)
    hidden, heads = 4096, 96
    attention = hidden * (2 * heads * 128 + 2 * 8 * 128 + heads) + 2 * 128
    own = attention + 3 * hidden * 11264 + 2 * hidden**2 + 5 * hidden + 128896 * hidden
    assert Inventory(spec).parameters_mtp == 3 * own
    unlisted = build(config | {"num_nextn_predict_layers": 1})
    assert Inventory(unlisted).parameters_mtp == own - hidden * (64 * 128 + 32)
    assert spec.attention == build(config).attention
    assert [key for key, _, _ in unlisted.notes] == ["prediction layers"]
    assert spec.notes == build(config).notes == ()
    with pytest.raises(DataError, match="47 entries for 45 layers"):
        build(
            config
            | {
                "num_nextn_predict_layers": 3,
                "layer_types": [*config["layer_types"], *["full_attention"] * 2],
            }
        )


def test_prediction_layers_of_a_ling_hybrid_have_latent_attention_and_experts():
    """Embedding and head are the model's; those of Ling without recurrences are not known."""
    config = {
        "model_type": "bailing_hybrid",
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "vocab_size": 128,
        "max_position_embeddings": 512,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "kv_lora_rank": 32,
        "q_lora_rank": 48,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 16,
        "layer_group_size": 4,
        "intermediate_size": 96,
        "moe_intermediate_size": 32,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "num_shared_experts": 1,
        "first_k_dense_replace": 1,
        "torch_dtype": "bfloat16",
        "tie_word_embeddings": False,
    }
    plain, spec = (build(config | {"num_nextn_predict_layers": count}) for count in (0, 2))
    last = {row.name for row in spec.rows if row.part == "main" and 3 in row.layers}
    named = {row.name for row in spec.rows if row.part == "mtp"}
    assert last <= named
    assert {name.rpartition("{layer}.")[2] for name in named - last} == {
        "enorm.weight",
        "hnorm.weight",
        "eh_proj.weight",
        "final_layernorm.weight",
    }
    layer = sum(row.elements * row.experts for row in plain.rows if 3 in row.layers and row.counted)
    assert Inventory(spec).parameters_mtp == 2 * (layer + 2 * 64 * 64 + 3 * 64)
    assert Inventory(spec).parameters_total == Inventory(plain).parameters_total
    grouped = build(RELEASES["ling_mini_2_0"] | {"num_nextn_predict_layers": 1})
    assert "1 prediction layers" in grouped.not_counted[0]


def test_mistral_4_keeps_the_experts_of_a_layer_together():
    rows = {
        row.name.rpartition("layers.{layer}.")[2]: row
        for row in build(RELEASES["mistral_4_small"]).rows
    }
    joined, down = rows["mlp.experts.gate_up_proj"], rows["mlp.experts.down_proj"]
    assert (joined.shape, joined.experts, joined.stacked) == ((4096, 4096), 128, True)
    assert (down.shape, down.experts, down.stacked) == ((4096, 2048), 128, True)
    assert "mlp.experts.{expert}.up_proj.weight" not in rows


def test_what_compressed_tensors_stores_is_apart_by_expert():
    channel = {
        "num_bits": 8,
        "type": "float",
        "symmetric": True,
        "dynamic": False,
        "strategy": "channel",
    }
    quantised = build(
        RELEASES["mistral_4_small"]
        | {
            "quantization_config": {
                "quant_method": "compressed-tensors",
                "format": "float-quantized",
                "ignore": ["lm_head"],
                "config_groups": {
                    "group_0": {
                        "targets": ["Linear"],
                        "weights": channel,
                        "input_activations": channel | {"strategy": "token", "dynamic": True},
                    }
                },
            }
        }
    )
    plain = build(RELEASES["mistral_4_small"])
    assert quantised.quantization == "fp8-channel"
    assert not any(row.stacked for row in quantised.rows)
    assert Inventory(quantised).parameters_total == Inventory(plain).parameters_total


def test_step_3_with_dense_layers_alone_has_no_experts():
    config = {
        key: value for key, value in RELEASES["step_3_5_flash"].items() if key != "moe_layers_enum"
    }
    spec = build(config | {"mlp_layer_types": ["dense"] * 45})
    assert not any(row.kind.startswith("experts") for row in spec.rows)
    assert {row.layers for row in spec.rows if row.kind == "mlp-down"} == {tuple(range(45))}


@pytest.mark.parametrize(("outer", "tied"), [(True, True), (None, False)])
def test_step_3_that_sees_ties_as_the_whole_configuration_says(outer, tied):
    text = RELEASES["step_3_5_flash"] | {"tie_word_embeddings": True}
    around = {} if outer is None else {"tie_word_embeddings": outer}
    spec = build({"model_type": "step3p7", "text_config": text, "torch_dtype": "bfloat16"} | around)
    assert spec.tied_embeddings is tied
