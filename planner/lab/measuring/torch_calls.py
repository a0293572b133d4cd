"""What a call from Python takes with torch on a CPU: a decoder layer of small tensors, run eagerly.

The tensors are so small that kernels take next to nothing: the layer's time over its calls is what
an engine pays for each operator that it launches. Before every run a few megabytes are read, as the
weights of a layer are, so that code and objects are not in the nearest caches.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row, row
from planner.lab.measuring.timing import LEAST, Timing, reduced
from planner.lab.measuring.torch_backend import TorchBackend, opened
from planner.lab.measuring.worker import Case

HIDDEN, HEADS, CACHE_TOKENS = 64, 2, 16
SWEPT_FLOATS = 1 << 21
NORM_CALLS, OTHER_CALLS = 11, 19
CALLS = 2 * NORM_CALLS + OTHER_CALLS
"""Operators of a layer: two norms; four products, split, three views, two writes of the cache of
two calls each, attention, reshape, chunk, activation and its product, the sum that closes it and
its view."""
MOST_RUNS = 2000


def cases(request: PartRequest) -> Iterator[Case]:
    """One case; none on a GPU, whose launches run ahead of it."""
    return listed(request, opened(request))


def listed(request: PartRequest, backend: TorchBackend) -> Iterator[Case]:
    """:func:`cases` on ``backend``."""
    if backend.device == "cpu":
        yield "calls of a layer", partial(_case, backend)


def _case(backend: TorchBackend, seconds: float) -> Row:
    with backend.torch.inference_mode():
        timing = swept(layer(backend.torch), _sweep(backend.torch), seconds)
    return row(
        "op_call", backend.name, backend.software, timing, backend.threads, op="layer", calls=CALLS
    )


def swept(
    call: Callable[[], object],
    sweep: Callable[[], object],
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """``call`` timed for about ``seconds``, each time after a ``sweep`` that is not timed."""
    call()
    samples: list[float] = []
    end = clock() + seconds
    while len(samples) < LEAST or (clock() < end and len(samples) < MOST_RUNS):
        sweep()
        start = clock()
        call()
        samples.append(clock() - start)
    return reduced(samples)


def _sweep(torch: Any) -> Callable[[], object]:
    read = torch.ones(SWEPT_FLOATS)
    return lambda: read.sum()


def layer(torch: Any) -> Callable[[], Any]:
    """A call that runs one layer: CALLS operators in modules, as eager models are written."""
    before, two = norm(torch), norm(torch)
    joined, out, both, down = (
        linear(torch, HIDDEN, n) for n in (3 * HIDDEN, HIDDEN, 2 * HIDDEN, HIDDEN)
    )
    width = HIDDEN // HEADS
    x = torch.randn(1, HIDDEN).to(torch.bfloat16)
    keys, values = (torch.randn(1, HEADS, CACHE_TOKENS, width).to(torch.bfloat16) for _ in range(2))
    functional = torch.nn.functional

    def run() -> Any:
        h, kept = before(x, x)
        parts = joined(h).split((HIDDEN, HIDDEN, HIDDEN), dim=-1)
        q, k, v = (part.view(1, HEADS, 1, width) for part in parts)
        keys[:, :, 3:4].copy_(k)
        values[:, :, 3:4].copy_(v)
        attended = functional.scaled_dot_product_attention(q, keys, values)
        h, kept = two(out(attended.reshape(1, HIDDEN)), kept)
        gate, up = both(h).chunk(2, dim=-1)
        return (down(functional.silu(gate) * up) + kept).view(1, HIDDEN)

    return run


def norm(torch: Any) -> Any:
    """An RMS norm in FP32 that takes the residual along, of NORM_CALLS operators."""

    class EagerNorm(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(
                torch.ones(HIDDEN, dtype=torch.bfloat16), requires_grad=False
            )

        def forward(self, x: Any, residual: Any) -> tuple[Any, Any]:
            x = x.to(torch.float32) + residual.to(torch.float32)
            residual = x.to(torch.bfloat16)
            mean = x.pow(2).mean(dim=-1, keepdim=True)
            x = x * torch.rsqrt(mean + 1e-5)
            return x.to(torch.bfloat16) * self.weight, residual

    return EagerNorm()


def linear(torch: Any, inputs: int, outputs: int) -> Any:
    """A product without bias in BF16."""
    return torch.nn.Linear(inputs, outputs, bias=False, dtype=torch.bfloat16)
