"""Codes seen as ml_dtypes and numpy numbers share memory and mean the same."""

import builtins

import numpy as np
import pytest

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.numerics import decode, encode, quantize, round_trip, view

FORMATS = ("bf16", "e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1", "e8m0", "fp32", "tf32", "fp16", "int8")


@pytest.mark.parametrize("format", FORMATS)
def test_values_and_memory(format):
    x = np.float32([[1, 2, 0.5, 4], [1, 1, 2, 2]])
    codes = encode(x, format)
    seen = view(codes, format)
    assert np.shares_memory(seen, codes)
    assert seen.shape == x.shape
    np.testing.assert_array_equal(seen.astype(np.float32), decode(codes, format))
    codes[0, 0] = codes[0, 1]
    assert float(seen[0, 0]) == 2
    assert np.shares_memory(view(codes[:, ::2], format), codes)


def test_refusals(monkeypatch):
    codes = np.zeros(4, np.uint8)
    for format in ("ue4m3", "int4"):
        with pytest.raises(UnsupportedError, match=format):
            view(codes, format)
    with pytest.raises(InputError, match="uint16"):
        view(codes, "bf16")
    with pytest.raises(UnknownNameError):
        view(codes, "e4m4")
    real = builtins.__import__

    def without(name, *rest, **more):
        if name == "ml_dtypes":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnsupportedError, match="not installed"):
        view(codes, "e4m3fn")
    assert view(codes, "int8").dtype == np.int8


@pytest.mark.parametrize("id", ["fp8-block", "int4-w4a16", "nvfp4", "mxfp4"])
def test_blocks_along_the_other_axis_are_those_of_the_transposed_matrix(id):
    """Both in one pass and with codes kept."""
    x = np.random.default_rng(4).standard_normal((256, 128)).astype(np.float32)
    want = round_trip(np.ascontiguousarray(x.T), id).T
    for axis in (-2, 0):
        np.testing.assert_array_equal(round_trip(x, id, axis=axis), want)
        np.testing.assert_array_equal(quantize(x, id, axis=axis).dequantize(), want)
