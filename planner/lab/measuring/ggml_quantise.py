"""Narrowing activations to the types that ggml multiplies with, row by row, by one thread."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from planner.lab.measuring.ggml_library import GgmlLibrary, opened
from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.timing import timed
from planner.lab.measuring.worker import Case

TYPES = ("q8_0", "q8_k", "q8_1", "bf16", "f16")
WIDTHS = (2048, 4096, 14336)
ROWS = 64
OP = "quantize_row"


def cases(request: PartRequest) -> Iterator[Case]:
    """Types × widths."""
    library, software = opened(request)
    for kind in TYPES:
        if kind not in library.number:
            continue
        for width in WIDTHS[:1] if request.quick else WIDTHS:
            yield f"{kind} {width}", partial(_case, request, library, software, kind, width)


def _case(
    request: PartRequest, library: GgmlLibrary, software: str, kind: str, width: int, seconds: float
) -> Row:
    narrow = library.narrower(kind)
    given = np.random.default_rng(0).standard_normal((ROWS, width)).astype(np.float32)
    made = np.empty(ROWS * library.row_bytes(kind, width), dtype=np.uint8)
    step = library.row_bytes(kind, width)

    def call() -> None:
        for place in range(ROWS):
            narrow(given.ctypes.data + place * width * 4, made.ctypes.data + place * step, width)

    timing = timed(call, seconds)
    return row(
        "op_quantize", request.device, software, timing, 1, op=OP, quant_dtype=kind, m=ROWS, k=width
    )
