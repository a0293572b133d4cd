"""The x86 units against the real instructions, where this processor and a C compiler have them."""

import ctypes
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from planner.numerics import matmul, matmul_int32, vcvtneps2bf16

SOURCE = Path(__file__).resolve().parent / "x86" / "dot.c"


def flags():
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return frozenset()
    line = next((x for x in path.read_text().splitlines() if x.startswith("flags")), "")
    return frozenset(line.split())


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    compiler = shutil.which("gcc")
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"this is {platform.machine()}, not x86")
    if compiler is None:
        pytest.skip("no gcc to compile the instructions with")
    out = tmp_path_factory.mktemp("x86") / "dot.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(out), str(SOURCE)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        pytest.skip(f"gcc does not know these instructions: {built.stderr[:200]}")
    return ctypes.CDLL(str(out))


def need(*wanted):
    missing = set(wanted) - flags()
    if missing:
        pytest.skip(f"this processor has no {', '.join(sorted(missing))}")


def pointer(x):
    return x.ctypes.data_as(ctypes.c_void_p)


def lanes(x, width):
    """(lanes, K) as K / width consecutive groups of all lanes."""
    count, k = x.shape
    return np.ascontiguousarray(x.reshape(count, k // width, width).transpose(1, 0, 2))


def diagonal(product):
    return np.ascontiguousarray(product.diagonal())


def convert(library, x):
    out = np.empty(x.size, dtype=np.uint16)
    library.cvtneps2bf16(pointer(x), pointer(out), ctypes.c_long(x.size))
    return out


def test_vcvtneps2bf16_equals_the_instruction(library):
    need("avx512_bf16")
    upper = np.arange(65536, dtype=np.uint32)[:, None] << np.uint32(16)
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], dtype=np.uint32)
    bits = np.ascontiguousarray((upper | lower).reshape(-1))
    x = bits.view(np.float32)
    assert (convert(library, x) == vcvtneps2bf16(x)).all()


def test_vcvtneps2bf16_on_all_inputs(library):
    """All 2^32 under `make exhaustive`; otherwise 4 of 256 parts."""
    need("avx512_bf16")
    step = 1 << 24 if settings().max_examples >= 2000 else 1 << 30
    for start in range(0, 1 << 32, step):
        x = np.arange(start, start + (1 << 24), dtype=np.uint64).astype(np.uint32).view(np.float32)
        assert (convert(library, x) == vcvtneps2bf16(x)).all()


def bf16(rng, shape, kind):
    if kind == "raw":
        return rng.integers(0, 1 << 16, shape).astype(np.uint16)
    centre, spread = {"moderate": (127, 8), "tiny": (64, 3)}[kind]
    exponent = rng.integers(centre - spread, centre + spread + 1, shape)
    rest = rng.integers(0, 256, shape)
    return ((rest & 128) << 8 | exponent << 7 | rest & 127).astype(np.uint16)


@pytest.mark.parametrize("kind", ["raw", "moderate", "tiny"])
def test_vdpbf16ps_equals_the_instruction(library, kind):
    need("avx512_bf16")
    rng = np.random.default_rng(0)
    compared = 0
    for _ in range(300):
        a, b = bf16(rng, (16, 12), kind), bf16(rng, (16, 12), kind)
        c = rng.integers(0, 1 << 32, 16).astype(np.uint32).view(np.float32)
        if kind == "moderate":
            c = rng.normal(0, 100, 16).astype(np.float32)
        elif kind == "tiny":  # around the smallest normal number: flushing of inputs and results
            c = (rng.normal(0, 4, 16) * 2.0**-126).astype(np.float32)
        want = c.copy()
        library.dpbf16(pointer(lanes(a, 2)), pointer(lanes(b, 2)), pointer(want), ctypes.c_long(6))
        got = diagonal(
            matmul(
                a,
                b.T,
                a_format="bf16",
                b_format="bf16",
                unit="avx512-bf16",
                c=np.broadcast_to(c, (16, 16)) * np.eye(16, dtype=np.float32)
                if np.isfinite(c).all()
                else np.where(np.eye(16), c, 0),
            )
        )
        number = ~np.isnan(want)
        assert (np.isnan(got) == ~number).all()
        assert (got.view(np.uint32) == want.view(np.uint32))[number].all()
        compared += int(number.sum())
    assert compared > 500


def test_flushing_at_the_edge_of_the_normal_range(library):
    """Sums just below 2^-126 are flushed unless 24 bits round them up to it."""
    need("avx512_bf16")
    c = np.full(16, 2.0**-126, dtype=np.float32)
    a, b = np.zeros((16, 2), dtype=np.uint16), np.zeros((16, 2), dtype=np.uint16)
    lane = np.arange(16)
    a[:, 1] = (0x8000 | 50 << 7) + lane % 2  # -2^-77 and the number after it
    b[:, 1] = 59 - lane // 2 << 7  # products from 2^-145 to 2^-152, a tie at 2^-151
    want = c.copy()
    library.dpbf16(pointer(lanes(a, 2)), pointer(lanes(b, 2)), pointer(want), ctypes.c_long(1))
    got = diagonal(
        matmul(a, b.T, a_format="bf16", b_format="bf16", unit="avx512-bf16", c=np.diag(c))
    )
    assert (got.view(np.uint32) == want.view(np.uint32)).all()
    assert len(set(want.tolist())) > 1


def byte_cases(rng):
    for _ in range(100):
        yield (
            rng.integers(0, 256, (16, 32)).astype(np.uint8),
            rng.integers(-128, 128, (16, 32)).astype(np.int8),
        )
    for high, low in [(255, 127), (255, -128), (0, -128), (127, 127), (128, -128)]:
        yield np.full((16, 32), high, np.uint8), np.full((16, 32), low, np.int8)


@pytest.mark.parametrize("saturate", [False, True])
def test_vpdpbusd_equals_the_instruction(library, saturate):
    need("avx512_vnni")
    rng = np.random.default_rng(1)
    ends = np.array([0, 1, -1, 2**31 - 1, -(2**31), 2**31 - 70000, -(2**31) + 70000], np.int64)
    wrapped = 0
    for a, b in byte_cases(rng):
        c = rng.choice(ends, 16).astype(np.int32)
        want = c.copy()
        library.dpbusd(
            pointer(lanes(a, 4)),
            pointer(lanes(b, 4)),
            pointer(want),
            ctypes.c_long(8),
            ctypes.c_int(saturate),
        )
        got = matmul_int32(
            a, b.T, a_format="uint8", unit="avx512-vnni", saturate=saturate, c=np.diag(c)
        )
        assert (diagonal(got) == want).all()
        exact = c + (a.astype(np.int64) * b).sum(axis=1)
        wrapped += int((np.abs(exact) > 2**31).sum())
    assert wrapped > 100


def test_vpmaddubsw_equals_the_instruction(library):
    need("avx2")
    rng = np.random.default_rng(2)
    clipped = 0
    for a, b in byte_cases(rng):
        a, b = a[:8], b[:8]
        want = np.zeros(8, dtype=np.int32)
        library.maddubs(pointer(lanes(a, 4)), pointer(lanes(b, 4)), pointer(want), ctypes.c_long(8))
        got = matmul_int32(a, b.T, a_format="uint8", unit="avx2-maddubs")
        assert (diagonal(got) == want).all()
        clipped += int((want != (a.astype(np.int64) * b).sum(axis=1)).sum())
    assert clipped > 10
