"""Models that see, against the modules that transformers builds of the same configurations."""

import json
from collections import Counter
from copy import deepcopy
from typing import Any

import pytest
from support.seeing import GEMMA4_E, RELEASES

from planner.base.errors import PlannerError
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory, expand
from planner.models.spec import ModelSpec

# Parameters of transformers 5.24's modules on the meta device: all, encoder of images, of sound.
# GLM-4.5V has 5,760 more: biases that correct its router are data in it, parameters by name here.
BUILT = {
    "qwen2-vl-7b": (8_291_375_616, 675_759_104, 0),
    "qwen2.5-vl-7b": (8_292_166_656, 676_550_144, 0),
    "qwen3-vl-30b-a3b": (31_070_754_032, 538_631_408, 0),
    "gemma-3-27b-it": (27_432_406_640, 423_060_336, 0),
    "gemma-3-4b-it": (4_300_079_472, 419_816_304, 0),
    "mistral-small-3.1-24b": (24_011_361_280, 438_958_080, 0),
    "glm-4.1v-9b": (10_292_777_472, 892_498_432, 0),
    "glm-4.5v": (107_710_933_120, 858_681_856, 0),
    "qwen2.5-omni-7b": (8_931_813_888, 676_550_144, 639_647_232),
    "qwen3-omni-30b-a3b": (31_719_205_488, 538_631_408, 647_927_168),
}


def read(config: dict[str, Any]) -> ModelSpec:
    return spec_from_bytes(json.dumps(config).encode(), "config.json", model_id="m",
                           public_name="m", source="here", source_kind="file")  # fmt: skip


def changed(name: str, place: str = "", **keys: Any) -> dict[str, Any]:
    """A release's configuration with keys changed at ``place``; None takes a key out."""
    config = deepcopy(RELEASES[name])
    target = config
    for part in place.split(".") if place else ():
        target = target[part]
    target |= keys
    for key in [key for key, value in keys.items() if value is None]:
        del target[key]
    return config


@pytest.mark.parametrize("name", RELEASES)
def test_parameters_are_those_of_the_library_s_modules(name: str) -> None:
    found = Inventory(read(RELEASES[name]))
    seen, heard = found.parameters_vision, found.parameters_audio
    assert (found.parameters_total + seen + heard, seen, heard) == BUILT[name]
    assert len({tensor.name for tensor in expand(found.spec)}) == found.tensor_count


def test_gemma_with_a_stated_vocabulary_is_the_published_total() -> None:
    found = Inventory(read(changed("gemma-3-27b-it", "text_config", vocab_size=262144)))
    assert found.parameters_total + found.parameters_vision == 27_432_062_576
    assert found.spec.not_counted == ()


def test_an_e_model_of_gemma_4_hears_through_a_conformer() -> None:
    """Modules of transformers 5.24: 237,291,264 parameters, and 2 × 7 × 4 limits of values."""
    found = Inventory(read(GEMMA4_E))
    whole = found.parameters_total + found.parameters_vision + found.parameters_audio
    assert whole == 237_291_264
    limits = [t for t in expand(found.spec) if t.name.endswith(("_min", "_max"))]
    assert len(limits) == 2 * 7 * 4
    assert {t.shape for t in limits} == {()}
    names = {t.name for t in expand(found.spec)}
    assert "model.audio_tower.layers.2.lconv1d.depthwise_conv1d.weight" in names
    assert found.spec.encoder is not None
    assert found.spec.not_counted == ()


def test_tensors_have_the_names_of_the_releases() -> None:
    names = {
        "qwen2.5-vl-7b": {
            "model.layers.27.mlp.up_proj.weight",
            "lm_head.weight",
            "visual.blocks.31.attn.qkv.bias",
            "visual.merger.mlp.2.weight",
        },
        "qwen3-vl-30b-a3b": {
            "model.language_model.layers.47.mlp.experts.gate_up_proj",
            "model.visual.deepstack_merger_list.2.linear_fc2.bias",
        },
        "gemma-3-27b-it": {
            "language_model.model.embed_tokens.weight",
            "vision_tower.vision_model.encoder.layers.26.self_attn.out_proj.bias",
            "multi_modal_projector.mm_input_projection_weight",
        },
        "mistral-small-3.1-24b": {
            "language_model.lm_head.weight",
            "vision_tower.ln_pre.weight",
            "multi_modal_projector.patch_merger.merging_layer.weight",
        },
        "glm-4.1v-9b": {
            "model.language_model.layers.39.post_mlp_layernorm.weight",
            "model.visual.merger.post_projection_norm.bias",
        },
        "qwen2.5-omni-7b": {
            "thinker.visual.blocks.0.attn.q.weight",
            "thinker.lm_head.weight",
            "thinker.audio_tower.audio_bos_eos_token.weight",
        },
        "qwen3-omni-30b-a3b": {
            "thinker.model.layers.0.mlp.experts.127.down_proj.weight",
            "thinker.visual.merger_list.0.ln_q.weight",
        },
    }
    for name, wanted in names.items():
        assert wanted <= {tensor.name for tensor in expand(read(RELEASES[name]))}, name


def test_stacked_experts_lie_inputs_first() -> None:
    shapes = {t.name: t.shape for t in expand(read(RELEASES["qwen3-vl-30b-a3b"]))}
    at = "model.language_model.layers.0.mlp.experts."
    assert shapes[at + "gate_up_proj"] == (128, 2048, 1536)
    assert shapes[at + "down_proj"] == (128, 768, 2048)


def test_keys_around_the_encoder_are_the_text_model_s() -> None:
    """Older configurations hold them outside, newer ones in text_config: one structure."""
    flat = RELEASES["qwen2.5-vl-7b"]
    outer = ("model_type", "vision_config", "torch_dtype", "tie_word_embeddings", "image_token_id")
    nested = {key: flat[key] for key in outer}
    nested["text_config"] = {
        "model_type": "qwen2_5_vl_text",
        **{key: value for key, value in flat.items() if key not in outer},
    }
    assert read(flat).rows == read(nested).rows


def test_the_whole_model_says_whether_embeddings_are_tied() -> None:
    """Qwen3-VL's outer class does, whatever the inner says; Qwen2-VL takes the inner's yes, and
    Mistral 3, whose outer class would tie, stores a head as the inner says."""
    inner, outer = {"tie_word_embeddings": True}, {"tie_word_embeddings": False}
    moe = changed("qwen3-vl-30b-a3b", "text_config", **inner)
    assert not read(moe | outer).tied_embeddings
    glm = changed("glm-4.1v-9b", "text_config", **inner)
    assert read(glm | outer).tied_embeddings
    assert read(RELEASES["gemma-3-4b-it"]).tied_embeddings
    assert not read(RELEASES["mistral-small-3.1-24b"]).tied_embeddings
    assert read(changed("mistral-small-3.1-24b", "text_config", **inner)).tied_embeddings


def test_glm_4v_has_biases_where_its_configuration_has_no_key_for_them() -> None:
    """Its class in transformers knows no attention_bias and always has them."""
    stated, silent = (
        read(changed("glm-4.1v-9b", "text_config", attention_bias=value)) for value in (True, None)
    )
    assert silent.rows == stated.rows
    assert any(row.name.endswith("q_proj.bias") for row in silent.rows)


def test_what_is_left_out_is_named() -> None:
    bare = read({k: v for k, v in RELEASES["gemma-3-4b-it"].items() if k != "vision_config"})
    assert "vision_config" in bare.not_counted[0]
    assert bare.encoder is None
    said = " ".join(read(RELEASES["qwen3-omni-30b-a3b"]).not_counted)
    assert "talker" in said
    assert "code2wav" in said
    assert read(RELEASES["qwen2-vl-7b"]).not_counted == ()


def test_what_an_encoder_works_on() -> None:
    """Qwen3-VL's tokens carry the features of three more layers; Gemma 3's images are one size."""
    deep = read(RELEASES["qwen3-vl-30b-a3b"]).encoder
    assert deep is not None
    assert (deep.out, deep.tokens, deep.patches) == (4 * 2048, 16384, 65536)
    fixed = read(RELEASES["gemma-3-27b-it"]).encoder
    assert fixed is not None
    assert (fixed.tokens, fixed.patches, fixed.merge) == (256, 4096, 16)


@pytest.mark.parametrize(
    ("name", "place", "change", "reason"),
    [
        ("qwen2-vl-7b", "vision_config", {"hidden_size": 4096}, "text model's 3584"),
        ("qwen2-vl-7b", "vision_config", {"in_channels": 1}, "in_channels 1"),
        ("qwen2.5-vl-7b", "vision_config", {"num_heads": 7}, "must divide 1280"),
        ("qwen2.5-vl-7b", "", {"window": 3}, "not understood: 'window'"),
        ("qwen3-vl-30b-a3b", "vision_config", {"tower": 1}, "not understood: 'tower'"),
        ("qwen3-vl-30b-a3b", "vision_config", {"deepstack_visual_indexes": [27]}, "holds 27"),
        ("qwen3-vl-30b-a3b", "text_config", {"model_type": "llama"}, "qwen3_vl_moe_text"),
        ("gemma-3-27b-it", "", {"text_config": None}, "text_config is missing"),
        ("gemma-3-27b-it", "", {"vision_config": 3}, "an object is needed"),
        ("gemma-3-27b-it", "", {"mm_tokens_per_image": 255}, "must divide 4096"),
        ("gemma-3-27b-it", "vision_config", {"vision_use_head": True}, "pooling head"),
        ("mistral-small-3.1-24b", "", {"vision_feature_layer": -2}, "not -1"),
        ("mistral-small-3.1-24b", "vision_config", {"head_dim": 32}, "16 heads is not 1024"),
        ("gemma-3-27b-it", "vision_config", {"image_size": 13}, "a patch has 14 pixels a side"),
        (
            "mistral-small-3.1-24b",
            "vision_config",
            {"image_size": 27},
            "a token has 28 pixels a side",
        ),
        ("glm-4.1v-9b", "vision_config", {"attention_bias": True}, "no biases"),
        ("qwen2.5-omni-7b", "", {"thinker_config": None}, "thinker_config is missing"),
        ("qwen2.5-omni-7b", "thinker_config.audio_config", {"output_dim": 7}, "text model's 3584"),
        (
            "qwen3-omni-30b-a3b",
            "thinker_config.audio_config",
            {"ears": 2},
            "not understood: 'ears'",
        ),
    ],
)
def test_an_encoder_that_is_not_understood(
    name: str, place: str, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PlannerError, match=reason):
        read(changed(name, place, **change))


def test_kinds_of_an_encoder_never_mix_with_the_text_model_s_counts() -> None:
    spec = read(RELEASES["qwen2.5-omni-7b"])
    parts = Counter(row.part for row in spec.rows)
    assert set(parts) == {"main", "vision", "audio"}
    assert Inventory(spec).parameters_by_kind["head"] == 152064 * 3584
