"""Engines on other platforms than CUDA: what a row says holds there and nowhere else."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from planner.hardware.catalog import device_ids, resolve_device
from planner.hardware.profile import DeviceProfile
from planner.memory.engines.catalog import engine_names, parse_engine
from planner.planning.engines.rules import DATA, on_device, runs_at_all, support_cell

PLATFORMS = {
    "mi300x": "rocm",
    "strix-halo": "rocm",
    "tpu-v6e": "tpu",
    "trainium2": "neuron",
    "gaudi-3": "gaudi",
    "ascend-910b": "ascend",
    "apple-m4-max": "metal",
    "rtx-5090": "cuda",
    "graviton4": "cpu",
    "h100-sxm": "cuda",
    "xeon-6980p": "cpu",
}


def status(engine: str, device: str, scheme: str, kind: str = "dense", container: str = "") -> str:
    return support_cell(
        parse_engine(engine), resolve_device(device), "scheme", scheme, kind, container
    ).status


@pytest.mark.parametrize(("device", "platform"), PLATFORMS.items())
def test_platforms_of_devices(device: str, platform: str) -> None:
    assert resolve_device(device).platform == platform


def test_every_bundled_device_has_a_platform_and_its_target() -> None:
    for name in device_ids():
        device = resolve_device(name)
        assert device.platform or name.startswith(("drive-", "rubin")), name
        if device.platform not in ("cuda", "cpu", ""):
            assert device.target, name
            assert not on_device("gpu", device)
            assert on_device(f"x {device.platform}", device)
            assert on_device(device.target, device)
            assert not on_device("8.0-", device)


@pytest.mark.parametrize(
    ("engine", "device"),
    [
        ("tensorrt-llm", "mi300x"),
        ("tensorrt-llm", "apple-m4-max"),
        ("sglang", "tpu-v6e"),
        ("sglang", "apple-m4-max"),
        ("sglang", "strix-halo"),
        ("llama.cpp", "tpu-v6e"),
        ("llama.cpp", "trainium2"),
        ("mlx", "h100-sxm"),
        ("mlx", "mi300x"),
        ("vllm", "apple-m4-max"),
        ("pytorch", "tpu-v7"),
        ("vllm@0.2", "mi300x"),
    ],
)
def test_no_row_of_an_engine_holds_where_it_does_not_run(engine: str, device: str) -> None:
    """Not even that of plain types, which is of every device."""
    for kind in ("dense", "experts", "head", "norm"):
        found = support_cell(
            parse_engine(engine), resolve_device(device), "scheme", "bf16", kind, ""
        )
        assert found.status in ("refused", "unknown")
        assert found.note


@pytest.mark.parametrize(
    ("engine", "device"),
    [
        ("vllm", "mi300x"),
        ("vllm", "mi355x"),
        ("vllm", "strix-halo"),
        ("vllm", "tpu-v6e"),
        ("vllm", "trainium2"),
        ("vllm", "gaudi-3"),
        ("vllm", "ascend-910b"),
        ("sglang", "mi300x"),
        ("sglang", "ascend-910c"),
        ("llama.cpp", "apple-m4-max"),
        ("llama.cpp", "strix-halo"),
        ("mlx", "apple-m3-ultra"),
        ("pytorch", "mi325x"),
        ("vllm", "rtx-5090"),
        ("vllm", "graviton4"),
    ],
)
def test_an_engine_serves_plain_types_where_it_runs(engine: str, device: str) -> None:
    assert status(engine, device, "bf16") == "supported"


def test_formats_by_generation() -> None:
    assert status("vllm", "mi300x", "fp8-channel") == "supported"
    assert status("vllm", "strix-halo", "fp8-channel") == "refused"
    assert status("vllm", "mi355x", "nvfp4") == "emulated"
    assert status("vllm@0.32", "mi355x", "mxfp4", container="compressed-tensors") == "supported"
    assert status("vllm@0.32", "mi300x", "mxfp4", container="compressed-tensors") == "emulated"
    assert status("vllm@0.32", "mi300x", "int8-w8a8") == "supported"
    assert status("vllm@0.31", "mi300x", "int8-w8a8") == "unknown"
    assert status("vllm", "tpu-v6e", "int8-w8a8") == "supported"
    assert status("vllm", "tpu-v7", "int8-w8a8") == "unknown"
    assert status("vllm", "ascend-910b", "fp8-tensor") == "refused"
    assert status("vllm", "ascend-910b", "int8-w8a8", "experts") == "unknown"
    assert status("llama.cpp", "apple-m4-max", "ggml-nvfp4") == "refused"
    assert status("llama.cpp", "strix-halo", "ggml-nvfp4") == "supported"
    assert status("llama.cpp", "ascend-910b", "ggml-q4_k") == "refused"
    assert status("llama.cpp", "ascend-910b", "ggml-q4_0") == "supported"
    assert status("llama.cpp", "ascend-910b", "bf16") == "supported"
    assert status("llama.cpp", "ascend-910b", "bf16", "experts") == "refused"
    assert status("llama.cpp", "ascend-910c", "ggml-q4_0") == "unknown"
    assert status("vllm", "t4", "bf16") == "refused"
    assert status("vllm", "t4", "fp16") == "supported"


def test_a_device_without_a_platform_is_read_as_before() -> None:
    own: DeviceProfile = replace(resolve_device("h100-sxm"), platform="", compute_capability=None)
    for name in engine_names():
        assert (runs_at_all(parse_engine(name), own) is None) == (name != "mlx")
    assert on_device("gpu", own)


def test_every_row_of_the_platforms_decides_somewhere() -> None:
    """Each names an engine, has a source and a note unless it is supported, and a device (xpu has
    none yet) on which it is the first that fits."""
    with (DATA / "engine_platforms.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    devices = [resolve_device(name) for name in device_ids()]
    firsts = set()
    for name in engine_names():
        for device in devices:
            fitting = [
                i
                for i, row in enumerate(rows)
                if row["engine"] == name and on_device(row["device"], device)
            ]
            firsts |= set(fitting[:1])
    assert {
        i
        for i, row in enumerate(rows)
        if "xpu" not in row["device"].split() or len(row["device"].split()) > 1
    } - firsts <= {i for i, row in enumerate(rows) if row["device"] in ("rocm",)}
    assert all(row["note"] for row in rows if row["status"] != "supported")
    assert {row["engine"] for row in rows} <= set(engine_names())


@pytest.mark.parametrize(
    ("device", "amx"),
    [
        ("xeon-6980p", True),
        ("epyc-9575f", False),
        ("graviton4", False),
        ("raspberry-pi-5-8gb", False),
        ("core-i9-14900k-64gb", False),
    ],
)
def test_sglang_serves_on_processors_with_amx_alone(device: str, amx: bool) -> None:
    barred = runs_at_all(parse_engine("sglang"), resolve_device(device))
    assert (barred is None) is amx
    assert amx or (barred is not None and barred.status == "unknown")
    assert runs_at_all(parse_engine("vllm"), resolve_device(device)) is None


def test_rules_of_a_units_processors_hold_there_and_nowhere_else() -> None:
    pi, xeon, card = map(resolve_device, ("raspberry-pi-5-8gb", "xeon-6980p", "rtx-5090"))
    assert on_device("cpu-neon cpu-sve", pi)
    assert on_device("cpu-neon cpu-sve", resolve_device("graviton4"))
    assert not any(on_device("cpu-neon cpu-sve", other) for other in (xeon, card))
    assert [on_device("cpu-amx", device) for device in (pi, xeon, card)] == [False, True, False]


def test_four_bit_checkpoints_on_arm_are_not_known_to_run_in_vllm() -> None:
    assert status("vllm", "raspberry-pi-5-8gb", "int4-w4a16", container="gptq") == "unknown"
    assert status("vllm", "xeon-6980p", "int4-w4a16", container="gptq") == "supported"
