"""Products of torch: BF16, FP16, FP32, INT8 and FP8 on a CPU; BF16, FP8 and INT8 on a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.shapes import matrices, tokens
from planner.lab.measuring.torch_backend import TorchBackend, opened
from planner.lab.measuring.worker import Case

FP8 = "float8_e4m3fn"
ON_CPU, ON_GPU = ("bfloat16", "float32", "int8", "float16"), ("bfloat16", "fp8", "int8")
LEAST_INT8 = 17
"""torch._int_mm on a GPU takes more than 16 rows."""
EMULATED_SHAPES = 3
"""Of products in FP8 on a CPU, which widen their weights in every call: a second each if large."""
GPU_SHAPES = ((4096, 4096), (6144, 4096), (28672, 4096), (4096, 14336), (8192, 8192))
GPU_TOKENS = (1, 8, 32, 128, 512, 2048, 8192)


def cases(request: PartRequest) -> Iterator[Case]:
    """Formats × shapes × tokens."""
    return listed(request, opened(request))


def listed(request: PartRequest, backend: TorchBackend) -> Iterator[Case]:
    """:func:`cases` on ``backend``."""
    gpu = backend.device == "cuda"
    shapes = (
        GPU_SHAPES[:2] if gpu and request.quick else GPU_SHAPES if gpu else matrices(request.quick)
    )
    for dtype in ON_GPU if gpu else ON_CPU[:3] if request.quick else ON_CPU:
        for n, k in shapes:
            for m in GPU_TOKENS if gpu else tokens(request.quick):
                if gpu and dtype == "int8" and m < LEAST_INT8:
                    continue
                yield f"{dtype} {m} × {n} × {k}", partial(_case, backend, dtype, m, n, k)
    if not gpu:
        for n, k in shapes[:EMULATED_SHAPES]:
            yield f"fp8 1 × {n} × {k}", partial(_case, backend, "fp8", 1, n, k)


def _case(backend: TorchBackend, dtype: str, m: int, n: int, k: int, seconds: float) -> Row:
    kernel, call = product(backend, dtype, m, n, k)
    timing = backend.timed(call, seconds)
    return row(
        "op_gemm",
        backend.name,
        backend.software,
        timing,
        backend.threads,
        kernel=kernel,
        w_a_dtype=dtype,
        m=m,
        n=n,
        k=k,
    )


def product(
    backend: TorchBackend,
    dtype: str,
    m: int,
    n: int,
    k: int,
) -> tuple[str, Callable[[], object]]:
    """(the kernel's name, a call that multiplies m × k by k × n)."""
    torch = backend.torch
    if dtype == "fp8":
        a = backend.random(FP8, m, k)
        b = backend.random(FP8, n, k).t()
        unit_scale = torch.ones((), device=backend.device)
        return "_scaled_mm", lambda: torch._scaled_mm(
            a, b, scale_a=unit_scale, scale_b=unit_scale, out_dtype=torch.bfloat16
        )
    if dtype == "int8":
        a, b = backend.random(dtype, m, k), backend.random(dtype, n, k).t()
        return "_int_mm", lambda: torch._int_mm(a, b)
    a, weight = backend.random(dtype, m, k), backend.random(dtype, n, k)
    return "linear", lambda: torch.nn.functional.linear(a, weight)
