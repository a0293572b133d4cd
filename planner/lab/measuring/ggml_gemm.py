"""Products of ggml by type: weights from memory, as in a step, and weights that a cache holds."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from planner.lab.measuring.ggml_library import F32, GgmlLibrary, opened
from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.shapes import FEW_TOKENS, SMALL_AND_LARGE, Shape, matrices, tokens
from planner.lab.measuring.timing import timed
from planner.lab.measuring.worker import Case

COMMON = ("bf16", "f16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0")
"""Types that most files have: timed in all shapes."""
QUICK = ("bf16", "f16", "q8_0", "q6_k", "q4_k", "q4_0")
NOT_STORED = ("q8_1", "q8_k", "i8", "i16", "i32", "i64", "f64")
"""Types of activations and of indices: no weight is written in them."""
MOST_COPIES, LEAST_COPIES = 64, 2
CALLED_TIMES, CALLED_PRODUCTS = 16, 1 << 24
"""A product whose weights a cache holds is called up to so many times at once, as long as that is
no more than so many products of numbers: a small one is quicker than a graph starts."""
CACHED, FROM_MEMORY = "mul_mat_cached", "mul_mat"
CACHED_TOKENS = 8
"""Up to so many tokens weights from memory and from a cache are told apart."""


def weight_types(library: GgmlLibrary, quick: bool) -> list[str]:
    """Types to time, those that most files have first: what a budget leaves out is the rare."""
    first = QUICK if quick else COMMON
    rest = [] if quick else [t for t in library.number if t not in (*COMMON, *NOT_STORED)]
    return [*(t for t in first if t in library.number), *rest]


def shapes_of(kind: str, quick: bool) -> tuple[tuple[Shape, ...], tuple[int, ...]]:
    """(weight shapes, tokens) that a type is timed with."""
    if quick or kind in COMMON:
        return matrices(quick), tokens(quick)
    return SMALL_AND_LARGE, FEW_TOKENS


def cases(request: PartRequest) -> Iterator[Case]:
    """Types × shapes × tokens."""
    library, software = opened(request)
    for kind in weight_types(library, request.quick):
        for n, k in shapes_of(kind, request.quick)[0]:
            if k % library.block(kind):
                continue
            name = f"{kind} {n} × {k}"
            yield name, partial(_case, request, library, software, kind, n, k)


def copies_of(weight_bytes: int, cache_bytes: int) -> int:
    """How many weights one after the other are more than the cache holds twice."""
    return max(LEAST_COPIES, min(MOST_COPIES, 2 * cache_bytes // max(weight_bytes, 1) + 1))


def _case(
    request: PartRequest,
    library: GgmlLibrary,
    software: str,
    kind: str,
    n: int,
    k: int,
    seconds: float,
) -> list[Row]:
    rows = []
    wanted = shapes_of(kind, request.quick)[1]
    size = library.row_bytes(kind, k) * n
    many = copies_of(size, request.cache_bytes)
    plans = [(m, FROM_MEMORY, many if m <= CACHED_TOKENS else 1) for m in wanted]
    plans += [(m, CACHED, 1) for m in wanted if m <= CACHED_TOKENS and size < request.cache_bytes]
    for m, kernel, copies in plans:
        with library.graph() as graph:
            activations = graph.tensor(F32, k, m)
            weights = [graph.weight(kind, n, k) for _ in range(copies)]
            times = (
                max(1, min(CALLED_TIMES, CALLED_PRODUCTS // (m * n * k))) if kernel == CACHED else 1
            )
            for _ in range(times):
                for weight in weights:
                    graph.product(weight, activations)
            timing = timed(graph.run, seconds / len(plans), calls=copies * times)
        rows.append(
            row(
                "op_gemm",
                request.device,
                software,
                timing,
                request.threads,
                kernel=kernel,
                w_a_dtype=kind,
                m=m,
                n=n,
                k=k,
            )
        )
    return rows
