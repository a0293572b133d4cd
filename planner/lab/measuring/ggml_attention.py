"""Fused attention of ggml over a cache in F16, BF16 and Q8_0: prompts and decode steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from planner.lab.measuring.ggml_library import F16, F32, GgmlLibrary, opened
from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.shapes import caches, heads, prompts
from planner.lab.measuring.timing import timed
from planner.lab.measuring.worker import Case

LONGEST_PROMPT = {F16: 1024, "bf16": 512, "q8_0": 128}
"""Cache types, those that most caches have first, and the longest prompt of each: without tiles one
takes seconds."""
KERNEL, PADDING = "flash_attn_ext", 64
"""Rows of the mask are padded to this by llama.cpp."""


def cases(request: PartRequest) -> Iterator[Case]:
    """Cache types × lengths × groups of heads."""
    library, software = opened(request)
    for kind in (F16,) if request.quick else LONGEST_PROMPT:
        for group in heads(request.quick):
            for length in caches(request.quick):
                yield (
                    f"step over {length} tokens in {kind}",
                    partial(_case, request, library, software, kind, group, 1, length),
                )
            for length in prompts(request.quick):
                if length > LONGEST_PROMPT[kind]:
                    break
                yield (
                    f"prompt of {length} tokens in {kind}",
                    partial(_case, request, library, software, kind, group, length, length),
                )


def causal_mask(queries: int, length: int, padded: int) -> NDArray[np.float16]:
    """0 where a query sees a token of the cache, minus infinity elsewhere, [queries, padded]; the
    last query sees all ``length`` tokens."""
    seen = length - queries + np.arange(queries)[:, None]
    return np.where(np.arange(padded)[None] <= seen, 0.0, -np.inf).astype(np.float16)


def _case(
    request: PartRequest,
    library: GgmlLibrary,
    software: str,
    kind: str,
    group: tuple[int, int, int],
    queries: int,
    length: int,
    seconds: float,
) -> Row:
    count, shared, width = group
    padded = -(-length // PADDING) * PADDING
    with library.graph() as graph:
        query = graph.tensor(F32, width, queries, count, 1)
        keys, values = (graph.tensor(kind, width, padded, shared, 1) for _ in range(2))
        mask = graph.tensor(
            F16,
            padded,
            -(-queries // PADDING) * PADDING,
            data=causal_mask(queries, length, padded).tobytes(),
        )
        graph.attention(query, keys, values, mask, width**-0.5)
        timing = timed(graph.run, seconds)
    own = {
        "kernel": KERNEL,
        "attn_dtype": F32,
        "kv_dtype": kind,
        "batch": 1,
        "heads": count,
        "kv_heads": shared,
        "head_dim": width,
        "window": 0,
    }
    if queries == 1:
        return row(
            "op_attn_generation",
            request.device,
            software,
            timing,
            request.threads,
            kv_len=length,
            **own,
        )
    return row(
        "op_attn_context", request.device, software, timing, request.threads, isl=length, **own
    )
