"""Widening stored weights with torch, from FP8 and INT8 to BF16 and between 16 and 32 bits; on a
GPU also what a copy in its memory draws."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.torch_backend import TorchBackend, opened
from planner.lab.measuring.worker import Case

PAIRS = (
    ("float8_e4m3fn", "bfloat16"),
    ("int8", "bfloat16"),
    ("bfloat16", "float32"),
    ("float32", "bfloat16"),
    ("float16", "float32"),
)
NAMES = {
    "float8_e4m3fn": "fp8",
    "int8": "int8",
    "bfloat16": "bf16",
    "float32": "fp32",
    "float16": "fp16",
}
ELEMENTS, COPIED_BYTES = 1 << 22, 1 << 30


def cases(request: PartRequest) -> Iterator[Case]:
    """Each direction; a copy on a GPU."""
    return listed(request, opened(request))


def listed(request: PartRequest, backend: TorchBackend) -> Iterator[Case]:
    """:func:`cases` on ``backend``."""
    for source, target in PAIRS[:3] if request.quick else PAIRS:
        yield f"{source} to {target}", partial(_case, backend, source, target)
    if backend.device == "cuda":
        yield "copy", partial(_copy, backend)


def _case(backend: TorchBackend, source: str, target: str, seconds: float) -> Row:
    given, wanted = backend.random(source, ELEMENTS), getattr(backend.torch, target)
    timing = backend.timed(lambda: given.to(wanted), seconds)
    return row(
        "op_convert",
        backend.name,
        backend.software,
        timing,
        backend.threads,
        kernel="to",
        from_dtype=NAMES[source],
        to_dtype=NAMES[target],
        elements=ELEMENTS,
    )


def _copy(backend: TorchBackend, seconds: float) -> Row:
    source = backend.random("int8", COPIED_BYTES)
    target = backend.random("int8", COPIED_BYTES)
    timing = backend.timed(lambda: target.copy_(source), seconds)
    return row(
        "op_bandwidth",
        backend.name,
        backend.software,
        timing,
        backend.threads,
        op="copy",
        bytes=2 * COPIED_BYTES,
    )
