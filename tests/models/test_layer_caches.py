"""Caches of every architecture against published totals, and the laws they keep."""

import csv
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, UnsupportedError
from planner.base.units import GIB
from planner.models.catalog import model_ids, resolve_model
from planner.models.kv import (
    cache_description,
    entry_bytes,
    fixed_bytes,
    part_bytes,
    sequence_bytes,
)

# id: (bytes a token in bf16, in fp8, fixed bytes in bf16)
GOLDEN = {
    "llama-3.1-8b": (131_072, 65_536, 0),
    "llama-3.1-405b": (516_096, 258_048, 0),
    "qwen3-235b-a22b": (192_512, 96_256, 0),
    "qwen2.5-7b": (57_344, 28_672, 0),
    "glm-4.5": (376_832, 188_416, 0),
    "deepseek-v2": (69_120, 34_560, 0),
    "deepseek-v3": (70_272, 35_136, 0),
    "deepseek-v4-pro": (9_848, Fraction(88_183, 16), 7_995_392),
    "deepseek-v4-flash": (6_880, Fraction(15_401, 4), 5_636_096),
    "gemma-3-27b-text": (81_920, 40_960, 436_207_616),
    "gpt-oss-120b": (36_864, 18_432, 4_718_592),
    "llama-4-scout": (49_152, 24_576, 1_207_959_552),
    "qwen3-next-80b-a3b": (24_576, 12_288, 77_266_944),
}


def entries_of(spec, **options):
    """The caches of ``spec`` without the FP32 sums of groups that are not full, which published
    sizes of compressed attention leave out."""
    return [c for c in cache_description(spec, **options) if c.parts[0][0] != "partial"]


def growth_per_token(caches, layout):
    """Bytes that each further token costs once every window is full."""
    return sum((Fraction(entry_bytes(cache, layout), cache.ratio)
                for cache in caches if cache.grows), Fraction(0))  # fmt: skip


@pytest.mark.parametrize("model_id", GOLDEN)
def test_published_cache_sizes(model_id):
    caches = entries_of(resolve_model(model_id))
    bf16, fp8, fixed = GOLDEN[model_id]
    assert growth_per_token(caches, "bf16") == bf16
    assert growth_per_token(caches, "fp8") == fp8
    assert fixed_bytes(caches, "bf16") == fixed


def test_a_million_tokens_of_deepseek_v4_pro():
    """The published size is that of entries; groups that are not full yet stand beside them."""
    spec = resolve_model("deepseek-v4-pro")
    caches = entries_of(spec)
    size = sequence_bytes(caches, 2**20, "bf16") / GIB
    partial = [c for c in cache_description(spec) if c not in caches]
    assert {entry_bytes(c, "fp8", tp) for c in partial for tp in (1, 8)} == {80 << 10, 512 << 10}
    assert [c.layer % 2 for c in partial if entry_bytes(c, "bf16") == 80 << 10] == [0] * 30
    assert round(size, 2) == 9.62
    sparse = cache_description(resolve_model("deepseek-v3.2"))
    assert round(sequence_bytes(sparse, 2**20, "bf16") / GIB / size, 1) == 8.7


def test_every_row_of_the_table(facts):
    """The naive rows are the decompressed caches; Phi-3 is counted without its window."""
    with (facts / "kv_cache.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 42
    for row in rows:
        model_id, _, note = row["model"].partition(" (")
        naive = note.startswith("naive")
        caches = entries_of(resolve_model(model_id), latent=not naive,
                            windows=model_id != "phi-3-mini-4k")  # fmt: skip
        eight_bits = "fp8-ds-mla" if model_id == "deepseek-v3.2" else "fp8"
        growth, fixed = growth_per_token(caches, "bf16"), fixed_bytes(caches, "bf16")
        assert growth == Fraction(row["total_bytes_per_token_bf16"]), row
        assert growth_per_token(caches, eight_bits) == Fraction(row["total_bytes_per_token_fp8"])
        assert fixed == int(row["fixed_bytes_per_seq_bf16"]), row
        for tokens in (4096, 32768, 131072, 2**20):
            stated = row[f"GiB_at_{tokens}_bf16"]
            if not stated:
                continue
            # The table counts full windows at any length.
            whole = growth * tokens + fixed
            assert float(whole / GIB) == pytest.approx(float(stated), abs=6e-5), row
            if all(tokens >= cache.window for cache in caches):
                assert sequence_bytes(caches, tokens, "bf16") == whole
        if row["GiB_at_131072_fp8"]:
            size = sequence_bytes(caches, 131072, eight_bits)
            assert size / GIB == pytest.approx(float(row["GiB_at_131072_fp8"]), abs=6e-4)


def test_engines_without_windowed_pools_keep_everything():
    caches = cache_description(resolve_model("llama-4-scout"), windows=False)
    assert growth_per_token(caches, "bf16") == 196_608
    assert fixed_bytes(caches, "bf16") == 0


def test_records_of_one_entry():
    sparse = {c.kind: c for c in cache_description(resolve_model("deepseek-v3.2"))}
    assert entry_bytes(sparse["latent"], "fp8-ds-mla") == 656
    assert entry_bytes(sparse["indexer"], "fp8-ds-mla") == 132
    assert entry_bytes(sparse["indexer"], "bf16") == 256
    v4 = cache_description(resolve_model("deepseek-v4-pro"))
    assert {entry_bytes(c, "fp8") for c in v4 if c.kind == "shared"} == {584}
    by_layer = [[(c.kind, c.ratio, c.window) for c in v4 if c.layer == layer] for layer in (0, 2)]
    assert by_layer == [
        [("shared", 1, 128), ("shared", 128, 0), ("state", 1, 0)],
        [("shared", 1, 128), ("shared", 4, 0), ("indexer", 4, 0), ("state", 1, 0)],
    ]  # fmt: skip
    mimo = cache_description(resolve_model("mimo-v2-flash"))
    assert (part_bytes(mimo[0], "k", "bf16"), part_bytes(mimo[0], "v", "bf16")) == (384, 256)
    assert {(c.heads, c.window) for c in mimo} == {(4, 0), (8, 128)}


def test_prediction_layers_have_caches_of_their_own():
    for model_id, entries in (("deepseek-v3", 1), ("deepseek-v4-pro", 1), ("glm-5", 2),
                              ("qwen3.5-27b", 1), ("llama-3.1-8b", 0)):  # fmt: skip
        spec = resolve_model(model_id)
        with_mtp = cache_description(spec, prediction=True)
        extra = [c for c in with_mtp if c.layer >= spec.layers]
        assert len(extra) == entries, model_id
        assert len(with_mtp) == len(cache_description(spec)) + entries
    v4 = cache_description(resolve_model("deepseek-v4-pro"), prediction=True)[-1]
    assert (v4.kind, v4.window) == ("shared", 128)


def test_what_a_layout_does_not_store_is_refused():
    v4 = cache_description(resolve_model("deepseek-v4-flash"))[0]
    with pytest.raises(UnsupportedError, match="key and value"):
        entry_bytes(v4, "int8-token")
    with pytest.raises(InputError, match="no part 'k'"):
        part_bytes(v4, "k", "bf16")
    with pytest.raises(InputError, match="one record"):
        part_bytes(v4, "rope", "bf16")
    latent = cache_description(resolve_model("deepseek-v3"))[0]
    with pytest.raises(UnsupportedError):
        entry_bytes(latent, "int4-channel")


@given(st.sampled_from(model_ids()), st.integers(0, 2**20), st.integers(1, 5000))
def test_a_longer_sequence_never_takes_less(model_id, tokens, more):
    caches = cache_description(resolve_model(model_id))
    one, two = (sequence_bytes(caches, n, "bf16") for n in (tokens, tokens + more))
    assert 0 <= one <= two
    assert two - one <= sum(-(-more // c.ratio) * entry_bytes(c, "bf16") for c in caches)


@pytest.mark.parametrize("model_id", model_ids())
def test_every_layer_is_in_one_group(model_id):
    spec = resolve_model(model_id)
    layers = [layer for group in spec.attention for layer in group.layers]
    without = {
        "nemotron-super-49b": 31,
        "nemotron-3-nano-30b-a3b": 23,
        "nemotron-3-ultra-550b-a55b": 48,
    }.get(model_id, 0)  # of experts or MLPs alone
    assert len(layers) == len(set(layers)) == spec.layers - without
    own = {layer for group in spec.attention if not group.borrows for layer in group.layers}
    assert {cache.layer for cache in cache_description(spec)} == own
