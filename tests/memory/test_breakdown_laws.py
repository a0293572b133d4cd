"""What a device of a replica holds, by hand: sequences at their end, pages, stages, wide passes."""

import pytest

from planner.hardware.catalog import resolve_device
from planner.memory.breakdown import Use, breakdown, kept_bytes, stage_caches
from planner.memory.capacity import largest_context
from planner.memory.footprint import runtime_of
from planner.memory.images import pass_lines
from planner.memory.resident import as_released
from planner.memory.workspace import (
    PassShape,
    attention_bytes,
    collective_bytes,
    split_attention_bytes,
)
from planner.models.catalog import resolve_model
from planner.models.spec import ImageEncoder
from planner.placement.layout import Layout

LLAMA = resolve_model("llama-3.1-8b")
TOKEN = 131_072
"""Bytes of a token of Llama-3.1-8B's cache: 32 layers of 8 keys and values of 128 in BF16."""


@pytest.mark.parametrize(
    ("held", "batch", "tokens"),
    [(0, 16, 16 * 8192), (1000, 16, 16 * 1008), (1000, 4, 8192), (8192, 3, 3 * 8192)],
)
def test_sequences_hold_what_they_end_with_and_one_the_context(
    held: int, batch: int, tokens: int
) -> None:
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
        sizes = [
            kept_bytes(caches, Use(tokens, 1, 1), 1) for tokens in (1, page, page + 1, 2 * page)
        ]
        assert sizes == [sizes[0], sizes[0], 2 * sizes[0], 2 * sizes[0]]


def test_the_fullest_stage_is_that_of_the_largest_sum() -> None:
    """Three stages of 11, 11 and 10 layers: the last has the head and the logits beside them."""
    found = breakdown(
        LLAMA, Layout(1, 1, 3), Use(8192, 64, 512), format_of=as_released, kv="bf16", device=None
    )
    sums = [
        s.weights_bytes + s.cache_bytes + s.activation_bytes + s.runtime_bytes for s in found.stages
    ]
    assert [s.total_bytes for s in found.stages] == sums
    assert found.fullest.total_bytes == max(sums) > min(sums)
    assert [s.cache_bytes for s in found.stages] == [64 * 8192 * 4096 * n for n in (11, 11, 10)]


@pytest.mark.parametrize(
    ("free", "sequences", "context"),
    [(1000, 1, 992), (1000, 2, 496), (15, 1, 0), (10**9, 1, 4096), (1000, 0, 0), (16, 1, 16)],
)
def test_the_longest_context_fits_and_one_page_more_does_not(
    free: int, sequences: int, context: int
) -> None:
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


@pytest.mark.parametrize(
    ("device", "words"),
    [
        ("h100-sxm", ""),
        ("mi300x", "on rocm: as on CUDA (assumption)"),
        ("xeon-6980p", ""),
        ("jetson-agx-orin-64gb", ""),
        ("gaudi-3", ""),
    ],
)
def test_what_another_platform_keeps_is_assumed(device: str, words: str) -> None:
    kept = runtime_of(resolve_device(device))
    assert kept.context_bytes > 0
    assert kept.source.endswith(words)
    assert ("as on CUDA" in kept.source) is bool(words)


@pytest.mark.parametrize("tp", [1, 2, 4])
def test_temporary_tensors_are_divided_over_ranks(tp: int) -> None:
    """Split decode: 32 heads of 128 outputs with a maximum and a sum in FP32, two sequences of
    eight parts. A delta net of Qwen3-Next: queries and keys of 16 heads, three of 32 values."""
    run = PassShape(tokens=100, sequences=2, context=2048)
    assert split_attention_bytes(LLAMA, Layout(tp), run) == 2 * 8 * 32 // tp * (128 + 2) * 4
    net = next(a for a in resolve_model("qwen3-next-80b-a3b").attention if a.kind == "linear")
    assert attention_bytes(net, Layout(tp), run) == 100 * (2 * 16 * 128 + 3 * 32 * 128) // tp * 2


@pytest.mark.parametrize(
    ("inner", "gated", "tp", "widest"),
    [
        (100, False, 1, 6 * 64),
        (300, False, 1, 2 * 300),
        (300, True, 1, 3 * 300),
        (300, True, 2, 3 * 300 // 2),
        (100, False, 4, 2 * 64),
    ],
)
def test_the_widest_of_an_encoder_s_layer(inner: int, gated: bool, tp: int, widest: int) -> None:
    """Six of the hidden width in attention, two or three of the MLP's, two of the merger, which
    every rank has whole."""
    eyes = ImageEncoder(
        layers=2,
        hidden=64,
        heads=4,
        inner=inner,
        gated=gated,
        pixels=12,
        merge=4,
        out=80,
        patches=400,
        tokens=100,
        limit="made up",
    )
    lines = {line.name: line.bytes for line in pass_lines(eyes, 400, tp, 2)}
    assert lines == {
        "patches": 400 * 12 * 2,
        "encoder-stream": 2 * 400 * 64 * 2,
        "encoder-layer": 400 * widest * 2,
        "encoder-outputs": 100 * 80 * 2,
    }
