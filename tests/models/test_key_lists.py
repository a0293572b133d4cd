"""Keys: understood, harmless (named), and refused unless the user passes them over."""

import json
from pathlib import Path

import pytest

from planner import load_model
from planner.base.errors import DataError, InputError, UnsupportedError
from planner.models.configuration import spec_from_bytes
from planner.models.defaults import EVERY, harmless_keys
from planner.models.inventory import Inventory


def read(config, *ignore, quant=None, place="config.json"):
    return spec_from_bytes(
        json.dumps(config).encode(),
        place,
        model_id="x",
        public_name="x",
        source="x",
        source_kind="file",
        ignore_keys=ignore,
        quant_text=quant,
    )


def test_harmless_keys_are_named(tiny) -> None:
    found = read(
        tiny(
            "llama",
            rope_interleaved=False,
            is_llama_config=True,
            rms_norm_eps=1e-5,
            **{"transformers.js_config": {"dtype": "q4"}},
        )
    )
    assert found.harmless_keys == (
        "is_llama_config",
        "rms_norm_eps",
        "rope_interleaved",
        "transformers.js_config",
    )
    assert Inventory(found).to_dict()["harmless_keys"] == list(found.harmless_keys)
    assert found.rows == read(tiny("llama")).rows


@pytest.mark.parametrize(("family", "key", "good", "bad"), [
    ("llama", "lm_head_bias", False, True), ("llama", "add_cross_attention", False, True),
    ("llama", "is_encoder_decoder", False, True), ("deepseek_v3", "mlp_bias", False, True),
    ("llama", "full_attn_mod", 1, 2), ("llama", "pruned_heads", {}, {"0": [1]}),
    ("llama", "full_attn_mod", 1, True), ("deepseek_v32", "layer_types",
                                           ["indexed_attention"] * 3, ["sliding_attention"] * 3),
])  # fmt: skip
def test_some_keys_are_harmless_at_some_values_alone(tiny, family, key, good, bad) -> None:
    assert key in read(tiny(family, **{key: good})).harmless_keys
    with pytest.raises(DataError, match=f"keys not understood: '{key}'"):
        read(tiny(family, **{key: bad}))


def test_a_key_may_repeat_another_under_an_older_name(tiny) -> None:
    config = tiny("qwen3_moe")
    count = config.pop("num_experts")
    renamed = config | {"num_local_experts": count}
    assert read(renamed).rows == read(tiny("qwen3_moe")).rows
    with pytest.raises(DataError, match="num_local_experts is 8, and num_experts is 4"):
        read({**config, "num_experts": 4, "num_local_experts": 8})


def test_a_refused_key_is_passed_over_on_the_users_word_and_every_answer_says_so(tiny) -> None:
    config = tiny("llama", altup_lanes=4, gate_kind="x")
    with pytest.raises(DataError, match="altup_lanes") as caught:
        read(config)
    assert "--ignore-keys altup_lanes,gate_kind" in caught.value.hint
    with pytest.raises(DataError, match="gate_kind"):
        read(config, "altup_lanes")
    found = read(config, "altup_lanes", "gate_kind")
    assert found.ignored_keys == ("altup_lanes", "gate_kind")
    assert found.remarks[0][:2] == ("ignored keys", "altup_lanes, gate_kind")
    assert Inventory(found).to_dict()["ignored_keys"] == ["altup_lanes", "gate_kind"]


@pytest.mark.parametrize("key", ["hidden_size", "rms_norm_eps", "nobody"])
def test_a_key_that_is_understood_harmless_or_absent_is_not_passed_over(tiny, key) -> None:
    with pytest.raises(InputError, match=f"no key '{key}' to pass over"):
        read(tiny("llama", rms_norm_eps=1e-5), key)


def test_a_key_inside_is_meant_by_its_place_or_its_name(tmp_path: Path) -> None:
    import planner

    path = Path(planner.__file__).parent / "models" / "configs" / "qwen3.5-27b.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["text_config"]["gate_kind"] = "x"
    with pytest.raises(DataError, match="gate_kind") as caught:
        read(config)
    assert "--ignore-keys text_config.gate_kind" in caught.value.hint
    for word in ("gate_kind", "text_config.gate_kind"):
        assert read(config, word).ignored_keys == ("text_config.gate_kind",)


def test_models_that_are_no_configuration_have_no_keys_to_pass_over(tiny, build) -> None:
    with pytest.raises(InputError, match="bundled"):
        load_model("llama-3.1-8b", ignore_keys=["x"])
    with pytest.raises(InputError, match="read already"):
        load_model(build(tiny("llama")), ignore_keys=["x"])


def test_infinity_is_a_number_of_configurations(tiny) -> None:
    text = json.dumps(tiny("llama", rope_parameters={"limit": [0.0, float("inf")]}))
    assert "Infinity" in text
    assert read(json.loads(text)).rows == read(tiny("llama")).rows


def test_modelopts_keys_without_a_method_are_modelopts(tiny) -> None:
    stated = {
        "quant_algo": "FP8",
        "ignore": ["lm_head"],
        "kv_cache_scheme": "FP8",
        "producer": {"name": "modelopt", "version": "0.31.0"},
    }
    found = read(tiny("qwen3", quantization_config=stated))
    assert (found.quantization, found.kv_scheme) == ("fp8-tensor", "fp8")


def test_a_quantisation_beside_counts_and_one_that_only_the_name_says_is_told(
    tiny, tmp_path: Path
) -> None:
    folder = tmp_path / "Some-7B-NVFP4"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(tiny("llama")), encoding="utf-8")
    alone = load_model(str(folder))
    assert alone.quantization == "bf16"
    assert ("stored as", "bf16 throughout, and the name says NVFP4") in [
        note[:2] for note in alone.remarks
    ]
    beside = {"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4"}}
    (folder / "hf_quant_config.json").write_text(json.dumps(beside), encoding="utf-8")
    found = load_model(str(folder))
    assert found.quantization == "nvfp4"
    assert not any(note[0] == "stored as" for note in found.remarks)
    for name, text in (
        ("a_config.json", json.dumps(tiny("llama"))),
        ("a_hf_quant_config.json", json.dumps(beside)),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert load_model(str(tmp_path / "a_config.json")).quantization == "nvfp4"


def test_harmless_lists_and_understood_keys_do_not_contradict_each_other() -> None:
    every = harmless_keys(EVERY)
    assert {
        "hidden_size",
        "head_dim",
        "num_experts",
        "sliding_window",
        "layer_types",
        "tie_word_embeddings",
        "vocab_size",
        "attention_bias",
    }.isdisjoint(every)
    assert harmless_keys("glm_moe_dsa")["mlp_bias"] == [False]


def test_a_class_whose_head_is_unknown_is_refused_or_taken_on_the_users_word(tiny) -> None:
    config = tiny("llama", architectures=["LlamaForRewardModel"])
    with pytest.raises(UnsupportedError, match="'LlamaForRewardModel', whose head") as caught:
        read(config)
    assert "--ignore-keys architectures" in caught.value.hint
    assert read(config, "architectures").ignored_keys == ("architectures",)
