"""What is no decoder: Whisper is counted, encoders are refused with what is possible instead."""

import json
from typing import Any

import pytest

from planner.base.errors import UnknownNameError, UnsupportedError
from planner.models.configuration import spec_from_bytes
from planner.models.families import builder_of
from planner.models.inventory import Inventory, expand
from planner.models.planned import require_planned
from planner.models.spec import ModelSpec

WHISPER: dict[str, Any] = {
    "activation_dropout": 0.0, "activation_function": "gelu", "d_model": 1280,
    "architectures": ["WhisperForConditionalGeneration"], "decoder_attention_heads": 20,
    "decoder_ffn_dim": 5120, "decoder_layers": 32, "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120, "encoder_layers": 32, "is_encoder_decoder": True,
    "max_source_positions": 1500, "max_target_positions": 448, "model_type": "whisper",
    "num_hidden_layers": 32, "num_mel_bins": 128, "torch_dtype": "float16", "vocab_size": 51866,
}  # fmt: skip


def read(config: dict[str, Any]) -> ModelSpec:
    return spec_from_bytes(json.dumps(config).encode(), "config.json", model_id="w",
                           public_name="w", source="here", source_kind="file")  # fmt: skip


def test_whisper_large_v3_is_counted_as_the_library_builds_it() -> None:
    """1,543,490,560 parameters in the modules of transformers 5.24, and as published."""
    found = Inventory(read(WHISPER))
    assert found.parameters_total + found.parameters_audio == 1_543_490_560
    names = {tensor.name for tensor in expand(found.spec)}
    assert "model.decoder.layers.31.encoder_attn.v_proj.bias" in names
    assert "model.encoder.layers.0.self_attn.k_proj.bias" not in names
    assert "proj_out.weight" in {
        t.name for t in expand(read(WHISPER | {"tie_word_embeddings": False}))
    }


def test_whisper_is_read_as_the_library_writes_it() -> None:
    """Keys that WhisperConfig writes into every file; the width is of a classifier's head alone."""
    written = {
        "apply_spec_augment": False, "classifier_proj_size": 256, "dropout": 0.0, "init_std": 0.02,
        "mask_feature_length": 10, "mask_time_min_masks": 2, "median_filter_width": 7,
        "scale_embedding": False, "tie_word_embeddings": True, "use_weighted_layer_sum": False,
    }  # fmt: skip
    assert expand_names(read(WHISPER | written)) == expand_names(read(WHISPER))


def expand_names(spec: ModelSpec) -> set[str]:
    return {tensor.name for tensor in expand(spec)}


def test_an_unknown_type_is_not_a_key_that_is_not_understood() -> None:
    config = {"model_type": "kosmos-2", "projector_hidden_act": "gelu"}
    with pytest.raises(UnknownNameError) as caught:
        builder_of("kosmos-2", "config.json", config, through=False)
    assert "keys not understood: 'projector_hidden_act'" in caught.value.message
    assert "'model_type'" not in caught.value.message


def test_a_plan_of_whisper_is_refused_with_the_reason() -> None:
    with pytest.raises(UnsupportedError, match="encoder's outputs") as caught:
        require_planned(read(WHISPER))
    assert caught.value.hint == "plan inventory counts it"
    assert "()" not in caught.value.message


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"model_type": "bert"}, "no decode steps"),
        ({"model_type": "xlm-roberta"}, "keeps no cache"),
        ({"model_type": "t5"}, "encoder's outputs"),
        ({"model_type": "speech_of_tomorrow", "is_encoder_decoder": True}, "encoder's outputs"),
    ],
)
def test_what_encoders_are_told(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(UnsupportedError, match=reason) as caught:
        builder_of(config["model_type"], "config.json", config, through=False)
    assert "plan inventory" in str(caught.value.hint)
    assert config["model_type"] in caught.value.message
