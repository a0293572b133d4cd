"""Every fused unit and engine against rational arithmetic, and the laws that products obey."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.formats.elements import element
from planner.numerics import decode, encode, matmul, unit, unit_ids
from planner.numerics.cast import code_dtype
from planner.numerics.dot_reference import dot_reference
from planner.numerics.fast_fused import numba_available
from planner.numerics.product_inputs import padded

FUSED = [
    (u, rule)
    for u in unit_ids()
    for rule in unit(u).rules
    if unit(u).kind in ("fused", "block-scaled")
]
NAMES = [f"{u}-{r.a_formats[0]}-{r.accumulator}" for u, r in FUSED]
ENGINES = [
    "numpy",
    pytest.param(
        "numba",
        marks=pytest.mark.skipif(
            not numba_available(), reason="numba is not installed (the [fast] extra)"
        ),
    ),
]


def codes_of(rng, shape, format, kind):
    fmt = element(format)
    codes = rng.integers(0, 1 << fmt.bits, shape).astype(code_dtype(fmt))
    if kind == "raw":
        return codes
    if fmt.exponent_bits >= 5:
        spread = 4 if kind == "close" else 14
        x = rng.normal(size=shape) * 2.0 ** rng.integers(-spread, spread, shape)
        codes = encode(x.astype(np.float32), format)
    codes = np.where(rng.random(shape) < 0.2, 0, codes).astype(codes.dtype)
    return np.where(np.isfinite(decode(codes, format)), codes, 0).astype(codes.dtype)


def c_of(rng, shape, kind, accumulator):
    c = rng.integers(0, 1 << 32, shape).astype(np.uint32).view(np.float32)
    if kind != "raw":
        c = (rng.normal(size=shape) * 2.0 ** rng.integers(-20, 8, shape)).astype(np.float32)
    c = np.where(rng.random(shape) < 0.4, 0, c).astype(np.float32)
    with np.errstate(over="ignore"):
        return c.astype(np.float16).astype(np.float32) if accumulator == "fp16" else c


def reference(a, b, c, rule, formats, scales=()):
    half = rule.accumulator == "fp16"
    with np.errstate(invalid="ignore"):
        bits = c.astype(np.float16).view(np.uint16) if half else c.view(np.uint32)
    a, b = padded(a, rule.instruction_k, 1), padded(b, rule.instruction_k, 0)
    out = np.empty(c.shape, dtype=np.uint16 if half else np.uint32)
    for i, j in np.ndindex(*c.shape):
        more = (scales[0][i].tolist(), scales[1][:, j].tolist(), *scales[2:]) if scales else ()
        out[i, j] = dot_reference(
            a[i].tolist(), b[:, j].tolist(), int(bits[i, j]), rule, *formats, *more
        )
    return out.view(np.float16).astype(np.float32) if half else out.view(np.float32)


def same(x, y):
    return bool(((x.view(np.uint32) == y.view(np.uint32)) | (np.isnan(x) & np.isnan(y))).all())


@pytest.mark.sample(32)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", ["raw", "close", "wide"])
@pytest.mark.parametrize(("id", "rule"), FUSED, ids=NAMES)
def test_engines_equal_rational_arithmetic(id, rule, kind, engine):
    rng = np.random.default_rng(len(id) * 7 + len(kind))
    formats = [rule.a_formats[-1], rule.b_formats[0 if rule.mixed else -1]]
    k = 2 * rule.instruction_k + 3
    a, b = codes_of(rng, (5, k), formats[0], kind), codes_of(rng, (k, 3), formats[1], kind)
    c = c_of(rng, (5, 3), kind, rule.accumulator)
    options, scales = {}, ()
    if rule.scales:
        options, scales = scale_options(rng, rule, a, b, kind)
    got = matmul(
        a,
        b,
        a_format=formats[0],
        b_format=formats[1],
        unit=id,
        c=c,
        engine=engine,
        accumulator_format=rule.accumulator,
        **options,
    )
    assert same(got, reference(a, b, c, rule, formats, scales))


def scale_options(rng, rule, a, b, kind):
    format, group = rule.scales[-1]
    low, high = (0, 256) if kind == "raw" else (120, 134) if format == "e8m0" else (0, 0x7F)
    count, total = -(-a.shape[1] // group), -(-a.shape[1] // rule.instruction_k)
    sa = rng.integers(low, high, (a.shape[0], count)).astype(np.uint8)
    sb = rng.integers(low, high, (count, b.shape[1])).astype(np.uint8)
    if format == "ue4m3":
        sa, sb = sa & 0x7F, sb & 0x7F
    more = total * rule.instruction_k // group - count
    one = 127 if format == "e8m0" else 0x38
    wide = (
        np.pad(sa, ((0, 0), (0, more)), constant_values=one),
        np.pad(sb, ((0, more), (0, 0)), constant_values=one),
    )
    return (
        {"a_scales": sa, "b_scales": sb, "scale_format": format, "scale_group": group},
        (*wide, format, group),
    )


@pytest.mark.sample(6)
@pytest.mark.skipif(not numba_available(), reason="numba is not installed (the [fast] extra)")
@pytest.mark.parametrize("promote", [None, 128])
@pytest.mark.parametrize(
    ("id", "format"),
    [
        ("hopper-wgmma", "e4m3fn"),
        ("hopper-wgmma", "e5m2"),
        ("hopper-wgmma", "bf16"),
        ("blackwell-tcgen05", "e4m3fn"),
        ("blackwell-mma", "e5m2"),
        ("ampere", "fp16"),
        ("volta", "fp16"),
        ("ada", "e4m3fn"),
        ("hopper-mma", "tf32"),
    ],
)
def test_compiled_equals_numpy_on_whole_tiles(id, format, promote):
    """Sizes that leave remainders of every tile; one NaN and one huge value in their own tiles."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(67, 1200)) * 4, rng.normal(size=(1200, 301))
    a, b = encode(x.astype(np.float32), format), encode(y.astype(np.float32), format)
    c = rng.normal(size=(67, 301))
    a[5, 1100] = encode(np.float32([np.nan]), format)[0]
    options = {"a_format": format, "b_format": format, "unit": id, "promote_every": promote, "c": c}
    plain = matmul(a, b, engine="numpy", **options)
    assert np.isnan(plain).any(axis=1).sum() == 1
    assert same(plain, matmul(a, b, engine="numba", **options))
    assert same(plain, matmul(a, b, engine="numba", threads=2, **options))
    assert same(plain, matmul(a, b, engine="numpy", threads=3, **options))


LAWFUL = ["ampere", "hopper-wgmma", "hopper-mma", "blackwell-mma", "ada"]


def draw(seed, id, m=3, n=4, k=96):
    rng = np.random.default_rng(seed)
    format = "fp16" if id == "ampere" else "e4m3fn"
    rule = unit(id).rule(format, format, "fp32")
    a, b = codes_of(rng, (m, k), format, "close"), codes_of(rng, (k, n), format, "close")
    return rng, rule, a, b, {"a_format": format, "b_format": format, "unit": id}


@given(st.integers(0, 2**32), st.sampled_from(LAWFUL), st.integers(1, 200))
def test_zeros_at_the_end_of_k_change_nothing(seed, id, more):
    _, _, a, b, options = draw(seed, id)
    padded_a, padded_b = np.pad(a, ((0, 0), (0, more))), np.pad(b, ((0, more), (0, 0)))
    assert same(matmul(a, b, **options), matmul(padded_a, padded_b, **options))


@given(st.integers(0, 2**32), st.sampled_from(LAWFUL))
def test_order_inside_a_fused_sum_does_not_matter(seed, id):
    rng, rule, a, b, options = draw(seed, id)
    order = np.concatenate(
        [start + rng.permutation(rule.terms) for start in range(0, a.shape[1], rule.terms)]
    )
    assert same(matmul(a, b, **options), matmul(a[:, order], b[order], **options))


@given(st.integers(0, 2**32), st.integers(-20, 20), st.integers(-20, 20))
def test_powers_of_two_pass_through(seed, left, right):
    rng = np.random.default_rng(seed)
    x, y, c = (rng.normal(size=s).astype(np.float32) for s in ((3, 40), (40, 4), (3, 4)))
    options = {"a_format": "bf16", "b_format": "bf16", "unit": "hopper-wgmma"}
    want = matmul(encode(x, "bf16"), encode(y, "bf16"), c=c, **options)
    got = matmul(
        encode(x * 2.0**left, "bf16"),
        encode(y * 2.0**right, "bf16"),
        c=c * 2.0 ** (left + right),
        **options,
    )
    assert same(got, (want * np.float32(2.0 ** (left + right))).astype(np.float32))


@given(st.integers(0, 2**32), st.sampled_from(LAWFUL), st.sampled_from([32, 64, 128]))
def test_promotion_is_the_sum_of_chunks(seed, id, every):
    rng, _, a, b, options = draw(seed, id, k=300)
    total = rng.normal(size=(3, 4)).astype(np.float32)
    got = matmul(a, b, c=total, promote_every=every, **options)
    for start in range(0, 300, every):
        ks = slice(start, start + every)
        total = total + matmul(a[:, ks], b[ks], **options)
    assert same(got, total)


@given(st.integers(0, 2**32))
def test_swapping_the_operands_transposes(seed):
    _, _, a, b, options = draw(seed, "hopper-wgmma")
    assert same(matmul(a, b, **options), np.ascontiguousarray(matmul(b.T, a.T, **options).T))


def test_promotion_recovers_what_14_bits_lose():
    """K = 4096 with one sign: Hopper's own sum is biased low, promotion at 128 nearly is not."""
    rng = np.random.default_rng(0)
    x, y = np.abs(rng.normal(size=(8, 4096))), np.abs(rng.normal(size=(4096, 8)))
    a, b = encode(x.astype(np.float32), "e4m3fn"), encode(y.astype(np.float32), "e4m3fn")
    options = {"a_format": "e4m3fn", "b_format": "e4m3fn"}
    exact = matmul(a, b, unit="exact", **options)
    loss = {}
    for name, unit_id, every in [
        ("raw", "hopper-wgmma", None),
        ("promoted", "hopper-wgmma", 128),
        ("blackwell", "blackwell-tcgen05", None),
    ]:
        got = matmul(a, b, unit=unit_id, promote_every=every, **options)
        loss[name] = float(((exact - got) / exact).mean())
    assert loss["raw"] > 0.02
    assert 0 < loss["promoted"] < loss["raw"] / 20
    assert 0 <= loss["blackwell"] < 1e-5


@pytest.mark.parametrize("format", ["fp32", "bf16", "fp16"])
def test_fp32_chain_equals_fma_in_rationals(format):
    from fractions import Fraction

    from planner.numerics.policies import resolve_policy
    from planner.numerics.reference import Exact, encode_exact

    rng = np.random.default_rng(5)
    fp32 = element("fp32")
    policy = resolve_policy("ocp", fp32)
    for spread in (0, 3, 10):
        x, y = (
            rng.normal(size=s) * 2.0 ** rng.integers(-spread, spread + 1, s)
            for s in ((3, 30), (30, 3))
        )
        a, b = encode(x.astype(np.float32), format), encode(y.astype(np.float32), format)
        got = matmul(a, b, a_format=format, b_format=format, unit="fp32")
        va, vb = decode(a, format), decode(b, format)
        for i, j in np.ndindex(3, 3):
            total = Fraction(0)
            for k in range(30):
                total += Fraction(float(va[i, k])) * Fraction(float(vb[k, j]))
                code = encode_exact(Exact(total < 0, "finite", abs(total)), fp32, policy)
                total = Fraction(float(np.uint32(code).view(np.float32)))
            assert float(total) == got[i, j]


def test_amx_adds_two_chains_per_tile():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(4, 64)).astype(np.float32), rng.normal(size=(64, 4)).astype(np.float32)
    a, b = encode(x, "bf16"), encode(y, "bf16")
    options = {"a_format": "bf16", "b_format": "bf16"}
    total = np.zeros((4, 4), np.float32)
    for start in (0, 32):
        chains = [
            matmul(
                a[:, start + first : start + 32 : 2],
                b[start + first : start + 32 : 2],
                unit="fp32",
                **options,
            )
            for first in (0, 1)
        ]
        total = total + (chains[0] + chains[1])
    got = matmul(a, b, unit="amx-bf16", **options)
    assert same(got, total)
    assert not same(got, matmul(a, b, unit="avx512-bf16", **options))
    assert math.isclose(
        float(got.sum()), float((decode(a, "bf16") @ decode(b, "bf16")).sum()), rel_tol=1e-5
    )
