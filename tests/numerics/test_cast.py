"""The vectorised casts against the reference, ml_dtypes and numpy."""

from importlib import metadata

import ml_dtypes
import numpy as np
import pytest

from planner.base.errors import InputError, UnknownNameError
from planner.base.versions import version_of
from planner.formats.elements import element
from planner.numerics import decode, encode, pack4, policy_names, unpack4
from planner.numerics.policies import Policy
from planner.numerics.reference import decode_reference, encode_reference

NARROW = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1", "e8m0", "ue4m3")
WIDE = ("bf16", "fp16", "tf32")
PEERS = {
    "e4m3fn": ml_dtypes.float8_e4m3fn, "e5m2": ml_dtypes.float8_e5m2,
    "e3m2": ml_dtypes.float6_e3m2fn, "e2m3": ml_dtypes.float6_e2m3fn,
    "e2m1": ml_dtypes.float4_e2m1fn, "e8m0": ml_dtypes.float8_e8m0fnu,
    "bf16": ml_dtypes.bfloat16, "fp16": np.float16,
}  # fmt: skip
UPPER_HALVES = (np.arange(65536, dtype=np.uint32) << 16).view(np.float32)


def random_floats(count: int, seed: int) -> np.ndarray:
    bits = np.random.default_rng(seed).integers(0, 2**32, count, dtype=np.uint64)
    return bits.astype(np.uint32).view(np.float32)


def cast_peer(x: np.ndarray, format: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        cast = x.astype(PEERS[format])
    return cast.view(np.uint8 if cast.dtype.itemsize == 1 else np.uint16)


def boundary_inputs(format: str) -> np.ndarray:
    """Every value, every midpoint of neighbours, and the floats on each side of both."""
    fmt = element(format)
    values = sorted(
        {
            decode_reference(c, format)
            for c in range(1 << fmt.bits)
            if np.isfinite(decode_reference(c, format))
        }
    )
    v = np.array(values)
    points = np.concatenate([v, (v[1:] + v[:-1]) / 2]).astype(np.float32)
    low, high = np.float32(-np.inf), np.float32(np.inf)
    return np.concatenate([points, np.nextafter(points, low), np.nextafter(points, high)])


@pytest.mark.sample(28)
@pytest.mark.parametrize("policy", policy_names())
@pytest.mark.parametrize("format", NARROW)
def test_fast_equals_reference_at_every_boundary(format, policy):
    x = boundary_inputs(format)
    x = np.concatenate([x, random_floats(500, 7)])
    bits = x.view(np.uint32).tolist()
    expected = [encode_reference(b, format, policy=policy) for b in bits]
    assert encode(x, format, policy=policy).tolist() == expected


@pytest.mark.parametrize("format", NARROW)
def test_decode_equals_reference_on_all_codes(format):
    codes = np.arange(1 << element(format).bits)
    expected = np.array([decode_reference(c, format) for c in codes.tolist()], np.float32)
    got = decode(codes, format)
    np.testing.assert_array_equal(got, expected)
    number = ~np.isnan(expected)
    assert (np.signbit(got) == np.signbit(expected))[number].all()


@pytest.mark.parametrize("format", [*NARROW[:5], "bf16", "fp16"])
@pytest.mark.parametrize("x", [UPPER_HALVES, random_floats(1 << 18, 3)], ids=["upper", "random"])
def test_codes_equal_the_peer_library(format, x):
    """ml_dtypes and numpy; FP16 NaN payloads differ (ours are canonical) and are left out."""
    ours, theirs = encode(x, format), cast_peer(x, format)
    same = ours == theirs
    if format == "fp16":
        same |= np.isnan(x)
        assert np.isnan(decode(ours, format))[np.isnan(x)].all()
    assert same.all()


def test_e8m0_differs_from_ml_dtypes_only_in_one_band():
    """ml_dtypes rounds float32 subnormals above 2^-127 up, as the preset of that name does; nearest
    is down below 1.5·2^-127, as the library does from 0.7 on."""
    band = np.linspace(2.0**-127, 1.5 * 2.0**-127, 1000)[1:-1].astype(np.float32)
    x = np.concatenate([UPPER_HALVES, random_floats(1 << 18, 5), band])
    theirs = cast_peer(x, "e8m0")
    preset, nearest = encode(x, "e8m0", policy="ml_dtypes"), encode(x, "e8m0")
    mended = version_of(metadata.version("ml_dtypes")) >= version_of("0.7")
    assert ((nearest if mended else preset) == theirs).all()
    differs = nearest != preset
    assert ((x[differs] > 2.0**-127) & (x[differs] < 1.5 * 2.0**-127)).all()
    assert differs.any()


@pytest.mark.parametrize("format", [*NARROW[:6], "bf16", "fp16"])
def test_decoded_values_equal_the_peer_library(format):
    fmt = element(format)
    codes = np.arange(1 << fmt.bits, dtype=np.uint8 if fmt.bits <= 8 else np.uint16)
    with np.errstate(all="ignore"):
        theirs = codes.view(PEERS[format]).astype(np.float32)
    np.testing.assert_array_equal(decode(codes, format), theirs)


@pytest.mark.parametrize("tie", ["even", "away", "zero"])
@pytest.mark.parametrize("overflow", ["ieee", "saturate"])
@pytest.mark.parametrize("format", WIDE)
def test_wide_formats_equal_the_reference(format, overflow, tie):
    policy = Policy("p", overflow=overflow, tie=tie, nan_sign="positive", nan_payload="ones")
    mantissa = element(format).mantissa_bits
    halves = np.float32(1) + np.arange(9, dtype=np.float32) * np.float32(2.0 ** -(mantissa + 1))
    subnormal = halves * np.float32(2.0**-16) if format == "fp16" else halves * np.float32(2**-120)
    x = np.concatenate(
        [
            random_floats(300, 11),
            UPPER_HALVES[::997],
            halves,
            -halves,
            subnormal,
            halves * np.float32(32768),
            np.float32([65520, 65519.996, 0, -0.0, np.inf]),
            np.float32([3.4028235e38, 3.39e38, 1e-45, 2**-25, 1.5 * 2**-25]),
        ]
    )
    expected = [encode_reference(b, format, policy=policy) for b in x.view(np.uint32).tolist()]
    assert encode(x, format, policy=policy).tolist() == expected


@pytest.mark.parametrize("format", ["bf16", "tf32", "fp16"])
def test_default_wide_casts_equal_the_reference(format):
    x = np.concatenate([random_floats(400, 12), UPPER_HALVES[::499] * np.float32(1.0000001)])
    expected = [encode_reference(b, format) for b in x.view(np.uint32).tolist()]
    assert encode(x, format).tolist() == expected


@pytest.mark.parametrize(("format", "quiet"), [("bf16", 0x7FC0), ("fp16", 0x7E00)])
def test_no_payload_of_a_nan_is_kept(format, quiet):
    bits = np.uint32(0x7F800000) | np.uint32(1) << np.arange(23, dtype=np.uint32)
    assert set(encode(bits.view(np.float32), format).tolist()) == {quiet}
    negative = (bits | np.uint32(0x80000000)).view(np.float32)
    assert set(encode(negative, format).tolist()) == {quiet | 0x8000}


@pytest.mark.parametrize("format", WIDE)
def test_wide_codes_decode_to_the_reference(format):
    codes = encode(random_floats(500, 13), format)
    expected = np.array([decode_reference(c, format) for c in codes.tolist()], np.float32)
    np.testing.assert_array_equal(decode(codes, format), expected)


def test_fp32_is_the_bit_pattern():
    x = random_floats(1000, 17)
    assert (encode(x, "fp32") == x.view(np.uint32)).all()
    assert (decode(encode(x, "fp32"), "fp32").view(np.uint32) == x.view(np.uint32)).all()


@pytest.mark.parametrize("tie", ["even", "away", "zero"])
@pytest.mark.parametrize("format", ["int8", "int4"])
def test_integers_equal_the_reference(format, tie):
    policy = Policy("p", tie=tie)
    x = np.concatenate(
        [
            np.arange(-300, 300, dtype=np.float32) / 2,
            random_floats(500, 19),
            np.float32([0.49999997, -0.49999997, np.inf, -np.inf, np.nan]),
        ]
    )
    expected = [encode_reference(b, format, policy=policy) for b in x.view(np.uint32).tolist()]
    assert encode(x, format, policy=policy).tolist() == expected


def test_integer_codes_are_bit_patterns():
    assert encode([-1.0, -128.0, 5.0], "int8").tolist() == [255, 128, 5]
    assert decode(np.array([-1, -128, 5], np.int8), "int8").tolist() == [-1, -128, 5]
    assert decode([15, 8, 7], "int4").tolist() == [-1, -8, 7]


def test_doubles_are_rounded_once():
    halfway = 1 + 2.0**-4  # between 1 and 1.125 in E4M3
    above = halfway + 2.0**-40  # lost by a float32 on the way
    assert decode(encode([halfway, above, -above], "e4m3fn"), "e4m3fn").tolist() == [
        1,
        1.125,
        -1.125,
    ]
    assert encode([1e300, -1e300], "e5m2").tolist() == [0x7C, 0xFC]
    assert encode(np.float64(0.1), "fp32") == np.float32(0.1).view(np.uint32)
    assert encode(np.float16([1.5]), "bf16").tolist() == [0x3FC0]
    assert encode(np.arange(4), "e2m1").tolist() == [0, 2, 4, 5]


def test_shapes_views_and_dtypes():
    x = (np.arange(24, dtype=np.float32) % 16).reshape(2, 3, 4)
    for format, dtype in (("e4m3fn", np.uint8), ("bf16", np.uint16), ("tf32", np.uint32)):
        codes = encode(x.T, format)
        assert codes.dtype == dtype
        assert codes.shape == (4, 3, 2)
        np.testing.assert_array_equal(decode(codes, format), x.T)
        assert encode(np.zeros((0, 3), np.float32), format).shape == (0, 3)
    long = np.arange(100_001, dtype=np.float32) % 17
    assert (decode(encode(long, "e4m3fn"), "e4m3fn") == long).all()


def test_refused_input():
    with pytest.raises(UnknownNameError):
        encode([1.0], "e4m3fn", policy="torch")
    with pytest.raises(InputError, match="complex"):
        encode(np.array([1j]), "e4m3fn")
    with pytest.raises(InputError, match="code 16"):
        decode([16], "e2m1")
    with pytest.raises(InputError, match="code -1"):
        decode([-1], "e4m3fn")
    with pytest.raises(InputError, match="float64"):
        decode([1.0], "e4m3fn")


def test_nibbles_low_first():
    codes = np.arange(16, dtype=np.uint8).reshape(2, 8)
    assert pack4(codes)[0].tolist() == [0x10, 0x32, 0x54, 0x76]
    assert (unpack4(pack4(codes)) == codes).all()
    with pytest.raises(InputError, match="3 four-bit"):
        pack4(codes[:, :3])
