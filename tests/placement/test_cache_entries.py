"""Cache units, fixed entries, and what a query reads: memory and time follow one rule."""

from __future__ import annotations

import pytest

from planner.hardware.catalog import resolve_device
from planner.memory.breakdown import Use, kept_bytes
from planner.memory.caches import cache_classes
from planner.models.catalog import model_ids, resolve_model
from planner.placement.cache_entries import (
    cache_kinds,
    cache_units,
    fixed_slot_bytes,
    reads_fp8_cache,
    slot_layer_bytes,
    state_bytes,
    stores,
    token_layer_bytes,
    window_layer_bytes,
)
from planner.placement.layout import Layout
from planner.throughput.attended import decode_entries, prompt_pairs
from tests.support import theory


@pytest.mark.parametrize(
    ("device", "fp8"),
    [
        ("h200-sxm", True),
        ("a100-sxm", False),
        ("jetson-agx-orin-64gb", False),
        ("xeon-6980p", True),
    ],
)
def test_fp8_entries_need_a_unit_or_a_cpu(device: str, fp8: bool) -> None:
    assert reads_fp8_cache(resolve_device(device)) is fp8


def test_an_indexer_on_ampere_is_cached_in_bf16() -> None:
    plan = theory.estimate("deepseek-v3.2", "a100-sxm", scheme="fp8-w8a16", devices=16)
    records = {(c.layout, c.bytes_per_token) for c in plan.kv_cache.layers if c.kind == "indexer"}
    assert records == {("bf16", 256)}


def test_a_state_reads_no_entries_and_keeps_no_units() -> None:
    linear = resolve_model("qwen3-next-80b-a3b").attention[1]
    assert linear.kind == "linear"
    assert cache_kinds(linear) == ()
    assert decode_entries(linear, 10_000) == prompt_pairs(linear, 10_000) == 0
    # 32 heads of 128 × 128 in FP32; 3 remembered inputs of 2 × 16 × 128 + 32 × 128 channels
    assert state_bytes(linear, 1) == 32 * 128 * 128 * 4 + 3 * 8192 * 2
    assert fixed_slot_bytes(linear, 4, 10**6, indexer_fp8=True) == state_bytes(linear, 1) // 4


@pytest.mark.parametrize("name", model_ids())
@pytest.mark.parametrize("tp", [1, 4])
def test_units_and_fixed_entries_are_all_that_memory_counts(name: str, tp: int) -> None:
    """Two ways to the bytes of a sequence on a rank: units of a plan, classes of memory."""
    spec, context = resolve_model(name), 5000
    for layout in ("bf16", "fp8", "fp32"):
        if not all(stores(unit, layout) for unit in cache_units(spec)):
            continue
        units = sum(
            len(u.layers) * slot_layer_bytes(u, layout, tp, context) for u in cache_units(spec)
        )
        fixed = sum(
            len(a.layers) * fixed_slot_bytes(a, tp, context, indexer_fp8=layout == "fp8")
            for a in spec.attention
        )
        caches = cache_classes(spec, Layout(tp), layout)
        assert units + fixed == kept_bytes(caches, Use(context, 1, 1), 1)


def test_windows_stop_growing_when_the_context_exceeds_them() -> None:
    full, window = cache_units(resolve_model("gpt-oss-20b"))[::2]
    assert (full.attention.window, window.attention.window) == (0, 128)
    assert token_layer_bytes(full, "bf16", 1, 5000) == 8 * 64 * 2
    assert token_layer_bytes(window, "bf16", 1, 5000) == 0
    assert token_layer_bytes(window, "bf16", 1, 128) == 8 * 64 * 2
    assert window_layer_bytes(window, "bf16", 1, 5000) == 128 * 8 * 64 * 2
    assert slot_layer_bytes(window, "bf16", 2, 5000) == 64 * 8 * 64 * 2
    assert slot_layer_bytes(window, "bf16", 1, 100) == 112 * 8 * 64 * 2  # seven pages of 16


def test_values_may_be_narrower_than_keys() -> None:
    k, v = cache_units(resolve_model("mimo-v2-flash"))[:2]
    sizes = [token_layer_bytes(u, "bf16", 1, 10) for u in (k, v)]
    assert sizes == [k.attention.kv_heads * n * 2 for n in (192, 128)]
