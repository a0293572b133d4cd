"""The exact unit: one rounding of the true sum, whatever BLAS does, at the range's ends too."""

import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from planner.formats.elements import element
from planner.numerics import decode, matmul
from planner.numerics.cast import code_dtype
from planner.numerics.policies import resolve_policy
from planner.numerics.reference import Exact, encode_exact

FP32 = element("fp32")
POLICY = resolve_policy("ocp", FP32)


def finite_codes(rng, shape, format):
    fmt = element(format)
    codes = rng.integers(0, 1 << fmt.bits, shape).astype(code_dtype(fmt))
    if format == "tf32":
        codes &= np.uint32(0xFFFFE000)
    return np.where(np.isfinite(decode(codes, format)), codes, 0).astype(codes.dtype)


def rational(a, b, c):
    total = Fraction(float(c))
    for x, y in zip(a, b, strict=True):
        total += Fraction(float(x)) * Fraction(float(y))
    return encode_exact(Exact(total < 0, "finite", abs(total)), FP32, POLICY)


@pytest.mark.parametrize("with_c", [False, True])
@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize(
    "format", ["fp32", "bf16", "fp16", "tf32", "e4m3fn", "e5m2", "e2m1", "int8"]
)
def test_equal_to_rational_arithmetic(format, cancel, with_c):
    rng = np.random.default_rng(7)
    a, b = finite_codes(rng, (3, 38), format), finite_codes(rng, (38, 4), format)
    if cancel:  # the second half undoes the first, up to one product
        a[:, 19:], b[19:] = a[:, :19], b[:19]
        if format == "int8":
            a[:, 19:] = -a[:, 19:]
        else:
            a[:, 19:] ^= a.dtype.type(1 << element(format).bits - 1)
        a[:, 5] = a[:, 6]
    bits = rng.integers(0, 1 << 32, (3, 4)).astype(np.uint32)
    c = np.where(np.isfinite(bits.view(np.float32)), bits.view(np.float32), 1).astype(np.float32)
    c = c if with_c else np.zeros_like(c)
    c[0] *= np.float32(1e-30)
    got = matmul(a, b, a_format=format, b_format=format, unit="exact", c=c).view(np.uint32)
    va, vb = decode(a, format), decode(b, format)
    for i, j in np.ndindex(3, 4):
        assert got[i, j] == rational(va[i], vb[:, j], c[i, j])


def test_sums_that_float64_loses():
    """2^30 · 1 + 2^-30 - 2^30 over more than one chunk: order-dependent in floats, not here."""
    rng = np.random.default_rng(8)
    k = 5000
    x = np.zeros((1, k), np.float32)
    x[0, 0], x[0, 4000], x[0, 4999] = 2.0**60, 2.0**-60, -(2.0**60)
    bits = x.view(np.uint32)
    one = np.full((k, 1), np.float32(1)).view(np.uint32)
    options = {"a_format": "fp32", "b_format": "fp32", "unit": "exact"}
    assert matmul(bits, one, **options)[0, 0] == np.float32(2.0**-60)
    assert matmul(bits[:, rng.permutation(k)], one, **options)[0, 0] == np.float32(2.0**-60)


def test_e4m3_sums_do_not_depend_on_order():
    rng = np.random.default_rng(9)
    a, b = finite_codes(rng, (6, 4096), "e4m3fn"), finite_codes(rng, (4096, 6), "e4m3fn")
    order = rng.permutation(4096)
    options = {"a_format": "e4m3fn", "b_format": "e4m3fn", "unit": "exact"}
    got = matmul(a, b, **options)
    assert (got == matmul(a[:, order], b[order], **options)).all()
    wide = decode(a, "e4m3fn").astype(np.float64) @ decode(b, "e4m3fn").astype(np.float64)
    assert (got == wide.astype(np.float32)).all()


@pytest.mark.parametrize(
    ("a", "b", "c", "want"),
    [
        ([np.inf, 1], [1, 1], 0, np.inf),
        ([np.inf, 1], [-1, 1], 0, -np.inf),
        ([np.inf, -np.inf], [1, 1], 0, np.nan),
        ([np.inf, 1], [0, 1], 0, np.nan),
        ([np.nan, 1], [0, 1], 0, np.nan),
        ([1, 1], [1, 1], np.inf, np.inf),
        ([np.inf, 1], [1, 1], -np.inf, np.nan),
        ([3e38, 3e38], [1, 1], 0, np.inf),
    ],
)
def test_infinities_and_nan_follow_ieee(a, b, c, want):
    x, y = np.float32([a]), np.float32([b]).T
    got = matmul(
        x.view(np.uint32),
        np.ascontiguousarray(y).view(np.uint32),
        a_format="fp32",
        b_format="fp32",
        unit="exact",
        c=[[c]],
    )[0, 0]
    assert got == want or (np.isnan(got) and np.isnan(want))


@pytest.mark.parametrize(
    ("unit", "format"), [("hopper-wgmma", "e4m3fn"), ("exact", "e4m3fn"), ("int8-imma", "int8")]
)
def test_memory_does_not_grow_with_k_or_rows(unit, format):
    def peak(m, k):
        a, b = np.ones((m, k), np.uint8), np.ones((k, 256), np.uint8)
        tracemalloc.start()
        matmul(a, b, a_format=format, b_format=format, unit=unit, engine=None)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    small, large = peak(32, 2048), peak(32, 8192)
    bytes_of_codes = 8192 * (256 + 32)
    # The exact unit decodes all of K for some columns: at most a few float32 or float64 copies.
    assert large - small < (10 if unit == "exact" else 2.5) * bytes_of_codes
