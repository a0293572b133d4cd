"""The packaged profiles: identity, provenance, capacities, what is native and what is not."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.promised_devices import CONTRACT, LATER, ORIN, XEON

from planner.base.files import data_folder
from planner.formats.schemes import SCHEMES
from planner.hardware.catalog import device_ids, list_devices, resolve_device, variant_ids
from planner.hardware.profile import DeviceProfile, Quantity
from planner.hardware.rules import FORMATS, KERNEL_CLASSES

GIB = 2**30

MIB = 2**20

CAPACITY = {
    "h100-sxm": int(79.2 * GIB),
    "h100-pcie": int(79.2 * GIB),
    "h100-nvl": int(94 * GIB * 0.985),
    "h200-sxm": 140 * GIB,
    "h800-sxm": int(80 * GIB * 0.985),
    "h20": int(96 * GIB * 0.985),
    "b200-sxm": int(178.4 * GIB),
    "gb200": 189471 * MIB * 994 // 1000,
    "b300-sxm": 275040 * MIB * 994 // 1000,
    "gb300": 284208 * MIB * 994 // 1000,
    "rtx-pro-6000": 97887 * MIB * 994 // 1000,
    "rubin-r200": int(288 * GIB * 0.93),
    "a100-sxm": int(80 * GIB * 0.985),
    "l40s": 46068 * MIB * 994 // 1000,
    "jetson-agx-orin-64gb": int(61.4 * GIB),
    "jetson-agx-orin-32gb": int(32 * GIB * 0.96),
    "jetson-orin-nx-16gb": int(16 * GIB * 0.96),
    "jetson-orin-nano-8gb": int(8 * GIB * 0.96),
    "drive-orin-x": int(32 * GIB * 0.96),
    "jetson-agx-thor-t5000": int(128 * GIB * 0.96),
    "jetson-t4000": int(64 * GIB * 0.96),
    "drive-thor-x": int(64 * GIB * 0.96),
    "drive-thor-u": int(64 * GIB * 0.96),
    "xeon-platinum-8480": 512 * GIB,
    "xeon-platinum-8490h": 512 * GIB,
    "xeon-platinum-8592": 512 * GIB,
    "xeon-6980p": 768 * GIB,
    "epyc-9575f": 768 * GIB,
    "rtx-4090": int(23.64 * 2**30),
    "mi300x": int(192 * GIB * 0.985),
    "mi325x": int(256 * GIB * 0.985),
    "mi350x": int(288 * GIB * 0.985),
    "mi355x": int(288 * GIB * 0.985),
    "rtx-3090": int(23.69 * 2**30),
    "rtx-5090": int(31.36 * 2**30),
    "rtx-6000-ada": int(48 * GIB * 0.985),
    "dgx-spark": int(121.63 * GIB),
    "l4": 23034 * MIB * 994 // 1000,
    "a10": 23028 * MIB * 994 // 1000,
    "t4": 15360 * MIB * 994 // 1000,
    "gh200": 97871 * MIB * 994 // 1000,
    "gh200-144gb": int(141 * GIB * 0.985),
    "gaudi-3": int(128 * GIB * 0.985),
    "ascend-910b": int(64 * GIB * 0.985),
    "ascend-910c": int(128 * GIB * 0.985),
    "tpu-v5e": int(15.75 * GIB),
    "tpu-v6e": int(31.25 * GIB),
    "tpu-v7": int(192 * GIB * 0.985),
    "trainium2": int(96 * GIB * 0.985),
    "trainium3": int(144 * GIB * 0.985),
    "apple-m3-ultra": 512 * GIB,
    "apple-m4-max": 128 * GIB,
    "strix-halo": 110 * GIB,
    "graviton4": 768 * GIB,
}

DRIVER = {
    "h100-sxm": 81559,
    "h100-pcie": 81559,
    "l40s": 46068,
    "rtx-pro-6000": 97887,
    "gb200": 189471,
    "b300-sxm": 275040,
    "gb300": 284208,
    "rtx-4090": 24564,
    "rtx-3090": 24576,
    "rtx-5090": 32607,
    "l4": 23034,
    "a10": 23028,
    "t4": 15360,
    "gh200": 97871,
}


@pytest.fixture(scope="module")
def devices() -> dict[str, DeviceProfile]:
    return {device.id: device for device in list_devices() if device.id in CONTRACT}


@pytest.fixture(scope="module")
def every() -> dict[str, DeviceProfile]:
    """Devices of families too."""
    return {device.id: device for device in list_devices()}


def numbers(table: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every Quantity table of a parsed file, and every number outside of one."""
    if isinstance(table, dict):
        if "value" in table:
            yield key, table
            return
        for name, value in table.items():
            yield from numbers(value, f"{key}.{name}" if key else name)
    elif isinstance(table, int | float) and not isinstance(table, bool):
        yield key, table


def test_ids_are_the_contract_in_its_order(devices: dict[str, DeviceProfile]) -> None:
    assert device_ids() == CONTRACT
    assert tuple(devices) == CONTRACT
    assert [d.id for d in list_devices()] == [*CONTRACT, *variant_ids()]
    files = {p.stem for p in data_folder("hardware_profiles").glob("*.toml")} - {"aliases"}
    assert files == set(CONTRACT)


def test_alias_file_agrees_with_the_profiles(devices: dict[str, DeviceProfile]) -> None:
    table = tomllib.loads((data_folder("hardware_profiles") / "aliases.toml").read_text("utf-8"))
    declared = {
        alias.replace("_", "-").lower(): device.id
        for device in list_devices()
        for alias in device.aliases
    }
    assert table["aliases"] == {a: i for a, i in declared.items() if a != i}


@pytest.mark.parametrize("device", CONTRACT)
def test_every_number_has_unit_source_date_and_kind(device: str) -> None:
    path = data_folder("hardware_profiles") / f"{device}.toml"
    table = tomllib.loads(path.read_text("utf-8"))
    bare = {"devices_per_node", "scale_up_devices"}
    seen = list(numbers(table))
    assert {key for key, value in seen if not isinstance(value, dict)} == bare
    for key, value in seen:
        if isinstance(value, dict):
            assert {"value", "unit", "source", "date", "kind"} <= set(value), key
            assert value["source"] in table["sources"], key
            if value["kind"] == "derived":
                assert value.get("note") or key.endswith(".sparse"), f"{key} says not how"


def test_no_declared_source_is_unused(devices: dict[str, DeviceProfile]) -> None:
    for device in devices.values():
        text = Path(device.path).read_text("utf-8")
        for name in device.classes:
            text += (data_folder("hardware_profiles") / f"classes/{name}.toml").read_text("utf-8")
        used = set(re.findall(r'source = "([^"]+)"', text))
        assert {s.key for s in device.sources} == used, device.id


def test_capacity_is_what_an_engine_sees(
    devices: dict[str, DeviceProfile], every: dict[str, DeviceProfile]
) -> None:
    assert {i: int(d.capacity_bytes.value) for i, d in devices.items()} == CAPACITY
    for device in every.values():
        assert device.capacity_bytes.kind in ("measured", "derived")
        assert device.capacity_bytes.note, device.id


def test_driver_figures_are_kept_apart(devices: dict[str, DeviceProfile]) -> None:
    found = {i: d.driver_bytes.value / MIB for i, d in devices.items() if d.driver_bytes}
    assert found == DRIVER


def test_every_format_has_a_rate_or_a_reason(every: dict[str, DeviceProfile]) -> None:
    for device in every.values():
        rated = {name for _, name in device.rates}
        assert rated | set(device.unsupported) == set(FORMATS), device.id
        assert not rated & set(device.unsupported)


@pytest.mark.parametrize("device", ["a100-sxm", *ORIN, *XEON])
def test_no_fp8_unit(devices: dict[str, DeviceProfile], device: str) -> None:
    assert devices[device].rate("fp8") is None
    assert "FP8" in devices[device].why_not("fp8")
    assert not {"fp8-tensor", "fp8-block", "moe-fp8"} & set(devices[device].achieved)
    assert "fp8" in devices[device].conversion


def test_whoever_executes_weight_only_schemes_can_convert(
    every: dict[str, DeviceProfile],
) -> None:
    for device in every.values():
        weight_only = device.achieved.keys() & {"w8a16", "w4a16"}
        if weight_only:
            assert {"fp8", "int8", "int4", "mxfp4", "nvfp4"} <= set(device.conversion), device.id
        assert bool(weight_only) == ((device.rate("bf16") or device.rate("fp16")) is not None)


def test_achieved_classes_cover_the_formats_each_device_multiplies(
    every: dict[str, DeviceProfile],
) -> None:
    for scheme in SCHEMES.values():
        if scheme.path == "storage":
            continue
        assert scheme.kernel in KERNEL_CLASSES
        assert scheme.compute in FORMATS
        for device in every.values():
            if device.rate(scheme.compute) is not None:
                assert scheme.kernel in device.achieved, (device.id, scheme.id)


def test_efficiency_falls_with_precision_where_it_was_measured(
    devices: dict[str, DeviceProfile],
) -> None:
    for name in ("h100-sxm", "h200-sxm", "b200-sxm", "gb200", "b300-sxm", "gb300", "l40s"):
        reached = devices[name].achieved
        assert reached["bf16"].compute_fraction.kind == "measured"
        assert reached["fp8-tensor"].compute_fraction.value < reached["bf16"].compute_fraction.value


def test_usable_fractions(every: dict[str, DeviceProfile]) -> None:
    for device in every.values():
        # Of Strix Halo the capacity is what its GPU may use; macOS gives less of small memories.
        expected = 0.90
        if device.unified_memory and not device.id.startswith("strix-halo"):
            small = device.id.startswith("apple") and device.label_bytes.value <= 32e9
            expected = 0.6667 if small else 0.75
        assert device.usable_fraction.value == expected, device.id
        assert device.unified_memory == (device.kind == "soc")


FACTS_ID = {
    "h100-sxm": "h100_sxm5_80",
    "h100-pcie": "h100_pcie_80",
    "h100-nvl": "h100_nvl_94",
    "h20": "h20_96",
    "rtx-pro-6000": "rtx_pro_6000_bw_server",
    "a100-sxm": "a100_sxm_80",
    "jetson-agx-orin-64gb": "jetson_agx_orin_64",
    "jetson-agx-orin-32gb": "jetson_agx_orin_32",
    "jetson-orin-nx-16gb": "jetson_orin_nx_16",
    "jetson-orin-nano-8gb": "jetson_orin_nano_super_8",
    "jetson-agx-thor-t5000": "jetson_thor_t5000",
    "jetson-t4000": "jetson_thor_t4000",
    "xeon-platinum-8480": "xeon_8480p",
    "xeon-platinum-8490h": "xeon_8490h",
    "xeon-platinum-8592": "xeon_8592p",
}

FACTS_FORMAT = {
    "TF32": ("tf32",),
    "BF16": ("bf16",),
    "FP16": ("fp16",),
    "FP8_E4M3": ("fp8",),
    "FP8_E5M2": ("fp8",),
    "INT8": ("int8",),
    "INT4": ("int4",),
    "MXFP8": ("mxfp8",),
    "FP6_MX": ("mxfp6",),
    "FP6": ("mxfp6",),
    "FP4_MX": ("mxfp4",),
    "NVFP4": ("nvfp4",),
    "FP4": ("mxfp4", "nvfp4"),
    "FP4 (NVFP4/MXFP4)": ("mxfp4", "nvfp4"),
}


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[2] / "../shared/facts/hardware.json"
    if not path.is_file():
        pytest.skip("the collected device facts are not beside this checkout")
    return {d["id"]: d for d in json.loads(path.read_text("utf-8"))["devices"]}


def same(quantity: Quantity | None, tera: float | None) -> bool:
    if tera is None:
        return quantity is None
    return quantity is not None and quantity.value == pytest.approx(tera * 1e12, rel=1e-12)


@pytest.mark.parametrize("device", [i for i in CONTRACT if i not in (*XEON, *LATER)])
def test_rates_equal_the_collected_facts(
    devices: dict[str, DeviceProfile], facts: dict[str, Any], device: str
) -> None:
    fact = facts[FACTS_ID.get(device, device.replace("-", "_"))]
    compared = 0
    for name, entry in fact["matrix_TFLOPS"].items():
        for fmt in FACTS_FORMAT[name]:
            rate = devices[device].rate(fmt)
            assert same(rate and rate.dense, entry["dense"]), (name, entry)
            if rate is not None:
                assert same(rate.sparse, entry["sparse_2_4"]), (name, entry)
                compared += 1
    assert compared >= 2
    assert devices[device].bandwidth_bytes_per_s.value == fact["memory"]["bw_GBs"] * 1e9
    vector = fact.get("vector", {}).get("fp32_tflops")
    if vector is not None:
        assert same(devices[device].vector_fp32_flop_per_s, vector)


@pytest.mark.parametrize("device", XEON)
def test_xeon_rates_are_cores_times_clock_times_width(
    devices: dict[str, DeviceProfile], facts: dict[str, Any], device: str
) -> None:
    fact = facts[FACTS_ID.get(device, device.replace("-", "_"))]
    width = fact["flop_per_cycle_per_core"]
    base = fact["cores"] * fact["freq_GHz"]["base"] * 1e9
    rates = devices[device].rates
    for key, name in (
        (("amx", "bf16"), "AMX_BF16"),
        (("amx", "int8"), "AMX_INT8"),
        (("avx512", "fp32"), "AVX512_FP32"),
        (("avx512", "int8"), "AVX512_VNNI_INT8"),
    ):
        assert rates[key].dense.value == pytest.approx(base * width[name], rel=1e-3)
    assert rates["avx512", "bf16"].dense.value == pytest.approx(base * 64, rel=1e-3)
    assert devices[device].bandwidth_bytes_per_s.value == fact["memory"]["bw_GBs"] * 1e9


@pytest.mark.parametrize("device", CONTRACT)
def test_resolving_by_id_reads_the_right_file(device: str) -> None:
    assert resolve_device(device).id == device
