"""Bytes under each scheme against published block sizes and hand counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError, UnsupportedError
from planner.formats.schemes import SCHEMES, scheme
from planner.formats.sizes import bits_per_element, scale_shape, tensor_bytes, weight_bytes
from planner.formats.spec import ScaleSpec, TensorFormat


def test_deepseek_v3_kv_a_projection():
    s = scheme("fp8-block")
    assert scale_shape(s.weight, 576, 7168) == (5, 56)
    assert weight_bytes(s, 576, 7168) == 576 * 7168 + 5 * 56 * 4
    assert weight_bytes(scheme("fp8-block-ue8m0"), 576, 7168) == 576 * 7168 + 5 * 56


@pytest.mark.parametrize(("id", "bits"), [
    ("bf16", 16), ("fp8-channel", 8), ("nvfp4", 4.5), ("mxfp4", 4.25), ("mxfp8", 8.25),
    ("mxfp6", 6.25), ("int4-w4a16", 4.125), ("int4-w4a16-g32", 4.5), ("ggml-q8_0", 8.5),
    ("ggml-q4_0", 4.5), ("ggml-q4_k", 4.5), ("ggml-q6_k", 6.5625),
])  # fmt: skip
def test_published_bits_per_weight(id, bits):
    assert bits_per_element(scheme(id).weight) == bits


def test_hand_counts():
    assert weight_bytes(scheme("nvfp4"), 2, 32) == 2 * 16 + 2 * 2 + 4
    assert weight_bytes(scheme("mxfp4"), 2, 33) == 2 * 17 + 2 * 2
    assert weight_bytes(scheme("mxfp6"), 3, 33) == 3 * 25 + 3 * 2
    assert weight_bytes(scheme("int4-w4a16"), 1, 257) == 129 + 3 * 2
    assert weight_bytes(scheme("fp8-tensor"), 5, 7) == 35 + 4
    assert weight_bytes(scheme("int8-w8a8"), 5, 7) == 35 + 5 * 4
    assert weight_bytes(scheme("ggml-q6_k"), 3, 512) == 3 * 2 * 210
    zero_points = TensorFormat("int4", ScaleSpec("fp16", 1, 128, "amax", zero_point=True))
    assert tensor_bytes(zero_points, 3, 128) == 3 * 64 + 3 * 2 + 2


def test_rows_that_do_not_fill_interleaved_blocks():
    with pytest.raises(UnsupportedError, match="blocks of 256"):
        weight_bytes(scheme("ggml-q4_k"), 4, 576)
    with pytest.raises(InputError, match="negative"):
        weight_bytes(scheme("bf16"), -1, 4)


@given(st.sampled_from(sorted(SCHEMES)), st.integers(0, 300), st.integers(0, 8))
def test_bytes_are_whole_and_approach_the_asymptotic_bits(id, rows, k):
    fmt = scheme(id).weight
    columns = 256 * k
    size = tensor_bytes(fmt, rows, columns)
    assert isinstance(size, int)
    floor = rows * columns * bits_per_element(fmt) / 8
    scales = scale_shape(fmt, rows, columns) or (0, 0)
    assert floor - 1e-9 <= size <= floor + 4 * scales[0] * scales[1] + 4


@given(
    st.sampled_from([i for i in sorted(SCHEMES) if "ggml" not in i]),
    st.integers(1, 300),
    st.integers(1, 300),
)
def test_bytes_grow_with_the_shape(id, rows, columns):
    fmt = scheme(id).weight
    size = tensor_bytes(fmt, rows, columns)
    assert size <= tensor_bytes(fmt, rows + 1, columns)
    assert size <= tensor_bytes(fmt, rows, columns + 1)
