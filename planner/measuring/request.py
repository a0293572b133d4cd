"""What a process that measures is told, and the parts there are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

OPERATORS = ("bandwidth", "gemm", "attention", "conversion", "quantise")
"""What ``--only`` takes."""


@dataclass(frozen=True)
class Part:
    """One process: ``name``, the ``operator`` that it times, the library it ``needs``, and its
    share of the time."""

    name: str
    operator: str
    needs: str
    module: str
    share: float


PARTS = (
    Part("bandwidth", "bandwidth", "numpy", "planner.measuring.bandwidth", 1.0),
    Part("products of numpy", "gemm", "numpy", "planner.measuring.numpy_gemm", 0.7),
    Part("products of ggml", "gemm", "ggml", "planner.measuring.ggml_gemm", 5.0),
    Part("attention of ggml", "attention", "ggml", "planner.measuring.ggml_attention", 1.0),
    Part("conversion by ggml", "conversion", "ggml", "planner.measuring.ggml_convert", 0.3),
    Part("quantising by ggml", "quantise", "ggml", "planner.measuring.ggml_quantise", 0.3),
    Part("products of torch", "gemm", "torch", "planner.measuring.torch_gemm", 2.0),
    Part("attention of torch", "attention", "torch", "planner.measuring.torch_attention", 1.0),
    Part("conversion by torch", "conversion", "torch", "planner.measuring.torch_convert", 0.5),
    Part("quantising by torch", "quantise", "torch", "planner.measuring.torch_quantise", 0.5),
)
"""In the order in which they run; each module has ``cases(request)``."""
QUICK_SECONDS, FULL_SECONDS = 18.0, 140.0


@dataclass(frozen=True)
class Request:
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


def request_of(text: str) -> Request:
    """What :meth:`Request.text` wrote."""
    return Request(**json.loads(text))


def part_named(name: str) -> Part:
    """The part of that name."""
    return next(part for part in PARTS if part.name == name)
