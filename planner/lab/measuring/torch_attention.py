"""Attention of torch (scaled_dot_product_attention) in 16 bits: prompts and decode steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.shapes import caches, heads, prompts
from planner.lab.measuring.torch_backend import TorchBackend, opened
from planner.lab.measuring.worker import Case

DTYPE, KERNEL = "bfloat16", "scaled_dot_product_attention"
GPU_BATCHES, GPU_LENGTHS = (1, 8, 32), (1024, 4096, 16384)


def cases(request: PartRequest) -> Iterator[Case]:
    """Lengths × groups of heads."""
    return listed(request, opened(request))


def listed(request: PartRequest, backend: TorchBackend) -> Iterator[Case]:
    """:func:`cases` on ``backend``."""
    gpu = backend.device == "cuda"
    for group in heads(request.quick):
        for batch in GPU_BATCHES if gpu else (1,):
            for length in GPU_LENGTHS if gpu else caches(request.quick):
                yield (
                    f"step of {batch} over {length} tokens",
                    partial(_case, backend, group, batch, 1, length),
                )
        for length in GPU_LENGTHS if gpu else prompts(request.quick):
            yield f"prompt of {length} tokens", partial(_case, backend, group, 1, length, length)


def _case(
    backend: TorchBackend,
    group: tuple[int, int, int],
    batch: int,
    queries: int,
    length: int,
    seconds: float,
) -> Row:
    count, shared, width = group
    query = backend.random(DTYPE, batch, count, queries, width)
    keys, values = (backend.random(DTYPE, batch, shared, length, width) for _ in range(2))
    attend = backend.torch.nn.functional.scaled_dot_product_attention
    timing = backend.timed(
        lambda: attend(query, keys, values, is_causal=queries > 1, enable_gqa=True), seconds
    )
    own = {
        "kernel": KERNEL,
        "attn_dtype": DTYPE,
        "kv_dtype": DTYPE,
        "batch": batch,
        "heads": count,
        "kv_heads": shared,
        "head_dim": width,
        "window": 0,
    }
    if queries == 1:
        return row(
            "op_attn_generation",
            backend.name,
            backend.software,
            timing,
            backend.threads,
            kv_len=length,
            **own,
        )
    return row(
        "op_attn_context",
        backend.name,
        backend.software,
        timing,
        backend.threads,
        isl=length,
        **own,
    )
