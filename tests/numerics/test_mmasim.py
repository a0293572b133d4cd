"""MMA-Sim, an independent model of tensor cores, as oracle on random bits.

Needs the [oracle] extra and a C++ compiler (the package builds a small library when imported).
Each case runs the whole chain of instructions over K, with an accumulator, on two kinds of
operands: raw random bits (subnormals, NaN and infinities as they come) and finite ones with many
zeros, whose sums cancel.
"""

import zlib

import numpy as np
import pytest

from planner.formats.elements import element
from planner.numerics import decode, matmul
from planner.numerics.cast import code_dtype

torch = pytest.importorskip("torch", reason="torch is not installed (the [oracle] extra)")
pytest.importorskip("mmasim", reason="mmasim is not installed (the [oracle] extra)")

pytestmark = pytest.mark.oracle

PTX = {
    "e4m3fn": "e4m3",
    "e5m2": "e5m2",
    "fp16": "f16",
    "bf16": "bf16",
    "tf32": "tf32",
    "e2m1": "e2m1",
    "e3m2": "e3m2",
    "e2m3": "e2m3",
}
TORCH = {
    "e4m3fn": "float8_e4m3fn",
    "e5m2": "float8_e5m2",
    "fp16": "float16",
    "bf16": "bfloat16",
    "tf32": "float32",
}
M, N, CHAIN = 64, 8, 3


@pytest.fixture(scope="module")
def simulator():
    try:
        from mmasim.nv_ptx import sim
    except Exception as error:  # the package compiles C++ on import
        pytest.skip(f"mmasim could not be loaded: {error}")
    return sim


def random_codes(rng, shape, format, kind):
    fmt = element(format)
    codes = rng.integers(0, 1 << fmt.bits, shape).astype(code_dtype(fmt))
    if format == "tf32":
        codes &= np.uint32(0xFFFFE000)
    if kind == "raw":
        return codes
    codes = np.where(rng.random(shape) < 0.3, 0, codes).astype(codes.dtype)
    if kind == "close" and fmt.exponent_bits >= 5:  # exponents near each other
        field = ((1 << fmt.exponent_bits) - 1) << fmt.mantissa_bits
        bias = (fmt.bias + rng.integers(-9, 10, shape)) << fmt.mantissa_bits
        low = 13 if format == "tf32" else 0
        codes = (codes & ~codes.dtype.type(field << low)) | (bias << low).astype(codes.dtype)
    return np.where(np.isfinite(decode(codes, format)), codes, 0).astype(codes.dtype)


def random_c(rng, kind, accumulator):
    bits = rng.integers(0, 1 << 32, (M, N)).astype(np.uint32)
    c = bits.view(np.float32)
    if kind != "raw":
        c = np.where(np.isfinite(c), c, 0) if kind == "sparse" else rng.normal(0, 8, (M, N))
    c = np.where(rng.random((M, N)) < 0.3, 0, c).astype(np.float32)
    with np.errstate(over="ignore"):
        return c.astype(np.float16) if accumulator == "fp16" else c


def tensor(codes, format):
    if format in TORCH:
        signed = codes.view(f"i{codes.dtype.itemsize}")
        return torch.from_numpy(np.ascontiguousarray(signed)).view(getattr(torch, TORCH[format]))
    shift = 2 if format == "e2m1" else 0  # FP4 sits in bits 5:2 of its byte
    return torch.from_numpy(codes << np.uint8(shift))


def expected(operation, a, b, c, formats, k):
    out = torch.from_numpy(c.copy())
    for start in range(0, a.shape[1], k):
        out = operation(
            tensor(a[:, start : start + k], formats[0]),
            tensor(b[start : start + k], formats[1]),
            out,
        )
    return out.float().numpy()


def assert_same(got, want):
    assert (np.isnan(got) == np.isnan(want)).all()
    number = ~np.isnan(want)
    assert (got.view(np.uint32) == want.view(np.uint32))[number].all()


CASES = [
    ("hopper-wgmma", "WGMMA", "Hopper", a, b, d, k)
    for a, b, d, k in [
        ("e4m3fn", "e4m3fn", "fp32", 32),
        ("e5m2", "e5m2", "fp32", 32),
        ("e4m3fn", "e5m2", "fp32", 32),
        ("bf16", "bf16", "fp32", 16),
        ("fp16", "fp16", "fp32", 16),
        ("tf32", "tf32", "fp32", 8),
        ("fp16", "fp16", "fp16", 16),
        ("e4m3fn", "e4m3fn", "fp16", 32),
    ]
]
CASES += [
    ("blackwell-tcgen05", "TCGen05MMA", "Blackwell", a, b, d, k)
    for a, b, d, k in [
        ("e4m3fn", "e4m3fn", "fp32", 32),
        ("e5m2", "e5m2", "fp32", 32),
        ("e5m2", "e4m3fn", "fp16", 32),
        ("e2m1", "e4m3fn", "fp32", 32),
        ("e3m2", "e2m3", "fp32", 32),
        ("bf16", "bf16", "fp32", 16),
    ]
]
CASES += [
    ("ampere", "MMA", "Ampere", a, a, d, k)
    for a, d, k in [("bf16", "fp32", 16), ("fp16", "fp16", 16), ("tf32", "fp32", 8)]
]
CASES += [
    ("ada", "MMA", "Ada Lovelace", a, b, d, 32)
    for a, b, d in [("e4m3fn", "e5m2", "fp32"), ("e5m2", "e4m3fn", "fp16")]
]
CASES += [("volta", "MMA", "Volta", "fp16", "fp16", d, 4) for d in ("fp32", "fp16")]


def make(simulator, op, arch, a, b, d, k):
    out = {"fp32": "f32", "fp16": "f16"}[d]
    if op == "WGMMA":
        return simulator.WGMMA(arch, f"m64n8k{k}.{out}.{PTX[a]}.{PTX[b]}")
    if op == "TCGen05MMA":
        kind = "f16" if k == 16 else "f8f6f4"
        return simulator.TCGen05MMA(arch, f"m64n8k{k}.kind::{kind}.{out}.{PTX[a]}.{PTX[b]}")
    m, n = ("m8n8" if arch == "Volta" else "m16n8"), f"{out}.{PTX[a]}.{PTX[b]}.{out}"
    return simulator.MMA(arch, f"{m}k{k}.{n}")


@pytest.mark.parametrize("kind", ["raw", "sparse", "close"])
@pytest.mark.parametrize(("unit", "op", "arch", "a", "b", "d", "k"), CASES)
def test_equal_to_mmasim(simulator, unit, op, arch, a, b, d, k, kind):
    rng = np.random.default_rng(zlib.crc32(f"{unit}{a}{b}{d}{kind}".encode()))
    operation = make(simulator, op, arch, a, b, d, k)
    left, right = (
        random_codes(rng, (M, CHAIN * k), a, kind),
        random_codes(rng, (CHAIN * k, N), b, kind),
    )
    c = random_c(rng, kind, d)
    want = expected(operation, left, right, c, (a, b), k)
    got = matmul(
        left, right, a_format=a, b_format=b, unit=unit, c=c.astype(np.float32), accumulator_format=d
    )
    assert_same(got, want)


@pytest.mark.parametrize("kind", ["raw", "sparse"])
@pytest.mark.parametrize(
    ("format", "instruction", "scale", "group"),
    [
        ("e4m3fn", "m128n8k32.kind::mxf8f6f4.block32.f32.e4m3.e4m3.ue8m0", "e8m0", 32),
        ("e5m2", "m128n8k32.kind::mxf8f6f4.block32.f32.e5m2.e5m2.ue8m0", "e8m0", 32),
        ("e3m2", "m128n8k32.kind::mxf8f6f4.block32.f32.e3m2.e3m2.ue8m0", "e8m0", 32),
        ("e2m1", "m128n8k32.kind::mxf8f6f4.block32.f32.e2m1.e2m1.ue8m0", "e8m0", 32),
        ("e2m1", "m128n8k64.kind::mxf4.block32.f32.e2m1.e2m1.ue8m0", "e8m0", 32),
        ("e2m1", "m128n8k64.kind::mxf4nvf4.block16.f32.e2m1.e2m1.ue8m0", "e8m0", 16),
        ("e2m1", "m128n8k64.kind::mxf4nvf4.block16.f32.e2m1.e2m1.ue4m3", "ue4m3", 16),
    ],
)
def test_block_scales_equal_mmasim(simulator, format, instruction, scale, group, kind):
    rng = np.random.default_rng(zlib.crc32(f"{instruction}{kind}".encode()))
    operation = simulator.TCGen05MMABlockScale("Blackwell", instruction)
    k = operation.k
    a, b = random_codes(rng, (M, 2 * k), format, kind), random_codes(rng, (2 * k, N), format, kind)
    wide = (0, 256) if kind == "raw" else (110, 140) if scale == "e8m0" else (0, 0x7F)
    sa = rng.integers(*wide, (M, 2 * k // group)).astype(np.uint8)
    sb = rng.integers(*wide, (2 * k // group, N)).astype(np.uint8)
    c = random_c(rng, "close" if kind == "sparse" else kind, "fp32")
    out = torch.from_numpy(c.copy())
    dtype = torch.float8_e8m0fnu if scale == "e8m0" else torch.float8_e4m3fn
    for start in range(0, 2 * k, k):
        part, scales = slice(start, start + k), slice(start // group, (start + k) // group)
        left, right = a[:, part], b[part]
        if k == 64:  # two codes to a byte, the first in the high half here
            pack = [(x[:, ::2] << np.uint8(4)) | x[:, 1::2] for x in (left, right.T)]
            left, right = torch.from_numpy(pack[0]), torch.from_numpy(pack[1]).T
        else:
            left, right = tensor(left, format), tensor(right, format)
        out = operation(
            left,
            right,
            out,
            torch.from_numpy(sa[:, scales].copy()).view(dtype),
            torch.from_numpy(sb[scales].copy()).view(dtype),
        )
    unit = "blackwell-mxf8f6f4" if "mxf8f6f4" in instruction else "blackwell-block-scaled"
    got = matmul(
        a,
        b,
        a_format=format,
        b_format=format,
        unit=unit,
        c=c,
        a_scales=sa,
        b_scales=sb,
        scale_format=scale,
        scale_group=group,
    )
    assert_same(got, out.numpy())
