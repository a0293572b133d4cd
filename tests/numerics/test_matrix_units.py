"""Units as records, and what matmul accepts, refuses and returns at the edges."""

from fractions import Fraction

import numpy as np
import pytest

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.numerics import encode, matmul, matmul_fp64, matmul_int32, unit, unit_ids

IDS = (
    "exact fp32 fp64 volta turing ampere ada hopper-wgmma hopper-mma blackwell-tcgen05 "
    "blackwell-mma blackwell-geforce blackwell-block-scaled blackwell-mxf8f6f4 cdna1 cdna2 "
    "cdna2-bf16 cdna3 cdna4 int8-imma avx512-bf16 avx512-vnni avx2-maddubs amx-bf16 amx-int8"
)
CODED = [u for u in unit_ids() if u != "fp64"]
ONES = np.full((2, 3), 0x38, np.uint8), np.full((3, 4), 0x38, np.uint8)


def fp8(a=ONES[0], b=ONES[1], **options):
    options = {"a_format": "e4m3fn", "b_format": "e4m3fn", "unit": "hopper-wgmma"} | options
    return matmul(a, b, **options)


def test_the_published_units_are_all_there():
    assert sorted(unit_ids()) == sorted(IDS.split())
    assert unit("HOPPER_WGMMA") is unit("hopper-wgmma")


@pytest.mark.parametrize("id", unit_ids())
def test_each_unit_says_what_it_was_checked_against(id):
    found = unit(id)
    said = found.verified_against
    assert any(
        word in said for word in ("silicon", "another model", "documents only", "its definition")
    )
    assert found.source
    assert found.formats()
    for rule in found.rules:
        assert rule.instruction_k > 0
        assert rule.terms == 0 or rule.instruction_k % rule.terms == 0 or found.kind == "fma"


def test_every_unit_multiplies_ones_exactly():
    for id in CODED:
        for rule in unit(id).rules:
            if found_scales := rule.scales:
                continue
            assert not found_scales
            a, b = (
                one(f, shape)
                for f, shape in ((rule.a_formats[0], (3, 5)), (rule.b_formats[0], (5, 2)))
            )
            accumulator = "fp16" if rule.accumulator == "fp16" else "fp32"
            got = matmul(
                a,
                b,
                a_format=rule.a_formats[0],
                b_format=rule.b_formats[0],
                unit=id,
                c=np.full((3, 2), 2.0),
                accumulator_format=accumulator,
            )
            assert got.dtype == np.float32
            assert (got == 7).all(), (id, rule)


def one(format, shape):
    if format in ("int8", "int4", "uint8"):
        return np.ones(shape, np.uint8)
    return encode(np.ones(shape, np.float32), format)


def test_unknown_names():
    with pytest.raises(UnknownNameError, match="unknown unit 'hooper-wgmma'"):
        fp8(unit="hooper-wgmma")
    with pytest.raises(UnknownNameError, match="unknown element format"):
        fp8(a_format="e4m4")
    with pytest.raises(InputError, match="unknown engine"):
        fp8(engine="cuda")


def test_a_unit_names_what_it_takes():
    with pytest.raises(UnsupportedError, match="ampere does not multiply e4m3fn") as caught:
        fp8(unit="ampere")
    assert "fp16 or bf16 with itself" in caught.value.hint
    with pytest.raises(UnsupportedError, match="bf16 into fp16"):
        matmul(
            np.zeros((1, 1), np.uint16),
            np.zeros((1, 1), np.uint16),
            a_format="bf16",
            b_format="bf16",
            unit="ampere",
            accumulator_format="fp16",
        )
    with pytest.raises(UnsupportedError, match="adds no integers"):
        matmul_int32(*ONES, unit="exact")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"b": ONES[1][:2]}, "K differ"),
        ({"a": ONES[0][0]}, "1 dimensions"),
        ({"a": ONES[0].astype(float)}, "dtype float64"),
        ({"a": ONES[0].astype(int) + 999}, "code 1055"),
        ({"c": np.zeros((3, 3))}, "c is"),
        ({"c": np.zeros((2, 4), complex)}, "complex"),
        ({"promote_every": 48}, "promote_every=48"),
        ({"promote_every": 0}, "promote_every=0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(InputError, match=message):
        fp8(**options)


def test_promotion_only_where_a_unit_has_it():
    with pytest.raises(UnsupportedError, match="exact into fp32 has no promotion"):
        fp8(unit="exact", promote_every=128)
    with pytest.raises(UnsupportedError, match="into fp16 has no promotion"):
        fp8(accumulator_format="fp16", promote_every=128)
    with pytest.raises(UnsupportedError, match="nothing to promote"):
        matmul(*ONES, a_format="int8", b_format="int8", unit="int8-imma", promote_every=128)


def test_block_scales_are_checked():
    options = {"unit": "blackwell-block-scaled"}
    ok = {"a_scales": np.full((2, 1), 127, np.uint8), "b_scales": np.full((1, 4), 128, np.uint8)}
    assert (fp8(**options, **ok) == 6).all()
    with pytest.raises(InputError, match="needs a_scales"):
        fp8(**options)
    with pytest.raises(UnsupportedError, match="no ue4m3 scales every 16"):
        fp8(**options, **ok, scale_format="ue4m3", scale_group=16)
    with pytest.raises(InputError, match="the operands need"):
        fp8(**options, a_scales=ok["b_scales"], b_scales=ok["a_scales"])
    with pytest.raises(UnsupportedError, match="takes no block scales"):
        fp8(**ok)


@pytest.mark.parametrize("shape", [(0, 5, 3), (2, 5, 0), (2, 0, 3)])
@pytest.mark.parametrize("id", [u for u in CODED if unit(u).kind != "block-scaled"])
def test_empty_products(id, shape):
    m, k, n = shape
    rule = unit(id).rules[0]
    a, b = one(rule.a_formats[0], (m, k)), one(rule.b_formats[0], (k, n))
    c = np.full((m, n), 3.0)
    got = matmul(a, b, a_format=rule.a_formats[0], b_format=rule.b_formats[0], unit=id, c=c)
    assert got.shape == (m, n)
    assert (got == 3).all()


def test_inputs_are_neither_changed_nor_required_to_be_contiguous():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 0x70, (40, 64)).astype(np.uint8)
    b = rng.integers(0, 0x70, (64, 20)).astype(np.uint8)
    c = rng.normal(size=(40, 20)).astype(np.float32)
    for x in (a, b, c):
        x.setflags(write=False)
    want = fp8(a, b, c=c)
    spread = np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3]
    got = fp8(spread, np.asfortranarray(b), c=np.asfortranarray(c))
    assert (got == want).all()
    signed = fp8(a.astype(np.int64), b.astype(np.int32), c=c.astype(np.float64))
    assert (signed == want).all()


def test_nan_and_infinity_codes():
    nan = np.array([[0x7F]], np.uint8)
    assert fp8(nan, nan).view(np.uint32)[0, 0] == 0x7FFFFFFF
    inf = np.array([[0x7C]], np.uint8)
    e5m2 = {"a_format": "e5m2", "b_format": "e5m2"}
    assert fp8(inf, inf, **e5m2)[0, 0] == np.inf
    assert fp8(inf, inf * 0, **e5m2).view(np.uint32)[0, 0] == 0x7FFFFFFF
    assert fp8(inf, inf, **e5m2, c=[[-np.inf]]).view(np.uint32)[0, 0] == 0x7FFFFFFF
    assert matmul(inf, inf * 0, **e5m2, unit="exact").view(np.uint32)[0, 0] == 0x7FC00000


def test_codes_beyond_tf32_are_ignored():
    a = np.array([[0x3F801FFF]], np.uint32)  # 1.0 and thirteen bits that TF32 does not have
    got = matmul(a, a, a_format="tf32", b_format="tf32", unit="ampere")
    assert got[0, 0] == 1.0


def test_numba_is_optional_and_never_silently_replaced(monkeypatch):
    from planner.numerics import products

    monkeypatch.setattr(products, "numba_available", lambda: False)
    with pytest.raises(InputError, match="not installed") as caught:
        fp8(engine="numba")
    assert "[fast]" in caught.value.hint
    monkeypatch.setattr(products, "_WORTH_COMPILING", 0)
    assert (fp8() == 3).all()


def test_importing_matmul_does_not_import_numba():
    import subprocess
    import sys

    code = "import sys, planner.numerics as n; n.matmul; assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fp64_takes_numbers():
    a, b = np.array([[1.0, 2.0**-60], [0.1, 3.0]]), np.array([[1.0, -1.0], [1.0, 10.0]])
    got = matmul_fp64(a, b, c=np.array([[-1.0, 1.0], [0.0, 0.0]]))
    # Chains of multiply-adds: 1·1 - 1 + 2^-60 keeps what a rounded sum of products would lose.
    assert got.tolist() == [[2.0**-60, 10 * 2.0**-60], [3.1, 29.9]]
    assert matmul_fp64(a[:, :0], b[:0]).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(UnsupportedError, match="float64 numbers") as caught:
        fp8(unit="fp64")
    assert "matmul_fp64" in caught.value.hint
    with pytest.raises(InputError, match="K differ"):
        matmul_fp64(a, b[:1])
    with pytest.raises(InputError, match="a has 1 dimensions"):
        matmul_fp64(a[0], b)


@pytest.mark.parametrize("scale", [0, 900, -900, -1060])
def test_fp64_rounds_once(scale):
    """Against rational arithmetic, far out where no sum of floats is exact."""
    rng = np.random.default_rng(scale & 7)
    x, y, z = (rng.integers(-(1 << 53), 1 << 53, 40) * 2.0**-53 for _ in range(3))
    x = np.ldexp(x, scale)
    z = np.ldexp(z, scale + rng.integers(-60, 10, 40))
    got = [float(matmul_fp64([[p]], [[q]], c=[[r]])[0, 0]) for p, q, r in zip(x, y, z, strict=True)]
    want = [float(Fraction(p) * Fraction(q) + Fraction(r)) for p, q, r in zip(x, y, z, strict=True)]
    assert got == want


def test_amd_units_add_as_their_generation_does():
    """1 + 2^-24 + 2^-24: exact on CDNA1, pairs first on CDNA2, down to 2^-24 on CDNA3."""
    one, tiny = (
        encode([[1.0, 2.0**-13, 2.0**-13, 0]], "fp16"),
        encode([[1.0], [2.0**-11], [2.0**-11], [0]], "fp16"),
    )
    options = {"a_format": "fp16", "b_format": "fp16"}
    assert [
        float(matmul(one, tiny, unit=u, **options)[0, 0] - 1) for u in ("cdna1", "cdna2", "cdna3")
    ] == [2.0**-23, 0.0, 2.0**-23]
    # A negative product below the last place kept is cut to zero, the accumulator goes down.
    c = np.float32([[-(2.0**-30)]])
    got = matmul(one[:, :1], tiny[:1], unit="cdna3", c=c, **options)
    assert got[0, 0] == np.float32(1 - 2.0**-24)
    assert matmul(one[:, :1], tiny[:1], unit="cdna1", c=c, **options)[0, 0] == 1
