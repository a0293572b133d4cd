"""Cache bytes: record sizes, copies over tensor-parallel ranks, published totals."""

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.hardware.catalog import list_devices, resolve_device
from planner.memory.capacity import largest_context
from planner.memory.footprint import (
    activation_bytes,
    runtime_bytes,
)
from planner.memory.usable import usable_memory
from planner.models.catalog import model_ids, resolve_model
from planner.models.spec import Attention, ModelSpec
from planner.placement.cache_entries import (
    PAGE_TOKENS,
    CacheUnit,
    cache_kinds,
    indexer_record_bytes,
    slot_tokens,
    token_layer_bytes,
)
from planner.placement.layout import Layout

TABLE = Path(__file__).resolve().parents[2] / ".." / "shared" / "facts" / "kv_cache.csv"
MLA = resolve_model("deepseek-v3").attention[0]
GQA = resolve_model("llama-3.1-70b").attention[0]


def cache_token_bytes(attention: Attention, kind: str, layout: str, tp: int) -> int:
    return token_layer_bytes(CacheUnit(kind, attention), layout, tp, 1)


@pytest.mark.parametrize(
    ("layout", "size"),
    [("bf16", 1152), ("fp16", 1152), ("fp32", 2304), ("fp8", 576), ("fp8-ds-mla", 656)],
)
@pytest.mark.parametrize("tp", [1, 2, 8, 128])
def test_the_latent_has_its_record_size_and_every_rank_a_copy(
    layout: str, size: int, tp: int
) -> None:
    assert cache_token_bytes(MLA, "kv-latent", layout, tp) == size


@pytest.mark.parametrize(("tp", "heads"), [(1, 8), (2, 4), (8, 1), (16, 1), (64, 1)])
@pytest.mark.parametrize("kind", ["kv-k", "kv-v"])
def test_heads_split_over_ranks_until_one_is_left(tp: int, heads: int, kind: str) -> None:
    assert cache_token_bytes(GQA, kind, "bf16", tp) == heads * 128 * 2
    assert cache_token_bytes(GQA, kind, "fp8", tp) == heads * 128
    assert cache_token_bytes(GQA, kind, "int8-token", tp) == heads * (128 + 4)
    assert cache_token_bytes(GQA, kind, "int4-token", tp) == heads * (64 + 4)
    assert cache_token_bytes(GQA, kind, "nvfp4", tp) == heads * (64 + 8)


def test_the_indexer_record() -> None:
    sparse = resolve_model("deepseek-v3.2").attention[0]
    assert indexer_record_bytes(sparse, fp8=True) == 132
    assert indexer_record_bytes(sparse, fp8=False) == 256
    assert indexer_record_bytes(MLA, fp8=True) == 0


def rows() -> Iterator[dict[str, str]]:
    if TABLE.is_file():
        with TABLE.open(encoding="utf-8", newline="") as file:
            yield from (
                r
                for r in csv.DictReader(file)
                if r["model"] in model_ids() and len(resolve_model(r["model"]).attention) == 1
            )


def total(spec: ModelSpec, layout: str) -> int:
    attention = spec.attention[0]
    return spec.layers * sum(
        cache_token_bytes(attention, k, layout, 1) for k in cache_kinds(attention)
    )


def test_totals_equal_the_table() -> None:
    found = list(rows())
    if not found:
        pytest.skip(f"{TABLE.name} is not beside the repository")
    assert len(found) >= 8
    for row in found:
        spec = resolve_model(row["model"])
        extra = 0
        if spec.attention[0].indexer_topk:
            extra = spec.layers * 256
        bf16 = total(spec, "bf16")
        assert int(row["total_bytes_per_token_bf16"]) in (bf16, bf16 + extra), row["model"]
        if not extra:
            assert int(row["total_bytes_per_token_fp8"]) == total(spec, "fp8"), row["model"]
        if row["GiB_at_131072_bf16"]:
            gib = int(row["total_bytes_per_token_bf16"]) * 131072 / 2**30
            assert float(row["GiB_at_131072_bf16"]) == pytest.approx(gib, abs=1e-3)


def test_slots_are_whole_pages() -> None:
    for attention in (MLA, GQA):
        page = PAGE_TOKENS[attention.kind]
        for context in (1, page - 1, page, page + 1, 131072):
            slot = slot_tokens(attention, context)
            assert slot % page == 0
            assert 0 <= slot - context < page


@pytest.mark.parametrize("free", [0, 1, 10**6, 10**9, 71 * 2**30])
@pytest.mark.parametrize("sequences", [1, 3, 64])
def test_the_largest_context_fits_and_one_page_more_does_not(free: int, sequences: int) -> None:
    token = 70272
    found = largest_context(lambda n: n * token, free, sequences, page=64, limit=2**20)
    assert found * sequences * token <= free
    assert (found + 64) * sequences * token > free or found >= 2**20
    assert found % 64 == 0


def test_the_largest_context_of_full_windows_is_the_limit() -> None:
    def size(tokens: int) -> int:
        return min(tokens, 4096) * 1000

    assert largest_context(size, 4096 * 1000, 1, page=16, limit=100_000) == 100_000
    assert largest_context(size, 4096 * 1000 - 1, 1, page=16, limit=100_000) == 4080
    assert largest_context(size, 10**9, 0, page=16, limit=100_000) == 0


def test_usable_is_the_stated_share_of_what_an_engine_sees() -> None:
    for device in list_devices([]):
        capacity, share = device.capacity_bytes.value, device.usable_fraction.value
        assert 0 < share <= 1
        assert usable_memory(device).bytes == int(capacity * share)
        assert usable_memory(device, capacity_bytes=1230, share=0.1).bytes == 123
        assert capacity <= device.label_bytes.value * 1.10
    assert usable_memory(resolve_device("h100-sxm", [])).bytes < 79.2 * 2**30


def test_a_lone_device_keeps_no_collective_buffers() -> None:
    h100 = resolve_device("h100-sxm", [])
    lone, grouped = runtime_bytes(h100, Layout()), runtime_bytes(h100, Layout(tp=2))
    assert grouped - lone == 392 * 2**20
    assert runtime_bytes(h100, Layout(replicas=8)) == lone
    xeon = resolve_device("xeon-6980p", [])
    assert runtime_bytes(xeon, Layout(tp=2)) == runtime_bytes(xeon, Layout())


@pytest.mark.parametrize("name", model_ids())
def test_activations_grow_with_tokens_and_shrink_with_tp(name: str) -> None:
    spec = resolve_model(name)
    sizes = [activation_bytes(spec, Layout(), chunk_tokens=n, sequences=1) for n in (1, 512, 8192)]
    assert sizes == sorted(sizes)
    assert sizes[0] > 0
    more = activation_bytes(spec, Layout(), chunk_tokens=8192, sequences=64)
    assert more - sizes[-1] == 63 * spec.vocab_size * 4
    assert activation_bytes(spec, Layout(tp=2), chunk_tokens=8192, sequences=64) < more
