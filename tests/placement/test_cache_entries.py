"""One rule for the indexer's record: memory and time follow it alike."""

from __future__ import annotations

import pytest

import planner
from planner.hardware.catalog import resolve_device
from planner.placement.cache_entries import reads_fp8_cache


@pytest.mark.parametrize(("device", "fp8"), [
    ("h200-sxm", True), ("a100-sxm", False), ("jetson-agx-orin-64gb", False),
    ("xeon-6980p", True),
])
def test_fp8_entries_need_a_unit_or_a_cpu(device: str, fp8: bool) -> None:
    assert reads_fp8_cache(resolve_device(device)) is fp8


def test_an_indexer_on_ampere_is_cached_in_bf16() -> None:
    plan = planner.estimate("deepseek-v3.2", "a100-sxm", scheme="fp8-w8a16", devices=16)
    records = {(c.layout, c.bytes_per_token) for c in plan.kv_cache.layers if c.kind == "indexer"}
    assert records == {("bf16", 256)}
