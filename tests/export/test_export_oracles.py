"""Every configuration parsed by the library that consumes it."""

import importlib
import json
import re
import warnings
from types import ModuleType
from typing import Any

import pytest
from support.exports import assignment, planned_keys

from planner.export import compressed_tensors, fp8, gptq, llama_cpp, modelopt, torchao
from planner.export.assignment import ModuleAssignment
from planner.models.catalog import bundled_model

pytestmark = [
    pytest.mark.oracle,
    # The libraries announce their own deprecations and optional kernels while they load.
    pytest.mark.filterwarnings("default"),
]


def library(name: str) -> ModuleType:
    """The module ``name``; skips with what is missing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as error:
            pytest.skip(f"{name} cannot be imported ([oracle] extra): {error}")


def cycled(model: str, pool: tuple[str, ...], kv: str = "bf16") -> ModuleAssignment:
    """Each scheme of ``pool`` by turns, layer by layer."""
    spec = bundled_model(model)
    return assignment(spec, {key: pool[key[1] % len(pool)] for key in planned_keys(spec)}, kv=kv)


@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v3.1"])
def test_compressed_tensors_validates_and_matches_the_same_modules(model: str) -> None:
    """QuantizationConfig takes it without unknown keys, each group has the library's own preset
    where one exists, and its matcher finds for every linear layer the group that we chose."""
    library("compressed_tensors")
    from compressed_tensors.quantization import QuantizationConfig, QuantizationScheme
    from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES
    from compressed_tensors.utils.match import match_name

    one = cycled(model, ("bf16", *compressed_tensors.SCHEMES), kv="fp8")
    data = json.loads(compressed_tensors.export(one).files["quantization_config.json"])
    config = QuantizationConfig.model_validate(data)
    assert config.format == "mixed-precision"
    assert config.kv_cache_scheme.num_bits == 8
    order = list(compressed_tensors.SCHEMES)
    presets = {
        "fp8-tensor": "FP8",
        "fp8-channel": "FP8_DYNAMIC",
        "fp8-block": "FP8_BLOCK",
        "int8-w8a8": "INT8",
        "int4-w4a16": "W4A16",
        "nvfp4": "NVFP4",
        "nvfp4-w4a16": "NVFP4A16",
        "mxfp4": "MXFP4",
        "mxfp4-w4a16": "MXFP4A16",
        "mxfp8": "MXFP8",
    }
    for number, scheme in enumerate(order):
        group = config.config_groups[f"group_{number}"]
        preset = (
            QuantizationScheme(targets=group.targets, **PRESET_SCHEMES[presets[scheme]])
            if scheme in presets
            else None
        )
        if preset is not None:
            for side in ("weights", "input_activations"):
                assert shape(getattr(group, side)) == shape(getattr(preset, side)), (scheme, side)
    for linear in one.linears:
        names = list(linear.names())
        for name in {names[0], names[-1]}:
            hits = [
                int(key.removeprefix("group_"))
                for key, group in config.config_groups.items()
                if any(match_name(name, target) for target in group.targets)
            ]
            ignored = any(match_name(name, target) for target in config.ignore)
            expected = [order.index(linear.scheme)] if linear.scheme in order else []
            assert (hits, ignored) == (expected, not expected), name


def test_compressed_tensors_finds_heads_tables_and_gates() -> None:
    """What a plan changes beside ordinary layers, in the library's own classes and by its
    matcher."""
    torch = library("torch")
    library("compressed_tensors")
    from compressed_tensors.quantization import QuantizationConfig
    from compressed_tensors.utils.match import is_match

    spec = bundled_model("qwen3-30b-a3b")
    changed = {
        ("head", -1): "int4-w4a16",
        ("embedding", -1): "int8-w8a16",
        **{("router", layer): "fp8-channel" for layer in range(0, spec.layers, 2)},
    }
    one = assignment(spec, {}, rest="bf16", apart=changed)
    data = json.loads(compressed_tensors.export(one).files["quantization_config.json"])
    config = QuantizationConfig.model_validate(data)
    linear, table = torch.nn.Linear(8, 8), torch.nn.Embedding(8, 8)
    for name, module, expected in (
        ("lm_head", linear, "int4"),
        ("model.embed_tokens", table, "int8"),
        ("model.layers.4.mlp.gate", linear, "float8"),
        ("model.layers.5.mlp.gate", linear, ""),
        ("model.layers.4.self_attn.q_proj", linear, ""),
    ):
        hits = [
            f"{group.weights.type}{group.weights.num_bits}"
            for group in config.config_groups.values()
            if is_match(name, module, group.targets, config.ignore)
        ]
        assert hits == ([expected] if expected else []), name


def test_torchao_quantises_tables_and_heads() -> None:
    """A lookup and a head with the exported records: near the plain result, in integer tensors."""
    torch = library("torch")
    library("torchao")
    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_

    table = {
        "embed": torchao.TABLES["int8-w8a16"],
        "small": torchao.TABLES["int4-w4a16-g32"],
        "head": torchao.SCHEMES["int8-w8a16"],
    }
    root = torch.nn.Module()
    torch.manual_seed(0)
    root.embed = torch.nn.Embedding(64, 128, dtype=torch.bfloat16)
    root.small = torch.nn.Embedding(64, 128, dtype=torch.bfloat16)
    root.head = torch.nn.Linear(128, 64, bias=False, dtype=torch.bfloat16)
    tokens = torch.arange(64)
    before = [part(tokens) for part in (root.embed, root.small)]
    quantize_(
        root,
        config_from_dict(
            {"_type": "FqnToConfig", "_version": 1, "_data": {"fqn_to_config": table}}
        ),
        filter_fn=None,
    )
    for part, plain, most in ((root.embed, before[0], 0.02), (root.small, before[1], 0.3)):
        assert type(part.weight).__name__ == "IntxUnpackedToInt8Tensor"
        error = (part(tokens) - plain).abs().max() / plain.abs().max()
        assert 0 < error < most
    assert type(root.head.weight).__name__ != "Parameter"


def shape(args: Any) -> Any:
    """What tells two number formats apart; observers are how scales are found. A per-tensor scale
    of activations may be static or dynamic in a preset."""
    if args is None:
        return None
    dynamic = None if args.strategy == "tensor" else args.dynamic
    return (
        args.num_bits,
        args.type,
        args.strategy,
        args.group_size,
        args.block_structure,
        args.symmetric,
        dynamic,
        args.scale_dtype,
    )


@pytest.mark.parametrize("model", ["llama-3.1-8b", "deepseek-v3.1"])
def test_modelopt_converts_the_mixture(model: str) -> None:
    library("modelopt")
    convert = library("modelopt.torch.export.convert_hf_config")
    one = cycled(model, ("bf16", *modelopt.MIXED), kv="fp8")
    data = json.loads(modelopt.export(one).files["hf_quant_config.json"])
    found = convert.convert_hf_quant_config_format(data)
    assert found["quant_method"] == "modelopt"
    counted = sum(len(list(linear.names())) for linear in one.quantised())
    assert len(data["quantization"]["quantized_layers"]) == counted
    text = json.dumps(found)
    for algorithm in modelopt.MIXED.values():
        assert algorithm in text
    assert found["kv_cache_scheme"] == {"dynamic": False, "num_bits": 8, "type": "float"}


@pytest.mark.parametrize("scheme", ["fp8-tensor", "nvfp4"])
def test_modelopt_converts_one_algorithm(scheme: str) -> None:
    convert = library("modelopt.torch.export.convert_hf_config")
    one = cycled("llama-3.1-8b", ("bf16", scheme))
    data = json.loads(modelopt.export(one).files["hf_quant_config.json"])
    found = convert.convert_hf_quant_config_format(data)
    group = found["config_groups"]["group_0"]
    assert group["weights"]["num_bits"] == {"fp8-tensor": 8, "nvfp4": 4}[scheme]
    assert set(data["quantization"]["exclude_modules"]) == set(found["ignore"])


def test_transformers_takes_gptq() -> None:
    """GPTQConfig keeps all but `dynamic`, as the export's notes say."""
    library("transformers")
    from transformers import GPTQConfig

    one = cycled("llama-3.1-8b", ("bf16", "int4-w4a16", "int8-w8a16", "int4-w4a16"))
    found = gptq.export(one)
    data = json.loads(found.files["quantization_config.json"])
    config = GPTQConfig.from_dict(data)
    assert (config.bits, config.group_size, config.sym, config.desc_act, config.format) == (
        4,
        128,
        True,
        False,
        "gptq",
    )
    assert data["dynamic"]
    assert not hasattr(config, "dynamic")
    assert any("does not keep `dynamic`" in note for note in found.notes)


def test_torchao_builds_the_configuration() -> None:
    """config_from_dict gives the configurations by name, and writing them again loses nothing."""
    library("torch")
    library("torchao")
    core = library("torchao.core.config")
    one = cycled("llama-3.1-8b", ("bf16", *torchao.SCHEMES))
    data = json.loads(torchao.export(one).files["fqn_to_config.json"])
    config = core.config_from_dict(data)
    ours = data["_data"]["fqn_to_config"]
    assert list(config.fqn_to_config) == list(ours)
    for key, value in config.fqn_to_config.items():
        if ours[key] is None:
            assert value is None
            continue
        again = core.config_to_dict(value)
        assert (again["_type"], again["_version"]) == (ours[key]["_type"], ours[key]["_version"])
        assert ours[key]["_data"].items() <= again["_data"].items()


def test_torchao_quantises_what_it_names() -> None:
    """A small model quantised with the exported form: INT8 in the named layer, the other plain."""
    torch = library("torch")
    library("torchao")
    from torchao.core.config import config_from_dict
    from torchao.quantization import quantize_

    table = {
        r"re:model\.layers\.(0|2)\.proj$": torchao.SCHEMES["int8-w8a16"],
        r"re:model\.layers\.1\.proj$": None,
    }
    config = config_from_dict(
        {"_type": "FqnToConfig", "_version": 1, "_data": {"fqn_to_config": table}}
    )
    root = torch.nn.Module()
    root.model = torch.nn.Module()
    root.model.layers = torch.nn.ModuleList()
    for _ in range(3):
        layer = torch.nn.Module()
        layer.proj = torch.nn.Linear(64, 32, bias=False, dtype=torch.bfloat16)
        root.model.layers.append(layer)
    quantize_(root, config, filter_fn=None)
    kinds = [type(layer.proj.weight).__name__ for layer in root.model.layers]
    assert kinds[0] == kinds[2] != kinds[1]
    assert "Int8" in kinds[0]


def test_transformers_reads_the_block_form() -> None:
    transformers = library("transformers")
    one = cycled("deepseek-v3.1", ("bf16", "fp8-block"))
    data = json.loads(fp8.export(one).files["quantization_config.json"])
    data.pop("quant_method")
    config, unused = transformers.FineGrainedFP8Config.from_dict(data, return_unused_kwargs=True)
    assert tuple(config.weight_block_size) == (128, 128)
    assert config.activation_scheme == "dynamic"
    assert config.modules_to_not_convert == data["modules_to_not_convert"]
    assert set(unused) <= {"fmt", "scale_fmt"}


def test_gguf_has_the_names_of_heads_tables_and_indexers() -> None:
    gguf = library("gguf")
    names = gguf.constants.TENSOR_NAMES
    kinds = gguf.MODEL_TENSOR
    assert (names[kinds.OUTPUT], names[kinds.TOKEN_EMBD]) == ("output", "token_embd")
    spec = bundled_model("deepseek-v3.2")
    one = assignment(
        spec,
        {},
        rest="bf16",
        apart={("indexer", layer): "ggml-q8_0" for layer in range(spec.layers)},
    )
    rules = [
        line.rpartition("=")
        for line in llama_cpp.export(one).files["tensor_types.txt"].splitlines()
    ]
    for kind in (kinds.INDEXER_ATTN_Q_B, kinds.INDEXER_ATTN_K):
        name = names[kind].format(bid=7) + ".weight"
        assert [to for pattern, _, to in rules if re.search(pattern, name)] == ["q8_0"], name


@pytest.mark.parametrize("model", ["llama-3.1-8b", "qwen3-30b-a3b", "deepseek-v3.1"])
def test_gguf_knows_the_types_and_names(model: str) -> None:
    """Types of ggml, and tensor names as the converter makes them from ours."""
    gguf = library("gguf")
    architecture = {
        "llama-3.1-8b": "LLAMA",
        "qwen3-30b-a3b": "QWEN3MOE",
        "deepseek-v3.1": "DEEPSEEK2",
    }[model]
    spec = bundled_model(model)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture), spec.layers)
    known = {kind.name.lower() for kind in gguf.GGMLQuantizationType}
    one = cycled(model, ("bf16", "fp16", "ggml-q8_0", "ggml-q4_0", "ggml-q4_k", "ggml-q6_k"))
    rules = [
        line.rpartition("=")
        for line in llama_cpp.export(one).files["tensor_types.txt"].splitlines()
    ]
    assert {to.lower() for _, _, to in rules} <= known
    for linear in one.linears:
        if not linear.planned:
            continue
        for layer in linear.layers:
            name = linear.module.format(layer=layer, expert=0).replace(".experts.0.", ".experts.")
            found = names.get_name(name)
            assert found is not None, name
            hits = [to for pattern, _, to in rules if re.search(pattern, found + ".weight")]
            assert hits == [llama_cpp.TYPES[linear.scheme]], (name, found)
