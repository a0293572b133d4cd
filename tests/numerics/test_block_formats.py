"""MX, NVFP4 and asymmetric blocks against loops written from the rules; laws of block scaling."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.blocks import BLOCK_FORMATS, block_format
from planner.formats.elements import element
from planner.formats.spec import ScaleSpec, TensorFormat
from planner.numerics import decode, encode, quantize, round_trip
from planner.numerics.policies import Policy

F = np.float32
MX = [i for i in BLOCK_FORMATS if i.startswith("mx")]
RULES = ("ocp-floor", "rceil", "ceil", "even")
NO_OVERFLOW = ("rceil", "ceil")


def tails(shape, seed=0):
    return np.random.default_rng(seed).standard_t(4, shape).astype(F)


def top_of(fmt: TensorFormat) -> Fraction:
    """The largest element value, exactly."""
    return Fraction(element(fmt.element).max_finite) * Fraction(2) ** fmt.element_exponent


def floor_log2(v: Fraction) -> int:
    e = math.frexp(float(v))[1] - 1
    return e - (Fraction(2) ** e > v)


def exponent_by(rule: str, amax: np.float32, fmt: TensorFormat) -> int:
    """The scale's exponent from the text of each rule, in exact arithmetic."""
    value, top = Fraction(float(amax)), top_of(fmt)
    if rule == "rceil":
        ratio = Fraction(float(F(amax / F(float(top)))))
        e = floor_log2(ratio)
        return e + (ratio != Fraction(2) ** e)
    e = floor_log2(value)
    exact = value == Fraction(2) ** e
    if rule == "even":
        target = element(fmt.element)
        bits = target.mantissa_bits if target.kind == "float" else target.bits - 2
        unit = Fraction(2) ** (e - bits)
        e = floor_log2((value / unit + Fraction(1, 2)).__floor__() * unit)
    return e + (rule == "ceil" and not exact) - floor_log2(top)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("id", MX)
def test_microscaling_equals_a_loop(id, rule):
    x, fmt = tails((9, 96), 1), block_format(id)
    x *= (2.0 ** np.random.default_rng(2).integers(-30, 30, (9, 1))).astype(F)
    x[0, :32] = F(1.75 + 2**-9)  # rounds up to 2 in every element format under "even"
    x[1, :32] = 4
    q = quantize(x, fmt, scale_rule=rule)
    target = element(fmt.element)
    unit = F(2.0**fmt.element_exponent)
    for i in range(9):
        for b in range(3):
            block = x[i, 32 * b : 32 * b + 32]
            s = F(2.0 ** exponent_by(rule, np.abs(block).max(), fmt))
            assert q.scales[i, b] == s
            if target.kind == "int":
                codes = np.clip(np.rint(block / s / unit), -127, 127).astype(np.int8).view(np.uint8)
            else:
                codes = encode(block / s, fmt.element, policy="ocp-saturating")
            assert (q.codes[i, 32 * b : 32 * b + 32] == codes).all()
            values = decode(codes, fmt.element) * unit * s
            assert (q.dequantize()[i, 32 * b : 32 * b + 32] == values).all()


def test_rules_by_hand():
    """amax 7 = 1.75·4 and E2M1 (6 = 1.5·4): down, up past 6, up past 4, rounded to 8."""
    x = np.full((1, 32), 7, F)
    scales = {r: float(quantize(x, block_format("mxfp4"), scale_rule=r).scales[0, 0])
              for r in RULES}  # fmt: skip
    assert scales == {"ocp-floor": 1, "rceil": 2, "ceil": 2, "even": 2}
    x[:] = 6.5  # 1.625·4: rceil must pass 6, even rounds to 1.5
    scales = {r: float(quantize(x, block_format("mxfp4"), scale_rule=r).scales[0, 0])
              for r in RULES}  # fmt: skip
    assert scales == {"ocp-floor": 1, "rceil": 2, "ceil": 2, "even": 1}


def test_mxint8_by_hand():
    """Elements are sixty-fourths: amax 3 has scale 2, 1.0 is stored as 32/64."""
    x = np.zeros((1, 32), F)
    x[0, :4] = 3, 1, -0.5, 2**-6
    q = quantize(x, block_format("mxint8"))
    assert q.scales.tolist() == [[2]]
    assert q.codes.view(np.int8)[0, :4].tolist() == [96, 32, -16, 0]
    assert q.dequantize()[0, :4].tolist() == [3, 1, -0.5, 0]
    assert q.nbytes == 33


def test_nvfp4_levels_by_hand():
    """Tensor scale amax/(6·448); the block that holds amax gets 448, a block of zeros 0."""
    x = np.zeros((1, 48), F)
    x[0, 0], x[0, 16:18] = 2688, (6, 3)
    q = quantize(x, "nvfp4")
    assert q.tensor_scale == 1
    assert q.scales.tolist() == [[448, 1, 0]]
    assert q.codes[0, [0, 16, 17, 32]].tolist() == [7, 7, 5, 0]
    assert (q.dequantize() == x).all()


@pytest.mark.parametrize("id", [i for i in BLOCK_FORMATS if "asymmetric" in i])
def test_asymmetric_equals_a_loop(id):
    x, fmt = tails((6, 256), 3), block_format(id)
    x[0] = np.abs(x[0]) + 3  # zero is brought into the range
    x[1] = -np.abs(x[1])
    x[2] = 0
    q = quantize(x, fmt)
    width = fmt.scale.block_columns or 256
    low, high = (-128, 127) if fmt.element == "int8" else (-8, 7)
    for i in range(6):
        for b in range(256 // width):
            block = x[i, width * b : width * b + width]
            least, most = min(block.min(), F(0)), max(block.max(), F(0))
            s = F(most - least) / F(high - low) if most > least else F(1)
            s = decode(encode(s, fmt.scale.format), fmt.scale.format)
            zero = int(np.clip(np.rint(F(low) - F(least / s)), low, high))
            codes = np.clip(np.rint(block / s) + F(zero), low, high).astype(np.int64)
            assert q.scales[i, b] == s
            assert q.zero_points[i, b] == zero
            stored = decode(q.codes[i, width * b : width * b + width], fmt.element)
            assert stored.tolist() == codes.tolist()
            values = (codes - zero).astype(F) * s
            assert (q.dequantize()[i, width * b : width * b + width] == values).all()
    assert (q.dequantize()[2] == 0).all()
    assert not round_trip(x, fmt)[2].any()


def test_asymmetric_follows_the_onnx_example():
    """DynamicQuantizeLinear, ONNX operator tests: u8 codes 153, 255, 0, 26, 221, 179; zero 153."""
    x = np.array([[0, 2, -3, -2.5, 1.34, 0.5]], F)
    q = quantize(x, block_format("int8-asymmetric"))
    assert (q.codes.view(np.int8).astype(int) + 128).tolist() == [[153, 255, 0, 26, 221, 179]]
    assert int(q.zero_points[0, 0]) + 128 == 153
    assert abs(float(q.scales[0, 0]) - 0.0196078438) < 1e-9


def test_asymmetric_beats_symmetric_on_one_sided_data():
    x = np.abs(tails((16, 512), 4))
    symmetric = quantize(x, "int8-w8a8").dequantize()
    asymmetric = quantize(x, block_format("int8-asymmetric")).dequantize()
    assert np.square(asymmetric - x).sum() < np.square(symmetric - x).sum() / 3


@given(
    st.sampled_from(MX),
    st.sampled_from(NO_OVERFLOW),
    st.integers(0, 2**32 - 1),
    st.integers(-100, 100),
)
def test_scales_rounded_up_never_overflow(id, rule, seed, exponent):
    x, fmt = tails((3, 64), seed) * F(2.0**exponent), block_format(id)
    q = quantize(x, fmt, scale_rule=rule, policy=Policy("strict"))
    top = float(top_of(fmt))
    if rule == "rceil":
        assert (np.abs(x).reshape(3, 2, 32) <= q.scales[:, :, None] * F(top)).all()
    values = decode(q.codes, fmt.element)
    assert np.isfinite(values).all()


@given(
    st.sampled_from(["fp8-block", "fp8-channel", "int8-w8a8", "int8-block", "nvfp4"]),
    st.integers(0, 2**32 - 1),
)
def test_amax_scales_never_overflow(id, seed):
    """Under a policy that would show overflow as NaN."""
    x = tails((5, 130), seed)
    values = quantize(x, id, policy=Policy("strict")).dequantize()
    assert np.isfinite(values).all()


@settings(max_examples=60)
@given(
    st.sampled_from(["fp8-block", "fp8-tensor", "int8-block", "int4-w4a16-g32", "nvfp4", *MX]),
    st.integers(0, 2**32 - 1),
    st.integers(-40, 40),
)
def test_powers_of_two_scale_through(id, seed, exponent):
    x, fmt = tails((4, 256), seed), BLOCK_FORMATS.get(id, id)
    assume(np.abs(x).reshape(4, -1, 16).max(axis=2).min() > 1e-3)
    factor = F(2.0**exponent)
    one, other = quantize(x, fmt), quantize(x * factor, fmt)
    if id != "int4-w4a16-g32":
        assert (one.codes == other.codes).all()
    np.testing.assert_array_equal(one.dequantize() * factor, other.dequantize())


@settings(max_examples=60)
@given(
    st.sampled_from(["fp8-block", "fp8-tensor", "int8-block", "nvfp4", *MX]),
    st.integers(0, 2**32 - 1),
)
def test_blocks_are_odd(id, seed):
    x, fmt = tails((3, 160), seed), BLOCK_FORMATS.get(id, id)
    np.testing.assert_array_equal(quantize(-x, fmt).dequantize(), -quantize(x, fmt).dequantize())


def test_integers_stored_by_half_the_range_are_not_odd():
    """The lowest code has no counterpart: -x and x differ where a block's largest is alone."""
    x = np.array([[7.5, 1, 2, 3] * 32], F)
    assert quantize(x, "int4-w4a16").dequantize().max() == 7
    assert quantize(-x, "int4-w4a16").dequantize().min() == -8
    both = [quantize(y, "int4-w4a16", scale_rule="amax").dequantize() for y in (x, -x)]
    np.testing.assert_array_equal(both[0], -both[1])


@settings(max_examples=60)
@given(st.sampled_from(MX), st.sampled_from(RULES), st.integers(0, 2**32 - 1))
def test_microscaling_is_idempotent(id, rule, seed):
    """What a format holds it keeps: the power of two may move, the values may not."""
    x = tails((3, 64), seed)
    once = round_trip(x, block_format(id), scale_rule=rule)
    assume(rule != "ceil")  # a rounded amax may need, and get, half the resolution
    np.testing.assert_array_equal(round_trip(once, block_format(id), scale_rule=rule), once)


@settings(max_examples=60)
@given(st.sampled_from(MX), st.integers(0, 2**32 - 1))
def test_error_is_at_most_half_a_step(id, seed):
    """Under rceil nothing saturates: half an ulp of the element, at least of its subnormals."""
    x, fmt = tails((2, 64), seed), block_format(id)
    q = quantize(x, fmt, scale_rule="rceil")
    target = element(fmt.element)
    s = q.scales.repeat(32, axis=1).astype(np.float64)
    scaled = np.abs(x / s)
    unit = np.full(x.shape, 2.0**fmt.element_exponent)
    if target.kind == "float":
        exponent = np.maximum(np.frexp(scaled)[1] - 1, 1 - target.bias)
        unit = 2.0 ** (exponent - target.mantissa_bits)
    assert (np.abs(q.dequantize() - x.astype(np.float64)) <= unit * s / 2).all()


def test_the_order_of_scaling_is_an_argument():
    x = tails((4, 256), 5)
    divided = quantize(x, "fp8-block", reciprocal=False)
    multiplied = quantize(x, "fp8-block", reciprocal=True)
    s = divided.scales.repeat(128, axis=1)[:1].repeat(4, axis=0)
    assert (divided.codes == encode(x / s, "e4m3fn")).all()
    assert (multiplied.codes == encode(x * (F(1) / s), "e4m3fn")).all()
    assert (quantize(x, "fp8-block").codes == divided.codes).all()
    given_by_policy = quantize(x, "fp8-block", policy="deepgemm", reciprocal=False)
    assert (given_by_policy.codes == divided.codes).all()


def test_fp32_scales_take_powers_of_two():
    """DeepSeek-V3 keeps some activations' scales as powers of two in FP32."""
    x = tails((4, 256), 6)
    q = quantize(x, "fp8-block", role="activation", scale_rule="rceil")
    assert (np.frexp(q.scales)[0] == 0.5).all()
    u = quantize(x, "fp8-block-ue8m0", role="activation")
    assert (q.codes == u.codes).all()
    assert (q.scales == u.scales).all()


def test_refused_combinations():
    x = tails((2, 256), 7)
    with pytest.raises(UnknownNameError, match="scale rule"):
        quantize(x, "mxfp4", scale_rule="floor")
    with pytest.raises(UnsupportedError, match="two-level"):
        quantize(x, "nvfp4", scale_rule="rceil")
    with pytest.raises(UnsupportedError, match="zero points"):
        quantize(x, block_format("int8-asymmetric"), scale_rule="ceil")
    with pytest.raises(UnsupportedError, match="fp16 scales"):
        quantize(
            x,
            replace(block_format("mxint8"), scale=ScaleSpec("fp16", 1, 32, "amax")),
            scale_rule="even",
        )
    with pytest.raises(UnsupportedError, match="without scales"):
        quantize(x, "bf16", scale_rule="amax")
    with pytest.raises(UnsupportedError, match="no zero point"):
        quantize(x, TensorFormat("e4m3fn", ScaleSpec("fp32", 1, 0, "amax", zero_point=True)))
    with pytest.raises(UnsupportedError, match="stochastic"):
        quantize(
            x,
            block_format("int8-asymmetric"),
            policy=Policy("s", rounding="stochastic"),
            rng=np.random.default_rng(0),
        )
    with pytest.raises(InputError, match="range of a block"):
        quantize(np.float32([[3e38, -3e38]]), block_format("int8-asymmetric"))
    with pytest.raises(InputError, match="range of fp16"):
        quantize(np.float32([[3e38] * 32]), block_format("int4-asymmetric-g32"))
