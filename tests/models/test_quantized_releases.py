"""Quantised releases: which modules they name, how their files lie, and real plans reproduced."""

import json

import pytest
from support.released import released_plan

from planner.base.errors import DataError, UnsupportedError
from planner.formats.schemes import SCHEMES
from planner.models.catalog import model_ids, resolve_model
from planner.models.configuration import spec_from_bytes
from planner.models.inventory import Inventory, expand, row_bytes
from planner.models.quantization.plan import wildcards

MAIN = tuple(range(61))
SPARSE = tuple(range(3, 61))


def _spec(config, quant=None):
    return spec_from_bytes(
        json.dumps(config).encode(), "config.json", model_id="x", public_name="x", source="test",
        source_kind="file", quant_text=None if quant is None else json.dumps(quant).encode(),
    )  # fmt: skip


def _tensors(spec):
    return {item.name: (item.dtype, item.shape) for item in expand(spec)}


@pytest.mark.parametrize("model_id", model_ids())
def test_schemes_of_releases_are_in_the_catalogue(model_id):
    spec = resolve_model(model_id)
    plan = released_plan(spec)
    assert {scheme for _, _, scheme in plan} <= set(SCHEMES)
    assert spec.quantization in SCHEMES
    assert (spec.quantization in {scheme for _, _, scheme in plan}) == bool(plan)
    assert len({(kind, scheme) for kind, _, scheme in plan}) == len(plan)
    everything = sum(row_bytes(row) * max(1, len(row.layers)) for row in spec.rows)
    assert everything == Inventory(spec).payload_bytes


def test_the_plan_of_deepseek_v31_nvfp4():
    spec = resolve_model("deepseek-v3.1-nvfp4")
    assert set(released_plan(spec)) == {
        ("attention-out", MAIN, "nvfp4"), ("mlp-gate-up", (0, 1, 2), "nvfp4"),
        ("mlp-down", (0, 1, 2), "nvfp4"), ("experts-gate-up", SPARSE, "nvfp4"),
        ("experts-down", SPARSE, "nvfp4"), ("shared-gate-up", SPARSE, "nvfp4"),
        ("shared-down", SPARSE, "nvfp4"),
    }  # fmt: skip
    assert (spec.quantization, spec.kv_scheme) == ("nvfp4", "fp8")
    tensors = _tensors(spec)
    prefix = "model.layers.60.mlp.experts.255.down_proj."
    assert tensors[prefix + "weight"] == ("U8", (7168, 1024))
    assert tensors[prefix + "weight_scale"] == ("F8_E4M3", (7168, 128))
    assert tensors[prefix + "weight_scale_2"] == ("F32", ())
    assert tensors[prefix + "input_scale"] == ("F32", ())
    assert tensors["model.layers.61.mlp.experts.0.down_proj.weight"] == ("BF16", (7168, 2048))
    assert tensors["model.layers.7.self_attn.q_a_proj.weight"] == ("BF16", (1536, 7168))
    assert tensors["lm_head.weight"] == ("BF16", (129280, 7168))


def test_the_plan_of_deepseek_v32_nvfp4_leaves_the_indexer():
    plan = released_plan(resolve_model("deepseek-v3.2-nvfp4"))
    assert set(plan) == set(released_plan(resolve_model("deepseek-v3.1-nvfp4")))


def test_the_plans_of_deepseek_v4_change_the_experts_only(facts):
    pro = resolve_model("deepseek-v4-pro-nvfp4")
    config = json.loads((facts / "models" / "deepseek-v4-flash.json").read_text())
    beside = facts / "models" / "deepseek-v4-flash-nvfp4.hf_quant_config.json"
    flash = _spec(config, json.loads(beside.read_text()))
    for spec, layers in ((pro, MAIN), (flash, tuple(range(43)))):
        plan = {(kind, scheme): found for kind, found, scheme in released_plan(spec)}
        assert plan["experts-gate-up", "nvfp4"] == plan["experts-down", "nvfp4"] == layers
        assert plan["mla-q", "fp8-block-ue8m0"] == layers
        assert plan["shared-down", "fp8-block-ue8m0"] == layers
        assert plan["mtp", "mxfp4-w4a8"] == (spec.layers,)
        assert plan["mtp", "fp8-block-ue8m0"] == (spec.layers,)
        assert {kind for kind, scheme in plan if scheme == "nvfp4"} == {
            "experts-gate-up", "experts-down"}  # fmt: skip
        assert spec.kv_scheme == ""


def test_the_plan_of_kimi_nvfp4(facts):
    config = json.loads((facts / "models" / "kimi-k2.5.json").read_text())
    del config["text_config"]["quantization_config"]
    beside = facts / "models" / "kimi-k2.6-nvfp4.hf_quant_config.json"
    spec = _spec(config, json.loads(beside.read_text()))
    sparse = tuple(range(1, 61))
    assert released_plan(spec) == (
        ("experts-gate-up", sparse, "nvfp4"), ("experts-down", sparse, "nvfp4"),
    )  # fmt: skip
    assert spec.kv_scheme == "fp8"


def test_the_plan_of_qwen3_nvfp4(facts):
    config = json.loads((facts / "models" / "qwen3-235b-a22b.json").read_text())
    beside = facts / "models" / "qwen3-235b-a22b-nvfp4.hf_quant_config.json"
    spec = _spec(config, json.loads(beside.read_text()))
    every = tuple(range(94))
    assert released_plan(spec) == tuple(
        (kind, every, "nvfp4")
        for kind in ("attention-qkv", "attention-out", "experts-gate-up", "experts-down")
    )
    assert _tensors(spec)["model.layers.93.self_attn.k_proj.k_scale"] == ("F32", ())


def test_the_plan_of_llama_fp8(facts):
    config = json.loads((facts / "models" / "llama-3.1-70b.json").read_text())
    beside = facts / "models" / "llama-3.1-70b-instruct-fp8.hf_quant_config.json"
    spec = _spec(config, json.loads(beside.read_text()))
    every = tuple(range(80))
    assert released_plan(spec) == tuple(
        (kind, every, "fp8-tensor")
        for kind in ("attention-qkv", "attention-out", "mlp-gate-up", "mlp-down")
    )
    tensors = _tensors(spec)
    assert tensors["model.layers.3.mlp.up_proj.weight"] == ("F8_E4M3", (28672, 8192))
    assert tensors["model.layers.3.mlp.up_proj.weight_scale"] == ("F32", ())
    matrices = 70_553_706_496 - 2 * 1_050_673_152 - 161 * 8192
    # One byte an element, two scales a matrix, one a key and one a value projection.
    small = 80 * (7 * 2 + 2) * 4
    assert Inventory(spec).payload_bytes == matrices + 2 * (2 * 1_050_673_152 + 161 * 8192) + small


def test_a_mixed_plan_by_modules(tiny):
    config = tiny("llama")
    listed = {
        "model.layers.0.self_attn.q_proj": {"quant_algo": "FP8"},
        "model.layers.1.mlp": {"quant_algo": "NVFP4", "group_size": 16},
    }
    quant = {"quantization": {"quant_algo": "MIXED_PRECISION", "quantized_layers": listed}}
    assert released_plan(_spec(config, quant)) == (
        ("attention-qkv", (0,), "fp8-tensor"), ("mlp-gate-up", (1,), "nvfp4"),
        ("mlp-down", (1,), "nvfp4"),
    )  # fmt: skip
    assert released_plan(_spec(config | {
        "quantization_config": quant["quantization"] | {"quant_method": "modelopt"}
    })) == released_plan(_spec(config, quant))  # fmt: skip


def test_kimi_k25_is_int4_in_its_experts():
    spec = resolve_model("kimi-k2.5")
    assert released_plan(spec) == (
        ("experts-gate-up", tuple(range(1, 61)), "int4-w4a16-g32"),
        ("experts-down", tuple(range(1, 61)), "int4-w4a16-g32"),
    )
    prefix = "language_model.model.layers.1.mlp.experts.0.gate_proj."
    tensors = _tensors(spec)
    assert tensors[prefix + "weight_packed"] == ("I32", (2048, 896))
    assert tensors[prefix + "weight_scale"] == ("BF16", (2048, 224))
    assert prefix + "weight" not in tensors


def test_gpt_oss_stores_stacks_of_blocks():
    tensors = _tensors(resolve_model("gpt-oss-20b"))
    assert tensors["model.layers.0.mlp.experts.gate_up_proj_blocks"] == ("U8", (32, 5760, 90, 16))
    assert tensors["model.layers.0.mlp.experts.gate_up_proj_scales"] == ("U8", (32, 5760, 90))
    assert tensors["model.layers.0.mlp.experts.down_proj_bias"] == ("BF16", (32, 2880))
    assert len(tensors) == 459


@pytest.mark.parametrize("model_id", ["minimax-m2", "qwen3-30b-a3b-fp8", "glm-5-fp8"])
def test_excluded_modules_stay_plain(model_id):
    spec = resolve_model(model_id)
    for row in spec.rows:
        plain = row.kind in ("router", "norm", "embedding", "head") or row.name.endswith("_proj")
        assert (row.scheme is None) == (plain or not row.quantisable), row.name


GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}


def test_gptq_and_awq_layouts(tiny):
    gptq = _tensors(_spec(tiny("llama", quantization_config=GPTQ)))
    name = "model.layers.0.mlp.gate_proj."
    assert {key.removeprefix(name): value for key, value in gptq.items()
            if key.startswith(name)} == {
        "qweight": ("I32", (8, 160)), "scales": ("F16", (2, 160)), "qzeros": ("I32", (2, 20)),
        "g_idx": ("I32", (64,)),
    }  # fmt: skip
    awq = _tensors(_spec(tiny("llama", quantization_config=AWQ)))
    assert {key.removeprefix(name): value for key, value in awq.items()
            if key.startswith(name)} == {
        "qweight": ("I32", (64, 20)), "scales": ("F16", (2, 160)), "qzeros": ("I32", (2, 20)),
    }  # fmt: skip
    assert awq["lm_head.weight"] == ("BF16", (100, 64))


def test_gptq_rules_by_module(tiny):
    """The first rule that matches from the start of a name decides; without a mark it overrides."""
    dynamic = {
        r"-:model\.layers\.0\.mlp\..*": {}, r"model\.layers\..*down_proj$": {"group_size": -1,
                                                                            "bits": 8},
        r"+:.*\.mlp\..*": {"group_size": 32, "bits": 4, "sym": True}, "-:layers": {},
    }  # fmt: skip
    spec = _spec(tiny("llama", vocab_size=128, quantization_config=GPTQ | {
        "lm_head": True, "group_size": -1, "bits": 8, "dynamic": dynamic}))  # fmt: skip
    found = {
        row.name.format(layer=layer): row.scheme
        for row in spec.rows
        for layer in row.layers or (0,)
    }
    assert found["model.layers.0.mlp.down_proj.weight"] is None
    assert found["model.layers.1.mlp.down_proj.weight"] == "int8-w8a16"
    assert found["model.layers.1.mlp.up_proj.weight"] == "int4-w4a16-g32"
    assert found["model.layers.1.self_attn.o_proj.weight"] == "int8-w8a16"
    assert found["lm_head.weight"] == "int8-w8a16"
    assert found["model.embed_tokens.weight"] is None


def _compressed(weights, inputs=None, **more):
    group = {"targets": ["Linear"], "weights": weights, "input_activations": inputs}
    return {"quant_method": "compressed-tensors", "config_groups": {"group_0": group},
            "ignore": ["lm_head"]} | more  # fmt: skip


def test_tables_and_gates_are_quantised_by_name_alone(tiny):
    """A class or a default means ordinary linear layers; the class Embedding means tables."""
    linear = {"targets": ["Linear"], "weights": INT8W, "input_activations": None}
    named = linear | {"targets": ["Embedding", r"re:model\.layers\.1\.mlp\.gate$"]}
    found = {}
    for targets in ({"group_0": linear}, {"group_0": named, "group_1": linear}):
        spec = _spec(tiny("qwen3_moe", quantization_config={
            "quant_method": "compressed-tensors", "format": "pack-quantized", "ignore": ["lm_head"],
            "config_groups": targets}))  # fmt: skip
        found[len(targets)] = {
            row.name.format(layer=layer, expert=0): row.scheme
            for row in spec.rows
            for layer in row.layers or (0,)
        }
    gates = [f"model.layers.{layer}.mlp.gate.weight" for layer in (0, 1)]
    assert [found[1][name] for name in gates] == [None, None]
    assert [found[2][name] for name in gates] == [None, "int8-w8a16"]
    assert found[1]["model.embed_tokens.weight"] is None
    assert found[2]["model.embed_tokens.weight"] == "int8-w8a16"
    for one in found.values():
        assert one["model.layers.1.self_attn.o_proj.weight"] == "int8-w8a16"


INT8W = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
FLOAT8 = {"num_bits": 8, "type": "float", "symmetric": True, "dynamic": False}
TOKEN = FLOAT8 | {"strategy": "token", "dynamic": True}
FLOAT4 = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
INT4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 32, "symmetric": True}
INT8 = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}


@pytest.mark.parametrize(
    ("config", "scheme", "tensors"),
    [
        (_compressed(FLOAT8 | {"strategy": "channel"}, TOKEN, format="float-quantized"),
         "fp8-channel", {"weight": ("F8_E4M3", (160, 64)), "weight_scale": ("BF16", (160, 1))}),
        (_compressed(FLOAT8 | {"strategy": "tensor"}, FLOAT8, format="float-quantized"),
         "fp8-tensor", {"weight": ("F8_E4M3", (160, 64)), "weight_scale": ("BF16", (1,)),
                        "input_scale": ("BF16", (1,))}),
        (_compressed(INT8, INT8 | {"strategy": "token", "dynamic": True},
                     format="int-quantized"),
         "int8-w8a8", {"weight": ("I8", (160, 64)), "weight_scale": ("BF16", (160, 1))}),
        (_compressed(INT4, format="pack-quantized"), "int4-w4a16-g32",
         {"weight_packed": ("I32", (160, 8)), "weight_scale": ("BF16", (160, 2)),
          "weight_shape": ("I64", (2,))}),
        (_compressed(INT4 | {"symmetric": False}, format="pack-quantized"), "int4-w4a16-g32",
         {"weight_packed": ("I32", (160, 8)), "weight_scale": ("BF16", (160, 2)),
          "weight_shape": ("I64", (2,)), "weight_zero_point": ("I32", (20, 2))}),
        (_compressed(FLOAT4, FLOAT4 | {"dynamic": "local"}, format="nvfp4-pack-quantized"),
         "nvfp4", {"weight_packed": ("U8", (160, 32)), "weight_scale": ("F8_E4M3", (160, 4)),
                   "weight_global_scale": ("F32", (1,)), "input_global_scale": ("F32", (1,))}),
        (_compressed(FLOAT4, format="nvfp4-pack-quantized"), "nvfp4-w4a16",
         {"weight_packed": ("U8", (160, 32)), "weight_scale": ("F8_E4M3", (160, 4)),
          "weight_global_scale": ("F32", (1,))}),
    ],
)  # fmt: skip
def test_compressed_tensors_layouts(tiny, config, scheme, tensors):
    spec = _spec(tiny("llama", quantization_config=config))
    assert {name for _, _, name in released_plan(spec)} == {scheme}
    name = "model.layers.1.mlp.gate_proj."
    found = {key.removeprefix(name): value for key, value in _tensors(spec).items()
             if key.startswith(name)}  # fmt: skip
    assert found == tensors


def test_groups_with_targets_by_expression(tiny):
    config = _compressed(INT4, format="mixed-precision")
    config["config_groups"] = {
        "attention": {"targets": ["re:.*self_attn.*"], "format": "float-quantized",
                      "weights": FLOAT8 | {"strategy": "channel"}, "input_activations": TOKEN},
        "rest": {"targets": ["Linear"], "format": "pack-quantized", "weights": INT4},
    }  # fmt: skip
    config["ignore"].append("model.layers.2.mlp.down_proj")
    plan = released_plan(_spec(tiny("llama", quantization_config=config)))
    assert plan == (
        ("attention-qkv", (0, 1, 2), "fp8-channel"), ("attention-out", (0, 1, 2), "fp8-channel"),
        ("mlp-gate-up", (0, 1, 2), "int4-w4a16-g32"), ("mlp-down", (0, 1), "int4-w4a16-g32"),
    )  # fmt: skip


def test_fp8_by_tensor(tiny):
    config = {"quant_method": "fp8", "activation_scheme": "static",
              "ignored_layers": ["model.layers.0"]}  # fmt: skip
    spec = _spec(tiny("llama", quantization_config=config))
    assert released_plan(spec)[0] == ("attention-qkv", (1, 2), "fp8-tensor")
    tensors = _tensors(spec)
    assert tensors["model.layers.1.self_attn.o_proj.input_scale"] == ("F32", ())
    assert tensors["model.layers.0.self_attn.o_proj.weight"] == ("BF16", (64, 64))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (GPTQ | {"group_size": 48}, "4-bit weights in groups of 48"),
        (GPTQ | {"bits": 5}, "5-bit weights"),
        (GPTQ | {"dynamic": {"+:.*up_proj": {"bits": 6}}}, "6-bit weights in groups of 32"),
        (GPTQ | {"dynamic": {"-:((a+)+)+$": {}}}, "cost"),
        (GPTQ | {"dynamic": {"+:.*up_proj": {"rank": 4}}}, "rank"),
        (GPTQ | {"dynamic": {"+:.*up_proj": 4}}, "object"),
        (GPTQ | {"modules_in_block_to_quantize": [["mlp.up_proj"]]}, "one by one"),
        (GPTQ | {"colour": 1}, "keys not understood: 'colour'"),
        (AWQ | {"version": "marlin"}, "version is 'marlin'"),
        (AWQ | {"group_size": 128}, "not whole groups of 128"),
        ({"quant_method": "bitsandbytes"}, "load_in_4bit is False, and load_in_8bit too"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf5"},
         "bnb_4bit_quant_type is 'nf5'"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True,
          "bnb_4bit_quant_storage": "bfloat16"}, "stored as bfloat16"),
        ({"quant_method": "auto-round", "bits": 4, "group_size": 32,
          "packing_format": "auto_round:llm_compressor"}, "packing_format"),
        (_compressed(INT4 | {"num_bits": 3}, format="pack-quantized"), "num_bits is 3"),
        (_compressed(INT4, format="marlin-24"), "format is 'marlin-24'"),
        (_compressed(FLOAT8 | {"strategy": "channel"}, format="float-quantized"),
         "without 8-bit activations"),
        (_compressed(INT4, format="pack-quantized") | {"sparsity_config": {"format": "x"}},
         "sparse"),
        (_compressed(INT4, format="pack-quantized") | {"ignore": ["re:(.*)*"]}, "repeats too"),
        ({"quant_method": "modelopt", "quant_algo": "W4A8_AWQ"}, "quant_algo is 'W4A8_AWQ'"),
        ({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}, "contradict"),
        ({"quant_method": "modelopt", "quant_algo": "FP8", "exclude_modules": ["*"]},
         "covers no module"),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["a*b*c*d*e*f"]}, "wildcards"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(tiny, config, reason):
    with pytest.raises((DataError, UnsupportedError)) as caught:
        _spec(tiny("llama", quantization_config=config))
    assert reason in caught.value.message
    assert len(caught.value.message) < 400


def test_stacked_experts_are_not_guessed(facts):
    config = json.loads((facts / "models" / "qwen3.5-35b-a3b.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [128, 128]}
    with pytest.raises(UnsupportedError, match="one tensor"):
        _spec(config)


@pytest.mark.parametrize(
    ("listed", "module", "covered"),
    [
        (["gate"], "model.layers.0.mlp.gate", True),
        (["gate"], "model.layers.0.mlp.gate_proj", False),
        (["model.layers.1"], "model.layers.1.mlp.up_proj", True),
        (["model.layers.1"], "model.layers.10.mlp.up_proj", False),
        (["model.layers.*.self_attn"], "model.layers.7.self_attn.q_proj", True),
        (["model.layers.61*"], "model.layers.61.mlp", True),
        (["*.attn.*"], "layers.3.attn.wq_a", True),
        (["head"], "lm_head", False),
        (["re:.*mlp\\.(gate|up)_proj.*"], "model.layers.0.mlp.up_proj", True),
        (["re:mlp"], "model.mlp", False),
    ],
)  # fmt: skip
def test_names_of_modules(listed, module, covered):
    assert wildcards(listed, "test").covers(module) is covered


@pytest.mark.parametrize("model_id", ["gpt-oss-20b", "deepseek-v4-flash-fp8"])
def test_parameters_do_not_depend_on_the_format(model_id):
    inventory = Inventory(resolve_model(model_id))
    assert inventory.parameters_total in (20_914_757_184, 284_334_567_511)
