"""Times of ggml's CPU kernels, for planner/throughput/data/ggml.toml: products a cycle by type.

    python benchmarks/ggml_kernels.py --library DIR [--types q4_k,q8_0] [--shape 512x2048]
    python benchmarks/ggml_kernels.py --library DIR --shape 1536x768,2048x2048 --csv op_gemm.csv

DIR holds libggml-base.so and libggml-cpu.so (llama.cpp's build: bin/). Weights stand where
llama.cpp puts them: in the repacked layout where the device supports the product there. Each time
is the least of many runs of graphs of one and of several nodes, their difference by nodes: that of
a node inside a pass. Cycles are those of a chain of multiplications, three each, timed beside it.
"""

from __future__ import annotations

import argparse
import csv
import ctypes as c
import mmap
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TYPES = {
    "f32": 0,
    "f16": 1,
    "bf16": 30,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q5_1": 7,
    "q8_0": 8,
    "q2_k": 10,
    "q3_k": 11,
    "q4_k": 12,
    "q5_k": 13,
    "q6_k": 14,
    "iq2_xxs": 16,
    "iq2_xs": 17,
    "iq3_xxs": 18,
    "iq1_s": 19,
    "iq4_nl": 20,
    "iq3_s": 21,
    "iq2_s": 22,
    "iq4_xs": 23,
    "iq1_m": 29,
    "tq1_0": 34,
    "tq2_0": 35,
    "mxfp4": 39,
    "nvfp4": 40,
    "q1_0": 41,
    "q2_0": 42,
}
F32, F16, I32 = 0, 1, 26
CACHED, COLD_ROWS = "mul_mat_cached", 8
"""The kernel of rows whose weights a cache holds; tokens up to which weights from memory are timed.
"""
MOST_NODES = 9
SAMPLE_ROWS = 16
"""Rows that are really quantised; the others repeat them."""


class _Init(c.Structure):
    _fields_ = (("size", c.c_size_t), ("buffer", c.c_void_p), ("no_alloc", c.c_bool))


class Ggml:
    """The functions of ggml that are called here; ``path`` is the folder of its libraries."""

    def __init__(self, path: Path) -> None:
        self.base = c.CDLL(str(path / "libggml-base.so"), mode=c.RTLD_GLOBAL)
        self.cpu = c.CDLL(str(path / "libggml-cpu.so"), mode=c.RTLD_GLOBAL)
        self._prepare()
        self.cpu.ggml_cpu_init()
        self.backend = c.c_void_p(self.cpu.ggml_backend_cpu_init())
        self.plain = c.c_void_p(self.base.ggml_backend_get_default_buffer_type(self.backend))
        self.device = c.c_void_p(self.base.ggml_backend_get_device(self.backend))
        self.repacked = c.c_void_p(self.cpu._Z35ggml_backend_cpu_repack_buffer_typev())

    def _prepare(self) -> None:
        """Result types: pointers are 64 bits wide."""
        pointers = (
            "ggml_init",
            "ggml_new_tensor_2d",
            "ggml_new_tensor_3d",
            "ggml_new_tensor_4d",
            "ggml_mul_mat",
            "ggml_mul_mat_id",
            "ggml_new_graph_custom",
            "ggml_backend_alloc_ctx_tensors_from_buft",
            "ggml_backend_get_default_buffer_type",
            "ggml_backend_get_device",
            "ggml_flash_attn_ext",
            "ggml_rms_norm",
            "ggml_add",
            "ggml_mul",
            "ggml_swiglu_split",
            "ggml_rope_ext",
            "ggml_permute",
        )
        for name in pointers:
            getattr(self.base, name).restype = c.c_void_p
        self.base.ggml_row_size.restype = c.c_size_t
        self.base.ggml_blck_size.restype = c.c_int64
        self.base.ggml_backend_dev_supports_op.restype = c.c_bool
        for name in ("ggml_backend_cpu_init", "_Z35ggml_backend_cpu_repack_buffer_typev"):
            getattr(self.cpu, name).restype = c.c_void_p

    def context(self) -> c.c_void_p:
        """A context that holds descriptions of tensors only."""
        return c.c_void_p(self.base.ggml_init(_Init(4 << 20, None, True)))

    def tensor(self, ctx: c.c_void_p, kind: int, *shape: int) -> c.c_void_p:
        """A tensor of up to four axes, innermost first."""
        sizes = [c.c_int64(n) for n in (*shape, 1, 1, 1)[:4]]
        return c.c_void_p(self.base.ggml_new_tensor_4d(ctx, c.c_int(kind), *sizes))

    def place(self, ctx: c.c_void_p, where: c.c_void_p) -> c.c_void_p:
        """Memory for the tensors of ``ctx``."""
        found = self.base.ggml_backend_alloc_ctx_tensors_from_buft(ctx, where)
        return c.c_void_p(found)

    def fill(self, tensor: c.c_void_p, data: bytes) -> None:
        """Write ``data`` to a tensor."""
        self.base.ggml_backend_tensor_set(tensor, data, c.c_size_t(0), c.c_size_t(len(data)))

    def free(self, ctx: c.c_void_p, buffer: c.c_void_p) -> None:
        """Give both back."""
        self.base.ggml_backend_buffer_free(buffer)
        self.base.ggml_free(ctx)

    def graph(self, ctx: c.c_void_p, nodes: list[c.c_void_p]) -> c.c_void_p:
        """A graph that computes ``nodes`` in order."""
        graph = c.c_void_p(self.base.ggml_new_graph_custom(ctx, c.c_size_t(1024), c.c_bool(False)))
        for node in nodes:
            self.base.ggml_build_forward_expand(graph, node)
        return graph

    def threads(self, count: int) -> None:
        """Threads of a pass."""
        self.alone = count == 1
        self.cpu.ggml_backend_cpu_set_n_threads(self.backend, c.c_int(count))

    def run(self, graph: c.c_void_p) -> None:
        """One pass."""
        self.base.ggml_backend_graph_compute(self.backend, graph)

    def matrix_bytes(self, kind: int, outputs: int, inputs: int) -> int:
        """Stored bytes of a matrix."""
        return outputs * int(self.base.ggml_row_size(c.c_int(kind), c.c_int64(inputs)))

    def weights(self, kind: int, inputs: int, outputs: int) -> bytes:
        """Normal weights of a type: SAMPLE_ROWS quantised rows, repeated."""
        rng = np.random.default_rng(1)
        rows = min(SAMPLE_ROWS, outputs)
        values = rng.standard_normal((rows, inputs)).astype(np.float32)
        if kind == F32:
            sample = values.tobytes()
        else:
            size = self.base.ggml_row_size(c.c_int(kind), c.c_int64(inputs))
            out = c.create_string_buffer(size * rows)
            importance = np.ones(inputs, dtype=np.float32)
            self.base.ggml_quantize_chunk(
                c.c_int(kind),
                values.ctypes.data_as(c.c_void_p),
                out,
                c.c_int64(0),
                c.c_int64(rows),
                c.c_int64(inputs),
                importance.ctypes.data_as(c.c_void_p),
            )
            sample = out.raw
        return sample * (outputs // rows)


def least(
    run: Callable[[], None], seconds: float = 0.15, times: int = 7, *, alone: bool = True
) -> float:
    """Least seconds of one ``run``, of at least ``times`` and for ``seconds``.

    ``alone``: of one thread, whose own time is read, so that a busy machine takes part only by its
    caches and clock.
    """
    watch = time.thread_time if alone else time.perf_counter
    best, begun, count = float("inf"), watch(), 0
    while count < times or watch() - begun < seconds:
        before = watch()
        run()
        best = min(best, watch() - before)
        count += 1
    return best


@dataclass(frozen=True)
class Product:
    """One matrix product; ``node_seconds`` of a node inside a pass."""

    kind: str
    m: int
    n: int
    k: int
    repacked: bool
    node_seconds: float


def product(
    lib: Ggml, kind: str, n: int, k: int, rows: list[int], *, copies: int = 1, seconds: float = 0.15
) -> Iterator[Product]:
    """Times of an n × k matrix of ``kind`` by each number of ``rows``; ``copies`` of the matrix are
    walked through, so that together they may exceed the caches."""
    code = TYPES[kind]
    ctx = lib.context()
    matrices = [lib.tensor(ctx, code, k, n) for _ in range(copies)]
    buffer = lib.place(ctx, lib.repacked)
    probe = lib.context()
    entered = lib.tensor(probe, F32, k, max(rows))
    node = c.c_void_p(lib.base.ggml_mul_mat(probe, matrices[0], entered))
    packed = bool(lib.base.ggml_backend_dev_supports_op(lib.device, node))
    lib.base.ggml_free(probe)
    if not packed:
        lib.free(ctx, buffer)
        ctx = lib.context()
        matrices = [lib.tensor(ctx, code, k, n) for _ in range(copies)]
        buffer = lib.place(ctx, lib.plain)
    data = lib.weights(code, k, n)
    for matrix in matrices:
        lib.fill(matrix, data)
    for m in rows:
        yield Product(kind, m, n, k, packed, _node_seconds(lib, matrices, k, m, seconds))
    lib.free(ctx, buffer)


def _node_seconds(lib: Ggml, matrices: list[c.c_void_p], k: int, m: int, seconds: float) -> float:
    ctx = lib.context()
    entered = lib.tensor(ctx, F32, k, m)
    nodes = [
        c.c_void_p(lib.base.ggml_mul_mat(ctx, matrices[i % len(matrices)], entered))
        for i in range(max(MOST_NODES, len(matrices) + 1))
    ]
    buffer = lib.place(ctx, lib.plain)
    rng = np.random.default_rng(2)
    lib.fill(entered, rng.standard_normal(k * m).astype(np.float32).tobytes())
    return between(lib, ctx, buffer, nodes, seconds)


def between(
    lib: Ggml, ctx: c.c_void_p, buffer: c.c_void_p, nodes: list[c.c_void_p], seconds: float
) -> float:
    """Seconds of a node: the difference of a pass of all and of one, by the nodes between."""
    first, whole = lib.graph(ctx, nodes[:1]), lib.graph(ctx, nodes)
    lib.run(whole)
    one = least(lambda: lib.run(first), seconds / 2, alone=lib.alone)
    all_of_them = least(lambda: lib.run(whole), seconds, alone=lib.alone)
    lib.free(ctx, buffer)
    return (all_of_them - one) / (len(nodes) - 1)


def clock() -> float:
    """Cycles a second of this x86 core under load: a chain of IMUL, three cycles each."""
    chain, loops = 200, 20_000
    body = b"\x48\x0f\xaf\xc0" * chain
    code = b"\x48\x89\xf9\xb8\x03\x00\x00\x00" + body + b"\x48\xff\xc9"
    code += b"\x0f\x85" + (-(len(body) + 9)).to_bytes(4, "little", signed=True) + b"\xc3"
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    call = c.CFUNCTYPE(None, c.c_int64)(c.addressof(c.c_char.from_buffer(page)))
    return 3.0 * chain * loops / least(lambda: call(loops), 0.3)


def main() -> int:
    """Print, and write, the table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--library", type=Path, required=True)
    asked.add_argument("--threads", type=int, default=1)
    asked.add_argument("--types", default=",".join(TYPES))
    asked.add_argument("--rows", default="1,2,4,8,16,64,512")
    asked.add_argument("--shape", default="512x2048", help="outputs x inputs, one or several")
    asked.add_argument("--cold", type=int, default=0, help="MB of weights to walk through as well")
    asked.add_argument("--csv", type=Path, help="write rows that plan calibrate reads")
    asked.add_argument("--device", default="host")
    asked.add_argument("--software", default="llama.cpp 0.25.3")
    asked.add_argument("--seconds", type=float, default=0.15, help="of each time")
    given = asked.parse_args()
    lib = Ggml(given.library)
    lib.threads(given.threads)
    cycles = clock()
    rows = [int(m) for m in given.rows.split(",")]
    found = []
    for shape in given.shape.split(","):
        n, k = map(int, shape.split("x"))
        print(f"{cycles / 1e9:.2f} GHz, {given.threads} threads, {n} x {k}: products a cycle")
        print("type      layout    " + "".join(f"{f'm={m}':>8}" for m in rows))
        for kind in given.types.split(","):
            if k % lib.base.ggml_blck_size(c.c_int(TYPES[kind])):
                continue
            times = list(product(lib, kind, n, k, rows, seconds=given.seconds))
            found += [(CACHED, t) for t in times]
            rates = [t.m * n * k / t.node_seconds / cycles for t in times]
            print(
                f"{kind:9} {'repacked' if times[0].repacked else 'plain':9} "
                + "".join(f"{rate:8.2f}" for rate in rates),
                flush=True,
            )
            if given.cold:
                copies = 1 + given.cold * 1_000_000 // lib.matrix_bytes(TYPES[kind], n, k)
                found += [
                    ("mul_mat", t)
                    for t in product(
                        lib,
                        kind,
                        n,
                        k,
                        [m for m in rows if m <= COLD_ROWS],
                        copies=copies,
                        seconds=given.seconds,
                    )
                ]
    if given.csv:
        _write(given.csv, found, given)
    return 0


def _write(path: Path, found: list[tuple[str, Product]], given: argparse.Namespace) -> None:
    """Rows in the columns of op_gemm.csv."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(
            (
                "src",
                "device",
                "software",
                "kernel",
                "w_a_dtype",
                "m",
                "n",
                "k",
                "latency_us",
                "threads",
            )
        )
        out.writerows(
            (
                "benchmarks/ggml_kernels.py",
                given.device,
                given.software,
                kernel,
                t.kind,
                t.m,
                t.n,
                t.k,
                f"{t.node_seconds * 1e6:.5g}",
                given.threads,
            )
            for kernel, t in found
        )


if __name__ == "__main__":
    sys.exit(main())
