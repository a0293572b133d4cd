"""Widening and narrowing by ggml's own loops, one thread: F16 and BF16 from and to FP32."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from functools import partial

import numpy as np

from planner.lab.measuring.ggml_library import GgmlLibrary, opened
from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.timing import timed
from planner.lab.measuring.worker import Case

ELEMENTS = 1 << 18
PAIRS = (("fp16", "fp32"), ("fp32", "fp16"), ("bf16", "fp32"), ("fp32", "bf16"))


def cases(request: PartRequest) -> Iterator[Case]:
    """Each direction, in a cache."""
    library, software = opened(request)
    for source, target in PAIRS:
        yield f"{source} to {target}", partial(_case, request, library, software, source, target)


def _case(
    request: PartRequest,
    library: GgmlLibrary,
    software: str,
    source: str,
    target: str,
    seconds: float,
) -> Row:
    function = getattr(library.cpu, f"ggml_cpu_{source}_to_{target}")
    function.restype, function.argtypes = None, (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    given = np.zeros(ELEMENTS, dtype=np.float32)
    made = np.zeros(ELEMENTS, dtype=np.float32)
    timing = timed(lambda: function(given.ctypes.data, made.ctypes.data, ELEMENTS), seconds)
    return row(
        "op_convert",
        request.device,
        software,
        timing,
        1,
        kernel=f"ggml_cpu_{source}_to_{target}",
        from_dtype=source,
        to_dtype=target,
        elements=ELEMENTS,
    )
