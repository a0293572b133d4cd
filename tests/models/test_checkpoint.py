"""A directory of weights: the configuration gives the structure, the headers the stored types."""

import json
from dataclasses import replace

import pytest
from support.released import released_plan

from planner.base.errors import DataError
from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory, expand


@pytest.fixture
def checkpoint(tmp_path, tiny, build, write_safetensors):
    """Write a tiny checkpoint after ``change`` has edited its {name: (dtype, shape)}."""

    def write(family="deepseek_v3", change=None, config=None):
        config = config or tiny(family)
        (tmp_path / "config.json").write_text(json.dumps(config))
        spec = build(config)
        tensors = {item.name: (item.dtype, item.shape) for item in expand(spec)}
        if change is not None:
            change(tensors)
        names = sorted(tensors)
        for number, part in enumerate((names[::2], names[1::2])):
            write_safetensors(
                tmp_path / f"model-{number}.safetensors", [(name, *tensors[name]) for name in part]
            )
        return tmp_path, spec

    return write


@pytest.mark.parametrize(
    "family",
    ["deepseek_v2", "deepseek_v3", "deepseek_v32", "llama", "qwen3", "qwen3_moe", "mixtral"],
)
def test_a_checkpoint_that_agrees_is_its_configuration(checkpoint, family):
    folder, spec = checkpoint(family)
    found = resolve_model(str(folder))
    assert found.rows == spec.rows
    assert found.quantization == spec.quantization
    assert (found.source_kind, found.source) == ("file", str(folder / "config.json"))
    assert len(found.config_sha256) == 64
    assert resolve_model(str(folder / "config.json")).rows == spec.rows


def test_stored_types_win_and_split_rows(checkpoint):
    def change(tensors):
        for name, (_, shape) in list(tensors.items()):
            if name.endswith("layers.1.self_attn.o_proj.weight"):
                tensors[name] = ("BF16", shape)
                del tensors[name.replace("weight", "weight_scale_inv")]
            elif name.endswith("layers.2.self_attn.o_proj.weight_scale_inv"):
                tensors[name] = ("BF16", shape)
            elif name == "model.norm.weight":
                tensors[name] = ("F32", shape)

    folder, spec = checkpoint(change=change)
    found = resolve_model(str(folder))
    out = [row for row in found.rows if row.kind == "attention-out"]
    assert [(row.layers, row.dtype, row.scale_dtype) for row in out] == [
        ((0,), "e4m3fn", "fp32"), ((1,), "bf16", None), ((2,), "e4m3fn", "bf16"),
    ]  # fmt: skip
    assert out[1].scale_name is None
    assert out[1].scale_shape is None
    assert next(row for row in found.rows if row.name == "model.norm.weight").dtype == "fp32"
    assert found.quantization == "fp8-block"
    assert Inventory(found).parameters_total == Inventory(spec).parameters_total
    assert Inventory(found).tensor_count == Inventory(spec).tensor_count - 1


def test_a_checkpoint_cast_to_plain_types_is_not_quantised(checkpoint):
    def cast(tensors):
        for name in [name for name in tensors if name.endswith("scale_inv")]:
            del tensors[name]
        for name, (dtype, shape) in tensors.items():
            tensors[name] = ("BF16" if dtype == "F8_E4M3" else dtype, shape)

    folder, spec = checkpoint(change=cast)
    found = resolve_model(str(folder))
    assert found.quantization == "bf16"
    assert found.rows == tuple(
        replace(row, dtype="fp32" if row.dtype == "fp32" else "bf16", scale_name=None,
                scale_shape=None, scale_dtype=None, scheme=None)
        for row in spec.rows
    )  # fmt: skip
    assert [(key, value) for key, value, _ in found.notes] == [
        ("stored as", "bf16 throughout, and config.json says fp8-block")
    ]
    assert resolve_model(str(checkpoint()[0])).notes == ()


def _drop(name):
    return lambda tensors: tensors.pop(name)


def _set(name, dtype, shape):
    return lambda tensors: tensors.__setitem__(name, (dtype, shape))


EXPERT = "model.layers.1.mlp.experts.3.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_drop("model.norm.weight"), "model.norm.weight is missing"),
        (_drop(EXPERT), f"{EXPERT} is missing"),
        (_drop(EXPERT + "_scale_inv"), f"{EXPERT}_scale_inv is missing"),
        (_set("model.norm.weight", "BF16", (255,)), "model.norm.weight is 255, not 256"),
        (_set(EXPERT, "F8_E4M3", (256, 128)), f"{EXPERT} is 256x128, not 128x256"),
        (_set(EXPERT, "U8", (128, 256)), f"{EXPERT} is U8, which is no weight format"),
        (_set(EXPERT, "BF16", (128, 256)), f"{EXPERT} is bf16 with fp32 scales, not e4m3fn"),
        (_set("model.norm.weight", "F8_E4M3", (256,)), "model.norm.weight is e4m3fn, which"),
        (_set("model.vision.weight", "BF16", (4,)), "'model.vision.weight' is not in the"),
    ],
)
def test_differences_name_the_tensor(checkpoint, change, reason):
    folder, _ = checkpoint(change=change)
    with pytest.raises(DataError) as caught:
        resolve_model(str(folder))
    assert reason in caught.value.message
    assert str(folder) in caught.value.message


def test_only_the_first_differences_are_named(checkpoint):
    folder, _ = checkpoint(change=lambda tensors: tensors.clear() or tensors.update(
        {"a": ("BF16", (1,)), "b": ("BF16", (1,))}))  # fmt: skip
    with pytest.raises(DataError) as caught:
        resolve_model(str(folder))
    assert caught.value.message.count("is missing") == 4


def test_experts_of_one_layer_share_one_type(checkpoint):
    def change(tensors):
        tensors[EXPERT] = ("BF16", (128, 256))
        del tensors[EXPERT + "_scale_inv"]

    folder, _ = checkpoint(change=change)
    with pytest.raises(DataError, match="the experts of layer 1 differ"):
        resolve_model(str(folder))


def test_missing_prediction_layers_are_explained(checkpoint):
    def change(tensors):
        for name in [name for name in tensors if name.startswith("model.layers.3.")]:
            del tensors[name]

    folder, _ = checkpoint(change=change)
    with pytest.raises(DataError) as caught:
        resolve_model(str(folder))
    assert "num_nextn_predict_layers 0" in caught.value.hint


def test_headers_without_a_configuration_are_described(checkpoint):
    folder, spec = checkpoint()
    (folder / "config.json").unlink()
    with pytest.raises(DataError) as caught:
        resolve_model(str(folder))
    message = caught.value.message
    assert f"{Inventory(spec).tensor_count:,} tensors in 2 files" in message
    assert f"{Inventory(spec).payload_bytes:,} bytes" in message
    assert "F8_E4M3" in message


def test_a_second_quantisation_that_contradicts_the_first_is_refused(checkpoint):
    folder, _ = checkpoint("deepseek_v3")
    second = {"quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}}
    (folder / "hf_quant_config.json").write_text(json.dumps(second))
    with pytest.raises(DataError, match=r"quantization_config is fp8, and hf_quant_config\.json"):
        resolve_model(str(folder))
    (folder / "hf_quant_config.json").write_text("{}")
    with pytest.raises(DataError, match="quantization is missing"):
        resolve_model(str(folder))


INT4 = {
    "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
    "config_groups": {"group_0": {"targets": ["Linear"], "weights": {
        "num_bits": 4, "type": "int", "strategy": "group", "group_size": 32}}},
}  # fmt: skip
PACKED = {
    "int4": INT4,
    "gptq": {"quant_method": "gptq", "bits": 4, "group_size": 32},
    "awq": {"quant_method": "awq", "bits": 4, "group_size": 32},
    "nvfp4": {"quant_method": "modelopt", "quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8",
              "exclude_modules": ["lm_head"]},
    "fp8": {"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["lm_head"]},
}  # fmt: skip


@pytest.mark.parametrize("method", PACKED)
def test_a_packed_checkpoint_that_agrees_is_its_configuration(checkpoint, tiny, method):
    config = tiny("llama", quantization_config=PACKED[method])
    folder, spec = checkpoint(config=config)
    found = resolve_model(str(folder))
    assert found.rows == spec.rows
    assert found.quantization == spec.quantization != "bf16"
    assert released_plan(found) == released_plan(spec)


@pytest.mark.parametrize("method", PACKED)
def test_a_layer_left_plain_leaves_the_plan(checkpoint, tiny, method):
    def change(tensors):
        for name in [name for name in tensors if "layers.1.mlp.down_proj" in name]:
            del tensors[name]
        tensors["model.layers.1.mlp.down_proj.weight"] = ("F16", (64, 160))

    config = tiny("llama", quantization_config=PACKED[method])
    folder, spec = checkpoint(change=change, config=config)
    plan = {kind: layers for kind, layers, _ in released_plan(resolve_model(str(folder)))}
    assert plan["mlp-down"] == (0, 2)
    assert plan["mlp-gate-up"] == (0, 1, 2)
    assert Inventory(resolve_model(str(folder))).parameters_total == (
        Inventory(spec).parameters_total)  # fmt: skip


def test_tensors_that_files_may_lack(checkpoint, tiny):
    def change(tensors):
        for name in [name for name in tensors if name.endswith(("input_scale", "k_scale"))]:
            del tensors[name]

    folder, spec = checkpoint(change=change, config=tiny(
        "llama", quantization_config=PACKED["nvfp4"]))  # fmt: skip
    missing = Inventory(spec).tensor_count - Inventory(resolve_model(str(folder))).tensor_count
    assert missing == 3 * 7 + 3


@pytest.mark.parametrize(
    ("name", "stored", "reason"),
    [
        ("mlp.up_proj.weight_packed", ("I32", (160, 16)), "is 160x16, not 160x8"),
        ("mlp.up_proj.weight_packed", ("U8", (160, 8)), "is U8, not I32"),
        ("mlp.up_proj.weight_scale", ("BF16", (160, 1)), "is 160x1, not 160x2"),
        ("mlp.up_proj.weight_shape", None, "mlp.up_proj.weight_shape is missing"),
    ],
)
def test_packed_tensors_that_differ_are_named(checkpoint, tiny, name, stored, reason):
    def change(tensors):
        tensors.pop("model.layers.0." + name)
        if stored is not None:
            tensors["model.layers.0." + name] = stored

    folder, _ = checkpoint(change=change, config=tiny("llama", quantization_config=INT4))
    with pytest.raises(DataError, match=reason):
        resolve_model(str(folder))
