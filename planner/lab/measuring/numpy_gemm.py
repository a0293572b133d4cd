"""Products of numpy's BLAS, in FP32 and FP64: what the vector unit reaches without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.shapes import LARGE
from planner.lab.measuring.timing import timed
from planner.lab.measuring.worker import Case

TOKENS = (1, 512)


def cases(request: PartRequest) -> Iterator[Case]:
    """One token, and a prompt, by a large matrix."""
    for dtype in ("float32",) if request.quick else ("float32", "float64"):
        for m in TOKENS:
            yield f"{dtype} {m} × {LARGE[0]} × {LARGE[1]}", partial(_case, request, dtype, m)


def _case(request: PartRequest, dtype: str, m: int, seconds: float) -> Row:
    n, k = LARGE
    random = np.random.default_rng(0)
    weight = random.standard_normal((k, n)).astype(dtype)
    rows = random.standard_normal((m, k)).astype(dtype)
    out = np.empty((m, n), dtype=dtype)
    timing = timed(lambda: np.matmul(rows, weight, out=out), seconds)
    return row(
        "op_gemm",
        request.device,
        f"numpy {np.__version__}",
        timing,
        request.threads,
        kernel="blas",
        w_a_dtype=dtype,
        m=m,
        n=n,
        k=k,
    )
