"""torch's parts on what stands for torch on a GPU: shapes, kernels, how a replay is timed."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from planner.lab.measuring import torch_attention, torch_convert, torch_gemm, torch_quantise
from planner.lab.measuring.request import PartRequest
from planner.lab.measuring.rows import Row
from planner.lab.measuring.torch_backend import REPLAYS, SPAN, TorchBackend
from planner.lab.validation.op_gemm import FORMATS

MILLISECONDS = 3.2
GPU = PartRequest("products of torch", True, 1.0, 1, "host", 1 << 25, 1 << 33, {}, gpu="h100-sxm")
CPU = PartRequest("products of torch", True, 1.0, 2, "host", 1 << 25, 1 << 33, {})


class FakeTensor:
    """A tensor of which only the shape matters."""

    def __init__(self, *shape: int) -> None:
        self.shape = shape

    def to(self, _: object) -> FakeTensor:
        return self

    def t(self) -> FakeTensor:
        return FakeTensor(*self.shape[::-1])

    def copy_(self, other: FakeTensor) -> FakeTensor:
        assert other.shape == self.shape
        return self


class FakeEvent:
    """An event; two of them are MILLISECONDS apart."""

    def __init__(self, enable_timing: bool) -> None:
        assert enable_timing

    def record(self) -> None:
        """Nothing is on this GPU."""

    def synchronize(self) -> None:
        """Nothing to wait for."""

    def elapsed_time(self, _: FakeEvent) -> float:
        return MILLISECONDS


class FakeCuda:
    """torch.cuda: counts what is captured and replayed."""

    Event = FakeEvent

    def __init__(self) -> None:
        self.capturing, self.captured, self.replays = False, 0, 0
        outer = self

        class Captured:
            def replay(self) -> None:
                outer.replays += 1

        self.CUDAGraph = Captured
        self.Stream = lambda: SimpleNamespace(synchronize=lambda: None)

    @contextmanager
    def stream(self, _: object) -> Any:
        yield

    @contextmanager
    def graph(self, _: object) -> Any:
        self.capturing = True
        yield
        self.capturing = False


def fake_torch() -> Any:
    """What the parts call of torch; products check their shapes and count themselves."""
    cuda = FakeCuda()

    def product(a: FakeTensor, b: FakeTensor, **_: object) -> FakeTensor:
        assert a.shape[1] == b.shape[0], "inputs differ"
        cuda.captured += cuda.capturing
        return FakeTensor(a.shape[0], b.shape[1])

    def linear(a: FakeTensor, weight: FakeTensor) -> FakeTensor:
        return product(a, weight.t())

    def attend(
        q: FakeTensor, k: FakeTensor, v: FakeTensor, *, is_causal: bool, enable_gqa: bool
    ) -> FakeTensor:
        assert k.shape == v.shape
        assert q.shape[1] % k.shape[1] == 0
        assert enable_gqa
        assert is_causal == (q.shape[2] > 1)
        cuda.captured += cuda.capturing
        return q

    names = ("bfloat16", "float16", "float32", "int8", "float8_e4m3fn")
    return SimpleNamespace(
        __version__="2.9.1",
        cuda=cuda,
        _scaled_mm=product,
        _int_mm=product,
        randn=lambda shape, device: FakeTensor(*shape),
        ones=lambda shape, device: FakeTensor(1),
        randint=lambda low, high, shape, dtype, device: FakeTensor(*shape),
        nn=SimpleNamespace(
            functional=SimpleNamespace(linear=linear, scaled_dot_product_attention=attend)
        ),
        **{name: name for name in names},
    )


def measured(part: Any, request: PartRequest, device: str) -> list[Row]:
    """The rows of every case of a part."""
    backend = TorchBackend(fake_torch(), device, request.gpu or "host", request.threads)
    rows: list[Row] = []
    for _, case in part.listed(request, backend):
        made = case(1e-9)
        rows += made if isinstance(made, list) else [made]
    return rows


def test_a_replay_is_divided_by_its_calls() -> None:
    torch = fake_torch()
    backend = TorchBackend(torch, "cuda", "h100-sxm", 1)
    calls = itertools.count()
    found = backend.timed(lambda: next(calls), 1e-9)
    assert found.best == pytest.approx(MILLISECONDS * 1e-3 / (REPLAYS * SPAN))
    assert torch.cuda.replays == SPAN * (1 + found.repeats)


def test_products_on_a_gpu_are_bf16_fp8_and_int8_of_tables_that_are_read() -> None:
    rows = measured(torch_gemm, GPU, "cuda")
    assert {r["w_a_dtype"] for r in rows} == {"bfloat16", "fp8", "int8"}
    assert {r["kernel"] for r in rows} == {"linear", "_scaled_mm", "_int_mm"}
    assert {r["device"] for r in rows} == {"h100-sxm"}
    assert all(r["w_a_dtype"] in FORMATS for r in rows)
    assert min(r["m"] for r in rows if r["w_a_dtype"] == "int8") > 16
    assert min(r["m"] for r in rows if r["w_a_dtype"] == "fp8") == 1
    assert len({(r["w_a_dtype"], r["m"], r["n"], r["k"]) for r in rows}) == len(rows)


def test_attention_and_copies_on_a_gpu() -> None:
    rows = measured(torch_attention, GPU, "cuda")
    steps = [r for r in rows if r["table"] == "op_attn_generation"]
    prompts = [r for r in rows if r["table"] == "op_attn_context"]
    assert {r["batch"] for r in steps} == {1, 8, 32}
    assert {r["isl"] for r in prompts} == {1024, 4096, 16384}
    copies = [r for r in measured(torch_convert, GPU, "cuda") if r["table"] == "op_bandwidth"]
    assert [r["bytes"] for r in copies] == [2 << 30]


def test_a_cpu_is_timed_by_the_clock() -> None:
    rows = measured(torch_gemm, CPU, "cpu")
    assert {r["w_a_dtype"] for r in rows} == {"bfloat16", "float32", "int8", "fp8"}
    assert {r["m"] for r in rows if r["w_a_dtype"] == "fp8"} == {1}  # widens all weights each time
    assert {(r["device"], r["threads"]) for r in rows} == {("host", 2)}


class Doubles(np.ndarray):  # type: ignore[type-arg]
    """numpy with torch's names: what narrowing calls."""

    def abs(self) -> Any:
        return np.abs(self)

    def amax(self, *, dim: int, keepdim: bool) -> Any:
        return np.max(self, axis=dim, keepdims=keepdim)

    def to(self, kind: Any) -> Any:
        return self.astype(kind)


@pytest.mark.parametrize(
    ("name", "block", "most"), [("int8", 0, 127), ("fp8", 0, 448), ("fp8_block", 128, 448)]
)
def test_narrowing_fills_the_format_row_by_row_or_block_by_block(
    name: str, block: int, most: float
) -> None:
    values = np.random.default_rng(1).standard_normal((4, 256)).view(Doubles)
    torch = SimpleNamespace(int8=np.int8, float32=np.float32, float8_e4m3fn=np.float32)
    made = torch_quantise.narrowing(torch, values, name, block)()
    groups = np.asarray(made).reshape(-1, block or 256)
    assert np.abs(groups).max(axis=1) == pytest.approx(np.full(len(groups), most), rel=1e-3)
    scale = np.abs(np.asarray(values).reshape(groups.shape)).max(axis=1, keepdims=True) / most
    error = np.abs(groups * scale - np.asarray(values).reshape(groups.shape))
    assert (error <= (0.5 if name == "int8" else 1e-3 * most) * scale * 1.01).all()
