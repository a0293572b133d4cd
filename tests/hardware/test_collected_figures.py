"""Devices that were written from the second collection of facts: every figure is one of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.hardware.catalog import device_ids, resolve_device

NAMES = {
    "apple-m3-ultra": "m3-ultra",
    "apple-m4-max": "m4-max",
    "gh200": "gh200-96",
    "gh200-144gb": "gh200-144",
}
KEYS = {
    "fp32": "fp32",
    "tf32": "tf32",
    "bf16": "bf16",
    "fp16": "fp16_acc32",
    "fp8": "fp8",
    "int8": "int8",
    "int4": "int4",
    "mxfp8": "mxfp8",
    "mxfp6": "mxfp6",
    "mxfp4": "mxfp4",
    "nvfp4": "nvfp4",
}
METAL_BF16 = {"apple-m3-ultra", "apple-m4-max"}
"""Their BF16 is FP16's rate, which the profile says."""


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    path = Path(__file__).resolve().parents[2] / "../shared/facts/devices2.json"
    if not path.is_file():
        pytest.skip("the second collection of device facts is not beside this checkout")
    return {one["id"]: one for one in json.loads(path.read_text("utf-8"))}


def figure(fact: dict[str, Any], name: str) -> float | None:
    """The figure that may be used: dense, and not one that only shows a conflict."""
    return next(
        (
            f["value"]
            for f in fact["figures"]
            if f["name"] == name and f.get("use", True) and f.get("dense") is not False
        ),
        None,
    )


def test_rates_bandwidth_power_and_price(facts: dict[str, Any]) -> None:
    compared = 0
    for name in device_ids():
        fact = facts.get(NAMES.get(name, name))
        if fact is None or name == "epyc-9575f":
            continue
        device = resolve_device(name)
        assert device.bandwidth_bytes_per_s.value == pytest.approx(
            figure(fact, "bandwidth") * 1e9
        ), name
        for fmt, key in KEYS.items():
            known, rate = figure(fact, f"rate.{key}"), device.rate(fmt)
            if f"rates.vector-unit.{fmt}" in device.taken or (fmt == "bf16" and name in METAL_BF16):
                continue
            assert (known is None) == (rate is None), (name, fmt)
            if rate is not None and known is not None:
                assert rate.dense.value == pytest.approx(known * 1e12, rel=1e-3), (name, fmt)
                compared += 1
        for key, own in (("power", device.power_watts), ("price", device.price_usd_per_hour)):
            known = next(
                (
                    f["value"]
                    for f in fact["figures"]
                    if f["name"] == key and f["unit"] in ("W", "USD/h")
                ),
                None,
            )
            assert (known is None) == (own is None), (name, key)
            assert own is None or own.value == known, (name, key)
    assert compared > 120


def test_measured_fractions_are_those_that_were_measured(facts: dict[str, Any]) -> None:
    for name in device_ids():
        device = resolve_device(name)
        fact = facts.get(NAMES.get(name, name)) or {"measured": []}
        known = [
            m["fraction_of_peak"]
            for m in (*fact["measured"], *facts["mi355x"]["measured"])
            if m.get("fraction_of_peak")
        ]
        for reached in device.achieved.values() if device.classes else ():
            for own in (reached.compute_fraction, reached.bandwidth_fraction):
                if own.kind == "measured":
                    assert any(own.value == pytest.approx(k, abs=6e-3) for k in known), (name, own)
