"""Shorter ways to the same bits: compiled casts of every policy, chains without care for double
rounding, few outputs at once."""

from dataclasses import replace

import numpy as np
import pytest

from planner.numerics import Policy, encode, matmul, quantize, round_trip, unit, unit_ids
from planner.numerics.fast_fused import numba_available
from planner.numerics.fused_numpy import FEW

FORMATS = ("e4m3fn", "e5m2", "e3m2", "e2m3", "e2m1", "e4m3fnuz", "e5m2fnuz", "e4m3", "e3m4")
PLAIN = Policy("plain")
POLICIES = [
    replace(PLAIN, id=f"{tie} {rounding} {overflow} {infinity} {sign} {zero}", tie=tie,
            rounding=rounding, overflow=overflow, infinity=infinity, nan_sign=sign,
            keep_negative_zero=zero)
    for tie, rounding in (("even", "nearest"), ("away", "nearest"), ("zero", "nearest"),
                          ("even", "toward-zero"))
    for overflow in ("ieee", "saturate") for infinity in ("ieee", "saturate")
    for sign in ("kept", "positive") for zero in (True, False)]  # fmt: skip


def adversarial() -> np.ndarray:
    """Every upper half with nothing, the least and the most below it, and random bits."""
    upper = np.arange(1 << 16, dtype=np.uint32) << np.uint32(16)
    rng = np.random.default_rng(5)
    edges = [upper | np.uint32(low) for low in (0, 1, 0xFFFF)]
    return np.concatenate([*edges, rng.integers(0, 1 << 32, 1 << 16, dtype=np.uint32)]).view(
        np.float32
    )


@pytest.mark.skipif(not numba_available(), reason="numba is not installed (the [fast] extra)")
@pytest.mark.sample(30)
@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: p.id)
@pytest.mark.parametrize("format", FORMATS)
def test_compiled_casts_follow_every_policy(format, policy):
    x = adversarial()
    got = encode(x, format, policy=policy, engine="numba")
    np.testing.assert_array_equal(got, encode(x, format, policy=policy, engine="numpy"))


def test_few_values_are_encoded_as_many():
    x = adversarial()
    many = encode(x, "e4m3fn", engine="numpy")
    some = np.random.default_rng(6).integers(0, x.size - 999, 30)
    for start in some:
        np.testing.assert_array_equal(
            encode(x[start : start + 999], "e4m3fn", engine="numpy"), many[start : start + 999]
        )


def test_a_chain_is_rounded_once_where_two_roundings_differ():
    """2^30 + (2^6 + 2^-30): float64 loses the last term and is left half-way between floats."""
    one, zero = np.float32(1).view(np.uint32), np.uint32(0)
    a = np.array([[np.float32(4097).view(np.uint32), one, zero]])
    b = np.array([[np.float32(16773121 * 2.0**-30).view(np.uint32)], [zero], [one]])
    got = matmul(a, b, a_format="fp32", b_format="fp32", unit="fp32", c=[[2.0**30]], engine="numpy")
    assert got[0, 0] == 2.0**30 + 2.0**7
    tie = matmul(
        a[:, 1:2],
        np.array([[np.float32(2.0**6).view(np.uint32)]]),
        a_format="fp32",
        b_format="fp32",
        unit="fp32",
        c=[[2.0**30]],
        engine="numpy",
    )
    assert tie[0, 0] == 2.0**30


FUSED = [(u, r) for u in unit_ids() for r in unit(u).rules if unit(u).kind == "fused"]


@pytest.mark.sample(12)
@pytest.mark.parametrize(
    ("id", "rule"), FUSED, ids=[f"{u}-{r.a_formats[0]}-{r.accumulator}" for u, r in FUSED]
)
def test_few_outputs_are_those_of_many(id, rule):
    rng = np.random.default_rng(7)
    format = rule.a_formats[0]
    m, n = 24, FEW // 16
    a, b = (
        encode(rng.normal(size=s) * 2.0 ** rng.integers(-9, 9, s), format)
        for s in ((m, 96), (96, n))
    )
    c = rng.normal(size=(m, n)).astype(np.float16)
    options = {
        "a_format": format,
        "b_format": format,
        "unit": id,
        "accumulator_format": rule.accumulator,
        "engine": "numpy",
    }
    many = matmul(a, b, c=c, **options)
    assert many.size > FEW
    few = matmul(a[:5], b[:, :7], c=c[:5, :7], **options)
    np.testing.assert_array_equal(few.view(np.uint32), many[:5, :7].view(np.uint32))


@pytest.mark.skipif(not numba_available(), reason="numba is not installed (the [fast] extra)")
@pytest.mark.parametrize("format", ["e4m3fn", "e5m2", "e2m3", "e2m1", "e4m3fnuz"])
def test_signed_floats_are_computed_not_looked_up(format):
    from planner.numerics.fast_cast import DIRECTED, NEAREST, TABLE, recipe

    cut = replace(PLAIN, id="cut", rounding="toward-zero")
    assert recipe(format, PLAIN).kind == NEAREST
    assert (
        recipe(format, cut).kind
        == recipe(format, replace(PLAIN, id="a", tie="away")).kind
        == DIRECTED
    )
    assert recipe("e8m0", PLAIN).kind == TABLE


@pytest.mark.parametrize(
    ("name", "terms", "exponent"),
    [("hopper-wgmma", 16, -153), ("blackwell-mma", 16, -153), ("ampere", 8, -152)],
)
def test_tiny_terms_beside_an_empty_accumulator_are_kept(name, terms, exponent):
    """Terms are cut below the floor of the unit (2^-133 or 2^-132), not below the smallest normal
    number: so many of them make the smallest subnormal one."""
    shapes = ((1, terms), 2.0 ** (exponent + 76)), ((terms, 1), 2.0**-76)
    a, b = (encode(np.full(shape, value, np.float32), "bf16") for shape, value in shapes)
    for engine in ("numpy", "auto"):
        got = matmul(a, b, a_format="bf16", b_format="bf16", unit=name, engine=engine)
        assert got[0, 0] == np.float32(2.0**-149)


@pytest.mark.parametrize("name", ["avx512-bf16", "amx-bf16"])
def test_subnormal_sums_are_flushed(name):
    """1.5 · 2^-127 is zero; 1.5 · 2^-126 stays."""
    a = encode(np.float32([[1.5 * 2.0**-64, -1.5 * 2.0**-64, 1.5 * 2.0**-63]]).T, "bf16")
    b = encode(np.float32([[2.0**-63]]), "bf16")
    got = matmul(a, b, a_format="bf16", b_format="bf16", unit=name, engine="numpy")[:, 0]
    assert got.tolist() == [0, 0, 1.5 * 2.0**-126]


@pytest.mark.skipif(not numba_available(), reason="numba is not installed (the [fast] extra)")
def test_values_without_codes_are_cut_where_the_policy_cuts():
    """Whole runs of saturated values: the quick kernel rounds to nearest even and no other way."""
    policy = replace(
        PLAIN,
        id="saturated",
        overflow="saturate",
        infinity="saturate",
        keep_negative_zero=True,
        rounding="toward-zero",
    )
    x = np.random.default_rng(7).standard_normal((4, 256)).astype(np.float32)
    got = round_trip(x, "fp8-block", role="activation", policy=policy, engine="numba")
    through_codes = quantize(
        x, "fp8-block", role="activation", policy=policy, engine="numpy"
    ).dequantize()
    np.testing.assert_array_equal(got.view(np.uint32), through_codes.view(np.uint32))
    assert (np.abs(got) <= np.abs(x) * (1 + 1e-6)).all()
