"""Rounding toward zero and stochastic rounding, against the exact reference and by statistics."""

import numpy as np
import pytest

from planner.base.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.numerics import decode, encode, quantize
from planner.numerics.policies import Policy
from planner.numerics.reference import encode_reference

FORMATS = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1", "ue4m3", "bf16", "fp16", "tf32", "int8",
           "int4")  # fmt: skip
SR = Policy("sr", rounding="stochastic")


def patterns(count: int, seed: int) -> np.ndarray:
    """Random bits, ordinary magnitudes, range ends and special values."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 1 << 32, count, dtype=np.uint64).astype(np.uint32).view(np.float32)
    usual = (rng.standard_normal(count) * 2.0 ** rng.integers(-20, 20, count)).astype(np.float32)
    ends = np.float32(
        [
            0,
            -0.0,
            448,
            460,
            479.9,
            480,
            500,
            57344,
            61439,
            65535,
            65536,
            3.4e38,
            6,
            7,
            7.99,
            8,
            2**-10,
            1e-45,
            -1e-45,
            2**-133,
            127.5,
            200,
            np.inf,
            -np.inf,
        ]
    )
    return np.concatenate([raw, usual, ends, -ends, np.float32([np.nan])])


@pytest.mark.parametrize("overflow", ["ieee", "saturate"])
@pytest.mark.parametrize("format", [*FORMATS, "e8m0"])
def test_toward_zero_equals_the_reference(format, overflow):
    policy = Policy("rz", overflow=overflow, rounding="toward-zero", nan_payload="ones")
    x = patterns(300, 1)
    expected = [encode_reference(b, format, policy=policy) for b in x.view(np.uint32).tolist()]
    assert encode(x, format, policy=policy).tolist() == expected


@pytest.mark.parametrize("format", [f for f in FORMATS if not f.startswith("int")])
def test_toward_zero_never_grows_and_stays_finite(format):
    """IEEE 754-2019, section 7.4: this direction carries overflow to the largest finite value."""
    x = patterns(500, 2)
    x = np.abs(x[np.isfinite(x)])
    y = decode(encode(x, format, policy=Policy("rz", rounding="toward-zero")), format)
    assert (y <= x).all()
    assert y.max() == min(np.float32(element(format).max_finite), x.max()) or format in (
        "bf16",
        "tf32",
    )


@pytest.mark.sample(22)
@pytest.mark.parametrize("infinity", ["ieee", "saturate"])
@pytest.mark.parametrize("overflow", ["ieee", "saturate"])
@pytest.mark.parametrize("format", FORMATS)
def test_stochastic_equals_the_reference_draw_by_draw(format, overflow, infinity):
    policy = Policy("sr", overflow=overflow, infinity=infinity, rounding="stochastic")
    x = patterns(300, 3)
    draws = np.random.default_rng(5).integers(0, 1 << 32, x.size, dtype=np.uint32)
    expected = [
        encode_reference(b, format, policy=policy, draw=d)
        for b, d in zip(x.view(np.uint32).tolist(), draws.tolist(), strict=True)
    ]
    got = encode(x, format, policy=policy, rng=np.random.default_rng(5))
    assert got.tolist() == expected


def test_draws_do_not_depend_on_chunks_or_strides():
    x = np.random.default_rng(6).standard_normal((300, 500)).astype(np.float32)
    whole = encode(x, "e4m3fn", policy=SR, rng=np.random.default_rng(7))
    turned = encode(np.asfortranarray(x), "e4m3fn", policy=SR, rng=np.random.default_rng(7))
    rng = np.random.default_rng(7)
    rows = [encode(row, "e4m3fn", policy=SR, rng=rng) for row in x]
    assert (whole == turned).all()
    assert (whole == np.array(rows)).all()


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [(1.03, 1.0, 1.125), (-300.0, -320.0, -288.0), (2**-11, 0.0, 2**-9), (0.3 * 2**-7, 0, 2**-7)],
)
def test_expectation_is_the_value(value, low, high):
    x = np.full(200_000, value, np.float32)
    y = decode(encode(x, "e4m3fn", policy=SR, rng=np.random.default_rng(8)), "e4m3fn")
    neighbours = set(np.unique(y).tolist())
    assert len(neighbours) == 2
    assert min(neighbours) >= low
    assert max(neighbours) <= high
    step = max(neighbours) - min(neighbours)
    assert abs(float(y.mean(dtype=np.float64)) - value) < 4 * step / 2 / np.sqrt(x.size)


def test_stochastic_blocks_are_unbiased_and_within_one_step():
    x = np.random.default_rng(9).standard_normal((64, 256)).astype(np.float32)
    policy = Policy("sr", overflow="saturate", infinity="saturate", rounding="stochastic")
    rng = np.random.default_rng(10)
    mean = np.mean(
        [quantize(x, "int8-block", policy=policy, rng=rng).dequantize() for _ in range(200)], axis=0
    )
    nearest = quantize(x, "int8-block").dequantize()
    step = np.abs(x).max() / 127
    assert np.abs(mean - x).max() < 5 * step / 2 / np.sqrt(200)
    assert np.abs(mean - x).mean() < np.abs(nearest - x).mean() / 3


def test_generators_where_they_belong():
    x = np.ones(4, np.float32)
    with pytest.raises(InputError, match="needs a Generator"):
        encode(x, "e4m3fn", policy=SR)
    with pytest.raises(InputError, match="of no use"):
        encode(x, "e4m3fn", rng=np.random.default_rng(0))
    with pytest.raises(InputError, match="order of draws"):
        encode(x, "e4m3fn", policy=SR, rng=np.random.default_rng(0), threads=2)
    with pytest.raises(UnsupportedError, match="e8m0"):
        encode(x, "e8m0", policy=SR, rng=np.random.default_rng(0))
    with pytest.raises(UnsupportedError, match="e8m0"):
        encode_reference(0x3F800000, "e8m0", policy=SR)
