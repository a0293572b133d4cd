"""Which kernels engines pick: rows that people know, and the whole file against what was run."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from planner.base.versions import Version
from planner.formats.kv import kv_layout_ids
from planner.formats.schemes import scheme_ids
from planner.throughput import engine_kernels
from planner.throughput.engine_kernels import (
    INSTALLED,
    LAYOUTS,
    Module,
    chosen_kernel,
)

SHARED = Path(__file__).resolve().parents[3] / "shared"
NEW, TABLES = Version("0.33"), Version("0.24")


def kernel(
    module: Module,
    scheme: str,
    capability: str,
    version: Version = NEW,
    layout: str = "tp",
    case: str = "compressed-tensors",
    engine: str = "vllm",
    installed: str = "full",
) -> tuple[str, str]:
    found = chosen_kernel(
        engine, version, capability, module, scheme, layout=layout, case=case, installed=installed
    )
    assert found is not None
    return found.kernel.rpartition(":")[2], found.path


@pytest.mark.parametrize(
    ("module", "scheme", "capability", "expected"),
    [
        ("dense", "fp8-block", "8.9", ("MarlinFP8ScaledMMLinearKernel", "weight-only")),
        ("moe", "fp8-block", "8.9", ("TritonExperts", "native")),
        ("dense", "int8-w8a8", "10.0", ("CutlassInt8ScaledMMLinearKernel", "refused")),
        ("moe", "int8-w8a8", "10.0", ("TritonExperts", "native")),
        ("dense", "nvfp4", "9.0", ("HummingNvFp4LinearKernel", "weight-only")),
        ("dense", "nvfp4", "10.3", ("FlashInferCuteDslNvFp4LinearKernel", "native")),
        ("moe", "fp8-tensor", "9.0", ("HummingIndexedExperts", "weight-only")),
        ("moe", "fp8-tensor", "10.0", ("MarlinExperts", "weight-only")),
        ("moe", "mxfp8", "12.0", ("MarlinExperts", "weight-only")),
        ("moe", "int8-w8a16", "9.0", ("REFUSED", "refused")),
        ("moe", "fp8-w8a16", "10.0", ("REFUSED", "refused")),
        ("moe", "mxfp4-w4a16", "10.0", ("CutlassExpertsMxfp4", "native")),
    ],
)
def test_what_vllm_picks(
    module: Module, scheme: str, capability: str, expected: tuple[str, str]
) -> None:
    assert kernel(module, scheme, capability) == expected


def test_layout_checkpoint_version_and_installation_count() -> None:
    assert kernel("moe", "fp8-block", "9.0")[0] == "TritonExperts"
    assert kernel("moe", "fp8-block", "9.0", layout="ep")[0] == "FlashInferExperts"
    assert kernel("moe", "nvfp4", "10.0", layout="tp")[0] == "TrtLlmNvFp4ExpertsMonolithic"
    assert kernel("moe", "nvfp4", "10.0", layout="dp-ep")[0] == "TrtLlmNvFp4ExpertsModular"
    assert kernel("moe", "fp8-tensor", "9.0", case="modelopt-mixed") == (
        "FlashInferExperts",
        "native",
    )
    assert kernel("dense", "nvfp4", "9.0", TABLES)[0] == "MarlinNvFp4LinearKernel"
    assert kernel("dense", "fp8-block", "8.9", TABLES)[0] == "TritonFp8BlockScaledMMKernel"
    assert (
        kernel("dense", "nvfp4", "10.0", installed="no-flashinfer")[0] == "CutlassNvFp4LinearKernel"
    )
    assert kernel("dense", "mxfp8", "12.0", installed="no-flashinfer")[1] == "weight-only"
    assert (
        kernel("dense", "bf16", "10.0", installed="no-flashinfer")[0] == "default_unquantized_gemm"
    )


def test_where_nothing_was_read_nothing_is_said() -> None:
    assert chosen_kernel("vllm", NEW, None, "dense", "bf16") is None
    assert chosen_kernel("vllm", NEW, "7.5", "dense", "bf16") is None
    assert chosen_kernel("llama.cpp", Version("1.2"), "9.0", "dense", "fp8-tensor") is None
    assert chosen_kernel("vllm", NEW, "9.0", "dense", "ggml-q4_k") is None


def test_caches_by_kind_of_attention() -> None:
    for capability in ("8.0", "9.0", "10.0", "12.0"):
        assert kernel("attention", "int8-token", capability, case="heads")[0] == "TRITON_ATTN"
        assert kernel("attention", "int8-token", capability, case="latent-dense")[1] == "refused"
    assert kernel("attention", "nvfp4", "12.0", case="heads")[1] == "native"
    assert kernel("attention", "nvfp4", "12.0", case="heads-sinks")[1] == "refused"
    assert kernel("attention", "fp8", "9.0", case="latent-dense")[0] == "FLASHMLA"


def test_every_row_is_of_the_catalogue_and_told() -> None:
    rows = engine_kernels._all()
    names = {*scheme_ids(), *kv_layout_ids()}
    for row in rows:
        assert set(row.schemes) <= names
        assert row.spans
        assert row.layouts == ("*",) or set(row.layouts) <= set(LAYOUTS)
        assert row.installed in INSTALLED
        assert row.choice.source
        assert row.choice.path != "refused" or row.choice.reason
        assert row.until is None or row.since < row.until
    assert len(set(rows)) == len(rows)


COMMON = (
    "bf16 fp8-tensor fp8-channel fp8-block fp8-block-ue8m0 int8-w8a8 int8-w8a16 int4-w4a16 nvfp4 "
    "nvfp4-w4a16"
)
NAMED = {"dense": COMMON, "moe": f"{COMMON} mxfp4-w4a16"}
"""What models are released in, or checkpoints of them are published in, for these engines."""
WHERE = {
    ("sglang", Version("0.5.23")): "8.0 8.6 8.9 9.0 10.0 10.3 11.0 12.0 12.1",
    ("tensorrt-llm", Version("1.2")): "8.0 8.6 8.9 9.0 10.0 10.3 12.0",
}


def test_every_cell_of_the_other_engines_is_a_kernel_or_a_refusal_with_its_reason() -> None:
    cells = 0
    for (engine, version), capabilities in WHERE.items():
        for name, schemes in NAMED.items():
            module: Module = "moe" if name == "moe" else "dense"
            for capability in capabilities.split():
                for scheme in schemes.split():
                    where = (engine, capability, name, scheme)
                    choice = chosen_kernel(engine, version, capability, module, scheme)
                    assert choice is not None, where
                    assert choice.kernel, where
                    assert (choice.kernel == "REFUSED") == (choice.path == "refused"), where
                    assert choice.reason or choice.path != "refused", where
                    cells += 1
    assert cells > 300


def test_a_source_that_is_not_pinned_says_so() -> None:
    for row in engine_kernels._all():
        if row.engine == "tensorrt-llm" and "@" in row.choice.source:
            words = ("not pinned", "no file is pinned", "documentation", "#")
            assert any(word in row.choice.source for word in words), row.choice.source


@pytest.mark.parametrize(
    ("engine", "module", "scheme", "capability", "case", "expected"),
    [
        ("sglang", "attention", "bf16", "10.0", "latent-dense", "trtllm_mla"),
        ("sglang", "attention", "fp8-ds-mla", "9.0", "latent-sparse", "flashmla_kv/flashmla_kv"),
        ("sglang", "moe", "nvfp4", "10.0", "compressed-tensors", "flashinfer_cutlass"),
        ("sglang", "moe", "nvfp4", "10.0", "modelopt", "flashinfer_trtllm"),
        ("sglang", "moe", "nvfp4", "12.0", "modelopt", "flashinfer_cutlass"),
        ("sglang", "moe", "int4-w4a16", "10.0", "compressed-tensors", "triton"),
        ("sglang", "moe", "int4-w4a16", "9.0", "compressed-tensors", "marlin"),
        ("sglang", "moe", "fp8-block", "10.0", "overridden", "flashinfer_trtllm"),
        ("sglang", "dense", "int8-w8a8", "10.0", "compressed-tensors", "REFUSED"),
        ("tensorrt-llm", "moe", "fp8-block", "10.0", "fp8", "DeepGemmFusedMoE"),
        ("tensorrt-llm", "moe", "fp8-channel", "9.0", "modelopt", "REFUSED"),
        ("tensorrt-llm", "attention", "nvfp4", "10.0", "heads", "REFUSED"),
    ],
)
def test_what_the_other_engines_pick(
    engine: str, module: Module, scheme: str, capability: str, case: str, expected: str
) -> None:
    version = Version("0.5.23" if engine == "sglang" else "1.2")
    found = kernel(module, scheme, capability, version, case=case, engine=engine)
    assert found[0] == expected


def test_nvfp4_below_blackwell_came_with_versions_of_sglang() -> None:
    for case, text in (("modelopt", "0.5.13"), ("compressed-tensors", "0.5.22")):
        since, before = Version(text), Version(f"{text}rc1")
        for module in ("dense", "moe"):
            part: Module = "moe" if module == "moe" else "dense"
            assert kernel(part, "nvfp4", "9.0", since, case=case, engine="sglang")[1] == (
                "weight-only"
            )
            assert kernel(part, "nvfp4", "9.0", before, case=case, engine="sglang")[1] == "refused"


def test_a_bad_row_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"engine_kernels\.csv"):
        engine_kernels._read(
            {"path": "fast", "installed": "full", "source": "here", "layouts": "*"}
        )


def test_the_tables_of_0_24_name_the_kernels_that_are_said_to_be_picked() -> None:
    """Kernel classes in the tables' names, for devices whose own pick was measured."""
    measured = {
        ("8.9", "dense", "fp8-block"): "TritonFp8BlockScaledMMKernel",
        ("12.0", "dense", "fp8-block"): "CutlassFp8BlockScaledMMKernel",
        ("10.3", "dense", "fp8-block"): "DeepGemmFp8BlockScaledMMKernel",
        ("9.0", "dense", "fp8-tensor"): "CutlassFP8ScaledMMLinearKernel",
        ("10.0", "dense", "nvfp4"): "FlashInferCuteDslNvFp4LinearKernel",
        ("12.0", "dense", "nvfp4"): "FlashInferCutlassNvFp4LinearKernel",
        ("9.0", "moe", "int4-w4a16"): "MarlinExperts",
        ("9.0", "moe", "fp8-block"): "TritonExperts",
        ("9.0", "moe", "bf16"): "TritonExperts",
        ("10.0", "moe", "mxfp4-w4a16"): "MarlinExperts",
        ("10.0", "moe", "nvfp4"): "TrtLlmNvFp4ExpertsMonolithic",
        ("12.0", "moe", "nvfp4"): "FlashInferExperts",
    }
    for (capability, module, scheme), name in measured.items():
        kind: Module = "moe" if module == "moe" else "dense"
        assert kernel(kind, scheme, capability, TABLES)[0] == name


SCHEMES = {
    "bf16": ("bf16", "*"),
    "fp8-tensor-dynamic (CT)": ("fp8-tensor", "compressed-tensors"),
    "fp8-tensor-dynamic (fp8 method)": ("fp8-tensor", "fp8"),
    "fp8-tensor-static (modelopt)": ("fp8-tensor", "modelopt-mixed"),
    "fp8-channel-token (CT)": ("fp8-channel", "compressed-tensors"),
    "fp8-block128 (CT)": ("fp8-block", "compressed-tensors"),
    "fp8-block128 fp32 (fp8 method)": ("fp8-block", "fp8"),
    "fp8-block128 ue8m0 (fp8 method)": ("fp8-block-ue8m0", "fp8"),
    "fp8-block128 (fp8 method)": ("fp8-block", "fp8"),
    "fp8-w8a16 channel (CT)": ("fp8-w8a16", "compressed-tensors"),
    "int8-w8a8 channel-token (CT)": ("int8-w8a8", "compressed-tensors"),
    "int8-w8a16 channel (CT)": ("int8-w8a16", "compressed-tensors"),
    "int4-w4a16 g128 (CT)": ("int4-w4a16", "compressed-tensors"),
    "int4-w4a16 g32 (CT)": ("int4-w4a16-g32", "compressed-tensors"),
    "nvfp4-w4a4 (CT)": ("nvfp4", "compressed-tensors"),
    "nvfp4-w4a4 (modelopt)": ("nvfp4", "modelopt-mixed"),
    "nvfp4-w4a4": ("nvfp4", "compressed-tensors"),
    "nvfp4-w4a16 (CT)": ("nvfp4-w4a16", "compressed-tensors"),
    "nvfp4-w4a16": ("nvfp4-w4a16", "compressed-tensors"),
    "mxfp4-w4a4 (CT)": ("mxfp4", "compressed-tensors"),
    "mxfp4-w4a16 (CT)": ("mxfp4-w4a16", "compressed-tensors"),
    "mxfp4 gpt-oss (swigluoai)": ("mxfp4-w4a16", "mxfp4"),
    "mxfp4 gpt-oss": ("mxfp4-w4a16", "mxfp4"),
    "mxfp4 + mxfp8 act": ("mxfp4-w4a8", "*"),
    "mxfp8 (CT)": ("mxfp8", "compressed-tensors"),
    "mxfp8": ("mxfp8", "compressed-tensors"),
    "head128": ("", "heads"),
    "head256": ("", "heads"),
    "head64 sinks (gpt-oss)": ("", "heads-sinks"),
    "dense DSv3 576, 128 heads": ("", "latent-dense"),
    "dense DSv3 576, 16 heads": ("", "latent-dense"),
    "sparse DSv3.2 576, 128 heads": ("", "latent-sparse"),
}
CACHES = {
    "auto": "bf16",
    "fp8": "fp8",
    "int8_per_token_head": "int8-token",
    "nvfp4": "nvfp4",
    "fp8_ds_mla": "fp8-ds-mla",
}
CONDITIONS = {
    "TP1 no EP (model built)": "tp",
    "TP8": "tp",
    "TP8+EP": "ep",
    "DP8 (TP-flattened, no EP)": "dp",
    "DP8+EP ag_rs": "dp-ep",
    "DP2xTP4+EP (sequence parallel)": "tp-dp-ep",
    "DP8+EP deepep_ht": "deepep-ht",
    "DP8+EP deepep_ll": "deepep-ll",
    "(model built)": "tp",
}
MODES = {
    "full install (FlashInfer+cubins, DeepGEMM, Humming)": "full",
    "FlashInfer absent": "no-flashinfer",
    "VLLM_USE_DEEP_GEMM=0": "no-deepgemm",
    "Humming absent": "no-humming",
    "FlashInfer importable (nvcc+ninja) but no cubin package and no network": "no-cubins",
}


def test_every_choice_agrees_with_what_the_selectors_said() -> None:
    path = SHARED / "facts/engine_kernels.csv"
    if not path.exists():
        pytest.skip("no shared facts: choices are not held against the selectors' own rows here")
    checked = 0
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            parts = [part.strip() for part in row["condition"].split("; ")]
            found = SCHEMES.get(row["scheme"])
            dense = row["module"] != "moe"
            layout = "tp" if dense else CONDITIONS.get(parts[1])
            if row["engine"] != "vllm" or found is None or layout is None:
                continue
            module: Module = (
                "moe" if not dense else "dense" if row["module"] == "dense" else "attention"
            )
            name = CACHES.get(row["kv_dtype"]) if module == "attention" else found[0]
            if name is None:
                continue
            ours = chosen_kernel(
                "vllm",
                NEW,
                row["sm"],
                module,
                name,
                layout=layout,
                case=found[1].replace("*", ""),
                installed=MODES[parts[0]],
            )
            assert ours is not None, row
            assert (ours.kernel, ours.path) == (row["kernel"].partition(" ")[0], row["path"]), row
            checked += 1
    assert checked > 1200
