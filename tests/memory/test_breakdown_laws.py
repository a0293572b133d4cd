"""What a device of a replica holds, by hand: sequences at their end, pages, stages, wide passes."""

import pytest

from planner.memory.breakdown import Use, breakdown, kept_bytes, slot_bytes, stage_caches
from planner.memory.footprint import largest_context
from planner.memory.resident import as_released
from planner.memory.workspace import PassShape, collective_bytes
from planner.models.catalog import resolve_model
from planner.placement.layout import Layout

LLAMA = resolve_model("llama-3.1-8b")
TOKEN = 131_072
"""Bytes of a token of Llama-3.1-8B's cache: 32 layers of 8 keys and values of 128 in BF16."""


@pytest.mark.parametrize(("held", "batch", "tokens"), [
    (0, 16, 16 * 8192), (1000, 16, 16 * 1008), (1000, 4, 8192), (8192, 3, 3 * 8192)])
def test_sequences_hold_what_they_end_with_and_one_the_context(held: int, batch: int,
                                                               tokens: int) -> None:
    """In whole pages of 16 tokens; the room for one of the whole context is there too."""
    use = Use(context=8192, batch=batch, chunk=512, held=held)
    assert use.tokens == (held or 8192)
    caches = stage_caches(LLAMA, Layout(), use, "bf16", 0)
    assert kept_bytes(caches, use, batch) == tokens * TOKEN
    found = breakdown(LLAMA, Layout(), use, format_of=as_released, kv="bf16", device=None)
    assert found.fullest.cache_bytes == tokens * TOKEN
    assert found.request_bytes == 8192 * TOKEN
    assert found.token_bytes == TOKEN


def test_latents_have_larger_pages() -> None:
    """64 tokens of a latent, 16 of keys and values."""
    for model, page in (("llama-3.1-8b", 16), ("deepseek-v3", 64)):
        spec = resolve_model(model)
        caches = stage_caches(spec, Layout(), Use(4096, 1, 512), "bf16", 0)
        sizes = [slot_bytes(caches, tokens) for tokens in (1, page, page + 1, 2 * page)]
        assert sizes == [sizes[0], sizes[0], 2 * sizes[0], 2 * sizes[0]]


def test_the_fullest_stage_is_that_of_the_largest_sum() -> None:
    """Three stages of 11, 11 and 10 layers: the last has the head and the logits beside them."""
    found = breakdown(LLAMA, Layout(1, 1, 3), Use(8192, 64, 512), format_of=as_released,
                      kv="bf16", device=None)
    sums = [s.weights_bytes + s.cache_bytes + s.activation_bytes + s.runtime_bytes
            for s in found.stages]
    assert [s.total_bytes for s in found.stages] == sums
    assert found.fullest.total_bytes == max(sums) > min(sums)
    assert [s.cache_bytes for s in found.stages] == [64 * 8192 * 4096 * n for n in (11, 11, 10)]


@pytest.mark.parametrize(("free", "sequences", "context"), [
    (1000, 1, 992), (1000, 2, 496), (15, 1, 0), (10**9, 1, 4096), (1000, 0, 0), (16, 1, 16)])
def test_the_longest_context_fits_and_one_page_more_does_not(free: int, sequences: int,
                                                             context: int) -> None:
    """A byte a token, pages of 16, 4,096 tokens at most."""
    assert largest_context(lambda tokens: tokens, free, sequences, page=16, limit=4096) == context


@pytest.mark.parametrize(("tp", "ep"), [(1, 1), (2, 1), (2, 2), (4, 4), (8, 2)])
def test_buffers_for_messages(tp: int, ep: int) -> None:
    """Qwen3-30B-A3B, 1,001 and 8,001 tokens of 2,048 in BF16: two of the residual of at least 8 MiB
    where ranks share a layer; of 8 experts a token those of the rank, dispatched and combined."""
    spec = resolve_model("qwen3-30b-a3b")
    for tokens, residual in ((1001, 8 << 20), (8001, 8001 * 2048 * 2)):
        found = collective_bytes(spec, Layout(tp, 1, 1, ep), PassShape(tokens, 1, 4096))
        expected = 2 * residual if tp > 1 else 0
        if ep > 1:
            expected += 2 * -(-tokens * 8 // ep) * 2048 * 2
        assert found == expected
