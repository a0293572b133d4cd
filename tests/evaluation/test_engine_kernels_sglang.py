"""What SGLang said of layers, read as rows of engine_kernels.csv: on answers of 0.5.23."""

from __future__ import annotations

import pytest

from benchmarks.engine_kernels_sglang import KEPT, cells, choice_of, differences, flagless, rows
from benchmarks.engine_kernels_sglang_cases import CASES, MODELS
from planner.base.versions import Version
from planner.throughput.engine_kernels import chosen_kernel

FP8 = {"method": "Fp8LinearMethod", "scheme": "", "fp4": "auto"}
MARLIN = {
    "method": "CompressedTensorsFusedMoEMethod",
    "scheme": "CompressedTensorsW4A16Nvfp4MoE",
    "fp4": "marlin",
    "runner": "marlin",
}
BLOCK = {**FP8, "block": "triton_w8a8_block_fp8_linear"}
TRITON = {"method": "Fp8MoEMethod", "scheme": "", "fp4": "auto", "runner": "triton"}


@pytest.mark.parametrize(
    ("module", "scheme", "said", "capability", "expected"),
    [
        ("dense", "fp8-block", BLOCK, "8.9", ("triton_w8a8_block_fp8_linear", "native", "")),
        (
            "dense",
            "fp8-block",
            {**BLOCK, "use_marlin": "True"},
            "8.0",
            ("marlin:Fp8LinearMethod", "weight-only", KEPT),
        ),
        ("moe", "nvfp4", MARLIN, "9.0", ("marlin", "weight-only", KEPT)),
        ("moe", "nvfp4-w4a16", MARLIN, "9.0", ("marlin", "weight-only", "")),
        ("moe", "fp8-block", TRITON, "8.0", ("triton", "unknown", "")),
        ("moe", "fp8-block", TRITON, "8.9", ("triton", "native", "")),
        (
            "moe",
            "fp8-w8a16",
            {"error": "AttributeError: 'NoneType' object has no attribute 'num_bits'"},
            "9.0",
            ("REFUSED", "refused", "no method for weight-only FP8 experts"),
        ),
    ],
)
def test_a_choice_from_what_was_said(
    module: str, scheme: str, said: dict[str, str], capability: str, expected: tuple[str, str, str]
) -> None:
    assert choice_of(module, scheme, "fp8", said, capability) == expected


def test_alike_capabilities_and_formats_are_one_row_and_a_change_is_two() -> None:
    said = {("moe", "nvfp4", case): ("marlin", "weight-only", KEPT) for case in ("modelopt", "x")}
    made = list(rows({"8.0": said, "8.6": said, "9.0": said}, "0.5.23"))
    assert {(row[1], row[2], row[3], row[6], row[9]) for row in made} == {
        ("0.5.13", "", "8.0-8.6 9.0", "modelopt", "marlin"),
        ("", "0.5.13", "8.0-8.6 9.0", "modelopt", "REFUSED"),
        ("", "", "8.0-8.6 9.0", "x", "marlin"),
    }


def test_a_cell_that_differs_is_a_line() -> None:
    ours = chosen_kernel("sglang", Version("0.5.23"), "9.0", "moe", "fp8-block", case="fp8")
    assert ours is not None
    cell = {("moe", "fp8-block", "fp8"): (ours.kernel, ours.path, ours.reason)}
    assert differences({"9.0": cell}, Version("0.5.23")) == []
    cell = {("moe", "fp8-block", "fp8"): ("cutlass", "native", "")}
    (line,) = differences({"9.0": cell}, Version("0.5.23"))
    assert "cutlass" in line
    assert ours.kernel in line


def test_int8_experts_without_the_flag_are_to_raise() -> None:
    row = ("moe", "mixtral", "int8-w8a8", "unasked")
    assert (
        flagless([(*row, {"error": "NotImplementedError: implemented only for NPU"})], "9.0") == []
    )
    assert len(flagless([(*row, {"runner": "triton"})], "9.0")) == 1


def test_models_of_another_runner_are_a_case_of_their_own() -> None:
    said = [
        ("moe", "mixtral", "fp8-block", "fp8", TRITON),
        ("moe", "qwen3-moe", "fp8-block", "fp8", {**TRITON, "runner": "flashinfer_trtllm"}),
    ]
    assert set(cells(said, "10.0")) == {
        ("moe", "fp8-block", "fp8"),
        ("moe", "fp8-block", "overridden"),
    }


def test_every_case_has_one_answer_and_models_are_small() -> None:
    assert len({case[:2] for case in CASES}) == len(CASES)
    assert {model["num_hidden_layers"] for model in MODELS.values()} == {2}
