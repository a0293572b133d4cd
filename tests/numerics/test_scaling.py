"""Block maxima and scale rules against loops and hand-computed scales."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.formats.elements import element
from planner.formats.spec import ScaleSpec
from planner.numerics.scaling import block_amax, scales_of

CEIL = ScaleSpec("e8m0", 1, 128, "rceil")
FLOOR = ScaleSpec("e8m0", 1, 32, "ocp-floor")
AMAX = ScaleSpec("fp32", 1, 128, "amax")


@given(
    st.integers(1, 20),
    st.integers(1, 70),
    st.integers(1, 9),
    st.integers(1, 33),
    st.integers(0, 2**32 - 1),
)
def test_block_maxima_equal_a_loop(rows, columns, block_rows, block_columns, seed):
    x = np.random.default_rng(seed).standard_normal((rows, columns)).astype(np.float32)
    expected = [
        [
            np.abs(x[i : i + block_rows, j : j + block_columns]).max()
            for j in range(0, columns, block_columns)
        ]
        for i in range(0, rows, block_rows)
    ]
    np.testing.assert_array_equal(block_amax(x, block_rows, block_columns), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_input_is_refused(bad):
    x = np.ones((4, 32), np.float32)
    x[2, 5] = bad
    with pytest.raises(InputError, match="NaN"):
        block_amax(x, 1, 16)


def powers(values, spec, format, exponent=0):
    scales = scales_of(np.float32(values), spec, element(format), exponent=exponent).block
    mantissa, exponent = np.frexp(scales)
    assert (mantissa == 0.5).all()
    return (exponent - 1).tolist()


def test_floor_rule_reads_exponent_bits_just_below_powers_of_two():
    """floor(log2(x)) in floating point is wrong for almost every nextafter(2^k, 0)."""
    k = np.arange(-100, 120)
    below = np.nextafter(np.float32(2.0) ** k.astype(np.float32), np.float32(0))
    assert powers(below, FLOOR, "e2m1") == (k - 1 - 2).tolist()
    assert powers(np.float32(2.0) ** k.astype(np.float32), FLOOR, "e4m3fn") == (k - 8).tolist()


@pytest.mark.parametrize(
    ("format", "largest_exponent"),
    [("e4m3fn", 8), ("e5m2", 15), ("e3m2", 4), ("e2m3", 2), ("e2m1", 2), ("int8", 0)],
)
def test_floor_rule_exponents_of_mx(format, largest_exponent):
    exponent = -6 if format == "int8" else 0
    assert powers([1.0, 1.99], FLOOR, format, exponent) == [-largest_exponent] * 2


def test_ceil_rule():
    assert powers([448.0], CEIL, "e4m3fn") == [0]
    assert powers([np.nextafter(np.float32(448), np.float32(500))], CEIL, "e4m3fn") == [1]
    assert powers([448.0 / 2, 449.0 / 2], CEIL, "e4m3fn") == [-1, 0]
    assert powers([0.0, 1e-40], CEIL, "e4m3fn") == [-126, -126]
    assert powers([np.finfo(np.float32).max], CEIL, "e4m3fn") == [120]


def test_floor_and_ceil_differ_in_what_saturates():
    amax = np.float32([500.0])
    floor = scales_of(amax, FLOOR, element("e4m3fn")).block
    ceil = scales_of(amax, CEIL, element("e4m3fn")).block
    assert (amax / floor > 448).all()
    assert (amax / ceil <= 448).all()


def test_amax_rule_is_a_float32_division():
    amax = np.float32([3.7, 1e-3, 0.0, 1e-44])
    got = scales_of(amax, AMAX, element("e4m3fn")).block
    assert got[:2].tolist() == (amax[:2] / np.float32(448)).tolist()
    assert got[2] == 1
    assert got[3] > 0


def test_nvfp4_has_two_levels():
    amax = np.float32([[2688.0, 6.0, 0.0, 1344.0]])
    spec = ScaleSpec("ue4m3", 1, 16, "amax", tensor_scale=True)
    scales = scales_of(amax, spec, element("e2m1"))
    assert scales.tensor == 1.0
    assert scales.block.tolist() == [[448.0, 1.0, 0.0, 224.0]]
    empty = scales_of(np.zeros((1, 2), np.float32), spec, element("e2m1"))
    assert (empty.tensor, empty.block.tolist()) == (1.0, [[0.0, 0.0]])


def test_sixteen_bit_scales_are_rounded_to_their_format():
    spec = ScaleSpec("bf16", 1, 128, "amax")
    got = scales_of(np.float32([1.0]), spec, element("int4")).block
    assert got.tolist() == [0.142578125]  # 1/7 in BF16
    with pytest.raises(InputError, match="fp16"):
        scales_of(np.float32([1e6]), ScaleSpec("fp16", 1, 32, "amax"), element("int4"))
