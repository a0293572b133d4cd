"""Speed of bit-exact matrix products beside float32 BLAS on the same core in the same run.

    OPENBLAS_NUM_THREADS=1 python benchmarks/numerics_gemm.py [--rows 512] [--runs 3]

Each figure is the least process CPU time of several runs, the first of which (with compilation) is
not counted; sgemm runs before every case, so that a busy machine disturbs both alike. The last
lines compare the wall time of two threads with one, which only means something on idle cores.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Slow kernels that a machine may be set to for old builds of OpenBLAS are no yardstick.
os.environ.pop("OPENBLAS_CORETYPE", None)

import argparse
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from planner.numerics import encode, matmul, matmul_int32
from planner.numerics.fast_fused import numba_available


@dataclass(frozen=True, slots=True)
class Case:
    """A product, the rate it should have as a fraction of sgemm's, and how to run it."""

    name: str
    target: float | None
    run: Callable[[], Any]


def least(run: Callable[[], Any], runs: int, clock: Callable[[], float]) -> float:
    """The least seconds of ``runs`` calls."""
    times = []
    for _ in range(runs):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def operands(format: str, m: int, k: int, n: int) -> tuple[Any, Any]:
    """Codes of normally distributed matrices."""
    rng = np.random.default_rng(0)
    if format == "int8":
        return tuple(rng.integers(-127, 128, s).astype(np.int8) for s in ((m, k), (k, n)))
    a, b = (rng.standard_normal(s, dtype=np.float32) * 2 for s in ((m, k), (k, n)))
    return encode(a, format), encode(b, format)


def product(unit: str, format: str, size: tuple[int, int, int], **options: Any) -> Case:
    """One fused product; targets are those that the project set itself."""
    a, b = operands(format, *size)
    engine, promote = options.get("engine", ""), options.get("promote_every")
    # 8 GMAC/s of FP8 and 6 of BF16 where sgemm does 46.
    target = {
        ("hopper-wgmma", "e4m3fn", "numpy"): 1 / 45,
        ("hopper-wgmma", "e4m3fn", "numba"): 8 / 46,
        ("hopper-wgmma", "bf16", "numba"): 6 / 46,
    }.get((unit, format, engine))
    name = f"{unit} {format} {engine}" + (f", promoted every {promote}" if promote else "")
    return Case(
        name, target, lambda: matmul(a, b, a_format=format, b_format=format, unit=unit, **options)
    )


def cases(size: tuple[int, int, int]) -> list[Case]:
    """Everything that is timed, slow engines last."""
    a, b = operands("int8", *size)
    found = [Case("int8-imma int8 exact", 0.85, lambda: matmul_int32(a, b, unit="int8-imma"))]
    engines = ["numba", "numpy"] if numba_available() else ["numpy"]
    for engine in engines:
        found.append(product("hopper-wgmma", "e4m3fn", size, engine=engine))
        found.append(product("hopper-wgmma", "bf16", size, engine=engine))
    if numba_available():
        found.append(product("hopper-wgmma", "e4m3fn", size, engine="numba", promote_every=128))
        for unit, format in [
            ("blackwell-tcgen05", "e4m3fn"),
            ("ada", "e4m3fn"),
            ("ampere", "fp16"),
        ]:
            found.append(product(unit, format, size, engine="numba"))
        for unit, format in [("fp32", "fp32"), ("avx512-bf16", "bf16"), ("amx-bf16", "bf16")]:
            found.append(product(unit, format, size, engine="numba"))
    found.append(product("exact", "e4m3fn", size))
    return found


def processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = next((x.split(":", 1)[1].strip() for x in lines if x.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def table(size: tuple[int, int, int], runs: int) -> bool:
    """Print one line a case; True if no target is missed."""
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal(s, dtype=np.float32) for s in (size[:2], size[1:]))
    work = float(np.prod(size))
    print(f"{'product':44} {'GMAC/s':>7} {'sgemm':>7} {'ratio':>7} {'target':>7}")
    good = True
    for case in cases(size):
        case.run()
        sgemm = least(lambda: x @ y, 2 * runs, time.process_time)
        seconds = least(case.run, runs, time.process_time)
        sgemm = min(sgemm, least(lambda: x @ y, runs, time.process_time))
        ratio = sgemm / seconds
        missed = case.target is not None and ratio < case.target
        good &= not missed
        wanted = f"{case.target:7.3f}" if case.target else "      -"
        print(
            f"{case.name:44} {work / seconds / 1e9:7.2f} {work / sgemm / 1e9:7.2f} {ratio:7.3f} "
            f"{wanted}{'  missed' if missed else ''}"
        )
    return good


def threads(size: tuple[int, int, int], runs: int) -> None:
    """Wall time of two threads beside one."""
    a, b = operands("e4m3fn", *size)
    for engine in ["numba", "numpy"] if numba_available() else ["numpy"]:

        def run(count: int, engine: Any = engine) -> None:
            matmul(
                a,
                b,
                a_format="e4m3fn",
                b_format="e4m3fn",
                unit="hopper-wgmma",
                engine=engine,
                threads=count,
            )

        wall = [least(lambda n=n: run(n), runs, time.perf_counter) for n in (1, 2)]
        print(
            f"{engine}: one thread {wall[0]:.2f} s, two {wall[1]:.2f} s, "
            f"{wall[0] / wall[1]:.2f} times as fast"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    size = (arguments.rows, 4096, 4096)
    print(
        f"{processor()}, {os.cpu_count()} logical processors, numpy {np.__version__}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print(f"{size[0]} x {size[1]} x {size[2]}, one core, least CPU time")
    good = table(size, arguments.runs)
    threads(size, arguments.runs)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
