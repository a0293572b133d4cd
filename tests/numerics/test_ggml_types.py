"""ggml types that are evidence alone, against the library's bytes, the gguf package and laws."""

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ggml_blocks import edges, seeded, values

from planner.errors import InputError, UnknownNameError
from planner.numerics import ggml_decode, ggml_encode
from planner.numerics.ggml import ggml_round_trip
from planner.numerics.ggml_registry import GGML_TYPES, ggml_type
from planner.numerics.ggml_simple import part_values

F = np.float32
SYMMETRIC = ("q8_0", "q6_0", "q6_k", "q5_0", "q4_0", "iq4_nl", "iq4_xs")
CASES = {"seeded": lambda: seeded(400), "edges": edges}


def encoded(x: np.ndarray, name: str) -> np.ndarray:
    kind = GGML_TYPES[name]
    return kind.encode(x.reshape(-1, kind.elements)).reshape(x.shape[0], -1)


def decoded(stored: np.ndarray, name: str) -> np.ndarray:
    kind = GGML_TYPES[name]
    return part_values(kind.parts(stored.reshape(-1, kind.block_bytes))).reshape(len(stored), -1)


def error_of(x: np.ndarray, name: str) -> float:
    y = ggml_round_trip(x, name).astype(np.float64)
    return float(np.square(y - x).sum() / np.square(x.astype(np.float64)).sum())


# sha256 of the bytes that ggml 0.25.3 itself (ggml_quantize_chunk without an importance matrix, a
# build without fused multiply-adds) writes. Q6_0 is not in that library.
LIBRARY = {
    "iq4_nl": {"seeded": "debf67c0567def6af7f9980652f855ac",
               "edges": "0a4b7408d1cfc0278d48c87a3a1af5fa"},
    "iq4_xs": {"seeded": "dd565921defd4f9bcad9bcde9732722c",
               "edges": "fffc8c56878e6b65134a23c212d01c6a"},
    "q2_k": {"seeded": "d55277600a866a1e5cbf99f654d458d4",
             "edges": "3a447410089ec00369b54c3f899e76e2"},
    "q3_k": {"seeded": "69439d00c81489e48b925c37f6e7a758",
             "edges": "3a15a125d162542b9d63e4c16e3ec227"},
    "q4_0": {"seeded": "4aff573dd07b8627143320bae33e96e1",
             "edges": "6717ffb81465baa54890b7426e5a0f49"},
    "q4_1": {"seeded": "aaf25c6c3e26697313540fa979177226",
             "edges": "aebb60028ae5058c0188dcc393d4c8c6"},
    "q4_k": {"seeded": "e89115d80e3b318bb8b6a928b2ebf016",
             "edges": "6b2a5527ab20c0135d23801fa5d5a6f7"},
    "q5_0": {"seeded": "b7d52b4888cbf5b69e638076c47beb9b",
             "edges": "3b3aa2e374ffa4b99eec6d35b2b79794"},
    "q5_1": {"seeded": "f923ffe4d4461f571eab89a8d12518b9",
             "edges": "e8b3247a71195804d551b8a490ed8ba9"},
    "q5_k": {"seeded": "d968ef83fe804e5ad5b1ce444120a344",
             "edges": "fc1b09596658fdddc02e7c376d72698a"},
    "q6_k": {"seeded": "116ac2cc1aae220b97c4408f3ef36b2b",
             "edges": "d263e178213539854541d19bdbf35d2a"},
    "q8_0": {"seeded": "dcbc27329d27ce6745ad75b09fef9d67",
             "edges": "810af4c8cc2566173d7578f8cca96af8"},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_bytes_equal_those_of_the_library(name, case):
    ours = hashlib.sha256(encoded(CASES[case](), name).tobytes()).hexdigest()
    assert ours[:32] == LIBRARY[name][case]


@pytest.mark.parametrize("name", sorted(set(GGML_TYPES) - {"q6_0"}))
def test_bytes_and_values_equal_the_gguf_package(name):
    """gguf decodes every type, any bytes, and quantises those that need no search."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed (a test tool)")
    kind = getattr(gguf.GGMLQuantizationType, name.upper())
    for x in (values(200, seed=1), edges()):
        ours = encoded(x, name)
        if name in ("q8_0", "q5_0", "q5_1", "q4_0", "q4_1"):
            np.testing.assert_array_equal(ours, gguf.quants.quantize(x, kind))
        theirs = gguf.quants.dequantize(ours, kind)
        np.testing.assert_array_equal(decoded(ours, name), theirs)
        np.testing.assert_array_equal(ggml_round_trip(x, name), theirs)
        random = np.random.default_rng(2).integers(0, 256, ours.shape, dtype=np.uint8)
        with np.errstate(all="ignore"):
            theirs = gguf.quants.dequantize(random, kind)
            np.testing.assert_array_equal(decoded(random, name), theirs)


def scalar_q6_0(x: np.ndarray) -> tuple[bytes, list[np.float32]]:
    """ik_llama.cpp's quantize_row_q6_0_ref on one block, and the values it stands for."""
    extreme = F(0)
    for v in x:
        extreme = v if abs(v) > abs(extreme) else extreme
    d = extreme / F(-32)
    inverse = F(1) / d if d else F(0)
    q = [min(63, int(v * inverse + F(32.5))) for v in x]
    upper = [0] * 8
    for j in range(16):
        upper[j % 8] |= (q[j] >> 4 | q[j + 16] >> 4 << 2) << 4 * (j // 8)
    low = [q[j] & 15 | (q[j + 16] & 15) << 4 for j in range(16)]
    stored = struct.pack("<e", np.float16(d)) + bytes(upper) + bytes(low)
    return stored, [F(np.float16(d)) * F(code - 32) for code in q]


def test_six_bits_in_blocks_of_32_equal_the_scalar_transcription():
    x = np.concatenate([values(16), edges()[:17]])
    ours = encoded(x, "q6_0")
    expected = [scalar_q6_0(block) for block in x.reshape(-1, 32)]
    assert ours.tobytes() == b"".join(stored for stored, _ in expected)
    np.testing.assert_array_equal(
        decoded(ours, "q6_0"), np.array([v for _, v in expected]).reshape(x.shape))


@given(st.sampled_from(sorted(GGML_TYPES)), st.integers(0, 6), st.integers(0, 300))
def test_powers_of_two_pass_through(name, power, row):
    """No constant in a search depends on the unit that weights are in."""
    x = seeded(row + 1)[row:, :256] * F(2.0 ** (4 - row % 9))
    scaled = ggml_round_trip(x * F(2.0**power), name)
    np.testing.assert_array_equal(scaled, ggml_round_trip(x, name) * F(2.0**power))


@given(st.sampled_from(SYMMETRIC), st.integers(0, 300))
def test_signs_pass_through_types_with_signed_scales(name, row):
    """Not Q3_K, whose search goes on only where the first element of largest magnitude is
    negative."""
    x = seeded(row + 1)[row:, :256]
    np.testing.assert_array_equal(ggml_round_trip(-x, name), -ggml_round_trip(x, name))


# Relative error power on normal values; the bounds hold within a factor of 1.25.
NORMAL = {
    "q8_0": 2.9e-5, "q6_0": 4.5e-4, "q6_k": 3.1e-4, "q5_0": 1.8e-3, "q5_1": 1.4e-3, "q5_k": 1.3e-3,
    "q4_0": 7.3e-3, "q4_1": 6.1e-3, "q4_k": 5.0e-3, "q3_k": 0.023, "q2_k": 0.087, "iq4_nl": 5.8e-3,
    "iq4_xs": 5.8e-3,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(NORMAL))
def test_relative_error_of_normal_weights(name):
    x = np.random.default_rng(3).standard_normal((64, 1024)).astype(F)
    assert NORMAL[name] / 1.25 < error_of(x, name) < NORMAL[name] * 1.25


@pytest.mark.parametrize(("better", "worse"), [
    ("q8_0", "q6_k"), ("q6_k", "q6_0"), ("q6_0", "q5_k"), ("q5_k", "q5_1"), ("q5_1", "q5_0"),
    ("q5_0", "q4_k"), ("q4_k", "q4_1"), ("iq4_nl", "iq4_xs"), ("iq4_xs", "q4_1"), ("q4_1", "q4_0"),
    ("q4_0", "q3_k"), ("q3_k", "q2_k")])  # fmt: skip
def test_types_order_by_what_they_store(better, worse):
    """By bits, and within a width: searched before plain, with a minimum before without."""
    x = np.random.default_rng(4).standard_normal((64, 1024)).astype(F)
    assert error_of(x, better) < error_of(x, worse)


@pytest.mark.parametrize(("name", "low", "high"), [
    ("q5_0", -16, 15), ("q6_0", -32, 31), ("q3_k", -4, 3), ("q4_1", 0, 15), ("q5_1", 0, 31),
    ("q5_k", 0, 31), ("q2_k", 0, 3)])  # fmt: skip
def test_values_on_the_grid_come_back(name, low, high):
    """Codes that reach both ends in every group, times a power of two; K types store scales in
    steps of a fifteenth to a sixty-third, exact where all groups share one scale."""
    codes = np.random.default_rng(6).integers(low, high + 1, (50, 256))
    codes[:, ::16], codes[:, 1::16] = low, high
    x = (codes * 2.0**-6).astype(F)
    back = ggml_round_trip(x, name)
    # The FP16 scale of affine K types is a 15th or 63rd, which FP16 rounds.
    bound = 2.0**-6 * high * 2.0**-10 if name in ("q5_k", "q2_k") else 0
    np.testing.assert_allclose(back, x, rtol=0, atol=bound)


def test_levels_come_back():
    levels = np.array([-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113])
    x = np.tile(levels, (3, 16)).astype(F) * F(2.0**-9)
    np.testing.assert_array_equal(ggml_round_trip(x, "iq4_nl"), x)
    np.testing.assert_array_equal(ggml_round_trip(x, "iq4_xs"), x)


@pytest.mark.parametrize("name", sorted(GGML_TYPES))
def test_zeros_stay_and_an_outlier_keeps_its_sign(name):
    x = np.zeros((2, 256), F)
    x[1, 40] = -7
    y = ggml_round_trip(x, name)
    assert (y[0] == 0).all()
    assert y[1, 40] == pytest.approx(-7, rel=0.01)
    if not name.startswith("iq4"):  # which has no level of zero
        np.testing.assert_allclose(np.delete(y[1], 40), 0, atol=0.004)


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "q4_k", "q6_k"])
def test_types_that_are_schemes_are_the_same(name):
    x = seeded(20)
    np.testing.assert_array_equal(ggml_round_trip(x, name), ggml_decode(ggml_encode(x, name), name))


def test_names_and_refusals():
    assert ggml_type(" Q5_K ") is GGML_TYPES["q5_k"]
    with pytest.raises(UnknownNameError, match="q6_k"):
        ggml_round_trip(np.zeros((1, 256), F), "q7_k")
    with pytest.raises(InputError, match="whole blocks of 256"):
        ggml_round_trip(np.zeros((1, 128), F), "q3_k")
    with pytest.raises(InputError, match="NaN"):
        ggml_round_trip(np.full((1, 256), np.nan, F), "q3_k")
    for name in GGML_TYPES:
        with pytest.raises(InputError, match="range of fp16"):
            ggml_round_trip(np.resize([4e9, -4e9], (1, 256)).astype(F), name)
