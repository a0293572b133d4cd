"""Compiled chains of fused multiply-adds give numpy's bits, flushing included."""

import numpy as np
import pytest

from planner.numerics import encode, matmul

pytest.importorskip("numba", reason="numba is not installed (the [fast] extra)")

from planner.numerics import fast_fused

UNITS = [
    ("fp32", "fp32"),
    ("fp32", "tf32"),
    ("fp32", "fp16"),
    ("fp32", "e4m3fn"),
    ("avx512-bf16", "bf16"),
    ("amx-bf16", "bf16"),
]
SHAPES = [
    (33, 70, 200),
    (1, 1, 1),
    (64, 257, 130),
    (7, 96, 129),
    (2, 1100, 3),
    (0, 5, 4),
    (4, 0, 5),
]


def both(a, b, c, unit, format, **options):
    return [matmul(a, b, c=c, a_format=format, b_format=format, unit=unit, engine=e, **options)
            .view(np.uint32) for e in ("numpy", "numba")]  # fmt: skip


@pytest.mark.sample(14)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("unit", "format"), UNITS)
def test_ordinary_numbers(unit, format, shape):
    m, k, n = shape
    rng = np.random.default_rng(m * k + n)
    a, b = (encode(rng.standard_normal(s, dtype=np.float32), format) for s in ((m, k), (k, n)))
    c = rng.standard_normal((m, n)).astype(np.float32)
    for start in (None, c, np.full((m, n), np.float32(-0.0))):
        slow, fast = both(a, b, start, unit, format)
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize(("unit", "format"), UNITS)
def test_random_bits(unit, format):
    """Subnormals, infinities and NaN as they come."""
    rng = np.random.default_rng(3)
    code = encode(np.float32([0]), format)
    a, b = (
        rng.integers(0, np.iinfo(code.dtype).max, s, dtype=code.dtype, endpoint=True)
        for s in ((40, 64), (64, 150))
    )
    c = rng.integers(0, 1 << 32, (40, 150), dtype=np.uint64).astype(np.uint32).view(np.float32)
    with np.errstate(invalid="ignore"):
        slow, fast = both(a, b, c, unit, format)
    np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("unit", ["avx512-bf16", "amx-bf16"])
def test_results_around_the_smallest_normal_number(unit):
    """Products near 2^-126 that cancel: results flush, or round up to a normal number."""
    rng = np.random.default_rng(4)
    a = encode((rng.standard_normal((32, 64)) * 2.0**-62).astype(np.float32), "bf16")
    b = encode((rng.standard_normal((64, 140)) * 2.0**-62).astype(np.float32), "bf16")
    c = (rng.standard_normal((32, 140)) * 2.0**-125).astype(np.float32)
    slow, fast = both(a, b, c, unit, "bf16")
    np.testing.assert_array_equal(fast, slow)
    assert 0.01 < (slow & 0x7FFFFFFF == 0).mean() < 0.99


def test_which_operands_never_flush():
    def never(a, b, c=0.0):
        one = [np.float32([[v]]) for v in (a, b, c)]
        return fast_fused._never_tiny(*one)

    assert never(1.0, -3.0)
    assert never(0.0, 0.0, np.inf)
    assert never(2.0**-56, 2.0**-56)  # 2^-112: the last bit of the product is 2^-126
    assert not never(2.0**-57, 2.0**-56)
    assert not never(1.0, 2.0**-127)  # a subnormal input
    assert not never(1.0, 1.0, 2.0**-130)
    assert not never(1.0, 1.0, 2.0**-126 * 1.5)  # no multiple of 2^-126: a sum may be tiny
    assert never(1.0, 1.0, 2.0**-126)


@pytest.mark.sample(1)
@pytest.mark.parametrize("unit", ["fp32", "avx512-bf16", "amx-bf16"])
def test_two_threads(unit):
    rng = np.random.default_rng(5)
    a, b = (
        encode(rng.standard_normal(s, dtype=np.float32), "bf16") for s in ((90, 1500), (1500, 260))
    )
    one, two = (both(a, b, None, unit, "bf16", threads=t)[1] for t in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_more_rows_than_inputs():
    """Rows go in pieces of 32, whatever the number of inputs."""
    rng = np.random.default_rng(8)
    a, b = (rng.standard_normal(s, dtype=np.float32) for s in ((70, 5), (5, 3)))
    slow, fast = both(a.view(np.uint32), b.view(np.uint32), None, "fp32", "fp32")
    np.testing.assert_array_equal(fast, slow)
    assert np.count_nonzero(fast) == fast.size


def test_the_smallest_normal_number_is_normal():
    least = np.float32(2.0**-126)
    assert fast_fused._exponents(np.array([0, -least, 1], np.float32)) == (-126, False)
    assert fast_fused._exponents(np.array([least - np.float32(2.0**-149)])) == (-127, True)
    assert fast_fused._exponents(np.zeros(2, np.float32)) == (0, False)
