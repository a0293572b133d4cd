"""Devices of families: ids, names as people type them, figures of their own and of what they are
like."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.base.errors import DataError, UnknownNameError
from planner.hardware.catalog import list_devices, resolve_device, variant_ids
from planner.hardware.profile import DeviceProfile, Quantity
from planner.hardware.variants import _documents, family_names, variant_documents

GIB = 2**30
PROMISED = (
    "rtx-3060-12gb",
    "rtx-4060-ti-16gb",
    "rtx-5060-ti-16gb",
    "rtx-5070-ti",
    "rtx-5080",
    "rtx-5000-ada",
    "rx-7900-xtx",
    "radeon-r9700",
    "arc-b580",
    "arc-pro-b60",
    "apple-m4-pro-24gb",
    "raspberry-pi-5-8gb",
    "jetson-orin-nx-8gb",
)
TYPED = {
    "3060": "rtx-3060-12gb",
    "rtx 3060": "rtx-3060-12gb",
    "NVIDIA GeForce RTX 5070 Ti": "rtx-5070-ti",
    "4060 ti 16gb": "rtx-4060-ti-16gb",
    "4090 laptop": "rtx-4090-laptop",
    "NVIDIA GeForce RTX 4070 Laptop GPU": "rtx-4070-laptop",
    "m4 pro": "apple-m4-pro-24gb",
    "M4 Pro 24 GB": "apple-m4-pro-24gb",
    "m4-pro-24gb": "apple-m4-pro-24gb",
    "M5 Max 128GB": "apple-m5-max-128gb",
    "m4 max": "apple-m4-max",
    "m4 max 128gb": "apple-m4-max",
    "m3 ultra": "apple-m3-ultra",
    "7900 xtx": "rx-7900-xtx",
    "r9700": "radeon-r9700",
    "arc b60": "arc-pro-b60",
    "pi 5": "raspberry-pi-5-8gb",
    "raspberry pi 5 16gb": "raspberry-pi-5-16gb",
    "orin nx 8gb": "jetson-orin-nx-8gb",
    "orin nx": "jetson-orin-nx-16gb",
    "AMD Ryzen 9 9950X": "ryzen-9-9950x-64gb",
    "strix halo 64gb": "strix-halo-64gb",
}


def test_promised_ids_are_there() -> None:
    assert set(PROMISED) <= set(variant_ids())
    every = [id for name in family_names() for id in variant_documents(name)]
    assert sorted(every) == sorted(variant_ids())
    assert len(set(every)) == len(every)


@pytest.mark.parametrize(("typed", "device"), TYPED.items())
def test_names_as_people_type_them(typed: str, device: str) -> None:
    assert resolve_device(typed).id == device


@pytest.mark.parametrize(
    ("typed", "candidates"),
    [
        ("4060 ti", ("rtx-4060-ti-16gb", "rtx-4060-ti-8gb")),
        ("5060 ti", ("rtx-5060-ti-16gb", "rtx-5060-ti-8gb")),
        ("mac", ("apple-m1-16gb", "apple-m4-max")),
    ],
)
def test_what_is_ambiguous_lists_its_candidates(typed: str, candidates: tuple[str, ...]) -> None:
    with pytest.raises(UnknownNameError, match="several have that name") as caught:
        resolve_device(typed)
    assert all(candidate in caught.value.hint for candidate in candidates)


@given(st.sampled_from(variant_ids()), st.sampled_from([" ", "-", "_"]))
def test_an_id_is_found_however_it_is_written(device: str, sign: str) -> None:
    assert resolve_device(device.upper().replace("-", sign)).id == device


def test_every_figure_has_a_source_and_no_source_is_idle() -> None:
    for name in family_names():
        for id, document in variant_documents(name).items():
            used = set(_sources_of({k: v for k, v in document.items() if k != "sources"}))
            assert used == set(document["sources"]), id


def _sources_of(table: object) -> list[str]:
    if not isinstance(table, dict):
        return []
    own = [table["source"]] if "source" in table and "value" in table else []
    return [*own, *(key for value in table.values() for key in _sources_of(value))]


def test_an_engine_sees_no_more_than_the_chips_hold() -> None:
    for device in list_devices():
        if device.id in variant_ids():
            size = device.label_bytes.value / 1e9 * GIB
            assert 0.85 * size < device.capacity_bytes.value <= size, device.id
            assert device.bandwidth_bytes_per_s.value > 1e10
            assert device.rates


def test_a_mac_gives_its_gpu_two_thirds_or_three_quarters() -> None:
    shares = {
        d.id: d.usable_fraction.value for d in list_devices() if d.id.startswith("apple-m1-max")
    }
    assert shares == {"apple-m1-max-32gb": 0.6667, "apple-m1-max-64gb": 0.75}
    seen = resolve_device("apple-m1-max-32gb")
    assert abs(seen.capacity_bytes.value * seen.usable_fraction.value / 2**20 - 21845.34) < 2


def test_a_smaller_module_has_the_rates_of_the_larger_one_scaled() -> None:
    small, large = resolve_device("jetson-orin-nx-8gb"), resolve_device("jetson-orin-nx-16gb")
    for key, rate in large.rates.items():
        assert small.rates[key].dense.value == pytest.approx(0.832 * rate.dense.value, rel=1e-3)
        figures = [small.rates[key].dense, small.rates[key].sparse]
        assert {(f.low, f.high) for f in figures if f is not None} == {(None, None)}
    assert small.achieved == large.achieved
    assert small.capacity_bytes.value == int(8 * GIB * 0.96)


def test_rates_of_a_card_are_those_of_its_relative_by_fp32() -> None:
    for name, like in (("rtx-3060-12gb", "rtx-3090"), ("rtx-4070", "rtx-4090")):
        card, relative = resolve_device(name), resolve_device(like)
        ratio = _rate(card, "fp32") / _rate(relative, "fp32")
        for format in ("bf16", "int8"):
            assert _rate(card, format) / _rate(relative, format) == pytest.approx(ratio, rel=3e-3)
        units = {format: rate.dense.unit for (_, format), rate in card.rates.items()}
        assert (units["bf16"], units["int8"]) == ("FLOP/s", "OP/s")


def test_a_processor_without_16_bit_products_serves_at_the_rate_of_fp32() -> None:
    """It widens BF16 in registers; without a rate for it nothing could be planned on one."""
    widened = [d for d in list_devices() if d.rate("bf16") and ("avx2", "bf16") in d.rates]
    assert len(widened) == 15
    for device in widened:
        assert _rate(device, "bf16") == _rate(device, "fp32"), device.id
    plan = planner.plan("qwen3-0.6b", "ryzen-7-5800x-32gb", engine="llama.cpp")
    assert plan.performance.tpot_seconds.value > plan.memory_per_device.weights_bytes / 51.2e9


def _rate(device: DeviceProfile, format: str) -> float:
    rate = device.rate(format)
    assert rate is not None
    return rate.dense.value


def test_a_family_that_is_none_says_what_it_needs() -> None:
    with pytest.raises(DataError, match="varians: not understood"):
        _documents(b"varians = 1\nvariants = []\n", Path("families/x.toml"))


@pytest.mark.parametrize("device", variant_ids())
def test_every_figure_from_memory_says_so(device: str) -> None:
    """A figure whose source is memory is never one of a sheet, and none that names a page is."""
    figures = list(_figures_of(resolve_device(device)))
    assert figures
    for figure in figures:
        assert (figure.source == "recall") is (figure.kind == "recalled"), figure
        assert figure.low is None or figure.low <= figure.value
        assert figure.high is None or figure.value <= figure.high


def _figures_of(device: DeviceProfile) -> Iterator[Quantity]:
    yield from (device.label_bytes, device.bandwidth_bytes_per_s, device.capacity_bytes)
    yield from (rate.dense for rate in device.rates.values())
    if device.power_watts is not None:
        yield device.power_watts
    if device.silicon is not None:
        yield from (device.silicon.multiprocessors, device.silicon.l2_bytes)


@pytest.mark.parametrize("device", [id for id in variant_ids() if resolve_device(id).kind == "cpu"])
def test_every_processor_has_a_rate_that_models_are_served_in(device: str) -> None:
    found = resolve_device(device)
    assert found.rate("bf16") or found.rate("fp16")
