"""Which plans need no new weights: a release of theirs is known, or the engine makes the format."""

import csv

import pytest

from planner.lookup import load_device, load_model
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.models.spec import ModelSpec
from planner.placement.modules import EXPERT_KINDS, PLANNED_KINDS
from planner.planning.engines.checkpoints import Unit, checkpoint_of, made_while_loading
from planner.planning.engines.rules import DATA


def units(spec: ModelSpec, scheme: str, experts: str = "", **kinds: str) -> list[Unit]:
    """Every linear of a model in one scheme, experts in another, ``kinds`` in their own."""
    layers = tuple(range(spec.layers))
    linear = sorted({row.kind for row in spec.rows if row.kind in PLANNED_KINDS})
    found = [
        (
            kind,
            layers,
            kinds.get(
                kind.replace("-", "_"), (experts or scheme) if kind in EXPERT_KINDS else scheme
            ),
        )
        for kind in linear
    ]
    return [*found, ("embedding", (), "bf16"), ("head", (), kinds.get("head", "bf16"))]


def ready(
    model: str,
    device: str,
    engine: str,
    scheme: str,
    experts: str = "",
    kv: tuple[str, ...] = ("bf16",),
    **kinds: str,
) -> str:
    spec = load_model(model)
    found = checkpoint_of(
        spec, load_device(device), parse_engine(engine), units(spec, scheme, experts, **kinds), kv
    )
    return found.repository if found is not None else ""


@pytest.mark.parametrize(
    ("model", "device", "engine", "scheme", "repository"),
    [
        (
            "llama-3.1-8b",
            "h100-sxm",
            "vllm",
            "fp8-channel",
            "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic",
        ),
        (
            "llama-3.1-8b",
            "a100-sxm",
            "vllm",
            "int8-w8a8",
            "RedHatAI/Meta-Llama-3.1-8B-Instruct-quantized.w8a8",
        ),
        ("llama-3.1-8b", "b200-sxm", "vllm", "nvfp4", "nvidia/Llama-3.1-8B-Instruct-NVFP4"),
        (
            "llama-3.1-8b",
            "h100-sxm",
            "tensorrt-llm",
            "fp8-tensor",
            "nvidia/Llama-3.1-8B-Instruct-FP8",
        ),
        ("qwen3-30b-a3b", "h100-sxm", "vllm", "fp8-block", "Qwen/Qwen3-30B-A3B-FP8"),
        # The very weights, whose activations the engine leaves in 16 bits.
        ("llama-3.1-8b", "h100-sxm", "vllm", "nvfp4-w4a16", "nvidia/Llama-3.1-8B-Instruct-NVFP4"),
        # No such release, or none that this engine reads here.
        ("llama-3.1-8b", "h100-sxm", "vllm", "int4-w4a16-g32", ""),
        ("llama-3.1-8b", "h100-sxm", "vllm", "bf16", ""),
        ("llama-3.1-8b", "h100-sxm", "tensorrt-llm", "int8-w8a8", ""),
        ("llama-3.1-8b", "b200-sxm", "vllm", "int8-w8a8", ""),
        ("llama-3.1-8b", "h100-sxm", "llama.cpp", "fp8-channel", ""),
    ],
)
def test_the_release_of_a_uniform_plan(
    model: str, device: str, engine: str, scheme: str, repository: str
) -> None:
    assert ready(model, device, engine, scheme) == repository


def test_a_release_that_quantises_what_the_plan_keeps_plain_is_not_the_plan() -> None:
    assert ready("llama-3.1-8b", "h100-sxm", "vllm", "fp8-channel", attention_qkv="bf16") == ""
    assert ready("llama-3.1-8b", "h100-sxm", "vllm", "fp8-channel", mlp_down="fp8-block") == ""
    assert ready("llama-3.1-8b", "h100-sxm", "vllm", "fp8-channel", head="fp8-channel") == ""


def test_experts_and_dense_linears_are_compared_apart() -> None:
    assert ready("qwen3-30b-a3b", "h100-sxm", "vllm", "bf16", "fp8-block") == ""
    assert (
        ready("qwen3.5-397b-a17b", "b200-sxm", "vllm", "bf16", "nvfp4")
        == "nvidia/Qwen3.5-397B-A17B-NVFP4"
    )


def test_a_mix_of_llama_cpp_is_compared_matrix_by_matrix_and_layer_by_layer() -> None:
    spec, device, engine = (
        load_model("llama-3.1-8b"),
        load_device("xeon-6980p"),
        parse_engine("llama.cpp"),
    )
    more = tuple(n for n in range(32) if n < 4 or n >= 28 or (n - 4) % 3 == 2)
    less = tuple(n for n in range(32) if n not in more)
    rest: list[Unit] = [
        u
        for u in units(spec, "ggml-q4_k")
        if u[0] not in ("mlp-down", "attention-qkv", "embedding", "head")
    ]
    rest += [(f"attention-qkv.{part}", more + less, "ggml-q4_k") for part in "qk"]
    wide: list[Unit] = [
        (name, layers, scheme)
        for name in ("mlp-down", "attention-qkv.v")
        for layers, scheme in ((more, "ggml-q6_k"), (less, "ggml-q4_k"))
    ]
    typed: list[Unit] = [("embedding", (), "ggml-q4_k"), ("head", (), "ggml-q6_k")]
    found = checkpoint_of(spec, device, engine, [*rest, *wide, *typed])
    assert found is not None
    assert found.repository.endswith(":Q4_K_M")
    assert not [text for text in found.differences if "embedding" in text]
    for ends in ("ggml-q6_k", "bf16"):  # what the file has otherwise is no small difference
        other: list[Unit] = [("embedding", (), ends), ("head", (), ends)]
        assert checkpoint_of(spec, device, engine, [*rest, *wide, *other]) is None
    flat: list[Unit] = [
        (name, more + less, "ggml-q4_k") for name in ("mlp-down", "attention-qkv.v")
    ]
    assert checkpoint_of(spec, device, engine, [*rest, *flat, *typed]) is None


def test_small_differences_are_said() -> None:
    spec, device = load_model("llama-3.1-8b"), load_device("h100-sxm")
    plain = checkpoint_of(spec, device, None, units(spec, "fp8-channel"), ("fp8",))
    assert plain is not None
    said = plain.differences
    assert "no scales of an FP8 cache in it: the engine takes 1" in said
    assert plain.repository == "RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8-dynamic"
    spec = load_model("qwen3-235b-a22b")
    scaled = checkpoint_of(spec, load_device("b200-sxm"), None, units(spec, "nvfp4"), ("bf16",))
    assert scaled is not None
    (stated,) = scaled.differences
    assert stated == "it states an fp8 cache: name the plan's to the engine"


@pytest.mark.parametrize(
    ("engine", "device", "dense", "experts", "command"),
    [
        ("vllm@0.21", "h100-sxm", "fp8-block", "fp8-block", "--quantization fp8_per_block"),
        ("vllm@0.21", "h100-sxm", "fp8-tensor", "fp8-tensor", "--quantization fp8_per_tensor"),
        ("vllm@0.21", "h100-sxm", "fp8-channel", "fp8-channel", ""),
        ("vllm@0.19", "h100-sxm", "fp8-block", "fp8-block", ""),
        ("vllm@0.29", "b200-sxm", "mxfp8", "mxfp8", "--quantization mxfp8"),
        ("vllm@0.29", "h100-sxm", "mxfp8", "mxfp8", ""),
        ("vllm@0.21", "a100-sxm", "fp8-block", "fp8-block", ""),
        ("vllm@0.21", "a100-sxm", "fp8-w8a16", "fp8-w8a16", "--quantization fp8_per_tensor"),
        ("sglang", "h100-sxm", "fp8-channel", "fp8-tensor", "--quantization fp8"),
        ("sglang", "h100-sxm", "fp8-channel", "fp8-channel", ""),
        ("llama.cpp", "h100-sxm", "ggml-q8_0", "ggml-q8_0", ""),
    ],
)
def test_formats_made_while_loading_experts(
    engine: str, device: str, dense: str, experts: str, command: str
) -> None:
    spec = load_model("olmoe-1b-7b")
    found = made_while_loading(
        spec, load_device(device), parse_engine(engine), units(spec, dense, experts)
    )
    assert (found.command if found is not None else "") == command


def test_a_mix_and_a_quantised_release_are_not_made_while_loading() -> None:
    device, engine = load_device("h100-sxm"), parse_engine("vllm@0.21")
    spec = load_model("olmo-2-7b")
    assert made_while_loading(spec, device, engine, units(spec, "fp8-block")) is not None
    assert (
        made_while_loading(spec, device, engine, units(spec, "fp8-block", mlp_down="bf16")) is None
    )
    assert (
        made_while_loading(spec, device, engine, units(spec, "fp8-block", head="fp8-block")) is None
    )
    assert made_while_loading(spec, device, None, units(spec, "fp8-block")) is None
    spec = load_model("deepseek-v3")
    assert made_while_loading(spec, device, engine, units(spec, "fp8-block")) is None


def test_every_loading_format_is_of_an_engine_and_has_its_source() -> None:
    with (DATA / "loading_formats.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert row["engine"] in engine_names()
            assert row["source"]
            assert row["date"].startswith("20")
            assert row["command"]
