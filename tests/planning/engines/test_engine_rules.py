"""The engine matrix: what is stated holds, and what is not stated is unknown."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from planner.base.versions import EARLIEST
from planner.formats.kv import kv_layout_ids
from planner.formats.schemes import scheme_ids
from planner.hardware.catalog import device_ids
from planner.lookup import load_device
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.placement.modules import AS_RELEASED_KINDS
from planner.planning.engines import rules as engine_matrix
from planner.planning.engines.rules import (
    STATUSES,
    containers,
    kind_group,
    rules,
    support_cell,
)

DATA = Path(engine_matrix.__file__).parents[1] / "data"


def status(
    engine: str,
    device: str,
    name: str,
    kind: str = "dense",
    container: str = "",
    axis: str = "scheme",
) -> str:
    return support_cell(
        parse_engine(engine), load_device(device), axis, name, kind, container
    ).status


@pytest.mark.parametrize(
    ("engine", "device", "name", "kind", "container", "expected"),
    [
        ("vllm", "h100-sxm", "int8-w8a8", "dense", "", "supported"),
        ("vllm", "b200-sxm", "int8-w8a8", "dense", "", "refused"),
        ("vllm@0.21", "jetson-agx-thor-t5000", "int8-w8a8", "experts", "", "refused"),
        ("vllm@0.33", "jetson-agx-thor-t5000", "int8-w8a8", "experts", "", "supported"),
        ("vllm", "rtx-pro-6000", "int8-w8a8", "dense", "", "refused"),
        ("vllm", "b200-sxm", "int8-w8a8", "dense", "modelopt-mixed", "unquantised"),
        ("vllm", "b200-sxm", "fp8-block", "dense", "modelopt-mixed", "unquantised"),
        ("vllm", "b200-sxm", "nvfp4", "dense", "modelopt-mixed", "supported"),
        ("vllm", "b200-sxm", "fp8-tensor", "experts", "modelopt-mixed", "supported"),
        ("vllm", "a100-sxm", "fp8-block", "dense", "", "emulated"),
        ("vllm", "l40s", "fp8-block", "dense", "", "supported"),
        ("vllm@0.33", "l40s", "fp8-block", "experts", "", "supported"),
        ("vllm@0.33", "b200-sxm", "int8-w8a8", "experts", "", "supported"),
        ("vllm@0.33", "b200-sxm", "int8-w8a8", "dense", "", "refused"),
        (
            "vllm@0.33",
            "jetson-agx-thor-t5000",
            "int8-w8a8",
            "dense",
            "compressed-tensors",
            "unknown",
        ),
        ("vllm@0.33", "h100-sxm", "int8-w8a16", "experts", "compressed-tensors", "refused"),
        ("vllm@0.33", "h100-sxm", "int8-w8a16", "experts", "gptq", "unknown"),
        ("vllm@0.21", "h100-sxm", "int8-w8a16", "experts", "compressed-tensors", "supported"),
        ("vllm@0.33", "b200-sxm", "fp8-w8a16", "experts", "", "refused"),
        ("vllm@0.33", "a100-sxm", "fp8-w8a16", "experts", "", "supported"),
        ("vllm@0.33", "b200-sxm", "mxfp4-w4a16", "experts", "compressed-tensors", "emulated"),
        ("vllm@0.33", "b200-sxm", "mxfp4-w4a16", "experts", "mxfp4", "supported"),
        ("vllm@0.33", "b200-sxm", "mxfp4", "dense", "", "supported"),
        ("vllm@0.24", "b200-sxm", "mxfp4", "dense", "compressed-tensors", "unknown"),
        ("sglang", "h100-sxm", "int8-w8a8", "experts", "", "supported"),
        ("vllm", "l40s", "fp8-channel", "dense", "", "supported"),
        ("vllm@0.13", "rtx-pro-6000", "fp8-block", "experts", "", "refused"),
        ("vllm@0.21", "rtx-pro-6000", "fp8-block", "experts", "", "supported"),
        ("vllm", "h100-sxm", "mxfp4-w4a8", "dense", "", "unquantised"),
        ("vllm", "h100-sxm", "mxfp4-w4a8", "dense", "compressed-tensors", "unknown"),
        ("vllm@0.21", "xeon-6980p", "fp8-block", "dense", "", "refused"),
        ("vllm@0.33", "xeon-6980p", "fp8-block", "dense", "", "unknown"),
        ("sglang", "b200-sxm", "int8-w8a8", "dense", "", "refused"),
        ("sglang", "b200-sxm", "int8-block", "dense", "", "supported"),
        ("sglang", "h100-sxm", "mxfp8", "dense", "", "unknown"),
        ("tensorrt-llm", "b200-sxm", "fp8-block", "dense", "", "emulated"),
        ("tensorrt-llm", "h100-sxm", "fp8-block", "experts", "", "supported"),
        ("tensorrt-llm", "h100-sxm", "nvfp4", "dense", "", "refused"),
        ("tensorrt-llm", "jetson-agx-orin-64gb", "bf16", "dense", "", "unknown"),
        ("llama.cpp", "xeon-6980p", "ggml-q4_k", "dense", "", "supported"),
        ("pytorch", "h100-sxm", "fp8-channel", "dense", "", "supported"),
        ("pytorch", "h100-sxm", "fp8-channel", "experts", "", "unknown"),
        # The form in which DeepSeek-V3.1 and V3.2 are released.
        ("vllm", "h200-sxm", "fp8-block-ue8m0", "experts", "fp8", "supported"),
        ("vllm", "b200-sxm", "fp8-block-ue8m0", "dense", "fp8", "supported"),
        ("vllm", "b200-sxm", "fp8-block-ue8m0", "dense", "compressed-tensors", "supported"),
        ("vllm", "l40s", "fp8-block-ue8m0", "dense", "", "emulated"),
        ("vllm", "rtx-pro-6000", "fp8-block-ue8m0", "dense", "fp8", "unknown"),
        ("vllm@0.10.1", "h200-sxm", "fp8-block-ue8m0", "dense", "fp8", "emulated"),
        ("sglang", "h200-sxm", "fp8-block-ue8m0", "experts", "", "supported"),
        ("sglang", "b200-sxm", "fp8-block-ue8m0", "dense", "", "supported"),
        ("sglang", "l40s", "fp8-block-ue8m0", "dense", "", "emulated"),
        ("tensorrt-llm", "h200-sxm", "fp8-block-ue8m0", "experts", "", "supported"),
        ("tensorrt-llm", "b200-sxm", "fp8-block-ue8m0", "dense", "", "supported"),
        ("tensorrt-llm", "l40s", "fp8-block-ue8m0", "dense", "", "refused"),
        # Modules that servers build apart.
        ("vllm", "h200-sxm", "fp8-block-ue8m0", "indexer", "fp8", "supported"),
        ("vllm", "h200-sxm", "fp8-block", "indexer", "compressed-tensors", "supported"),
        ("vllm", "l40s", "fp8-block", "indexer", "fp8", "unknown"),
        ("sglang", "h200-sxm", "fp8-block-ue8m0", "indexer", "fp8", "supported"),
        ("tensorrt-llm@1.0", "h200-sxm", "fp8-block-ue8m0", "indexer", "fp8", "unknown"),
        ("tensorrt-llm@1.2", "h200-sxm", "fp8-block-ue8m0", "indexer", "fp8", "supported"),
        ("vllm", "h100-sxm", "fp8-channel", "head", "compressed-tensors", "supported"),
        ("vllm@0.19", "h100-sxm", "fp8-channel", "head", "compressed-tensors", "unquantised"),
        ("vllm", "h100-sxm", "int4-w4a16", "head", "compressed-tensors", "supported"),
        ("vllm", "h100-sxm", "fp8-block", "head", "fp8", "refused"),
        ("vllm@0.21", "b200-sxm", "nvfp4", "head", "modelopt-mixed", "unknown"),
        ("vllm@0.24", "b200-sxm", "nvfp4", "head", "modelopt-mixed", "supported"),
        ("vllm", "h100-sxm", "int8-w8a16", "embedding", "compressed-tensors", "unknown"),
        ("vllm@0.21", "h100-sxm", "ggml-q4_k", "embedding", "gguf", "supported"),
        ("vllm@0.33", "h100-sxm", "ggml-q4_k", "embedding", "gguf", "refused"),
        ("vllm", "h100-sxm", "fp8-block", "router", "", "refused"),
        ("vllm", "h100-sxm", "bf16", "router", "", "supported"),
        ("vllm", "h100-sxm", "int8-w8a8", "norm", "", "refused"),
        ("sglang", "h100-sxm", "int4-w4a16", "router", "", "refused"),
        ("tensorrt-llm", "h100-sxm", "fp8-block", "router", "", "refused"),
        ("tensorrt-llm", "b200-sxm", "nvfp4", "embedding", "", "refused"),
        ("vllm", "h100-sxm", "fp8-block", "dense", "fp8", "supported"),
        ("sglang", "h100-sxm", "fp8-channel", "head", "", "unknown"),
        ("sglang", "h100-sxm", "int8-w8a16", "embedding", "compressed-tensors", "unquantised"),
        ("tensorrt-llm", "b200-sxm", "nvfp4", "head", "", "unknown"),
        ("llama.cpp", "h100-sxm", "ggml-q6_k", "head", "", "supported"),
        ("llama.cpp", "h100-sxm", "ggml-q4_k", "embedding", "", "supported"),
        ("llama.cpp", "h100-sxm", "ggml-q8_0", "router", "", "refused"),
        ("llama.cpp", "h100-sxm", "ggml-q8_0", "indexer", "", "unknown"),
        ("pytorch", "h100-sxm", "int4-w4a16", "head", "", "supported"),
        ("pytorch", "h100-sxm", "int8-w8a16", "embedding", "", "supported"),
        ("pytorch", "h100-sxm", "int4-w4a16", "embedding", "", "emulated"),
    ],
)
def test_what_engines_do(
    engine: str, device: str, name: str, kind: str, container: str, expected: str
) -> None:
    assert status(engine, device, name, kind, container) == expected


@pytest.mark.parametrize(
    ("engine", "device", "layout", "group", "expected"),
    [
        ("vllm", "h100-sxm", "fp8", "heads", "supported"),
        ("vllm", "h100-sxm", "fp8", "latent-dense", "supported"),
        ("vllm", "h100-sxm", "fp8", "latent-sparse", "refused"),
        ("vllm", "h100-sxm", "fp8-ds-mla", "latent-sparse", "supported"),
        ("vllm", "h100-sxm", "fp8-ds-mla", "latent-dense", "refused"),
        ("vllm@0.19", "h100-sxm", "int8-token", "heads", "refused"),
        ("vllm@0.20", "h100-sxm", "int8-token", "heads", "supported"),
        ("vllm", "h100-sxm", "int8-token", "latent-dense", "refused"),
        ("vllm@0.22", "rtx-pro-6000", "nvfp4", "heads", "refused"),
        ("vllm@0.33", "rtx-pro-6000", "nvfp4", "heads", "supported"),
        ("vllm@0.33", "rtx-pro-6000", "nvfp4", "heads-sinks", "refused"),
        ("vllm@0.33", "jetson-agx-thor-t5000", "nvfp4", "heads", "refused"),
        ("vllm@0.33", "l40s", "bf16", "latent-sparse", "refused"),
        ("vllm@0.33", "l40s", "fp8", "latent-dense", "supported"),
        ("vllm@0.33", "rtx-pro-6000", "fp8-ds-mla", "latent-sparse", "supported"),
        ("vllm@0.22", "b200-sxm", "nvfp4", "heads", "supported"),
        ("sglang", "h100-sxm", "int8-token", "heads", "refused"),
        ("tensorrt-llm@1.0", "b200-sxm", "nvfp4", "heads", "refused"),
        ("llama.cpp", "h100-sxm", "fp8", "heads", "refused"),
    ],
)
def test_what_engines_cache(
    engine: str, device: str, layout: str, group: str, expected: str
) -> None:
    assert status(engine, device, layout, group, axis="kv") == expected


def test_every_row_names_a_known_source_and_is_reached() -> None:
    with (DATA / "engine_sources.csv").open(encoding="utf-8", newline="") as file:
        sources = {row["key"]: row for row in csv.DictReader(file)}
    with (DATA / "engine_matrix.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with (DATA / "engine_defaults.csv").open(encoding="utf-8", newline="") as file:
        defaults = list(csv.DictReader(file))
    with (DATA / "engine_mixes.csv").open(encoding="utf-8", newline="") as file:
        mixes = list(csv.DictReader(file))
    with (DATA / "engine_layouts.csv").open(encoding="utf-8", newline="") as file:
        layouts = list(csv.DictReader(file))
    with (DATA / "prefill_chunks.csv").open(encoding="utf-8", newline="") as file:
        chunks = list(csv.DictReader(file))
    with (DATA / "expert_backends.csv").open(encoding="utf-8", newline="") as file:
        backends = list(csv.DictReader(file))
    whole = [
        row
        for name in (
            "engine_speculation",
            "engine_offloads",
            "engine_holding",
            "engine_platforms",
            "cache_rotations",
            "engine_pool_stages",
            "engine_schedulers",
        )
        for row in csv.DictReader((DATA / f"{name}.csv").read_text(encoding="utf-8").splitlines())
    ]
    assert {
        row["source"] for row in (*rows, *defaults, *mixes, *layouts, *chunks, *backends, *whole)
    } == set(sources)
    assert all(s["title"].strip() and len(s["date"]) >= 7 for s in sources.values())
    assert {row["engine"] for row in rows} <= set(engine_names())
    assert {row["engine"] for row in rows} >= {
        "vllm",
        "sglang",
        "tensorrt-llm",
        "llama.cpp",
        "pytorch",
        "mlx",
    }
    assert all(row["status"] in STATUSES for row in rows)
    assert all(row["note"] for row in rows if row["status"] == "unknown")
    assert len({tuple(row.items()) for row in rows}) == len(rows)


def test_no_cell_outside_the_rules_is_supported() -> None:
    """For every engine and device: supported comes from a row that says so."""
    for engine in map(parse_engine, engine_names()):
        for device in map(load_device, device_ids()):
            for name in scheme_ids():
                found = support_cell(engine, device, "scheme", name, "dense", "")
                assert found.source is not None or found.status == "unknown"
            for name in kv_layout_ids():
                assert support_cell(engine, device, "kv", name, "heads", "").status in STATUSES


def test_modules_that_servers_build_apart_are_covered_by_name_alone() -> None:
    """A row of ``*`` or ``dense`` says nothing of them, and plain types are the server's own."""
    rule = replace(
        rules("scheme", "vllm")[0], device="*", since=EARLIEST, until=None, containers=("*",)
    )
    engine, device = parse_engine("vllm"), load_device("h100-sxm")
    for kind in AS_RELEASED_KINDS:
        assert kind_group(kind) == kind
        assert not replace(rule, kinds=("*",)).fits(engine, device, kind, "fp8")
        assert not replace(rule, kinds=("dense",)).fits(engine, device, kind, "fp8")
        assert replace(rule, kinds=("*", kind)).fits(engine, device, kind, "fp8")
        for name in engine_names():
            home = "apple-m4-max" if name == "mlx" else "h100-sxm"
            assert status(name, home, "bf16", kind) == "supported"
    assert replace(rule, kinds=("*",)).fits(engine, device, "dense", "fp8")
    assert kind_group("mla-q") == kind_group("mtp") == "dense"


def test_a_word_that_is_no_kind_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("engine_matrix.csv", "engine_sources.csv"):
        text = (DATA / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(text.replace(",router,", ",gate,"), encoding="utf-8")
    monkeypatch.setattr(engine_matrix, "DATA", tmp_path)
    with pytest.raises(ValueError, match="gate are no kinds"):
        engine_matrix._all.__wrapped__()


def test_a_format_that_is_not_in_the_matrix_carries_nothing() -> None:
    for name in engine_names():
        engine, device = parse_engine(name), load_device("h100-sxm")
        assert (
            support_cell(engine, device, "scheme", "fp8-block", "dense", "none").status == "unknown"
        )
        assert "none" not in containers(engine)
