"""Quantisation of matrices against per-block loops written separately."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.formats.kv import kv_layout
from planner.formats.schemes import SCHEMES, scheme
from planner.formats.sizes import weight_bytes
from planner.formats.spec import TensorFormat
from planner.numerics import decode, encode, error, ggml_decode, ggml_encode, quantize
from planner.numerics.ggml_registry import GGML_TYPES
from planner.numerics.policies import resolve_policy

SUPPORTED = list(SCHEMES)
F = np.float32


def tails(shape, seed=0):
    return np.random.default_rng(seed).standard_t(4, shape).astype(F)


def power_of_two(exponent: int) -> np.float32:
    return F(2.0**exponent)


def loop_scale(block, fmt, tensor):
    """The scale of one block, straight from each rule's text."""
    spec, top = fmt.scale, element(fmt.element).max_finite
    amax = F(np.abs(block).max())
    if spec.tensor_scale:
        codes = encode(amax / F(6) / tensor, "e4m3fn", policy="ocp-saturating")
        return F(decode(codes, "e4m3fn") * tensor)
    if spec.rule == "ocp-floor":
        e = int(np.frexp(amax)[1]) - 1 if amax else -127
        return power_of_two(max(e - (int(np.frexp(top)[1]) - 1), -127))
    raw = F(amax / F(top + 0.5 if spec.rule == "half-range" else top))
    if spec.rule == "rceil":
        fraction, e = np.frexp(raw)
        return power_of_two(max(int(e) - (fraction == 0.5), -126)) if raw else power_of_two(-126)
    if amax == 0:
        return F(1)
    return raw if spec.format == "fp32" else F(decode(encode(raw, spec.format), spec.format))


def loop_dequantized(x, fmt, floor=0.0):
    """Quantise and dequantise block by block, value by value."""
    spec, target = fmt.scale, element(fmt.element)
    rows, columns = x.shape
    br, bc = spec.block_rows or rows, spec.block_columns or columns
    tensor = F(np.abs(x).max()) / F(2688) if spec.tensor_scale else F(1)
    out = np.zeros_like(x)
    for i in range(0, rows, br):
        for j in range(0, columns, bc):
            block = x[i : i + br, j : j + bc]
            padded = np.append(block.ravel(), F(floor))
            s = loop_scale(padded, fmt, tensor)
            if s == 0:
                continue
            scaled = block / s
            if target.kind == "int":
                lowest = -target.max_finite - (spec.rule == "half-range")
                values = np.clip(np.rint(scaled), lowest, target.max_finite)
            else:
                codes = encode(scaled, fmt.element, policy="ocp-saturating")
                values = decode(codes, fmt.element)
            out[i : i + br, j : j + bc] = values.astype(F) * s
    return out


BLOCKED = [s for s in SUPPORTED if SCHEMES[s].weight.scale and not s.startswith("ggml")]


@pytest.mark.sample(8)
@pytest.mark.parametrize("id", BLOCKED)
def test_weights_equal_a_loop_over_blocks(id):
    x = tails((150, 288), seed=1)
    x[5] = 0
    x[:, 32:64] = 0
    x[130:140] *= F(1e-3)
    got = quantize(x, id).dequantize()
    np.testing.assert_array_equal(got, loop_dequantized(x, scheme(id).weight))


@pytest.mark.parametrize("id", [s for s in BLOCKED if SCHEMES[s].path == "native"])
def test_activations_equal_a_loop_over_blocks(id):
    x = tails((7, 320), seed=2)
    x[3] = 0
    x[4] *= F(1e-6)
    floor = 1e-4 if id.startswith("fp8-block") else 0.0
    got = quantize(x, id, role="activation").dequantize()
    np.testing.assert_array_equal(got, loop_dequantized(x, scheme(id).activation, floor))


@settings(max_examples=40)
@given(
    st.sampled_from(BLOCKED),
    st.integers(1, 9),
    st.integers(1, 140),
    st.integers(0, 2**32 - 1),
    st.integers(-30, 30),
)
def test_any_shape_and_magnitude(id, rows, columns, seed, exponent):
    x = tails((rows, columns), seed) * F(2.0**exponent)
    got = quantize(x, id).dequantize()
    np.testing.assert_array_equal(got, loop_dequantized(x, scheme(id).weight))


@pytest.mark.parametrize(
    ("id", "bound"),
    [
        ("int8-w8a8", 0.5 / 127),
        ("int8-block", 0.5 / 127),
        ("fp8-channel", 2.0**-4),
        ("fp8-block-ue8m0", 2.0**-4),
        ("int4-w4a16-g32", 0.5 / 7 + 2.0**-8),
    ],
)
def test_error_is_bounded_by_the_step(id, bound):
    x = tails((64, 256), seed=3)
    y = quantize(x, id).dequantize()
    spec = scheme(id).weight.scale
    rows, columns = spec.block_rows, spec.block_columns or 256
    for i in range(0, 64, rows):
        for j in range(0, 256, columns):
            part = np.s_[i : i + rows, j : j + columns]
            assert np.abs(x[part] - y[part]).max() <= bound * np.abs(x[part]).max()


WEIGHTED = [
    s
    for s in SUPPORTED
    if s.startswith("ggml")
    and (block := SCHEMES[s].weight.block_type)
    and GGML_TYPES[block].weighted_only
]
"""Written with an importance matrix only."""
COARSE = {
    "ggml-iq3_xxs": 0.07,
    "ggml-q2_k": 0.12,
    "ggml-iq2_s": 0.12,
    "ggml-iq2_xs": 0.15,
    "ggml-iq2_xxs": 0.2,
    "ggml-iq1_m": 0.4,
    "ggml-iq1_s": 0.4,
    "ggml-q1_0": 0.5,
    "ggml-q2_0": 0.6,
    "ggml-tq2_0": 0.75,
    "ggml-tq1_0": 0.75,
}
"""Bounds on the relative error of types of fewer than 3.3 bits. Ternary ones, meant for weights
that were trained so, are scaled to the largest element: most of the others become 0."""


@pytest.mark.sample(15)
@pytest.mark.parametrize("id", SUPPORTED)
def test_bytes_and_shapes(id):
    x = tails((4, 64, 256), seed=4)
    low, high = (COARSE[id] / 2, COARSE[id]) if id in COARSE else (0, 0.05)
    if id in WEIGHTED:
        with pytest.raises(UnsupportedError, match="importance matrix only"):
            quantize(x, id)
        stored = ggml_encode(x, id, importance=np.ones(256, F))
        values, nbytes = ggml_decode(stored, id), stored.nbytes
    else:
        q = quantize(x, id)
        assert q.codes.shape == x.shape
        values, nbytes = q.dequantize(), q.nbytes
    assert nbytes == weight_bytes(scheme(id), 256, 256)
    assert values.shape == x.shape
    assert low <= error(x, values).relative_power < high


def blocks_of(id, role):
    """Shapes of zeros: small ones, of whole blocks where the format has no others."""
    fmt = SCHEMES[id].weight if role == "weight" else SCHEMES[id].activation
    block = fmt.scale.block_columns if fmt.block_bytes is not None else 32
    return (3, 2 * block), (1, block), (128, 4 * block)


@pytest.mark.parametrize("id", SUPPORTED)
def test_zeros_stay_zeros_without_warnings(id):
    for role in ("weight", "activation"):
        for shape in blocks_of(id, role):
            zeros = np.zeros(shape, F)
            if id in WEIGHTED and role == "weight":
                with pytest.raises(UnsupportedError, match="importance matrix only"):
                    quantize(zeros, id)
                stored = ggml_encode(zeros, id, importance=np.ones(shape[1], F))
                assert not ggml_decode(stored, id).any()
            else:
                assert not quantize(zeros, id, role=role).dequantize().any()


@pytest.mark.parametrize("id", ["fp8-tensor", "fp8-block", "int8-block"])
@pytest.mark.parametrize("size", [1e-45, 1e-40, 1e-38, 3e38])
def test_extreme_magnitudes_make_no_nan(id, size):
    x = np.full((2, 130), size, F)
    x[0, 0] = 0
    for policy in ("deepseek-v3", "deepgemm"):
        assert np.isfinite(quantize(x, id, policy=policy).dequantize()).all()


def test_scaling_order_is_part_of_the_policy():
    """Inputs that lie on a tie of E4M3 up to the rounding of x/s and of x·(1/s)."""
    values = decode(np.arange(127), "e4m3fn")
    middles = (values[1:] + values[:-1]) / F(2)
    amax = np.arange(1, 449, dtype=F)[:, None]
    x = np.concatenate([amax, amax * np.resize(middles, 127) / F(448)], axis=1)
    divided = quantize(x, "fp8-block", role="activation", policy="deepseek-v3")
    multiplied = quantize(x, "fp8-block", role="activation", policy="deepgemm")
    assert (divided.scales == multiplied.scales).all()
    assert (divided.codes != multiplied.codes).any()
    s = divided.scales.repeat(128, axis=1)
    assert (multiplied.codes == encode(x * (F(1) / s), "e4m3fn")).all()


def test_deepseek_clamps_small_activations_but_not_weights():
    x = np.full((1, 128), 1e-6, F)
    assert quantize(x, "fp8-block", role="activation").scales.tolist() == [[F(F(1e-4) / F(448))]]
    assert quantize(x, "fp8-block").scales.tolist() == [[F(F(1e-6) / F(448))]]


def test_plain_floats_overflow_as_their_cast_does():
    x = np.array([[1e5, -1e5, 1.0]], F)
    q = quantize(x, "fp16")
    assert q.scales is None
    assert q.dequantize().tolist() == [[np.inf, -np.inf, 1.0]]
    assert error(x, q.dequantize()).overflowed == 2
    assert resolve_policy("deepseek-v3", element("fp16")).overflow == "ieee"


def test_ggml_q8_0_equals_a_loop():
    x = tails((5, 96), seed=6)
    q = quantize(x, "ggml-q8_0")
    for i in range(5):
        for b in range(3):
            block = x[i, 32 * b : 32 * b + 32]
            d = F(np.abs(block).max() / F(127))
            inverse = F(1) / d
            for j, v in enumerate(block):
                p = float(F(v * inverse))
                rounded = int(abs(p) + 0.5) * (1 if p > 0 else -1)
                assert q.codes[i, 32 * b + j] == rounded & 255
            assert q.scales[i, b] == F(np.float16(d))


def test_ggml_q4_0_equals_a_loop():
    x = tails((5, 96), seed=7)
    x[0, :2] = 9, -9  # equal magnitudes: the first one decides the sign
    q = quantize(x, "ggml-q4_0")
    for i in range(5):
        for b in range(3):
            block = x[i, 32 * b : 32 * b + 32]
            extreme = F(0)
            for v in block:
                if abs(v) > abs(extreme):
                    extreme = v
            d = F(extreme / F(-8))
            inverse = F(1) / d
            for j, v in enumerate(block):
                stored = min(15, int(F(F(v * inverse) + F(8.5))))
                assert q.codes[i, 32 * b + j] == (stored - 8) & 15
            assert q.scales[i, b] == F(np.float16(d))


def test_cache_layouts_are_tensor_formats():
    x = tails((64, 128), seed=8)
    layout = kv_layout("int4-channel")
    q = quantize(x, TensorFormat(layout.element, layout.scale))
    assert q.scales.shape == (2, 128)
    scales = np.abs(x).reshape(2, 32, 128).max(axis=1) / F(7)
    np.testing.assert_array_equal(q.scales, decode(encode(scales, "fp16"), "fp16"))


def test_refused_requests():
    x = tails((4, 256))
    for id in ("ggml-q4_0", "ggml-q4_k", "ggml-q6_k"):
        with pytest.raises(UnsupportedError, match="quantiser"):
            quantize(x, id, policy="ocp")
    with pytest.raises(InputError, match="blocks of 32"):
        quantize(x[:, :40], "ggml-q8_0")
    with pytest.raises(InputError, match="role"):
        quantize(x, "fp8-block", role="cache")
    with pytest.raises(InputError, match="scalar"):
        quantize(1.0, "fp8-block")
    with pytest.raises(InputError, match="NaN"):
        quantize([[np.nan, 1.0]], "fp8-tensor")
