"""ggml blocks against the gguf package and against scalar transcriptions of llama.cpp's search."""

import hashlib
import struct

import numpy as np
import pytest
from support.ggml_blocks import seeded, values

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.numerics import ggml_decode, ggml_encode, quantize

F = np.float32
IDS = ("q8_0", "q4_0", "q4_k", "q6_k")
ZERO, ONE = F(0), F(1)


def half(v) -> np.float32:
    return F(np.float16(v))


def nearest(v) -> int:
    return int(np.rint(v))


def clip(v: int, low: int, high: int) -> int:
    return max(low, min(high, v))


def search_affine(x, w):
    """make_qkx2_quants(32, 15, …, -1, 0.1, 20, false): scale, minimum, codes."""
    low, high, sum_w, sum_x = x[0], x[0], w[0], w[0] * x[0]
    for v, u in zip(x[1:], w[1:], strict=True):
        low, high = min(low, v), max(high, v)
        sum_w, sum_x = sum_w + u, sum_x + u * v
    low = min(low, ZERO)
    if high == low:
        return ZERO, -low, [0] * 32
    scale = ONE / (F(15) / (high - low))
    codes = [clip(nearest(F(15) / (high - low) * (v - low)), 0, 15) for v in x]

    def error(s, m, c):
        total = ZERO
        for v, u, k in zip(x, w, c, strict=True):
            d = s * F(k) + m - v
            total = total + u * (d * d)
        return total

    best = error(scale, low, codes)
    for step in range(21):
        inverse = (F(-1) + F(0.1) * F(step) + F(15)) / (high - low)
        trial = [clip(nearest(inverse * (v - low)), 0, 15) for v in x]
        sl = sl2 = sxl = ZERO
        for v, u, k in zip(x, w, trial, strict=True):
            sl, sl2, sxl = sl + u * F(k), sl2 + u * F(k) * F(k), sxl + u * F(k) * v
        d = sum_w * sl2 - sl * sl
        if d <= 0:
            continue
        s, m = (sum_w * sxl - sum_x * sl) / d, (sl2 * sum_x - sl * sxl) / d
        if m > 0:
            s, m = sxl / sl2, ZERO
        now = error(s, m, trial)
        if now < best:
            codes, best, scale, low = trial, now, s, m
    return scale, -low, codes


def scalar_q4_k(x) -> bytes:
    """quantize_row_q4_K_ref on one super-block."""
    groups = []
    for g in x.reshape(8, 32):
        total = ZERO
        for v in g:
            total = total + v * v
        groups.append(search_affine(g, [np.sqrt(total / F(32)) + abs(v) for v in g]))
    max_s, max_m = max(ZERO, *(g[0] for g in groups)), max(ZERO, *(g[1] for g in groups))
    inv_s = F(63) / max_s if max_s > 0 else ZERO
    inv_m = F(63) / max_m if max_m > 0 else ZERO
    ls = [min(63, nearest(inv_s * g[0])) for g in groups]
    lm = [min(63, nearest(inv_m * g[1])) for g in groups]
    packed = [0] * 12
    for j in range(8):
        if j < 4:
            packed[j], packed[j + 4] = ls[j], lm[j]
        else:
            packed[j + 4] = (ls[j] & 15) | (lm[j] & 15) << 4
            packed[j - 4] |= ls[j] >> 4 << 6
            packed[j] |= lm[j] >> 4 << 6
    d, dmin = half(max_s / F(63)), half(max_m / F(63))
    codes = []
    for j, g in enumerate(x.reshape(8, 32)):
        unit, offset = d * F(ls[j]), dmin * F(lm[j])
        codes += (
            groups[j][2] if unit == 0 else [clip(nearest((v + offset) / unit), 0, 15) for v in g]
        )
    nibbles = [codes[64 * j + i] | codes[64 * j + 32 + i] << 4 for j in range(4) for i in range(32)]
    return struct.pack("<ee", d, dmin) + bytes(packed) + bytes(nibbles)


def search_symmetric(x):
    """make_qx_quants(16, 32, …, 1, NULL): scale and codes."""
    extreme = ZERO
    for v in x:
        extreme = v if abs(v) > abs(extreme) else extreme
    if abs(extreme) < F(1e-15):
        return ZERO, [-32] * 16

    def trial(numerator):
        codes = [clip(nearest(numerator / extreme * v), -32, 31) for v in x]
        lx = l2 = ZERO
        for v, k in zip(x, codes, strict=True):
            lx, l2 = lx + v * v * v * F(k), l2 + v * v * F(k) * F(k)
        return codes, lx, l2

    codes, lx, l2 = trial(F(-32))
    scale = lx / l2 if l2 else ZERO
    best = scale * lx
    for step in range(-9, 10):
        new, lx, l2 = trial(-(F(32) + F(0.1) * F(step)))
        if step and l2 > 0 and lx * lx > best * l2:
            codes, scale = new, lx / l2
            best = scale * lx
    return scale, codes


def scalar_q6_k(x) -> bytes:
    """quantize_row_q6_K_ref on one super-block."""
    groups = [search_symmetric(g) for g in x.reshape(16, 16)]
    largest = ZERO
    for scale, _ in groups:
        largest = scale if abs(scale) > abs(largest) else largest
    if abs(largest) < F(1e-15):
        return bytes(210)
    inverse = F(-128) / largest
    d = half(ONE / inverse)
    steps = [min(127, nearest(inverse * g[0])) for g in groups]
    q = []
    for j, g in enumerate(x.reshape(16, 16)):
        unit = d * F(steps[j])
        codes = groups[j][1] if unit == 0 else [clip(nearest(v / unit), -32, 31) for v in g]
        q += [c + 32 for c in codes]
    low, high = [], []
    for n in (0, 128):
        a, b, c, e = (q[n + 32 * k : n + 32 * k + 32] for k in range(4))
        low += [u & 15 | (v & 15) << 4 for u, v in zip(a + b, c + e, strict=True)]
        high += [
            u >> 4 | v >> 4 << 2 | w >> 4 << 4 | z >> 4 << 6
            for u, v, w, z in zip(a, b, c, e, strict=True)
        ]
    return bytes(low) + bytes(high) + struct.pack("<16b", *steps) + struct.pack("<e", d)


@pytest.mark.parametrize(("id", "scalar"), [("q4_k", scalar_q4_k), ("q6_k", scalar_q6_k)])
def test_searches_equal_the_scalar_transcription(id, scalar):
    x = values(16)
    with np.errstate(all="ignore"):
        expected = [scalar(row) for row in x]
    got = ggml_encode(x, id)
    for i, row in enumerate(expected):
        assert got[i].tobytes() == row, i


@pytest.mark.parametrize("id", IDS)
def test_bytes_and_values_equal_the_gguf_package(id):
    """gguf quantises Q8_0 and Q4_0; it decodes all four."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed (a test tool)")
    kind = getattr(gguf.GGMLQuantizationType, id.upper())
    x = values(200, seed=1)
    ours = ggml_encode(x, id)
    if id in ("q8_0", "q4_0"):
        np.testing.assert_array_equal(ours, gguf.quants.quantize(x, kind))
    np.testing.assert_array_equal(ggml_decode(ours, id), gguf.quants.dequantize(ours, kind))
    random = np.random.default_rng(2).integers(0, 256, ours.shape, dtype=np.uint8)
    with np.errstate(all="ignore"):
        theirs = gguf.quants.dequantize(random, kind)
        np.testing.assert_array_equal(ggml_decode(random, id), theirs)


@pytest.mark.parametrize("id", IDS)
def test_parts_make_the_values(id):
    """Codes, scales and minima of a Quantized are those of its storage."""
    x = values(12).reshape(3, 4, 256)
    q = quantize(x, f"ggml-{id}")
    assert q.nbytes == q.storage.nbytes
    assert q.storage.shape == (3, 4, q.nbytes // 12)
    codes = q.codes.view(np.int8).astype(F)
    if id == "q4_0":
        codes = ((q.codes ^ 8).astype(np.int16) - 8).astype(F)
    groups = codes.reshape(12, q.scales.shape[1], -1) * q.scales[:, :, None]
    if id == "q4_k":
        groups = groups - q.minima[:, :, None]
    else:
        assert q.minima is None
    np.testing.assert_array_equal(groups.reshape(x.shape), q.dequantize())
    np.testing.assert_array_equal(ggml_decode(q.storage, id), q.dequantize())


@pytest.mark.parametrize(
    ("id", "bound"), [("q8_0", 3e-5), ("q6_k", 4e-4), ("q4_k", 8e-3), ("q4_0", 1.2e-2)]
)
def test_relative_error_of_normal_weights(id, bound):
    x = np.random.default_rng(3).standard_normal((64, 1024)).astype(F)
    y = ggml_decode(ggml_encode(x, id), id)
    assert bound / 2 < np.square(y - x).sum() / np.square(x).sum() < bound


def test_threads_change_nothing():
    x = np.random.default_rng(4).standard_normal((300, 1024)).astype(F)
    for id in IDS:
        assert (ggml_encode(x, id, threads=2) == ggml_encode(x, id)).all()


# sha256 of the bytes that ggml 0.20.2 itself (ggml_quantize_chunk without an importance matrix,
# quantize_row_q8_K_ref; builds for AVX2 and for AVX-512 agree) writes for seeded(400).
LIBRARY = {
    "q4_0": "4aff573dd07b8627143320bae33e96e162638138c278a7a8077602b92827d7d9",
    "q4_k": "e89115d80e3b318bb8b6a928b2ebf01669c01d98b851f647cc9f6a812b8d77cf",
    "q6_k": "116ac2cc1aae220b97c4408f3ef36b2bfd11104ad2ef94542c24d77f3e1bf902",
    "q8_0": "dcbc27329d27ce6745ad75b09fef9d67dd3df7e5598bb4dabea0d7eac2dad1b3",
    "q8_k": "c05e19c069dea9d205fb7b22935f538c118a6ddfaa4a629347c46716bcbaa085",
}


@pytest.mark.parametrize("id", sorted(LIBRARY))
def test_bytes_equal_those_of_the_library(id):
    ours = ggml_encode(seeded(400), id)
    assert hashlib.sha256(ours.tobytes()).hexdigest() == LIBRARY[id]


def test_activations_beside_k_types():
    """Q8_K: the largest element becomes ∓127, zeros stay, sums are those of the codes."""
    x = values(30)
    q = quantize(x, "ggml-q4_k", role="activation")
    codes = q.codes.view(np.int8).astype(int)
    assert q.nbytes == 30 * 292
    assert codes.min() >= -127
    assert codes.max() <= 127
    extreme = np.take_along_axis(codes, np.abs(x).argmax(axis=1)[:, None], axis=1)
    np.testing.assert_array_equal(extreme[:, 0], np.where((x == 0).all(axis=1), 0, -127))
    sums = q.storage[:, 260:].copy().view("<i2")
    np.testing.assert_array_equal(sums, codes.reshape(30, 16, 16).sum(axis=2))
    error = np.abs(q.dequantize() - x).max(axis=1)
    assert (error <= np.abs(x).max(axis=1) / 127 * 0.501).all()


@pytest.mark.parametrize("id", ["q4_k", "q6_k"])
def test_a_search_is_no_worse_than_plain_rounding(id):
    """In the error it minimises, weighted over a super-block: not above that of the scales that
    the extremes of each group give."""
    x = seeded(40)
    y = ggml_decode(ggml_encode(x, id), id)
    size = 32 if id == "q4_k" else 16
    g = x.reshape(-1, size).astype(np.float64)
    if id == "q4_k":
        low = np.minimum(g.min(axis=1, keepdims=True), 0)
        step = (g.max(axis=1, keepdims=True) - low) / 15
        plain = np.clip(np.rint((g - low) / step), 0, 15) * step + low
    else:
        extreme = np.take_along_axis(g, np.abs(g).argmax(axis=1)[:, None], axis=1)
        step = extreme / -32
        plain = np.clip(np.rint(g / step), -32, 31) * step
    ours = np.square(y.reshape(-1, size) - g).reshape(40, -1).sum(axis=1)
    theirs = np.square(plain - g).reshape(40, -1).sum(axis=1)
    assert (ours <= theirs * 1.02).all()


@pytest.mark.parametrize("id", ["q8_0", "q6_k"])
def test_representable_blocks_come_back(id):
    """Codes that reach the end of their range, times a power of two."""
    top = 127 if id == "q8_0" else 32
    codes = np.random.default_rng(6).integers(-top + 1, top, (50, 256))
    codes[:, ::16] = -top
    x = (codes * 2.0**-6).astype(F)
    np.testing.assert_array_equal(ggml_decode(ggml_encode(x, id), id), x)


def test_names_and_refusals():
    for name in ("GGML-Q4_K", "q4-k", " Q4_K ", "ggml_q4_k"):
        assert ggml_encode(np.zeros((1, 256), F), name).shape == (1, 144)
    with pytest.raises(UnknownNameError, match="q6_k"):
        ggml_encode(np.zeros((1, 256), F), "q7_k")
    with pytest.raises(InputError, match="whole blocks of 34"):
        ggml_decode(np.zeros((1, 35), np.uint8), "q8_0")
    with pytest.raises(InputError, match="int8"):
        ggml_decode(np.zeros((1, 34), np.int8), "q8_0")
    with pytest.raises(InputError, match="scalar"):
        ggml_encode(1.0, "q8_0")
    with pytest.raises(UnsupportedError, match="quantiser"):
        quantize(np.zeros((1, 256), F), "ggml-q6_k", scale_rule="amax")
    for id in IDS:
        with pytest.raises(InputError, match="range of fp16"):
            ggml_encode(np.full((1, 256), 3e9, F) * np.resize([1, -1], 256).astype(F), id)
