"""Laws of rounding that hold for every format and input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats.elements import element
from planner.numerics import decode, encode

FLOATS = ("bf16", "fp16", "tf32", "e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1")
singles = st.floats(width=32, allow_nan=False, allow_infinity=False)


def rounded(x: np.ndarray, format: str) -> np.ndarray:
    return decode(encode(x, format, policy="ocp-saturating"), format)


@given(st.sampled_from(FLOATS), st.lists(singles, min_size=1, max_size=20))
def test_encoding_is_idempotent(format, values):
    once = rounded(np.array(values, np.float32), format)
    np.testing.assert_array_equal(rounded(once, format), once)


@given(st.sampled_from(FLOATS), st.lists(singles, min_size=2, max_size=20))
def test_encoding_is_monotone(format, values):
    x = np.sort(np.array(values, np.float32))
    y = rounded(x, format)
    assert (y[1:] >= y[:-1]).all()


@given(st.sampled_from(FLOATS), singles)
def test_encoding_is_odd(format, value):
    x = np.float32([value, -value])
    y = rounded(x, format)
    assert y[0] == -y[1]


@given(st.sampled_from(FLOATS), singles)
def test_error_is_at_most_half_a_step(format, value):
    fmt = element(format)
    x = float(np.float32(value))
    if abs(x) > fmt.max_finite:
        return
    y = float(rounded(np.float32([value]), format)[0])
    exponent = max(np.frexp(abs(x))[1] - 1, 1 - fmt.bias) if x else 1 - fmt.bias
    assert abs(y - x) <= 2.0 ** (int(exponent) - fmt.mantissa_bits) / 2


@pytest.mark.parametrize("format", FLOATS)
def test_every_code_survives_a_round_trip(format):
    bits = element(format).bits
    codes = np.arange(1 << min(bits, 16), dtype=np.uint64)
    if format == "tf32":
        codes = np.random.default_rng(0).integers(0, 1 << 19, 4000, dtype=np.uint64) << 13
    values = decode(codes, format)
    number = ~np.isnan(values)
    assert (encode(values, format)[number] == codes[number]).all()
