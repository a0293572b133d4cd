"""Scales that are known, blocks along any axis, and batches of matrices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, UnsupportedError
from planner.numerics import decode, encode, quantize, round_trip

F = np.float32


def matrix(shape=(24, 64), seed=0):
    return np.random.default_rng(seed).standard_t(4, shape).astype(F)


SCHEMES = (
    "fp8-tensor",
    "fp8-channel",
    "fp8-block",
    "int8-w8a8",
    "int4-w4a16-g32",
    "nvfp4",
    "mxfp4",
    "bf16",
)


@given(
    st.sampled_from(SCHEMES),
    st.sampled_from([(3, 32, 64), (2, 2, 16, 64), (64, 32)]),
    st.integers(-4, 3),
    st.integers(0, 99),
)
def test_an_axis_is_that_axis_moved_last(id, shape, axis, seed):
    x = matrix(shape, seed)
    if not -x.ndim <= axis < x.ndim:
        with pytest.raises(InputError, match=f"axis {axis} of an array of {x.ndim} axes"):
            quantize(x, id, axis=axis)
        return
    moved = quantize(np.moveaxis(x, axis, -1).copy(), id)
    found = quantize(x, id, axis=axis)
    np.testing.assert_array_equal(found.codes, np.moveaxis(moved.codes, -1, axis))
    assert found.codes.shape == x.shape
    assert found.nbytes == moved.nbytes
    want = np.moveaxis(moved.dequantize(), -1, axis)
    np.testing.assert_array_equal(found.dequantize(), want)
    np.testing.assert_array_equal(round_trip(x, id, axis=axis), want)
    out = np.empty(x.shape, F)
    assert found.dequantize(out=out) is out
    np.testing.assert_array_equal(out, want)


@given(
    st.sampled_from((*SCHEMES, "ggml-q8_0")),
    st.sampled_from([(3, 20, 64), (2, 3, 20, 64)]),
    st.booleans(),
)
def test_a_batch_is_each_matrix_alone(id, shape, all_leading):
    x = matrix(shape) * np.exp(np.arange(shape[0])).reshape(-1, *[1] * (len(shape) - 1)).astype(F)
    axes = len(shape) - 2 if all_leading else 1
    found = quantize(x, id, batch_axes=axes)
    each = [quantize(x[i], id) for i in np.ndindex(shape[:axes])]
    want = np.stack([one.dequantize() for one in each]).reshape(shape)
    np.testing.assert_array_equal(found.dequantize(), want)
    np.testing.assert_array_equal(round_trip(x, id, batch_axes=axes), want)
    assert found.nbytes == sum(one.nbytes for one in each)
    if id == "nvfp4":
        assert found.tensor_scale.shape == shape[:axes]
        assert len(set(found.tensor_scale.reshape(-1).tolist())) > 1


def test_a_batch_along_another_axis():
    x = matrix((3, 64, 20))
    found = quantize(x, "nvfp4", axis=1, batch_axes=1)
    want = np.stack([quantize(one.T.copy(), "nvfp4").dequantize().T for one in x])
    np.testing.assert_array_equal(found.dequantize(), want)


@pytest.mark.parametrize("engine", ["numpy", "numba"])
@pytest.mark.parametrize("id", ["fp8-tensor", "fp8-channel", "int8-w8a8", "mxfp4", "nvfp4"])
def test_scales_of_a_result_give_the_result(id, engine):
    x = matrix()
    first = quantize(x, id)
    again = quantize(x, id, scale=first.scales, tensor_scale=first.tensor_scale, engine=engine)
    np.testing.assert_array_equal(again.codes, first.codes)
    np.testing.assert_array_equal(again.scales, first.scales)
    assert again.tensor_scale == first.tensor_scale
    np.testing.assert_array_equal(
        round_trip(x, id, scale=first.scales, engine=engine, tensor_scale=first.tensor_scale),
        first.dequantize(),
    )


def test_a_static_scale_saturates_what_is_beyond_it():
    x = np.array([[0.1, 1.0, 100.0, -100.0]], F)
    found = quantize(x, "fp8-tensor", role="activation", scale=0.01)
    assert found.dequantize().tolist()[0][2:] == [F(4.48), F(-4.48)]
    assert decode(found.codes, "e4m3fn").tolist()[0][1] == 96  # 100 is a tie of 96 and 104
    wide = quantize(x, "int8-w8a8", scale=0.5)
    assert decode(wide.codes, "int8").tolist() == [[0, 2, 127, -128]]
    inputs = quantize(x, "int8-w8a8", role="activation", scale=0.5)
    assert decode(inputs.codes, "int8").tolist() == [[0, 2, 127, -127]]


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_fused_matrices_share_a_tensor_scale(engine):
    """Q, K and V as engines fuse them: one tensor scale, that of the largest."""
    parts = [matrix(seed=i) * F(2.0**i) for i in range(3)]
    whole = quantize(np.concatenate(parts), "nvfp4")
    for i, part in enumerate(parts):
        own = quantize(part, "nvfp4", tensor_scale=whole.tensor_scale, engine=engine)
        assert own.tensor_scale == whole.tensor_scale
        np.testing.assert_array_equal(own.codes, whole.codes[24 * i : 24 * i + 24])
        np.testing.assert_array_equal(own.scales, whole.scales[24 * i : 24 * i + 24])
        np.testing.assert_array_equal(
            round_trip(part, "nvfp4", tensor_scale=whole.tensor_scale, engine=engine),
            own.dequantize(),
        )


def test_a_known_tensor_scale_is_kept_by_four_over_six():
    x, given = matrix(), F(0.0123)
    found = quantize(x, "nvfp4", scale_rule="four-over-six", tensor_scale=given)
    assert F(found.tensor_scale) == given
    assert np.abs(found.dequantize() - x).max() < 1


@pytest.mark.parametrize("shape", [(0, 32), (2, 0, 32), (3, 0)])
@pytest.mark.parametrize("id", ["fp8-tensor", "nvfp4", "int4-w4a16-g32", "bf16"])
def test_matrices_without_elements(id, shape):
    x = np.zeros(shape, F)
    for options in ({}, {"axis": 0}, {"batch_axes": 1} if shape[0] and len(shape) == 3 else {}):
        found = quantize(x, id, **options)
        assert found.codes.shape == shape
        assert found.dequantize().shape == shape


def test_scales_of_a_batch():
    x = matrix((3, 8, 32))
    each = np.array([0.01, 0.02, 0.04], F)
    found = quantize(x, "fp8-tensor", scale=each.reshape(3, 1, 1), batch_axes=1)
    assert found.scales.reshape(-1).tolist() == each.tolist()
    for i in range(3):
        np.testing.assert_array_equal(
            found.codes[i], quantize(x[i], "fp8-tensor", scale=each[i]).codes
        )
    tensors = quantize(x, "nvfp4", tensor_scale=each, batch_axes=1)
    assert tensors.tensor_scale.tolist() == each.tolist()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("fp8-tensor", {"scale": 0.0}), "not positive and finite"),
        (("fp8-tensor", {"scale": -1.0}), "not positive and finite"),
        (("fp8-tensor", {"scale": np.inf}), "not positive and finite"),
        (("fp8-tensor", {"scale": 1e39}), "not positive and finite"),
        (("fp8-tensor", {"scale": np.ones(3)}), "scale has shape"),
        (("fp8-channel", {"scale": np.ones((24, 2))}), "the blocks are"),
        (("mxfp4", {"scale": 0.3}), "is no number of e8m0"),
        (("int4-w4a16-g32", {"scale": 0.1}), "is no number of bf16"),
        (("nvfp4", {"scale": 1.0}), "need their tensor scale"),
        (("nvfp4", {"tensor_scale": np.ones(2)}), "a matrix has one"),
        (("nvfp4", {"tensor_scale": 0}), "not positive and finite"),
        (("fp8-tensor", {"tensor_scale": 1.0}), "has no tensor scale"),
        (("bf16", {"scale": 1.0}), "takes no scale"),
        (("ggml-q8_0", {"scale": 1.0}), "defined by their quantiser"),
        (("int8-asymmetric", {"scale": 1.0}), "not defined with zero points"),
        (("fp8-tensor", {"axis": 2}), "axis 2 of an array of 2 axes"),
        (("fp8-tensor", {"batch_axes": 2}), "every matrix keeps an axis"),
        (("fp8-tensor", {"batch_axes": -1}), "batch_axes = -1"),
        (("fp8-tensor", {"axis": 0, "batch_axes": 1}), "is one of the 1 batch axes"),
        (("fp8-tensor", {"scale": np.ones((2, 1, 1)), "batch_axes": 1}), "does not begin with"),
    ],
)
def test_wrong_scales_and_axes_say_what_fits(arguments, words):
    id, options = arguments
    with pytest.raises(InputError, match=words) as caught:
        quantize(matrix(), id, **options)
    assert caught.value.hint


def test_given_scales_refuse_what_is_not_finite():
    x = matrix()
    x[0, 0] = np.nan
    with pytest.raises(InputError, match="NaN or infinities"):
        quantize(x, "fp8-tensor", scale=1.0)


def test_memory_is_reused_along_the_last_axis_alone():
    x = matrix()
    first = quantize(x, "fp8-tensor")
    assert quantize(x, "fp8-tensor", scale=0.5, out=first).codes is first.codes
    with pytest.raises(UnsupportedError, match="out= takes results along the last axis"):
        quantize(x, "fp8-tensor", axis=0, out=first)


def test_an_empty_batch_is_an_error():
    with pytest.raises(InputError, match="holds no matrix"):
        quantize(np.zeros((0, 4, 32), F), "fp8-tensor", batch_axes=1)


def test_codes_and_scales_read_back_by_hand():
    x = matrix()
    found = quantize(x, "fp8-channel", scale=0.25)
    np.testing.assert_array_equal(decode(found.codes, "e4m3fn") * F(0.25), found.dequantize())
    np.testing.assert_array_equal(
        found.codes, encode(x / F(0.25), "e4m3fn", policy="cuda-satfinite")
    )
