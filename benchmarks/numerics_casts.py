"""Casts and block quantisation on one core, against memcpy, ml_dtypes and, where present, torch.

``python benchmarks/numerics_casts.py [--log2 26]`` prints process CPU time (least of several runs)
and ratios measured in the same run, and ends with 1 where a target is missed. Results go to memory
that exists, memcpy's too, so that no row pays page faults but those of "codes new"; all arrays hold
2^26 float32 by default. Rows called "limit" move the bytes of a cast and compute nothing.
``--threads`` compares the wall time of two threads with one instead.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402

from planner.numerics import (  # noqa: E402
    Policy,
    Quantized,
    decode,
    encode,
    quantize,
    round_trip,
)

COLUMNS = 8192
BLOCKS = {
    "1x128": ("fp8-block", "activation"), "128x128": ("fp8-block", "weight"),
    "mxfp4": ("mxfp4", "weight"), "nvfp4": ("nvfp4", "weight"), "mxfp8": ("mxfp8", "weight"),
    "int8 1x128": ("int8-block", "activation"),
}  # fmt: skip
POLICIES: dict[str, str | Policy] = {
    "deepseek-v3": "deepseek-v3", "ocp-saturating": "ocp-saturating",
    "infinity kept": Policy("infinity kept", overflow="saturate"),
    "ties away": Policy("ties away", tie="away"),
    "toward zero": Policy("toward zero", rounding="toward-zero"),
}  # fmt: skip
CALL_MICROSECONDS = 8.0
"""What a call on 16 values may take."""


@dataclass(frozen=True, slots=True)
class Target:
    """``row`` must take at most (``at_most``) or be faster by at least (``at_least``) a factor."""

    row: str
    base: str
    at_least: float = 0.0
    at_most: float = 0.0


TARGETS = tuple(
    [Target(f"encode {f} {e}", f"encode {f} ml_dtypes", at_least=n)
     for f in ("e4m3fn", "e5m2") for e, n in (("numpy", 4.5), ("numba", 10.0))]
    + [Target(f"encode {f} numba", f"encode {f} torch", at_least=0.8) for f in ("e4m3fn", "e5m2")]
    + [Target(f"encode {f} numba", "limit of encoding", at_most=1.7) for f in ("e4m3fn", "e5m2")]
    + [Target(f"encode e4m3fn numba, {p}", "encode e4m3fn numba", at_most=1.3) for p in POLICIES]
    + [Target(f"decode {f} numba", "limit of decoding", at_most=1.6) for f in ("e4m3fn", "e5m2")]
    + [Target(f"decode {f} {e}", f"decode {f} ml_dtypes", at_least=n)
       for f in ("e4m3fn", "e5m2") for e, n in (("numpy", 5.0), ("numba", 15.0))]
    + [Target(f"1x128 {e}", "1x128 torch", at_least=n) for e, n in (("numpy", 3), ("numba", 10))]
    + [Target("1x128 numba", "memcpy", at_most=2.2),
       Target("1x128 numba, codes kept", "memcpy", at_most=3.0)]
    + [Target(f"{s} numba", "memcpy", at_most=3.0) for s in ("mxfp4", "nvfp4")]
    + [Target(f"{s} {e}{k}", "memcpy", at_most=n)
       for s in ("mxfp4", "nvfp4") for e, n, k in (("numpy", 13.0, ""), (
           "numpy", 13.0, ", codes kept"), ("numba", 4.0, ", codes kept"))]
)  # fmt: skip


def engines() -> tuple[str, ...]:
    """numpy, and numba where it is installed."""
    try:
        import numba  # noqa: F401
    except ImportError:
        return ("numpy",)
    return "numpy", "numba"


def casts(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """Encoders and decoders of FP8."""
    rows: dict[str, Callable[[], object]] = {}
    codes = np.empty(x.shape, np.uint8)
    for format, name in (("e4m3fn", "float8_e4m3fn"), ("e5m2", "float8_e5m2")):
        kept = encode(x, format)
        theirs, seen = codes.view(getattr(ml_dtypes, name)), kept.view(getattr(ml_dtypes, name))
        rows[f"encode {format} ml_dtypes"] = lambda t=theirs: np.copyto(t, x, casting="unsafe")
        rows[f"decode {format} ml_dtypes"] = lambda s=seen: np.copyto(y, s, casting="unsafe")
        for engine in engines():
            rows[f"encode {format} {engine}"] = lambda f=format, e=engine: encode(
                x, f, engine=e, out=codes
            )
            rows[f"decode {format} {engine}"] = lambda f=format, e=engine, k=kept: decode(
                k, f, engine=e, out=y
            )
    return rows


def limits(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """Compiled loops that move a cast's bytes, and every policy's encoder."""
    if len(engines()) == 1:
        return {}
    import numba

    @numba.njit(nogil=True)
    def narrow(words: np.ndarray, out: np.ndarray) -> None:
        for i in range(words.size):
            out[i] = np.uint8(words[i] >> np.uint32(24))

    @numba.njit(nogil=True)
    def widen(codes: np.ndarray, out: np.ndarray) -> None:
        for i in range(codes.size):
            out[i] = np.uint32(codes[i]) << np.uint32(24)

    words, codes = x.reshape(-1).view(np.uint32), np.ones(x.size, np.uint8)
    rows: dict[str, Callable[[], object]] = {
        "limit of encoding": lambda: narrow(words, codes),
        "limit of decoding": lambda: widen(codes, y.reshape(-1).view(np.uint32)),
    }
    for name, policy in POLICIES.items():
        rows[f"encode e4m3fn numba, {name}"] = lambda p=policy: encode(
            x, "e4m3fn", policy=p, engine="numba", out=codes.reshape(x.shape)
        )
    return rows


def small_calls() -> tuple[str, bool]:
    """Least microseconds of a call on 16 values, and whether encoding is quick enough."""
    x = np.linspace(-2, 2, 16, dtype=np.float32)
    codes = encode(x, "e4m3fn")
    work: dict[str, Callable[[], object]] = {
        "encode": lambda: encode(x, "e4m3fn"),
        "decode": lambda: decode(codes, "e4m3fn"),
        "round_trip 1x128": lambda: round_trip(x, "fp8-block", role="activation"),
    }
    took = {
        name: min(timeit.repeat(run, number=100, repeat=300)) * 1e4 for name, run in work.items()
    }
    good = max(took["encode"], took["decode"]) <= CALL_MICROSECONDS
    text = ", ".join(f"{name} {microseconds:.1f} µs" for name, microseconds in took.items())
    return (
        f"a call on 16 values: {text} (wanted ≤ {CALL_MICROSECONDS:g} of a cast)"
        + ("" if good else "  MISSED"),
        good,
    )


def blocks(x: np.ndarray, y: np.ndarray) -> dict[str, Callable[[], object]]:
    """Quantise and dequantise: in one pass, and through codes in memory that exists or is new."""
    rows: dict[str, Callable[[], object]] = {}
    for title, (scheme, role) in BLOCKS.items():
        for engine in engines():
            rows[f"{title} {engine}"] = lambda s=scheme, r=role, e=engine: round_trip(
                x, s, role=r, engine=e, out=y
            )
            rows[f"{title} {engine}, codes kept"] = kept_codes(x, y, scheme, role, engine)
            rows[f"{title} {engine}, codes new"] = lambda s=scheme, r=role, e=engine: quantize(
                x, s, role=r, engine=e
            ).dequantize(engine=e, out=y)
    return rows


def kept_codes(
    x: np.ndarray, y: np.ndarray, scheme: str, role: str, engine: str
) -> Callable[[], object]:
    """``quantize`` into the memory of an earlier result, then ``dequantize`` into ``y``."""
    memory: list[Quantized] = []

    def work() -> object:
        memory[:] = [
            quantize(x, scheme, role=role, engine=engine, out=memory[0] if memory else None)
        ]
        return memory[0].dequantize(engine=engine, out=y)

    return work


def torch_rows(x: np.ndarray) -> dict[str, Callable[[], object]]:
    """torch's casts into prepared memory, and eager 1×128 quantisation as in DeepGEMM."""
    try:
        import torch
    except ImportError:
        return {}
    torch.set_num_threads(1)
    source, out = torch.from_numpy(x), torch.empty(x.shape)
    rows: dict[str, Callable[[], object]] = {}
    for format, dtype in (("e4m3fn", torch.float8_e4m3fn), ("e5m2", torch.float8_e5m2)):
        codes = source.to(dtype)
        rows[f"encode {format} torch"] = lambda c=codes: c.copy_(source)
        rows[f"decode {format} torch"] = lambda c=codes: out.copy_(c)

    def eager() -> object:
        blocks = source.view(-1, 128)
        scale = blocks.abs().float().amax(dim=1, keepdim=True).clamp(1e-4) / 448.0
        codes = (blocks * (1.0 / scale)).to(torch.float8_e4m3fn)
        return torch.mul(codes.float(), scale, out=out.view(-1, 128))

    return {**rows, "1x128 torch": eager}


def least(work: Callable[[], object], runs: int, clock: Callable[[], float]) -> float:
    """Least seconds of ``runs`` by ``clock``, after one that is not counted."""
    work()
    times = []
    for _ in range(runs):
        begun = clock()
        work()
        times.append(clock() - begun)
    return min(times)


def measure(rows: dict[str, Callable[[], object]], runs: int, rounds: int) -> dict[str, float]:
    """Least process CPU time [s] of each row over ``rounds`` that go through all rows, so that a
    busy spell of the machine does not fall on one row alone."""
    seconds: dict[str, float] = {}
    for _ in range(rounds):
        for name, work in rows.items():
            took = least(work, runs, time.process_time)
            seconds[name] = min(took, seconds.get(name, took))
    return seconds


def threads(x: np.ndarray, y: np.ndarray, runs: int) -> str:
    """Wall time of one thread and of two."""
    codes = encode(x, "e4m3fn")
    lines = []
    for engine in engines():
        work: dict[str, Callable[[int], object]] = {
            "encode e4m3fn": lambda n, e=engine: encode(
                x, "e4m3fn", engine=e, threads=n, out=codes
            ),
            "decode e4m3fn": lambda n, e=engine: decode(
                codes, "e4m3fn", engine=e, threads=n, out=y
            ),
        }
        for title, (scheme, role) in BLOCKS.items():
            work[title] = lambda n, s=scheme, r=role, e=engine: round_trip(
                x, s, role=r, engine=e, threads=n, out=y
            )
        for title, run in work.items():
            one, two = (least(lambda n=n, f=run: f(n), runs, time.perf_counter) for n in (1, 2))
            lines.append(
                f"{title + ' ' + engine:<34}{one * 1e3:>9.1f}{two * 1e3:>12.1f}{one / two:>10.2f}"
            )
    return "\n".join([f"{'row':<34}{'wall ms':>9}{'2 threads':>12}{'faster':>10}", *lines])


def report(seconds: dict[str, float], count: int) -> str:
    """All rows: CPU ms, ns an element, and the ratio to memcpy."""
    lines = [f"{'row':<34}{'CPU ms':>9}{'ns/element':>12}{'× memcpy':>10}"]
    for row, took in seconds.items():
        lines.append(
            f"{row:<34}{took * 1e3:>9.1f}{took / count * 1e9:>12.3f}"
            f"{took / seconds['memcpy']:>10.1f}"
        )
    return "\n".join(lines)


def verdicts(seconds: dict[str, float]) -> tuple[str, bool]:
    """The targets of rows that were measured, and whether all are met."""
    lines, good = [f"{'target':<34}{'against':<28}{'measured':>9}{'wanted':>9}"], True
    for t in TARGETS:
        if t.row not in seconds or t.base not in seconds:
            lines.append(f"{t.row:<34}{t.base:<28} not measured")
            continue
        if t.at_least:
            ratio, wanted = seconds[t.base] / seconds[t.row], f"≥ {t.at_least:g}"
            met = ratio >= t.at_least
        else:
            ratio, wanted = seconds[t.row] / seconds[t.base], f"≤ {t.at_most:g}"
            met = ratio <= t.at_most
        good &= met
        lines.append(
            f"{t.row:<34}{t.base:<28}{ratio:>9.1f}{wanted:>9}  {'met' if met else 'MISSED'}"
        )
    return "\n".join(lines), good


def processor() -> str:
    """The CPU's name, where the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(s.split(":")[1].strip() for s in lines if s.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> int:
    """Measure and print; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--log2", type=int, default=26, help="log2 of the values (default 26)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each row (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="times through all (default 3)")
    parser.add_argument("--threads", action="store_true", help="compare two threads with one")
    options = parser.parse_args()
    count = 1 << max(20, options.log2)
    x = np.random.default_rng(0).standard_normal(count, dtype=np.float32).reshape(-1, COLUMNS)
    y = np.ones_like(x)
    named = f"{processor()}, {os.cpu_count()} logical processors, load {os.getloadavg()[0]:.1f}"
    if options.threads:
        print(f"{named}, {count} values\n\n{threads(x, y, options.runs)}")
        return 0
    rows: dict[str, Callable[[], object]] = {"memcpy": lambda: np.copyto(y, x)}
    rows |= casts(x, y) | limits(x, y) | torch_rows(x) | blocks(x, y)
    seconds = measure(rows, max(1, options.runs), max(1, options.rounds))
    text, good = verdicts(seconds)
    print(
        f"{named}, one thread, {count} values, least of {options.rounds} x {options.runs}, "
        f"Python {platform.python_version()}, numpy {np.__version__}\n"
    )
    calls, quick = small_calls()
    print(report(seconds, count) + "\n\n" + text + "\n" + calls)
    return 0 if good and quick else 1


if __name__ == "__main__":
    sys.exit(main())
