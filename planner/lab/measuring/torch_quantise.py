"""Narrowing activations with torch before a product: a scale a row (INT8, FP8), or a scale a block
of 128 (FP8)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.torch_backend import TorchBackend, opened
from planner.lab.measuring.worker import Case

BLOCK, INT8_MOST, FP8_MOST = 128, 127.0, 448.0
TOKENS, WIDTHS = (1, 64, 512), (2048, 4096, 14336)


def cases(request: PartRequest) -> Iterator[Case]:
    """Formats × tokens × widths."""
    return listed(request, opened(request))


def listed(request: PartRequest, backend: TorchBackend) -> Iterator[Case]:
    """:func:`cases` on ``backend``."""
    for name, block in (("int8", 0), ("fp8", 0), ("fp8_block", BLOCK)):
        for m in TOKENS[:2] if request.quick else TOKENS:
            for k in WIDTHS[:1] if request.quick else WIDTHS:
                yield f"{name} {m} × {k}", partial(_case, backend, name, block, m, k)


def _case(backend: TorchBackend, name: str, block: int, m: int, k: int, seconds: float) -> Row:
    given = backend.random("bfloat16", m, k)
    timing = backend.timed(narrowing(backend.torch, given, name, block), seconds)
    return row(
        "op_quantize",
        backend.name,
        backend.software,
        timing,
        backend.threads,
        op="scale_matrix_dynamic",
        quant_dtype=name,
        m=m,
        k=k,
    )


def narrowing(torch: Any, given: Any, name: str, block: int) -> Callable[[], Any]:
    """A call that finds the largest of each row (or block), scales, and narrows."""
    most, kind = (INT8_MOST, torch.int8) if name == "int8" else (FP8_MOST, torch.float8_e4m3fn)
    shaped = given.reshape(-1, block) if block else given

    def call() -> Any:
        scale = shaped.abs().amax(dim=-1, keepdim=True).to(torch.float32) / most
        scaled = shaped.to(torch.float32) / scale
        return (scaled.round() if name == "int8" else scaled).to(kind)

    return call
