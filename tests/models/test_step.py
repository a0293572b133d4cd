"""Step-3.5 and Step-3.7: what windowed layers have, which layers have experts, and the encoder."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.recurrent_configs import RELEASES

from planner.base.errors import DataError
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory, expand
from planner.models.spec import ModelSpec

FLASH = RELEASES["step_3_5_flash"]
NEAR = [n for n in range(45) if n % 4]


def read(config: dict[str, Any]) -> ModelSpec:
    return spec_from_bytes(json.dumps(config).encode(), "config.json", model_id="s",
                           public_name="s", source="here", source_kind="file")  # fmt: skip


def total(config: dict[str, Any]) -> int:
    return Inventory(read(config)).parameters_total


def without(*keys: str, **more: Any) -> dict[str, Any]:
    return {key: value for key, value in FLASH.items() if key not in keys} | more


def test_windowed_layers_may_be_stated_layer_by_layer() -> None:
    """As today's transformers writes it: 96 heads, by number of layer, are those of
    attention_other_setting; 64 are fewer by 34 layers × 32 heads × (128 queries and outputs
    each, and a gate) × 4,096."""
    layered = {str(n): {"num_attention_heads": 96} for n in NEAR}
    plain = without("attention_other_setting")
    assert total(plain | {"per_layer_config": layered}) == total(FLASH)
    assert total(plain | {"num_sliding_attention_heads": 96}) == total(FLASH)
    assert total(FLASH) - total(plain) == len(NEAR) * 32 * 257 * 4096
    fewer = {str(n): {"num_attention_heads": 64} for n in NEAR}
    assert total(FLASH | {"per_layer_config": fewer}) == total(plain)


@pytest.mark.parametrize(("changes", "message"), [
    ({"per_layer_config": {"0": {"num_attention_heads": 96}}}, "not about the windowed layers"),
    ({"per_layer_config": {"9" * 5000: {"head_dim": 1}}}, "not about the windowed layers"),
    ({"per_layer_config": {str(n): {"num_attention_heads": 64 + n} for n in NEAR}}, "differs"),
    ({"per_layer_config": {str(n): {"intermediate_size": 1} for n in NEAR}}, "intermediate_size"),
    ({"moe_layers_enum": "3,4,x"}, "no list of layer numbers"),
    ({"moe_layers_enum": 7.5}, "no list of layer numbers"),
    ({"num_key_value_heads": 4}, "num_attention_groups is 8"),
])  # fmt: skip
def test_what_is_not_understood_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(FLASH | changes)


def test_groups_are_another_name_of_key_heads() -> None:
    other = FLASH["attention_other_setting"] | {"num_attention_groups": 4}
    spec = read(FLASH | {"num_attention_groups": 4, "attention_other_setting": other})
    assert {a.kv_heads for a in spec.attention} == {4}


def test_experts_begin_where_the_class_lets_them() -> None:
    """Three dense layers where nothing is stated, a list where one is, by words or numbers."""
    assert read(without("moe_layers_enum")).experts.layers == tuple(range(3, 45))
    assert read(FLASH | {"moe_layers_enum": "44"}).experts.layers == (44,)
    assert read(FLASH | {"moe_layers_enum": [43, 44]}).experts.layers == (43, 44)
    words = ["dense"] * 40 + ["sparse"] * 5
    listed = without("moe_layers_enum", mlp_layer_types=words)
    assert read(listed).experts.layers == (40, 41, 42, 43, 44)


def test_prediction_layers_are_listed_behind_the_others() -> None:
    behind = FLASH["layer_types"] + ["full_attention"] * 3
    spec = read(FLASH | {"layer_types": behind, "num_nextn_predict_layers": 3})
    assert total(FLASH) == Inventory(spec).parameters_total
    assert spec.mtp_layers == 3


def test_prediction_layers_may_have_a_list_of_their_own() -> None:
    """As transformers writes a release anew: windowed ones have the heads of windowed layers."""
    kinds = FLASH["layer_types"][:45]
    windowed = ["sliding_attention"] * 3
    stated = {"num_nextn_predict_layers": 3, "layer_types": kinds}
    behind = read(FLASH | stated | {"layer_types": kinds + windowed})
    apart = read(
        FLASH | stated | {"mtp_layer_types": windowed, "mtp_mlp_layer_types": ["dense"] * 3}
    )
    assert apart.rows == behind.rows
    assert apart.rows != read(FLASH | stated).rows
    assert not any(note[0] == "prediction layers" for note in apart.notes)
    assert any(note[0] == "prediction layers" for note in read(FLASH | stated).notes)
    read(FLASH | {"num_nextn_predict_layers": 0, "mtp_layer_types": windowed})


@pytest.mark.parametrize("changes", [
    {"mtp_layer_types": ["full_attention"]}, {"mtp_mlp_layer_types": ["dense", "sparse", "dense"]},
    {"mlp_layer_types": ["dense"] * 3 + ["sparse"] * 45},
])  # fmt: skip
def test_prediction_layers_of_another_kind_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="mtp_"):
        read(FLASH | {"num_nextn_predict_layers": 3} | changes)


@pytest.mark.parametrize(("seeing", "size"), [
    ({}, 1_981_014_784),
    ({"width": 1536, "layers": 47, "heads": 16, "model_type": "perception_encoder",
      "image_size": 728, "patch_size": 14, "mlp_ratio": 8960 / 1536, "use_ln_pre": True,
      "ls_init_value": 0.1, "ues_cls_token": False, "output_dim": None}, 1_981_014_784),
    ({"hidden_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 112,
      "mlp_ratio": 2.5}, 4_103_744),
])  # fmt: skip
def test_the_encoder_has_the_tensors_that_transformers_builds(
    seeing: dict[str, Any], size: int
) -> None:
    """Counts of Step3p7VisionModel and its projector on the meta device, transformers 5.24."""
    inner = {key: value for key, value in FLASH.items() if key != "torch_dtype"}
    spec = read(
        {
            "model_type": "step3p7",
            "torch_dtype": "bfloat16",
            "text_config": inner,
            "vision_config": seeing,
        }
    )
    counts = Inventory(spec)
    assert counts.parameters_vision == size
    assert spec.not_counted == ()
    names = {tensor.name for tensor in expand(spec)}
    assert "vision_model.transformer.resblocks.2.attn.in_proj_weight" in names
    assert "vit_large_projector.weight" in names
    biased = read(
        {
            "model_type": "step3p7",
            "torch_dtype": "bfloat16",
            "text_config": inner,
            "vision_config": seeing,
            "projector_bias": True,
        }
    )
    assert Inventory(biased).parameters_vision == size + 4096


def test_an_image_is_169_tokens() -> None:
    inner = {key: value for key, value in FLASH.items() if key != "torch_dtype"}
    seen = read(
        {
            "model_type": "step3p7",
            "torch_dtype": "bfloat16",
            "text_config": inner,
            "vision_config": {},
        }
    ).encoder
    assert seen is not None
    assert (seen.patches, seen.tokens, seen.merge) == (52 * 52, 13 * 13, 16)


@pytest.mark.parametrize(("seeing", "message"), [
    ({"use_cls_token": True}, "use_cls_token is true"),
    ({"mlp_ratio": "wide"}, "a ratio of widths"),
    ({"mlp_ratio": 1e12}, "a ratio of widths"),
    ({"intermediate_size": 77}, "mlp_ratio gives 8960"),
    ({"num_attention_heads": 7}, "must divide 1536"),
    ({"image_size": 13}, "a patch has 14 pixels a side"),
    ({"registers": 4}, "keys not understood: 'registers'"),
])  # fmt: skip
def test_other_encoders_are_refused(seeing: dict[str, Any], message: str) -> None:
    inner = {key: value for key, value in FLASH.items() if key != "torch_dtype"}
    with pytest.raises(DataError, match=message):
        read(
            {
                "model_type": "step3p7",
                "torch_dtype": "bfloat16",
                "text_config": inner,
                "vision_config": seeing,
            }
        )
