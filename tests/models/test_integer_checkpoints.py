"""bitsandbytes, AutoRound, GPTQ of 2, 3 and 8 bits, AWQ of any group, a tied model's stored head:
configurations, names and shapes of files, whole checkpoints."""

import json
from pathlib import Path

import pytest

import planner
from planner.base.errors import DataError, UnsupportedError
from planner.formats.schemes import SCHEMES, in_catalogue_order, scheme, scheme_ids
from planner.formats.sizes import tensor_bytes
from planner.lookup import load_device
from planner.models.catalog import resolve_model
from planner.models.inventory import Inventory, expand
from planner.throughput.kernels import kernel
from tests.support.theory import estimate

NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "load_in_8bit": False,
    "_load_in_4bit": True,
    "_load_in_8bit": False,
    "bnb_4bit_compute_dtype": "bfloat16",
    "bnb_4bit_quant_storage": "uint8",
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "llm_int8_enable_fp32_cpu_offload": False,
    "llm_int8_has_fp16_weight": False,
    "llm_int8_skip_modules": None,
    "llm_int8_threshold": 6.0,
}
INT8 = {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_threshold": 6.0}
ROUND = {
    "quant_method": "auto-round",
    "bits": 4,
    "group_size": 32,
    "sym": True,
    "iters": 200,
    "data_type": "int",
    "packing_format": "auto_round:auto_gptq",
    "autoround_version": "0.5",
    "extra_config": {
        "model.layers.1.mlp.up_proj": {"bits": 8, "group_size": 32},
        "model.layers.2.mlp.up_proj": {"bits": 16},
    },
}
BITS = {"F32": 4, "BF16": 2, "F16": 2, "U8": 1, "I8": 1, "I32": 4}
CONFIGS = Path(planner.__file__).parent / "models" / "configs"
UP = "model.layers.1.mlp.up_proj."


def tensors(spec):
    return {item.name: (item.dtype, item.shape) for item in expand(spec)}


@pytest.fixture
def wide(tiny, build):
    """A small Llama whose sizes hold every group, quantised."""

    def make(quantisation, **changes):
        return build(
            tiny(
                "llama",
                hidden_size=256,
                intermediate_size=512,
                num_attention_heads=4,
                quantization_config=quantisation,
                **changes,
            )
        )

    return make


def test_nf4_lies_as_bitsandbytes_stores_it(wide):
    spec = wide(NF4)
    found, size = tensors(spec), 512 * 256
    assert found[UP + "weight"] == ("U8", (size // 2, 1))
    assert found[UP + "weight.absmax"] == ("U8", (size // 64,))
    assert found[UP + "weight.quant_map"] == ("F32", (16,))
    assert found[UP + "weight.nested_absmax"] == ("F32", (size // 64 // 256,))
    assert found[UP + "weight.nested_quant_map"] == ("F32", (256,))
    assert UP + "weight.quant_state.bitsandbytes__nf4" in found
    assert found["lm_head.weight"][0] == "BF16"
    assert spec.quantization == "nf4-w4a16-nested"
    plain = tensors(wide(NF4 | {"bnb_4bit_use_double_quant": False}))
    assert plain[UP + "weight.absmax"] == ("F32", (size // 64,))
    assert UP + "weight.nested_absmax" not in plain


def test_llama_8b_in_nf4_is_as_large_as_published(build):
    """unsloth/Meta-Llama-3.1-8B-bnb-4bit: one file of 5.70 GB."""
    from planner.models.catalog import _CONFIGS

    config = json.loads((_CONFIGS / "llama-3.1-8b.json").read_text())
    size = Inventory(build(config | {"quantization_config": NF4})).payload_bytes
    assert size == pytest.approx(5.702e9, rel=2e-4)


def test_llm_int8_keeps_a_scale_a_row(wide):
    spec = wide(INT8)
    assert tensors(spec)[UP + "weight"] == ("I8", (512, 256))
    assert tensors(spec)[UP + "SCB"] == ("F32", (512,))
    assert tensors(spec)[UP + "weight_format"] == ("U8", ())
    assert spec.quantization == "int8-w8a8"


def test_skipped_modules_replace_the_default(wide):
    skipped = tensors(wide(NF4 | {"llm_int8_skip_modules": ["model.layers.1"]}))
    assert skipped[UP + "weight"] == ("BF16", (512, 256))
    assert skipped["lm_head.weight"][0] == "U8"


def test_auto_round_packs_as_gptq_and_overrides_modules(wide):
    found = tensors(wide(ROUND))
    first = UP.replace("1", "0")
    assert found[first + "qweight"] == ("I32", (256 // 8, 512))
    assert found[UP + "qweight"] == ("I32", (256 // 4, 512))
    assert found[UP.replace("1", "2") + "weight"] == ("BF16", (512, 256))
    words = tensors(wide(ROUND | {"packing_format": "auto_round:auto_awq", "extra_config": None}))
    assert words[UP + "qweight"] == ("I32", (256, 512 // 8))


@pytest.mark.parametrize(("bits", "group"), [(2, 64), (3, 128), (8, 128), (4, 64), (3, -1)])
def test_gptq_of_any_width(wide, bits, group):
    spec = wide({"quant_method": "gptq", "bits": bits, "group_size": group})
    found, groups = tensors(spec), 1 if group == -1 else 256 // group
    assert found[UP + "qweight"] == ("I32", (256 * bits // 32, 512))
    assert found[UP + "qzeros"] == ("I32", (groups, 512 * bits // 32))
    assert found[UP + "scales"] == ("F16", (groups, 512))
    assert spec.quantization == f"int{bits}-w{bits}a16-" + (f"g{group}" if group > 0 else "row")


@pytest.mark.parametrize("group", [32, 64, 128, 256])
def test_awq_has_its_own_group(wide, group):
    found = tensors(wide({"quant_method": "awq", "bits": 4, "group_size": group}))
    assert found[UP + "scales"] == ("F16", (256 // group, 512))
    assert found[UP + "qzeros"] == ("I32", (256 // group, 512 // 8))


def test_schemes_of_checkpoints_are_found_and_not_listed():
    for name, size in (
        ("int3-w3a16-g128", 512 * (96 + 4)),
        ("int2-w2a16-row", 512 * (64 + 2)),
        ("nf4-w4a16", 512 * 4 * 36),
        ("nf4-w4a16-nested", 512 * 4 * 33),
    ):
        assert tensor_bytes(scheme(name).weight, 512, 256) == size
        assert SCHEMES[name] is scheme(name.upper())
        assert name not in scheme_ids()
        assert name not in SCHEMES


def test_schemes_of_checkpoints_come_last_in_any_order_of_schemes():
    assert in_catalogue_order({"int3-w3a16-g128", "bf16", "as released", "nvfp4"}) == [
        "bf16",
        "nvfp4",
        "int3-w3a16-g128",
    ]


def quantised(tmp_path, config, quantization):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config | {"quantization_config": quantization}))
    return str(path)


@pytest.fixture
def small(tiny):
    return tiny("llama", hidden_size=256, intermediate_size=512, max_position_embeddings=512)


@pytest.mark.parametrize(("bits", "group"), [(4, 64), (8, 128), (3, 128), (2, 32)])
def test_a_checkpoint_of_another_group_is_priced(small, tmp_path, bits, group):
    """As released; SGLang multiplied 2 and 3 bits (exllama) to 0.5.19, vLLM says it does not."""
    path = quantised(tmp_path, small, {"quant_method": "gptq", "bits": bits, "group_size": group})
    name = f"int{bits}-w{bits}a16-g{group}"
    ask = {"devices": 1, "context": 512, "batch": 1}
    assert name in {u.scheme for u in estimate(path, "h100-sxm", **ask).units}
    engine = "sglang" if bits >= 4 else "sglang@0.5.19"
    assert name in {u.scheme for u in estimate(path, "h100-sxm", engine=engine, **ask).units}
    if bits < 4:
        with pytest.raises(UnsupportedError, match=r"refused: GPTQ without Marlin"):
            estimate(path, "h100-sxm", engine="sglang@0.5.20", **ask)
        with pytest.raises(UnsupportedError, match=r"vllm 0\.21: refused: AutoGPTQConfig"):
            estimate(path, "h100-sxm", engine="vllm@0.21", **ask)


def test_two_bits_move_less_and_widen_as_four_do():
    device = load_device("h100-sxm")
    few, four = (kernel(device, f"int{bits}-w{bits}a16-g64") for bits in (2, 4))
    assert few.conversion_elements_per_s == four.conversion_elements_per_s
    assert tensor_bytes(scheme(few.scheme).weight, 512, 256) < tensor_bytes(
        scheme(four.scheme).weight, 512, 256
    )


@pytest.mark.parametrize(
    ("engine", "served"),
    [("vllm@0.21", True), ("sglang", True), ("vllm@0.25", False), ("vllm", False)],
)
def test_bitsandbytes_is_served_until_vllm_leaves_it_to_a_plugin(small, tmp_path, engine, served):
    path = quantised(tmp_path, small, NF4)
    ask = {"engine": engine, "devices": 1, "context": 512, "batch": 2}
    if served:
        assert "nf4-w4a16-nested" in {u.scheme for u in estimate(path, "l40s", **ask).units}
    else:
        with pytest.raises(UnsupportedError, match="vllm-bnb-plugin"):
            estimate(path, "l40s", **ask)


def test_codes_are_widened_in_memory_before_a_product_of_several_rows(tmp_path):
    """bitsandbytes: a single row has a kernel of its own, more of them write and read 16 bits of
    every weight: 4.5 bytes in place of BF16's 2."""
    coded = quantised(tmp_path, json.loads((CONFIGS / "llama-3.1-8b.json").read_text()), NF4)

    def seconds(model, batch):
        found = estimate(model, "h100-sxm", devices=1, context=512, batch=batch)
        return sum(u.decode_seconds for u in found.units if u.kind == "mlp-down")

    plain, codes = ([seconds(name, batch) for batch in (1, 4)] for name in ("llama-3.1-8b", coded))
    assert codes[0] < plain[0] / 2
    assert 1.8 < codes[1] / plain[1] < 2.8


@pytest.fixture
def written(tmp_path, tiny, write_safetensors):
    """A checkpoint of a configuration, after ``change`` has edited its {name: (dtype, shape)}."""

    def write(spec, config, change):
        (tmp_path / "config.json").write_text(json.dumps(config))
        found = tensors(spec)
        change(found)
        write_safetensors(
            tmp_path / "model.safetensors", [(name, *value) for name, value in found.items()]
        )
        return resolve_model(str(tmp_path)), found

    return write


@pytest.mark.parametrize("quantisation", [NF4, INT8, ROUND])
def test_a_checkpoint_agrees_with_its_configuration(tiny, build, written, quantisation):
    config = tiny("llama", hidden_size=256, intermediate_size=512, quantization_config=quantisation)
    spec = build(config)
    found, _ = written(spec, config, lambda tensors: None)
    assert (
        found.rows == spec.rows or Inventory(found).payload_bytes == Inventory(spec).payload_bytes
    )


def test_a_text_of_another_length_is_counted_as_it_lies(tiny, build, written):
    config = tiny("llama", hidden_size=256, intermediate_size=512, quantization_config=NF4)
    name = UP + "weight.quant_state.bitsandbytes__nf4"

    def longer(tensors):
        tensors[name] = ("U8", (tensors[name][1][0] + 3,))

    spec = build(config)
    found, _ = written(spec, config, longer)
    assert Inventory(found).payload_bytes == Inventory(spec).payload_bytes + 3


def test_a_tied_model_may_store_its_head(tiny, build, written):
    config = tiny("llama", tie_word_embeddings=True)
    spec = build(config)

    def stored(tensors):
        tensors["lm_head.weight"] = ("BF16", (100, 64))

    found, _ = written(spec, config, stored)
    head = [row for row in found.rows if row.kind == "head"]
    assert [row.copy_of for row in head] == ["model.embed_tokens.weight"]
    assert Inventory(found).parameters_total == Inventory(spec).parameters_total
    assert Inventory(found).payload_bytes == Inventory(spec).payload_bytes + 100 * 64 * 2
    with pytest.raises(DataError, match="lm_head"):
        written(
            spec, config, lambda tensors: tensors.update({"lm_head.weight": ("BF16", (99, 64))})
        )
