"""Calls as people make them who know other libraries: dtypes, shapes and names. Each is right, or
an error that says what to write."""

import ml_dtypes
import numpy as np
import pytest

from planner.base.errors import InputError
from planner.formats.blocks import BLOCK_FORMATS
from planner.numerics import (
    Policy,
    decode,
    encode,
    error,
    ggml_encode,
    hadamard,
    matmul,
    matmul_int32,
    pack4,
    quantize,
    round_trip,
    unit,
    view,
)

F = np.float32
X = np.random.default_rng(0).standard_normal((4, 64)).astype(F)
E4M3 = X.astype(ml_dtypes.float8_e4m3fn)
CODES = encode(X, "e4m3fn")
RNG = np.random.default_rng
STOCHASTIC = Policy("s", rounding="stochastic")


def product(a=CODES, b=CODES.T, **options):
    return matmul(a, b, **{"a_format": "e4m3fn", "b_format": "e4m3fn", "unit": "h100", **options})


def same(one, other):
    np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


RIGHT = {
    "a dtype's name": lambda: same(encode(X, "float8_e4m3fn"), CODES),
    "torch's name": lambda: same(encode(X, "torch.float8_e4m3fn"), CODES),
    "a checkpoint's name": lambda: same(encode(X, "F8_E4M3"), CODES),
    "MLIR's name": lambda: same(encode(X, "f8E4M3FN"), CODES),
    "bfloat16": lambda: same(encode(X, "bfloat16"), encode(X, "bf16")),
    "half": lambda: same(encode(X, "half"), encode(X, "fp16")),
    "AMD's format": lambda: same(encode([1.0], "float8_e4m3fnuz"), [0x40]),
    "ml_dtypes' e4m3": lambda: same(encode([240.0, 300.0], "e4m3"), [0x77, 0x78]),
    "codes in ml_dtypes": lambda: same(decode(E4M3, "e4m3fn"), E4M3.astype(F)),
    "codes in float16": lambda: same(decode(X.astype(np.float16), "fp16"), X.astype(np.float16)),
    "codes in bfloat16": lambda: same(decode(X.astype(ml_dtypes.bfloat16), "bf16"),
                                      X.astype(ml_dtypes.bfloat16).astype(F)),
    "strided ml_dtypes": lambda: same(decode(E4M3[::2, ::3], "e4m3fn"), E4M3[::2, ::3].astype(F)),
    "values in ml_dtypes": lambda: same(encode(E4M3, "e5m2"), encode(E4M3.astype(F), "e5m2")),
    "a list of lists": lambda: same(encode([[1, 2], [3, 4]], "int8"), [[1, 2], [3, 4]]),
    "one number": lambda: same(encode(1.0, "e4m3fn"), 0x38),
    "an empty array": lambda: same(encode([], "e4m3fn"), []),
    "booleans": lambda: same(encode([True, False], "e2m1"), [2, 0]),
    "big-endian": lambda: same(encode(X.astype(">f4"), "e4m3fn"), CODES),
    "float64": lambda: same(encode(X.astype(np.float64), "e4m3fn"), CODES),
    "Fortran order": lambda: same(encode(np.asfortranarray(X), "e4m3fn"), CODES),
    "a read-only array": lambda: same(encode(np.broadcast_to(F(1), (3,)), "e4m3fn"), [0x38] * 3),
    "a block format by name": lambda: same(quantize(X, "mxint8").codes,
                                           quantize(X, BLOCK_FORMATS["mxint8"]).codes),
    "upper case": lambda: same(quantize(X, "MXFP8_E4M3").codes, quantize(X, "mxfp8").codes),
    "one axis": lambda: same(quantize(X[0], "fp8-tensor").codes.shape, (64,)),
    "the first axis": lambda: same(quantize(X.T.copy(), "mxfp4", axis=0).codes,
                                   quantize(X, "mxfp4").codes.T),
    "a positive last axis": lambda: same(quantize(X, "mxfp4", axis=1).codes,
                                         quantize(X, "mxfp4").codes),
    "experts": lambda: same(
        quantize(np.stack([X, 2 * X]), "fp8-tensor", batch_axes=1).scales.ravel(),
        [quantize(x, "fp8-tensor").scales[0, 0] for x in (X, 2 * X)]),
    "a scale as a numpy number": lambda: same(quantize(X, "fp8-tensor", scale=F(0.5)).scales,
                                              [[0.5]]),
    "a scale as a list": lambda: same(quantize(X, "fp8-channel", scale=[[1], [2], [1], [2]]).scales,
                                      [[1], [2], [1], [2]]),
    "a scale of a power of two": lambda: same(quantize(X, "mxfp4", scale=0.25).scales,
                                              np.full((4, 2), 0.25)),
    "a device's name": lambda: same([unit("H100").id, unit("NVIDIA A100-SXM4-80GB").id,
                                     unit("GeForce RTX 4090").id],
                                    ["hopper-wgmma", "ampere", "ada"]),
    "integers on a device": lambda: same(
        matmul_int32(np.ones((2, 32), np.int8), np.ones((32, 2), np.int8), unit="h100"),
        np.full((2, 2), 32)),
    "ml_dtypes in a product": lambda: same(product(E4M3, E4M3.T), product()),
    "int8 arrays in a product": lambda: same(
        matmul(np.ones((1, 32), np.int8), np.ones((32, 1), np.int8), a_format="int8",
               b_format="int8", unit="h100"), [[32]]),
    "engine auto": lambda: same(encode(X, "e4m3fn", engine="auto"), CODES),
    "a product's engine auto": lambda: same(product(engine="auto"), product(engine=None)),
    "c with an infinity": lambda: same(product(c=np.full((4, 4), np.inf)),
                                       np.full((4, 4), np.inf)),
    "a policy's alias": lambda: same(quantize(X, "nvfp4", policy="llm-compressor").codes,
                                     quantize(X, "nvfp4", policy="compressed-tensors").codes),
}  # fmt: skip

WRONG = {
    "codes of another dtype": (lambda: decode(E4M3, "e5m2"), "which is e4m3fn and not e5m2"),
    "values as codes": (lambda: decode(X, "e4m3fn"), "which is fp32 and not e4m3fn"),
    "float64 as codes": (lambda: decode(X.astype(float), "e4m3fn"), "codes are integers"),
    "a code too large": (lambda: decode([256], "e4m3fn"), "does not fit the 8 bits"),
    "a masked array": (lambda: encode(np.ma.masked_less(X, 0), "e4m3fn"), r"x.filled\(0\)"),
    "masked codes": (lambda: decode(np.ma.array([1, 2]), "e4m3fn"), "mask"),
    "a masked matrix": (lambda: quantize(np.ma.array(X), "nvfp4"), "mask"),
    "a mask in a product": (lambda: product(np.ma.array(CODES)), "mask"),
    "a mask in an error": (lambda: error(np.ma.array(X), X), "mask"),
    "c beyond FP32": (lambda: product(c=np.full((4, 4), 1e39)), "beyond the range of the FP32"),
    "c beyond FP16": (lambda: product(c=np.full((4, 4), 1e5), accumulator_format="fp16"),
                      "beyond the range of the FP16"),
    "a format that is none": (lambda: encode(X, "float8"), "unknown element format"),
    "a scheme that is none": (lambda: quantize(X, "mxfp5"), "scheme or block format"),
    "a policy that is none": (lambda: quantize(X, "nvfp4", policy="model-opt"), "modelopt"),
    "a device without a unit": (lambda: unit("graviton4"), "A device's name is taken too"),
    "a dtype object": (lambda: encode(X, np.float16), "format is a name"),
    "complex numbers": (lambda: encode(1j * X, "e4m3fn"), "not an array of numbers"),
    "ragged lists": (lambda: quantize([[1.0], [1.0, 2.0]], "nvfp4"), "not an array of numbers"),
    "a scalar": (lambda: quantize(1.0, "nvfp4"), "cannot quantise a scalar"),
    "an axis too far": (lambda: quantize(X, "nvfp4", axis=5), "from -2 to 1"),
    "an axis as a tuple": (lambda: quantize(X, "nvfp4", axis=(0, 1)), "whole number"),
    "a scale as text": (lambda: quantize(X, "fp8-tensor", scale="0.5"), "an array of numbers"),
    "NaN": (lambda: quantize(X * np.nan, "fp8-tensor"), "NaN or infinities"),
    "no generator": (lambda: encode(X, "e4m3fn", policy=STOCHASTIC), "numpy.random.default_rng"),
    "a generator for nothing": (lambda: encode(X, "e4m3fn", rng=RNG(0)), "no use to rounding"),
    "threads and draws": (lambda: encode(X, "e4m3fn", policy=STOCHASTIC, rng=RNG(0), threads=2),
                          "threads=1"),
    "an odd row packed": (lambda: pack4(np.zeros((2, 3), np.uint8)), "even number of codes"),
    "a view of another format": (lambda: view(CODES, "bf16"), "pass codes that encode"),
    "a rotation that does not fit": (lambda: hadamard(X, 48), "power of two"),
    "ggml rows that do not fit": (lambda: ggml_encode(X[:, :20], "ggml-q8_0"), "hint"),
    "memory of another shape": (lambda: round_trip(X, "nvfp4", out=np.empty(3, F)),
                                "out has shape"),
}  # fmt: skip


def test_there_are_at_least_58() -> None:
    assert len(RIGHT) + len(WRONG) >= 58


@pytest.mark.parametrize("call", RIGHT.values(), ids=RIGHT)
def test_an_odd_call_that_is_right(call) -> None:
    call()


@pytest.mark.parametrize(("call", "words"), WRONG.values(), ids=WRONG)
def test_an_odd_call_that_says_what_to_write(call, words) -> None:
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert caught.value.hint


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize <= 8, reason="long double has 64 bits here")
def test_wider_floats_are_told_what_to_be_cast_to() -> None:
    with pytest.raises(InputError) as caught:
        encode(X.astype(np.longdouble), "e4m3fn")
    assert "x.astype(numpy.float64)" in caught.value.hint
