"""torch on this machine's CPU or GPU: tensors, and how a call is timed there.

On a GPU a call is captured in a CUDA graph and replayed between two events: launches are those of a
serving engine that replays graphs, and no host time is in them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.timing import LEAST, MOST, Timing, reduced, timed

REPLAYS = 8
"""Calls of one graph."""
SPAN = 16
"""Replays between two events: an event is no finer than half a microsecond."""


class TorchBackend:
    """``torch`` (the module, or what stands for it in a test) on ``device`` (cpu or cuda).

    ``name`` is the device of the tables, ``threads`` those of the CPU.
    """

    def __init__(self, torch: Any, device: str, name: str, threads: int) -> None:
        self.torch, self.device, self.name, self.threads = torch, device, name, threads

    @property
    def software(self) -> str:
        """``torch 2.9.1+cpu``."""
        return f"torch {self.torch.__version__}"

    def random(self, dtype: str, *shape: int) -> Any:
        """A tensor of normal numbers of a dtype by torch's name; of whole numbers for int8."""
        kind = getattr(self.torch, dtype)
        if dtype == "int8":
            return self.torch.randint(-127, 127, shape, dtype=kind, device=self.device)
        return self.torch.randn(shape, device=self.device).to(kind)

    def timed(self, call: Callable[[], object], seconds: float) -> Timing:
        """``call`` timed for about ``seconds``."""
        if self.device != "cuda":
            return timed(call, seconds)
        return self._replayed(call, seconds)

    def _replayed(self, call: Callable[[], object], seconds: float) -> Timing:
        cuda = self.torch.cuda
        stream = cuda.Stream()
        with cuda.stream(stream):  # what a library prepares on first use is no part of a graph
            for _ in range(LEAST):
                call()
        stream.synchronize()
        graph = cuda.CUDAGraph()
        with cuda.graph(graph):
            for _ in range(REPLAYS):
                call()
        first = self._between(graph, SPAN)
        wanted = int(seconds / max(first, 1e-9))
        samples = [self._between(graph, SPAN) for _ in range(max(LEAST, min(MOST, wanted)))]
        return reduced(samples, REPLAYS * SPAN)

    def _between(self, graph: Any, replays: int) -> float:
        """Seconds of ``replays`` replays."""
        cuda = self.torch.cuda
        start, end = (cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(replays):
            graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) * 1e-3


def opened(request: PartRequest) -> TorchBackend:
    """torch as the request wants it: on the GPU that it names, else on ``threads`` cores."""
    import torch

    if request.gpu:
        return TorchBackend(torch, "cuda", request.gpu, 1)
    torch.set_num_threads(request.threads)
    return TorchBackend(torch, "cpu", request.device, request.threads)
