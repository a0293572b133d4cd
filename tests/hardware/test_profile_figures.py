"""Figures of single packaged profiles that are easily misread."""

from __future__ import annotations

import pytest
from support.promised_devices import ORIN, THOR, XEON

from planner.hardware.catalog import list_devices
from planner.hardware.profile import DeviceProfile


@pytest.fixture(scope="module")
def devices() -> dict[str, DeviceProfile]:
    return {device.id: device for device in list_devices()}


def test_sparse_is_never_the_dense_figure(devices: dict[str, DeviceProfile]) -> None:
    for device in devices.values():
        for rate in device.rates.values():
            if rate.sparse is not None:
                assert rate.sparse.value > rate.dense.value, (device.id, rate.format)
    t5000, orin = devices["jetson-agx-thor-t5000"], devices["jetson-agx-orin-64gb"]
    nvfp4, int8 = t5000.rate("nvfp4"), orin.rate("int8")
    assert nvfp4 is not None
    assert nvfp4.dense.value == 1035e12
    assert int8 is not None
    assert int8.dense.value == 85.2e12
    assert any("sparsity" in c and "2,070" in c for c in t5000.cautions)
    assert any("sparsity" in c and "275" in c for c in orin.cautions)


def test_int8_is_crippled_on_blackwell_ultra(devices: dict[str, DeviceProfile]) -> None:
    for name in ("b300-sxm", "gb300"):
        int8, fp8 = devices[name].rate("int8"), devices[name].rate("fp8")
        assert int8 is not None
        assert fp8 is not None
        assert int8.dense.value < fp8.dense.value / 25
        assert any("INT8" in caution for caution in devices[name].cautions)


def test_rtx_has_no_mxfp8(devices: dict[str, DeviceProfile]) -> None:
    assert devices["rtx-pro-6000"].rate("mxfp8") is None
    assert "MXFP8" in devices["rtx-pro-6000"].why_not("mxfp8")


def test_preliminary_device_states_only_what_is_published(
    devices: dict[str, DeviceProfile],
) -> None:
    rubin = devices["rubin-r200"]
    assert rubin.status == "preliminary"
    assert {name for _, name in rubin.rates} == {"fp8", "nvfp4"}
    assert all("publish" in reason for reason in rubin.unsupported.values())
    assert {d.id for d in devices.values() if d.status != "released"} == {"rubin-r200"}


@pytest.mark.parametrize("device", XEON)
def test_a_xeon_is_a_socket_with_two_units_and_a_clock_range(
    devices: dict[str, DeviceProfile], device: str
) -> None:
    xeon = devices[device]
    assert {unit for unit, _ in xeon.rates} == {"amx", "avx512"}
    assert (("amx", "fp16") in xeon.rates) == (device == "xeon-6980p")
    for rate in xeon.rates.values():
        assert rate.dense.low == rate.dense.value
        assert rate.dense.high is not None
        assert rate.dense.high > rate.dense.value
    assert xeon.devices_per_node == 2
    assert "set by the scenario" in xeon.capacity_bytes.note


def test_links_are_per_direction(devices: dict[str, DeviceProfile]) -> None:
    expected = {
        "h100-sxm": 450e9,
        "h800-sxm": 200e9,
        "b200-sxm": 900e9,
        "a100-sxm": 300e9,
        "l40s": 32e9,
        "rtx-pro-6000": 64e9,
        "xeon-platinum-8480": 192e9,
        "xeon-6980p": 432e9,
        "rubin-r200": 1800e9,
    }
    for name, value in expected.items():
        link = devices[name].links.scale_up_bytes_per_s
        assert link is not None
        assert link.value == value, name
    for name in (*ORIN, *THOR):
        assert devices[name].links.scale_up_bytes_per_s is None
        assert (devices[name].devices_per_node, devices[name].scale_up_devices) == (1, 1)
    assert (devices["gb200"].devices_per_node, devices["gb200"].scale_up_devices) == (4, 72)
