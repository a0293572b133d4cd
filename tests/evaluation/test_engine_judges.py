"""What vLLM said of modules, read and held against plans: on recorded answers of vLLM 0.32."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.engine_judges_page import page
from benchmarks.engine_judges_reading import SCHEMES, Judged, against, compared, means
from benchmarks.quantiser_judges import prepared, row

FP8 = "QuantKey(f8e4m3fn,scale(f32,static,{}),symmetric)"
TOKEN = "QuantKey(f8e4m3fn,scale(f32,dynamic,per_token),symmetric)"
BLOCK = "GroupShape(row=128, col=128)"


def facts(
    method: str, scheme: str = "", kernel: str = "", stored: str = "bfloat16", **asked: Any
) -> dict[str, Any]:
    """One module as the judge describes it."""
    return {
        "class": "QKVParallelLinear",
        "method": method,
        "scheme": scheme,
        "kernel": kernel,
        "asked": asked,
        "parameters": {"weight": [stored, [8, 8]], "bias": ["float32", [8]]},
    }


CT = "CompressedTensorsLinearMethod"
SEEN = [
    ("bf16", facts("UnquantizedLinearMethod")),
    (
        "fp8-channel",
        facts(
            CT,
            "CompressedTensorsW8A8Fp8",
            stored="float8_e4m3fn",
            weight_quant_key=FP8.format("per_channel"),
            activation_quant_key=TOKEN,
        ),
    ),
    (
        "fp8-tensor",
        facts(
            CT,
            "CompressedTensorsW8A8Fp8",
            stored="float8_e4m3fn",
            weight_quant_key=FP8.format("per_tensor"),
            activation_quant_key=TOKEN,
        ),
    ),
    (
        "fp8-block",
        facts(
            CT,
            "CompressedTensorsW8A8Fp8",
            stored="float8_e4m3fn",
            weight_quant_key=FP8.format(BLOCK),
            activation_quant_key=TOKEN,
        ),
    ),
    (
        "fp8-block",
        facts(
            "Fp8MoEMethod",
            stored="float8_e4m3fn",
            block_quant="True",
            weight_block_size="[128, 128]",
        ),
    ),
    (
        "fp8-w8a16",
        facts(
            CT,
            "CompressedTensorsW8A16Fp8",
            stored="float8_e4m3fn",
            weight_quant_key=FP8.format(BLOCK),
            activation_quant_key=TOKEN,
        ),
    ),
    ("int8-w8a8", facts(CT, "CompressedTensorsW8A8Int8", stored="int8", strategy="channel")),
    (
        "int4-w4a16",
        facts(CT, "CompressedTensorsWNA16", stored="int32", num_bits="4", group_size="128"),
    ),
    (
        "int4-w4a16-g32",
        facts(CT, "CompressedTensorsWNA16", stored="int32", num_bits="4", group_size="32"),
    ),
    ("int8-w8a16", facts("AutoGPTQLinearMethod", stored="int32", weight_bits="8", group_size="-1")),
    ("nvfp4", facts(CT, "CompressedTensorsW4A4Fp4", stored="uint8", use_a16="False")),
    ("nvfp4-w4a16", facts(CT, "CompressedTensorsW4A4Fp4", stored="uint8", use_a16="True")),
    (
        "nvfp4",
        facts(
            "ModelOptLinearMethod",
            stored="uint8",
            weight_quant_key="QuantKey(u8,scale("
            "f8e4m3fn,static,GroupShape(row=1, col=16)),scale2(f32,static,per_tensor),"
            "symmetric)",
            activation_quant_key="QuantKey(u8,…)",
        ),
    ),
    ("mxfp4-w4a16", facts(CT, "CompressedTensorsW4A4Mxfp4", "MarlinMxFp4LinearKernel", "uint8")),
    ("mxfp8", facts(CT, "CompressedTensorsW8A8Mxfp8", stored="float8_e4m3fn")),
    (
        "fp8-channel",
        facts(
            "CompressedTensorsW8A8Fp8MoEMethod",
            stored="float8_e4m3fn",
            weight_quant={
                "bits": 8,
                "type": "float",
                "strategy": "channel",
                "group": None,
                "block": None,
            },
            input_quant={
                "bits": 8,
                "type": "float",
                "strategy": "token",
                "group": None,
                "block": None,
            },
        ),
    ),
]


@pytest.mark.parametrize(("scheme", "found"), SEEN)
def test_each_method_means_one_scheme(scheme: str, found: dict[str, Any]) -> None:
    assert means(found) == SCHEMES[scheme]
    assert against(found, scheme) == ""
    others = [name for name, format_ in SCHEMES.items() if format_ != SCHEMES[scheme]]
    assert all(against(found, other) for other in others)


def test_an_unknown_method_is_a_difference() -> None:
    assert against(facts("NewMethod"), "fp8-channel").startswith("unknown")


def test_weights_stored_in_another_type_are_a_difference() -> None:
    found = facts(CT, "CompressedTensorsW8A8Int8", stored="bfloat16", strategy="channel")
    assert against(found, "int8-w8a8") == "stored in bfloat16"


def test_a_module_without_weights_is_a_difference() -> None:
    found = facts(CT, "CompressedTensorsW8A8Int8", stored="int8", strategy="channel")
    found["parameters"] = {"input_scale": ["float32", [1]]}
    assert against(found, "int8-w8a8") == "no parameter that holds weights"


def verdict(**more: Any) -> dict[str, Any]:
    parsed = {
        "tp": 2,
        "pp": 1,
        "dp": 1,
        "ep": False,
        "cache": "fp8",
        "context": 8192,
        "sequences": 64,
        "tokens": 2048,
        "method": "compressed-tensors",
    }
    return {
        "id": "m, h100-sxm",
        "parsed": parsed,
        "unnamed": {},
        "names": {"a.q_proj": "a.qkv_proj", "a.k_proj": "a.qkv_proj"},
        "modules": {"a.qkv_proj": SEEN[1][1]},
        **more,
    }


WORDS = ["vllm", "serve", "DIR", "--tensor-parallel-size", "2", "--max-num-seqs", "64"]


def test_parts_of_a_fused_matrix_are_judged_each() -> None:
    same = compared(
        verdict(), {"a.q_proj": ("fp8-channel", 1), "a.k_proj": ("fp8-channel", 3)}, WORDS
    )
    assert (same.differing, same.flags, same.matrices, same.modules) == ((), (), 4, 1)
    other = compared(verdict(), {"a.q_proj": ("fp8-channel", 1), "a.k_proj": ("bf16", 1)}, WORDS)
    assert other.differing == (
        ("a.k_proj", "bf16", "e4m3 · channel · e4m3 (CompressedTensorsW8A8Fp8)"),
    )


def test_what_has_no_module_and_what_no_plan_names_differ() -> None:
    found = compared(
        verdict(names={"a.q_proj": ""}, unnamed={"a.gate": "Fp8LinearMethod"}),
        {"a.q_proj": ("fp8-channel", 1)},
        WORDS,
    )
    assert [d[::2] for d in found.differing] == [
        ("a.q_proj", "no such module"),
        ("a.gate", "Fp8LinearMethod"),
    ]


def test_a_flag_read_otherwise_is_told() -> None:
    found = compared(verdict(), {}, [*WORDS, "--max-model-len", "4096", "--enable-expert-parallel"])
    assert found.flags == (
        "--max-model-len 4096 was read as 8192",
        "expert parallelism was read otherwise",
    )


def test_the_page_counts_and_names_what_differs() -> None:
    good = compared(verdict(), {"a.q_proj": ("fp8-channel", 2)}, WORDS)
    bad = compared(verdict(), {"a.q_proj": ("bf16", 2)}, WORDS)
    text = page([good, bad, Judged("n, l40s", error="Unknown algo")], "0.32.0")
    assert "2 of 3 commands and configurations were taken; of 4 matrices in 2 modules, 1" in text
    assert "| m, h100-sxm | bf16 | e4m3 · channel · e4m3" in text
    assert "* n, l40s: Unknown algo" in text
    assert "What differs" not in page([good], "0.32.0")


def test_each_script_is_given_to_its_library_with_one_mlp_plain(tmp_path: Path) -> None:
    ready, expected = prepared(tmp_path / "work", "nvfp4")
    assert [(case["id"], case["calibrated"]) for case in ready["cases"]] == [
        ("compressed-tensors nvfp4", True),
        ("compressed-tensors nvfp4-w4a16", False),
        ("torchao nvfp4", False),
        ("torchao nvfp4-w4a16", False),
    ]
    plain = {name for name, quantised in expected["torchao nvfp4"].items() if not quantised}
    assert plain == {
        "lm_head",
        *(f"model.layers.1.mlp.{name}_proj" for name in ("gate", "up", "down")),
    }
    assert all(Path(case["script"]).is_file() for case in ready["cases"])


def test_a_matrix_stored_otherwise_than_planned_is_counted() -> None:
    modules = {"a": "weight:F8_E4M3 weight_scale:BF16", "b": "weight:BF16"}
    said = {"id": "x", "error": "", "modules": modules, "away": 0.1}
    assert row(said, {"a": True, "b": False}) == (
        "| x | 0 of 2 | 0.100 | weight:F8_E4M3 weight_scale:BF16 |",
        True,
    )
    assert row(said, {"a": True, "b": True})[1] is False
    assert row(said, {"a": False, "b": False, "c": False})[0].startswith("| x | 2 of 3 |")


def test_what_needs_a_gpu_is_told_apart_from_what_fails() -> None:
    assert row({"id": "torchao nvfp4", "error": "AssertionError"}, {}) == (
        "| torchao nvfp4 | – | – | not here: it needs CUDA at 10.0 (AssertionError) |",
        True,
    )
    assert row({"id": "fp8 fp8-block", "error": "KeyError: a"}, {})[1] is False
