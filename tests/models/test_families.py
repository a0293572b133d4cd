"""Families beyond the plain decoder: small versions of bundled configurations, and their errors."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.released import released_plan

from planner.base.errors import PlannerError
from planner.models import catalog
from planner.models.catalog import resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory, expand
from planner.models.kv import cache_description

CONFIGS = Path(catalog.__file__).parent / "configs"
KINDS = ["sliding_attention", "full_attention"] * 2
# Fewer layers, experts and words: headers of a few hundred tensors.
SMALL = {
    "deepseek-v4-flash": {"num_hidden_layers": 4, "compress_ratios": [0, 4, 128, 4, 0],
                          "n_routed_experts": 8, "vocab_size": 64},
    "gpt-oss-20b": {"num_hidden_layers": 4, "layer_types": KINDS, "vocab_size": 64},
    "glm-5-fp8": {"num_hidden_layers": 4, "n_routed_experts": 8, "vocab_size": 64},
    "minimax-m2": {"num_hidden_layers": 2, "num_local_experts": 8, "vocab_size": 64},
    "mimo-v2-flash": {"num_hidden_layers": 2, "hybrid_layer_pattern": [0, 1],
                      "moe_layer_freq": [0, 1], "n_routed_experts": 8, "vocab_size": 64},
    "gemma-3-1b": {"num_hidden_layers": 7, "vocab_size": 64},
    "glm-4.5": {"num_hidden_layers": 4, "n_routed_experts": 8, "vocab_size": 64},
    "qwen3-next-80b-a3b": {"num_hidden_layers": 4, "num_experts": 16, "vocab_size": 64},
    "olmoe-1b-7b": {"num_hidden_layers": 2, "vocab_size": 64},
    "phi-4": {"num_hidden_layers": 2, "vocab_size": 64},
    "qwen2.5-0.5b": {"num_hidden_layers": 2, "vocab_size": 64},
    "mistral-7b-v0.1": {"num_hidden_layers": 2, "vocab_size": 64},
    "gpt2": {"n_layer": 2, "vocab_size": 64},
}  # fmt: skip
INSIDE = {
    "kimi-k2.5": {"num_hidden_layers": 2, "n_routed_experts": 8, "vocab_size": 64},
    "llama-4-maverick": {"num_hidden_layers": 4, "num_local_experts": 4, "vocab_size": 64},
    "gemma-4-26b-a4b": {"num_hidden_layers": 4, "layer_types": KINDS, "vocab_size": 64},
    "qwen3.5-35b-a3b": {"num_hidden_layers": 4, "num_experts": 16, "vocab_size": 64,
                        "layer_types": ["linear_attention"] * 3 + ["full_attention"]},
    "qwen3.5-27b": {"num_hidden_layers": 4, "vocab_size": 64,
                    "layer_types": ["linear_attention"] * 3 + ["full_attention"]},
}  # fmt: skip


def small(model_id):
    config = json.loads((CONFIGS / f"{model_id}.json").read_text())
    if model_id in INSIDE:
        config["text_config"] |= INSIDE[model_id]
    return config | SMALL.get(model_id, {})


def build(config):
    return spec_from_bytes(
        json.dumps(config).encode(), "config.json", model_id="x", public_name="x", source="test",
        source_kind="file",
    )  # fmt: skip


@pytest.mark.parametrize("model_id", [*SMALL, *INSIDE])
def test_a_checkpoint_that_agrees(tmp_path, write_safetensors, model_id):
    config = small(model_id)
    (tmp_path / "config.json").write_text(json.dumps(config))
    spec = build(config)
    tensors = [(item.name, item.dtype, item.shape) for item in expand(spec)]
    assert len({name for name, _, _ in tensors}) == len(tensors)
    write_safetensors(tmp_path / "model.safetensors", tensors)
    found = resolve_model(str(tmp_path))
    assert found.rows == spec.rows
    assert found.attention == spec.attention
    path = tmp_path / "model.safetensors"
    assert Inventory(found).payload_bytes == path.stat().st_size - _header(path)


def _header(path):
    with path.open("rb") as file:
        return 8 + int.from_bytes(file.read(8), "little")


def test_the_vision_encoder_of_qwen35_is_a_part_of_its_own():
    inventory = Inventory(resolve_model("qwen3.5-27b"))
    assert inventory.parameters_total == 26_895_998_464
    w, inner, merged, out = 1152, 4304, 4 * 1152, 5120
    block = 4 * w + 4 * w * w + 4 * w + 2 * w * inner + inner + w
    patches = 3 * 2 * 16 * 16 * w + w + 2304 * w
    merger = 2 * w + merged * merged + merged + merged * out + out
    assert inventory.parameters_vision == 27 * block + patches + merger
    names = {row.name for row in inventory.spec.rows if row.part == "vision"}
    assert all(name.startswith("model.visual.") for name in names)
    without = json.loads((CONFIGS / "qwen3.5-27b.json").read_text())
    del without["vision_config"]
    assert Inventory(build(without)).parameters_vision == 0


def test_parts_stay_apart():
    spec = resolve_model("deepseek-v4-pro")
    tables = [row for row in spec.rows if row.part == "lookup"]
    assert [(row.layers, row.dtype, row.elements) for row in tables] == [
        ((0, 1, 2), "int64", 129_280 * 6)
    ]
    assert spec.experts is not None
    assert spec.experts.hash_layers == (0, 1, 2)
    assert [(a.kind, len(a.layers), a.ratio, a.window) for a in spec.attention] == [
        ("csa", 30, 4, 128), ("hca", 31, 128, 128),
    ]  # fmt: skip
    flash = resolve_model("deepseek-v4-flash")
    assert [(a.kind, len(a.layers)) for a in flash.attention] == [
        ("csa", 21), ("hca", 20), ("swa", 2),
    ]  # fmt: skip
    assert {row.part for row in resolve_model("qwen3.5-27b").rows} == {"main", "mtp", "vision"}


def test_attention_groups_begin_with_the_full_one():
    groups = {name: [(a.kind, a.window) for a in resolve_model(name).attention] for name in (
        "gpt-oss-120b", "gemma-3-27b-text", "llama-4-scout", "qwen3-next-80b-a3b",
        "mistral-7b-v0.1", "phi-3-mini-4k", "glm-5")}  # fmt: skip
    assert groups == {
        "gpt-oss-120b": [("gqa", 0), ("gqa", 128)],
        "gemma-3-27b-text": [("gqa", 0), ("gqa", 1024)],
        "llama-4-scout": [("gqa", 0), ("gqa", 8192)],
        "qwen3-next-80b-a3b": [("gqa", 0), ("linear", 0)],
        "mistral-7b-v0.1": [("gqa", 4096)],
        "phi-3-mini-4k": [("gqa", 2047)],
        "glm-5": [("mla", 0)],
    }
    gemma = resolve_model("gemma-4-26b-a4b").attention
    assert [(a.kv_heads, a.head_dim, a.window) for a in gemma] == [(2, 512, 0), (8, 256, 1024)]


@pytest.mark.parametrize(
    ("model_id", "change", "reason"),
    [
        ("deepseek-v4-pro", {"compress_ratios": [4] * 60}, "60 entries for 61 layers and 1"),
        ("deepseek-v4-flash", {"compress_ratios": [4] * 43 + [4]}, "0 for prediction layers"),
        ("deepseek-v4-flash", {"compress_ratios": [8] * 44}, "compress_ratios holds 8"),
        ("deepseek-v4-flash", {"expert_dtype": "fp6"}, "expert_dtype"),
        ("deepseek-v4-flash", {"num_key_value_heads": 8}, "num_key_value_heads is 8"),
        ("deepseek-v4-flash", {"hc_mult": 0}, "hc_mult is 0"),
        ("gpt-oss-20b", {"layer_types": ["full_attention"]}, "1 entries for 24 layers"),
        ("gpt-oss-20b", {"layer_types": ["mamba"] * 24}, "holds 'mamba'"),
        ("gpt-oss-20b", {"sliding_window": None}, "sliding_window is missing"),
        ("gemma-3-1b", {"sliding_window_pattern": 0}, "sliding_window_pattern is 0"),
        ("qwen3-next-80b-a3b", {"linear_num_key_heads": 5}, "must divide 32"),
        ("qwen3-next-80b-a3b", {"decoder_sparse_step": 2}, "dense layers"),
        ("qwen3.5-27b", {"text_config": None}, "text_config is missing"),
        ("kimi-k2.5", {"audio_tower": {}}, "keys not understood: 'audio_tower'"),
        ("mimo-v2-flash", {"hybrid_layer_pattern": [0]}, "1 entries for 48 layers"),
        ("minimax-m2", {"shared_intermediate_size": 4}, "shared_intermediate_size is 4"),
        ("olmoe-1b-7b", {"clip_qkv": 8.0}, "clip_qkv"),
        ("phi-4", {"attention_bias": True}, "attention_bias"),
        ("gpt2", {"n_head": 7}, "must divide 768"),
        ("qwen3-coder-480b-a35b", {"shared_expert_intermediate_size": 8}, "shared_expert"),
        ("llama-4-scout", {"model_type": "llama5"}, "llama5"),
    ],
)  # fmt: skip
def test_what_a_family_does_not_understand(model_id, change, reason):
    config = json.loads((CONFIGS / f"{model_id}.json").read_text()) | change
    with pytest.raises(PlannerError) as caught:
        build(config)
    assert reason in caught.value.message
    assert len(caught.value.message) < 700


def test_ratios_may_leave_out_the_prediction_layer_which_has_a_window() -> None:
    """vLLM 0.33 (models/deepseek_v4, _get_layer_compress_ratio): layers beyond the list have a
    window, and so have those of ratio 1."""
    config = json.loads((CONFIGS / "deepseek-v4-flash.json").read_text())
    whole, short = (
        build(config),
        build(config | {"compress_ratios": config["compress_ratios"][:43]}),
    )
    assert len(config["compress_ratios"]) == 44
    assert (short.rows, short.attention) == (whole.rows, whole.attention)
    assert cache_description(short, prediction=True) == cache_description(whole, prediction=True)
    ones = [1 if ratio == 0 else ratio for ratio in config["compress_ratios"]]
    assert build(config | {"compress_ratios": ones}).attention == whole.attention


def test_layers_that_share_a_selection_have_no_indexer():
    """GLM-5.3 is GLM-5 with an indexer in 21 of 78 layers (and in the prediction layer)."""
    spec, before = resolve_model("glm-5.3"), resolve_model("glm-5")
    own, shared = spec.attention
    assert own.layers == (0, 1, 2, *range(6, 78, 4))
    assert len(own.layers) + len(shared.layers) == 78
    assert (own.indexer_heads, shared.indexer_heads, shared.indexer_topk) == (32, 0, 2048)
    one = 32 * 128 * 2048 + 128 * 6144 + 2 * 128 + 32 * 6144
    totals = [Inventory(s).parameters_total for s in (before, spec)]
    assert totals[0] - totals[1] == 57 * one
    caches = cache_description(spec, prediction=True)
    assert sum(c.kind == "indexer" for c in caches) == 21 + 1
    assert sum(c.kind == "latent" for c in caches) == 78 + 1


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"indexer_types": None}, "indexer_types is missing"),
        ({"indexer_types": ["full"]}, "1 entries for 78 layers"),
        ({"indexer_types": ["shared"] * 78}, "holds 'shared' first"),
        ({"indexer_types": ["full"] * 77 + ["other"]}, "holds 'other'"),
        ({"index_topk_pattern": "FS"}, "index_topk_pattern is not null"),
        ({"mlp_layer_types": ["sparse"] * 78}, "contradicts first_k_dense_replace"),
    ],
)
def test_contradictions_about_indexers_are_named(change, reason):
    config = json.loads((CONFIGS / "glm-5.3.json").read_text()) | change
    with pytest.raises(PlannerError, match=reason):
        build(config)


VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 10**7)
    | st.text(max_size=5)
    | st.lists(st.integers(0, 9), max_size=4)
    | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
)


@given(st.sampled_from(sorted([*SMALL, *INSIDE])), st.data())
@settings(max_examples=200, deadline=None)
def test_any_value_in_any_key_gives_a_model_or_a_planner_error(model_id, data):
    config = small(model_id)
    inner = config["text_config"] if model_id in INSIDE and data.draw(st.booleans()) else config
    inner[data.draw(st.sampled_from(sorted(inner)))] = data.draw(VALUES)
    try:
        spec = build(config)
    except PlannerError as error:
        error.message.encode("utf-8")
    else:
        assert Inventory(spec).payload_bytes > 0
        assert all(layers == tuple(sorted(layers)) for _, layers, _ in released_plan(spec))
