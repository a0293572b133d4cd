"""What a process that measures is told, and the parts there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

OPERATORS = ("bandwidth", "gemm", "attention", "conversion", "quantise", "calls")
"""What ``--only`` takes."""


@dataclass(frozen=True)
class MeasuringPart:
    """One process: ``name``, the ``operator`` that it times, the library it ``needs``, and its
    share of the time."""

    name: str
    operator: str
    needs: str
    module: str
    share: float


PARTS = tuple(
    MeasuringPart(name, operator, needs, f"planner.lab.measuring.{module}", share)
    for name, operator, needs, module, share in (
        ("bandwidth", "bandwidth", "numpy", "bandwidth", 1.0),
        ("products of numpy", "gemm", "numpy", "numpy_gemm", 0.7),
        ("products of ggml", "gemm", "ggml", "ggml_gemm", 5.0),
        ("attention of ggml", "attention", "ggml", "ggml_attention", 1.0),
        ("conversion by ggml", "conversion", "ggml", "ggml_convert", 0.3),
        ("quantising by ggml", "quantise", "ggml", "ggml_quantise", 0.3),
        ("products of torch", "gemm", "torch", "torch_gemm", 2.0),
        ("attention of torch", "attention", "torch", "torch_attention", 1.0),
        ("conversion by torch", "conversion", "torch", "torch_convert", 0.5),
        ("quantising by torch", "quantise", "torch", "torch_quantise", 0.5),
        ("calls of torch", "calls", "torch", "torch_calls", 0.3),
    )
)
"""In the order in which they run; each module has ``cases(request)``."""
QUICK_SECONDS, FULL_SECONDS = 18.0, 125.0
"""What all cases together may take by plan; a part may exceed its share (worker.OVERRUN)."""


@dataclass(frozen=True)
class PartRequest:
    """What one part is asked: ``seconds`` for its cases, ``threads`` of the device ``device``.

    ``cache_bytes`` is the last cache level, ``memory_bytes`` what may be used; ``libraries`` are
    the files of ggml (base and cpu) where the part needs them; ``gpu`` the id of a GPU that torch
    measures instead of the CPU, empty for none.
    """

    part: str
    quick: bool
    seconds: float
    threads: int
    device: str
    cache_bytes: int
    memory_bytes: int
    libraries: Mapping[str, str]
    gpu: str = ""

    def text(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))


def request_of(text: str) -> PartRequest:
    """What :meth:`PartRequest.text` wrote."""
    return PartRequest(**json.loads(text))


def part_named(name: str) -> MeasuringPart:
    """The part of that name."""
    return next(part for part in PARTS if part.name == name)
