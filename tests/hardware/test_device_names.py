"""Devices as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import UnknownNameError
from planner.hardware.catalog import device_ids, is_device, resolve_device
from planner.hardware.names import folded, meant

TYPED = {
    "h200": "h200-sxm",
    "H200 SXM": "h200-sxm",
    "RTX 4090": "rtx-4090",
    "rtx4090": "rtx-4090",
    "4090": "rtx-4090",
    "NVIDIA GeForce RTX 4090": "rtx-4090",
    "orin": "jetson-agx-orin-64gb",
    "Orin Nano": "jetson-orin-nano-8gb",
    "m4 max": "apple-m4-max",
    "M3 Ultra": "apple-m3-ultra",
    "h100": "h100-sxm",
    "NVIDIA H100 80GB HBM3": "h100-sxm",
    "H100 PCIe": "h100-pcie",
    "NVIDIA A100-SXM4-80GB": "a100-sxm",
    "AMD Instinct MI300X": "mi300x",
    "mi300": "mi300x",
    "thor": "jetson-agx-thor-t5000",
    "Tesla T4": "t4",
    "8480": "xeon-platinum-8480",
}
"""Names from drivers and from questions of users, with the device that is meant."""
BARE = ("h200", "4090", "orin", "Orin Nano", "h100", "mi300", "thor", "8480")
"""Those of them that leave the variant open."""


@pytest.mark.parametrize(("typed", "device"), TYPED.items())
def test_names_as_people_type_them(typed: str, device: str) -> None:
    found = resolve_device(typed)
    assert found.id == device
    assert is_device(typed)
    assert found.family_name == (typed if typed in BARE or "80GB" in typed else "")


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [
        ("rtx 6000", ("rtx-6000-ada", "rtx-pro-6000")),
        ("tpu", ("tpu-v5e", "tpu-v6e", "tpu-v7")),
        ("jetson", ("jetson-agx-orin-64gb", "jetson-orin-nano-8gb")),
    ],
)
def test_what_is_ambiguous_lists_its_candidates(typed: str, candidates: tuple[str, ...]) -> None:
    with pytest.raises(UnknownNameError, match="several have that name") as caught:
        resolve_device(typed)
    assert all(candidate in caught.value.hint for candidate in candidates)
    assert not is_device(typed)


@pytest.mark.parametrize("typed", ["", " ", "nvidia", "rtx-9999", "h1000", "-"])
def test_what_no_device_has_is_unknown(typed: str) -> None:
    with pytest.raises(UnknownNameError):
        resolve_device(typed)


@given(
    device=st.sampled_from(device_ids()),
    sign=st.sampled_from([" ", "_", "-", ""]),
    upper=st.booleans(),
)
def test_signs_and_case_do_not_matter(device: str, sign: str, upper: bool) -> None:
    typed = device.replace("-", sign)
    assert resolve_device(typed.upper() if upper else typed).id == device


def test_no_two_devices_are_alike_but_for_signs() -> None:
    assert len({folded(device) for device in device_ids()}) == len(device_ids())


def test_an_exact_name_goes_before_a_family() -> None:
    assert meant("h100", ["h100", "h100-sxm"], {}, {"h100": "h100-sxm"}).id == "h100"
    assert meant("h100", ["h100-sxm"], {"h100": "mine"}, {"h100": "h100-sxm"}).id == "mine"
