"""Awkward input: each kind has a stated result or a clear error, and none costs much memory."""

import tracemalloc

import ml_dtypes
import numpy as np
import pytest

from planner.base.errors import InputError, UnsupportedError
from planner.formats.blocks import BLOCK_FORMATS, block_format
from planner.formats.schemes import SCHEMES
from planner.numerics import decode, encode, ggml_decode, ggml_encode, quantize, round_trip
from planner.numerics.ggml_registry import GGML_TYPES

F = np.float32
SCALED = [i for i, s in SCHEMES.items() if s.weight.scale is not None]
GGML = [i for i in SCALED if i.startswith("ggml")]
WEIGHTED = [i for i in GGML if GGML_TYPES[SCHEMES[i].weight.block_type].weighted_only]
"""Types that are written with an importance matrix only, which quantize does not take."""
FORMATS = ("e4m3fn", "e5m2", "e2m1", "bf16", "fp16", "fp32", "int8")
ASYMMETRIC = [i for i in BLOCK_FORMATS if "asymmetric" in i]


def random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(F)


def formats():
    """Every scaled format that quantize writes."""
    return [*(i for i in SCALED if i not in WEIGHTED), *(BLOCK_FORMATS[i] for i in ASYMMETRIC)]


def alike(x):
    """An importance of 1 of each column."""
    return np.ones(np.shape(x)[-1], F)


@pytest.mark.parametrize("id", WEIGHTED)
@pytest.mark.parametrize(
    "x",
    [random((2, 256)), np.zeros((2, 256), F), np.zeros((0, 256), F)],
    ids=["random", "zeros", "empty"],
)
def test_types_that_need_importance_are_refused_whatever_the_input(id, x):
    for call in (quantize, round_trip, ggml_encode):
        with pytest.raises(UnsupportedError, match="importance matrix only"):
            call(x, id)


def test_some_types_need_importance():
    assert WEIGHTED == ["ggml-iq2_xs", "ggml-iq2_xxs", "ggml-iq1_s"]


@pytest.mark.sample(1)
@pytest.mark.parametrize("id", WEIGHTED)
def test_awkward_input_with_importance(id):
    """What the tests below ask of the other formats."""
    for bad in (np.nan, np.inf, -np.inf):
        x = random((130, 256))
        x[129, 255] = bad
        with pytest.raises(InputError, match="NaN or infinities"):
            ggml_encode(x, id, importance=alike(x))
    for shape in ((0,), (0, 256), (3, 0), (2, 0, 256), (0, 0)):
        stored = ggml_encode(np.zeros(shape, F), id, importance=np.ones(shape[-1], F))
        assert ggml_decode(stored, id).shape == shape
    x = random((5, 3, 512))
    x[..., 256:] = 0
    expected = ggml_encode(x, id, importance=alike(x))
    values = ggml_decode(expected, id)
    assert values[..., :256].any()
    assert not values[..., 256:].any()
    for name, other in variants(x).items():
        assert (ggml_encode(other, id, importance=alike(x)) == expected).all(), name


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("fmt", formats(), ids=str)
def test_non_finite_input_is_refused_by_scaled_formats(fmt, bad):
    x = random((130, 256))
    x[129, 255] = bad
    with pytest.raises(InputError, match="NaN or infinities"):
        quantize(x, fmt)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
def test_non_finite_input_of_either_sign_is_seen(bad):
    x = random((4, 512))
    x[1, 300] = bad
    for id in ("fp8-block", "fp8-tensor", "mxfp4", "nvfp4"):
        with pytest.raises(InputError, match="NaN or infinities"):
            quantize(x, id, engine="numpy")


@pytest.mark.parametrize("shape", [(0,), (0, 256), (3, 0), (2, 0, 256), (0, 0)])
@pytest.mark.parametrize("fmt", [*formats(), "bf16", "fp32"], ids=str)
def test_empty_arrays_stay_empty(fmt, shape):
    x = np.zeros(shape, F)
    q = quantize(x, fmt)
    assert q.codes.shape == shape
    assert q.dequantize().shape == shape
    assert round_trip(x, fmt).shape == shape


def test_empty_codes():
    for format in FORMATS:
        assert decode(encode([], format), format).shape == (0,)
        assert encode(np.zeros((0, 5), F), format).shape == (0, 5)


@pytest.mark.parametrize("fmt", formats(), ids=str)
def test_blocks_of_zeros_give_zeros(fmt):
    x = random((128, 512))
    x[:, 256:] = 0
    x[64:] = 0
    y = quantize(x, fmt).dequantize()
    assert not y[64:].any()
    assert not y[:, 256:].any()


@pytest.mark.parametrize("fmt", [f for f in formats() if f not in GGML], ids=str)
def test_ragged_edges_are_blocks_of_their_own(fmt):
    """Every column is what it is when its blocks are padded by repeating its own values."""
    x = random((131, 300))
    spec = (SCHEMES[fmt].weight if isinstance(fmt, str) else fmt).scale
    right = -300 % (spec.block_columns or 300)
    bottom = -131 % (spec.block_rows or 131)
    padded = np.pad(x, ((0, bottom), (0, right)))
    y = quantize(padded, fmt).dequantize()[:131, :300]
    np.testing.assert_array_equal(quantize(x, fmt).dequantize(), y)


@pytest.mark.parametrize("id", GGML)
def test_ggml_needs_whole_blocks(id):
    with pytest.raises(InputError, match="whole blocks"):
        quantize(random((2, 272)), id) if id.endswith("_k") else quantize(random((2, 40)), id)


def variants(x):
    """The same values in other memory."""
    frozen = x.copy()
    frozen.setflags(write=False)
    wide = np.repeat(x, 2, axis=-1)
    return {"fortran": np.asfortranarray(x), "strided": wide[..., ::2], "read-only": frozen,
            "reversed": x[::-1].copy()[::-1], "float64": x.astype(np.float64), "list": x.tolist(),
            "swapped": x.astype(x.dtype.newbyteorder())}  # fmt: skip


@pytest.mark.sample(14)
@pytest.mark.parametrize("fmt", [*formats(), "bf16"], ids=str)
def test_memory_layout_and_float64_change_nothing(fmt):
    x = random((5, 3, 256))
    expected = quantize(x, fmt)
    for name, other in variants(x).items():
        q = quantize(other, fmt)
        assert (q.codes == expected.codes).all(), name
        np.testing.assert_array_equal(q.dequantize(), expected.dequantize())


@pytest.mark.parametrize("format", FORMATS)
def test_casts_take_any_memory(format):
    x = random((5, 3, 64))
    expected = encode(x, format)
    for name, other in variants(x).items():
        assert (encode(other, format) == expected).all(), name
    assert (decode(np.asfortranarray(expected), format) == decode(expected, format)).all()
    frozen = expected.copy()
    frozen.setflags(write=False)
    assert (decode(frozen, format) == decode(expected, format)).all()


def test_narrow_floats_are_taken_exactly():
    x = random((4, 256))
    for dtype in (np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2):
        narrow = x.astype(dtype)
        exact = narrow.astype(F)
        assert (encode(narrow, "e4m3fn") == encode(exact, "e4m3fn")).all()
        for fmt in ("fp8-block", "nvfp4", "ggml-q4_k"):
            assert (quantize(narrow, fmt).codes == quantize(exact, fmt).codes).all()


def test_integers_and_booleans_are_numbers():
    assert decode(encode([True, False], "e4m3fn"), "e4m3fn").tolist() == [1, 0]
    n = np.arange(-8, 8, dtype=np.int64)
    assert decode(encode(n, "int8"), "int8").tolist() == n.tolist()
    assert (quantize(n[None], "int8-w8a8").codes == quantize(n[None].astype(F), "int8-w8a8").codes
            ).all()  # fmt: skip
    assert encode(np.array([2**53, -(2**53)]), "fp32").tolist() == [0x5A000000, 0xDA000000]
    for big in (np.array([2**53 + 1]), np.array([-(2**53) - 1]), np.array([2**63], np.uint64)):
        with pytest.raises(InputError, match="not exact"):
            encode(big, "e4m3fn")


@pytest.mark.parametrize(
    "x",
    [
        np.array([1.0, None], dtype=object),
        np.array(["1.0"]),
        np.array([1j]),
        np.array(["2026-01-01"], dtype="M8[D]"),
        np.array([1.0], np.longdouble),
        np.zeros(2, dtype=[("a", "f4")]),
        np.zeros(2, dtype="V4"),
        [[1.0, 2.0], [1.0]],
        [1.0, "x"],
    ],
    ids=lambda x: str(getattr(x, "dtype", x)),
)
def test_what_is_not_a_real_array_is_refused(x):
    for call in (
        lambda: encode(x, "e4m3fn"),
        lambda: quantize(x, "fp8-tensor"),
        lambda: round_trip(x, "fp8-tensor"),
        lambda: ggml_encode(x, "q8_0"),
    ):
        with pytest.raises(InputError, match=r"dtype|not an array"):
            call()


def test_results_go_where_they_are_wanted():
    x = random((4, 256))
    out, codes = np.empty_like(x), np.empty(x.shape, np.uint8)
    assert encode(x, "e4m3fn", out=codes) is codes
    assert decode(codes, "e4m3fn", out=out) is out
    assert (out == decode(encode(x, "e4m3fn"), "e4m3fn")).all()
    for fmt in ("fp8-block", "nvfp4", "bf16", "ggml-q4_k", block_format("int8-asymmetric")):
        expected = quantize(x, fmt).dequantize()
        assert quantize(x, fmt).dequantize(out=out) is out
        np.testing.assert_array_equal(out, expected)
        same = x.copy()
        assert round_trip(same, fmt, out=same) is same
        np.testing.assert_array_equal(same, expected)
    with pytest.raises(InputError, match="shape"):
        decode(codes, "e4m3fn", out=out[:2])
    with pytest.raises(InputError, match="dtype"):
        encode(x, "bf16", out=codes)
    with pytest.raises(InputError, match="contiguous"):
        round_trip(x, "fp8-block", out=np.asfortranarray(out))
    out.setflags(write=False)
    with pytest.raises(InputError, match="writable"):
        quantize(x, "fp8-block").dequantize(out=out)


CHUNKS = 6 << 20  # bytes beyond the result: a few tiles of 2^16 elements
MEMORY = [
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "int8-w8a8",
    "int8-block",
    "mxfp4",
    "nvfp4",
    "mxfp8",
    "bf16",
    "ggml-q8_0",
    block_format("int8-asymmetric"),
    block_format("mxint8"),
]


KINDS = ("float32", "float64", "float16", "strided")
PAIRS = [
    pytest.param(fmt, kind, marks=() if j == i % 4 else pytest.mark.exhaustive)
    for i, fmt in enumerate(MEMORY)
    for j, kind in enumerate(KINDS)
]
"""Every format and every kind of input are met by `make test`, all pairs by `make exhaustive`."""


@pytest.mark.sample(3)
@pytest.mark.parametrize(("fmt", "kind"), PAIRS, ids=str)
def test_quantising_takes_a_few_chunks_beyond_its_result(fmt, kind):
    x = random((2, 1024, 4096))
    if kind == "strided":
        x = np.moveaxis(random((4096, 2, 1024)), 0, -1)
    elif kind != "float32":
        x = x.astype(kind)
    quantize(x[:, :1], fmt)  # tables
    tracemalloc.start()
    q = quantize(x, fmt)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    y = q.dequantize()
    kept_too, peak_too = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert q.codes.nbytes <= kept
    assert peak - kept < CHUNKS
    assert peak_too - kept_too < CHUNKS
    assert y.nbytes == 4 * x.size


@pytest.mark.parametrize("x", [random(1 << 23), random((1 << 23, 1))], ids=["row", "column"])
def test_one_long_axis_takes_no_more(x):
    for work in (
        lambda: encode(x, "e4m3fn"),
        lambda: quantize(x, "fp8-tensor").codes,
        lambda: quantize(x, "fp8-channel").codes,
        lambda: round_trip(x, "mxfp4"),
    ):
        work()
        tracemalloc.start()
        result = work()
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert result.nbytes <= kept + 4096
        assert peak - kept < CHUNKS + (4 * x.size if x.ndim == 2 else 0)
