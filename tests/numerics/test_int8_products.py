"""Integer products: exact through float32 BLAS by chunks, wrapping and clipping as units do."""

import numpy as np
import pytest

from planner.base.errors import InputError, UnsupportedError
from planner.numerics import matmul, matmul_int32
from planner.numerics.products_int import chunk_length

EXTREMES = {"int8": (-128, 127), "uint8": (0, 255), "int4": (-8, 7)}


def exact(a, b):
    return a.astype(np.int64) @ b.astype(np.int64)


def wrapped(x):
    return ((x + 2**31) % 2**32 - 2**31).astype(np.int32)


def codes(x, format):
    if format == "int4":
        return (x & 15).astype(np.uint8)
    return x.astype(np.int8 if format == "int8" else np.uint8)


def test_chunks_keep_every_partial_sum_within_2_24():
    assert chunk_length("int8", "int8") == 1024
    assert chunk_length("uint8", "int8") == 514
    assert chunk_length("uint8", "uint8") == 258
    for a, b in ((x, y) for x in EXTREMES for y in EXTREMES):
        tops = [max(map(abs, EXTREMES[f])) for f in (a, b)]
        assert chunk_length(a, b) * tops[0] * tops[1] <= 2**24


def adversarial(k, m=8, n=8):
    """Sums (k - 1)·2^14 + 127²: odd, so that from k = 1025 on float32 cannot hold them at all."""
    a, b = np.full((m, k), -128, np.int8), np.full((k, n), -128, np.int8)
    a[:, k // 2] = b[k // 2] = -127
    return a, b


@pytest.mark.parametrize("k", [1024, 1025, 2048, 4096, 11008])
def test_adversarial_sums_are_exact(k):
    a, b = adversarial(k)
    assert (matmul_int32(a, b, unit="int8-imma") == exact(a, b)).all()


def test_one_float32_product_would_be_wrong():
    """The adversarial case has teeth, and random data has none."""
    for k in (1025, 4096):
        a, b = adversarial(k)
        naive = (a.astype(np.float32) @ b.astype(np.float32)).astype(np.int64)
        assert (naive != exact(a, b)).all()
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-128, 128, s).astype(np.int8) for s in ((8, 4096), (4096, 8)))
    assert ((x.astype(np.float32) @ y.astype(np.float32)) == exact(x, y)).all()


@pytest.mark.parametrize("unit", ["int8-imma", "amx-int8", "avx512-vnni"])
@pytest.mark.parametrize(("low", "high"), [(-128, 128), (-128, -127), (127, 128)])
def test_signed_bytes_are_exact_on_every_unit(unit, low, high):
    rng = np.random.default_rng(1)
    a, b = (rng.integers(low, high, s).astype(np.int8) for s in ((5, 3000), (3000, 7)))
    assert (matmul_int32(a, b, unit=unit) == exact(a, b)).all()
    assert (matmul_int32(a.view(np.uint8), b.view(np.uint8), unit=unit) == exact(a, b)).all()


@pytest.mark.parametrize(
    ("unit", "formats"),
    [
        ("int8-imma", ("int4", "int4")),
        ("amx-int8", ("uint8", "uint8")),
        ("amx-int8", ("int8", "uint8")),
        ("amx-int8", ("uint8", "int8")),
        ("avx512-vnni", ("uint8", "int8")),
    ],
)
def test_other_operands(unit, formats):
    rng = np.random.default_rng(2)
    (la, ha), (lb, hb) = (EXTREMES[f] for f in formats)
    for a, b in [
        (rng.integers(la, ha + 1, (4, 2000)), rng.integers(lb, hb + 1, (2000, 6))),
        (np.full((4, 2001), ha), np.full((2001, 6), lb if lb else hb)),
    ]:
        got = matmul_int32(
            codes(a, formats[0]),
            codes(b, formats[1]),
            a_format=formats[0],
            b_format=formats[1],
            unit=unit,
        )
        assert (got == exact(a, b)).all()


def test_sums_wrap_or_clip_at_int32():
    a, b = np.full((2, 64), 127, np.int8), np.full((64, 2), 127, np.int8)
    c = np.full((2, 2), 2**31 - 10)
    total = exact(a, b) + c
    assert (matmul_int32(a, b, unit="int8-imma", c=c) == wrapped(total)).all()
    assert (matmul_int32(a, b, unit="int8-imma", c=c, saturate=True) == 2**31 - 1).all()
    assert (matmul_int32(-a, b, unit="int8-imma", c=-c, saturate=True) == -(2**31)).all()
    with pytest.raises(UnsupportedError, match="no saturating form"):
        matmul_int32(a, b, unit="amx-int8", saturate=True)


def test_clipping_happens_after_each_instruction():
    """Up to the limit and back: the way down starts from the clipped sum."""
    a = np.concatenate([np.full((1, 32), 127), np.full((1, 32), -127)], axis=1).astype(np.int8)
    b, c = np.full((64, 1), 127, np.int8), np.full((1, 1), 2**31 - 1000)
    step = 32 * 127 * 127
    assert matmul_int32(a, b, unit="int8-imma", c=c, saturate=True)[0, 0] == 2**31 - 1 - step
    assert matmul_int32(a, b, unit="int8-imma", c=c)[0, 0] == 2**31 - 1000


def test_vpmaddubsw_clips_pairs():
    a, b = np.full((1, 4), 255, np.uint8), np.full((4, 1), 127, np.int8)
    options = {"a_format": "uint8", "unit": "avx2-maddubs"}
    assert matmul_int32(a, b, **options)[0, 0] == 2 * 32767  # not 129,540
    assert matmul_int32(a, np.full((4, 1), -128, np.int8), **options)[0, 0] == 2 * -32768
    assert matmul_int32(a[:, :3], b[:3], **options)[0, 0] == 32767 + 255 * 127


def test_vpmaddubsw_keeps_seven_bit_activations_exact():
    rng = np.random.default_rng(4)
    a = rng.integers(0, 128, (6, 4096)).astype(np.uint8)
    b = rng.integers(-128, 128, (4096, 5)).astype(np.int8)
    got = matmul_int32(a, b, a_format="uint8", unit="avx2-maddubs")
    assert (got == exact(a, b)).all()


def test_vpmaddubsw_mixes_safe_and_clipped_pairs():
    rng = np.random.default_rng(5)
    a = rng.integers(0, 256, (9, 200)).astype(np.uint8)
    b = rng.integers(-128, 128, (200, 11)).astype(np.int8)
    a[:, :100] //= 2
    pairs = (a[:, :, None].astype(np.int64) * b[None]).reshape(9, 100, 2, 11).sum(axis=2)
    want = np.clip(pairs, -32768, 32767).sum(axis=1)
    assert (want != exact(a, b)).any()
    assert (matmul_int32(a, b, a_format="uint8", unit="avx2-maddubs") == want).all()
    signed = (a.astype(np.int16) - 128).astype(np.int8)
    compensated = matmul_int32(signed, b, unit="avx2-maddubs")
    assert (compensated == want - 128 * b.astype(np.int64).sum(axis=0)).all()


def test_matmul_rounds_integers_to_float32_once():
    a, b = np.full((1, 2000), 127, np.int8), np.full((2000, 1), 127, np.int8)
    got = matmul(a, b, a_format="int8", b_format="int8", unit="int8-imma")
    assert got.dtype == np.float32
    assert got[0, 0] == np.float32(2000 * 127 * 127)
    sums = matmul(a, b, a_format="int8", b_format="int8", unit="exact", c=[[0.25]])
    assert sums[0, 0] == np.float32(2000 * 127 * 127 + 0.25)


def test_accumulators_must_be_integers():
    a = np.ones((1, 1), np.int8)
    for c in ([[0.5]], [[2.0**31]], [[np.nan]]):
        with pytest.raises(InputError, match="integers of 32 bits"):
            matmul_int32(a, a, unit="int8-imma", c=c)
