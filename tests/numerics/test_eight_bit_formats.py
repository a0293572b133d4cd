"""FNUZ and the other 8-bit formats against ml_dtypes, on every code and on adversarial inputs, and
against the reference under every rounding."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats.elements import element
from planner.formats.spec import ScaleSpec, TensorFormat
from planner.numerics import Policy, decode, encode, quantize, round_trip, view
from planner.numerics.reference import decode_reference, encode_reference

F = np.float32
NAMES = ("e4m3fnuz", "e5m2fnuz", "e4m3b11fnuz", "e4m3", "e3m4")
ENGINES = ("numpy", "numba")
POLICIES = [
    Policy("p", overflow=o, infinity=o, tie=t, rounding=r, keep_negative_zero=z)
    for o in ("ieee", "saturate")
    for t in ("even", "away", "zero")
    for r in ("nearest", "toward-zero")
    for z in (True, False)
]


def dtype(name):
    return getattr(ml_dtypes, f"float8_{name}")


def adversarial():
    """Every upper half of a float32 with lower halves of nothing, one bit, a half and all bits."""
    upper = np.arange(65536, dtype=np.uint32) << np.uint32(16)
    return np.concatenate([upper | np.uint32(low) for low in (0, 1, 0x8000, 0xFFFF)]).view(F)


@pytest.mark.parametrize("name", NAMES)
def test_every_code_decodes_as_ml_dtypes_does(name):
    codes = np.arange(256, dtype=np.uint8)
    ours, theirs = decode(codes, name), codes.view(dtype(name)).astype(F)
    nan = np.isnan(theirs)
    np.testing.assert_array_equal(np.isnan(ours), nan)
    np.testing.assert_array_equal(ours[~nan].view(np.uint32), theirs[~nan].view(np.uint32))
    np.testing.assert_array_equal(
        decode(codes, name, engine="numba").view(np.uint32), ours.view(np.uint32)
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_adversarial_inputs_encode_as_ml_dtypes_does(name, engine):
    x = adversarial()
    with np.errstate(all="ignore"):
        theirs = x.astype(dtype(name)).view(np.uint8)
    np.testing.assert_array_equal(encode(x, name, policy="ml_dtypes", engine=engine), theirs)


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_those_of_ml_dtypes(name):
    limits, fmt = ml_dtypes.finfo(dtype(name)), element(name)
    assert fmt.max_finite == float(limits.max)
    assert fmt.min_normal == float(limits.smallest_normal)
    assert fmt.min_subnormal == float(limits.smallest_subnormal)


@pytest.mark.sample(6)
@pytest.mark.parametrize(
    "policy", POLICIES, ids=lambda p: f"{p.overflow}-{p.tie}-{p.rounding}-{p.keep_negative_zero}"
)
@pytest.mark.parametrize("name", [*NAMES, "mxint8"])
def test_every_policy_is_the_reference(name, policy):
    rng = np.random.default_rng(3)
    bits = np.concatenate(
        [
            rng.integers(0, 1 << 32, 60, dtype=np.uint32),
            (rng.integers(110 << 7, 140 << 7, 60) << 16).astype(np.uint32),
            np.array([0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC00000], np.uint32),
        ]
    )
    want = [encode_reference(int(b), name, policy=policy) for b in bits]
    assert encode(bits.view(F), name, policy=policy, engine="numpy").tolist() == want
    if name != "mxint8" or (policy.tie == "even" and policy.rounding == "nearest"):
        assert encode(bits.view(F), name, policy=policy, engine="numba").tolist() == want


@pytest.mark.parametrize("name", ["e4m3fnuz", "e5m2fnuz", "e4m3b11fnuz"])
def test_fnuz_has_one_nan_no_infinity_and_no_negative_zero(name):
    assert encode([np.nan, -np.nan, np.inf, -np.inf], name).tolist() == [0x80] * 4
    assert encode([-0.0, -1e-30], name).tolist() == [0, 0]
    top = element(name).max_finite
    saturated = encode([np.inf, -1e30], name, policy="cuda-satfinite")
    assert decode(saturated, name).tolist() == [top, -top]
    assert np.isnan(decode_reference(0x80, name))


@pytest.mark.sample(10)
@pytest.mark.parametrize("name", [*NAMES, "e4m3fn", "e5m2", "e2m1"])
@pytest.mark.parametrize("block", [(1, 0), (1, 32), (8, 8), (1, 16)])
def test_blocks_are_equal_by_both_engines(name, block):
    x = np.random.default_rng(1).standard_t(3, (16, 64)).astype(F)
    x[0, :32] = 0
    x[1, 0] = -1e-9
    fmt = TensorFormat(name, ScaleSpec("fp32", *block, "amax"))
    one, other = (quantize(x, fmt, engine=engine) for engine in ENGINES)
    np.testing.assert_array_equal(one.codes, other.codes)
    np.testing.assert_array_equal(one.scales, other.scales)
    values = [q.dequantize(engine=e).view(np.uint32) for q in (one, other) for e in ENGINES]
    values += [round_trip(x, fmt, engine=e).view(np.uint32) for e in ENGINES]
    for found in values[1:]:
        np.testing.assert_array_equal(found, values[0])


@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20))
def test_mxint8_is_int8_of_64_times_the_value(values):
    x = np.array(values, F)
    with np.errstate(over="ignore"):
        wide = x.astype(np.float64) * 64
    want = np.clip(np.rint(wide), -128, 127)
    for engine in ENGINES:
        codes = encode(x, "mxint8", engine=engine)
        np.testing.assert_array_equal(codes.view(np.int8), want)
        np.testing.assert_array_equal(decode(codes, "mxint8", engine=engine), want / 64)


def test_mxint8_rounds_stochastically_between_its_own_neighbours():
    x = np.full(4000, 0.7 / 64, F)
    policy = Policy("s", rounding="stochastic")
    codes = encode(x, "mxint8", policy=policy, rng=np.random.default_rng(0))
    assert set(codes.tolist()) == {0, 1}
    assert abs(codes.mean() - 0.7) < 0.05


@pytest.mark.parametrize("name", NAMES)
def test_arrays_of_ml_dtypes_are_their_own_codes(name):
    codes = np.arange(256, dtype=np.uint8)
    typed = view(codes, name)
    assert typed.dtype == dtype(name)
    np.testing.assert_array_equal(
        decode(typed, f"float8_{name}").view(np.uint32), decode(codes, name).view(np.uint32)
    )
