"""What quantisers of ggml's types write, against the library's bytes, the gguf package and laws."""

import hashlib
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ggml_blocks import edges, seeded, values

from planner.base.errors import InputError, UnknownNameError
from planner.formats.schemes import SCHEMES
from planner.numerics import ggml_decode, ggml_encode, quantize
from planner.numerics.ggml import ggml_round_trip, inspect
from planner.numerics.ggml_blocks import part_values
from planner.numerics.ggml_registry import GGML_TYPES, ggml_type

F = np.float32
SYMMETRIC = (
    "q8_0",
    "q6_0",
    "q6_k",
    "q5_0",
    "q4_0",
    "iq4_nl",
    "iq4_xs",
    "mxfp4",
    "nvfp4",
    "tq1_0",
    "tq2_0",
    "q2_0",
    "q8_1",
    "q8_k",
)
CASES = {"seeded": lambda: seeded(400), "edges": edges}


WRITTEN = sorted(name for name in GGML_TYPES if not name.startswith(("iq1", "iq2", "iq3")))
"""IQ1, IQ2 and IQ3 have tests of their own."""
SEARCHED = sorted(set(WRITTEN) - {"mxfp4", "nvfp4", "tq1_0", "tq2_0", "q2_0", "q1_0"})
"""Types that round to the nearest of their values; the others have their own laws below."""
FP16_SCALES = sorted(set(WRITTEN) - {"mxfp4", "nvfp4", "q8_k"})


def encoded(x: np.ndarray, name: str) -> np.ndarray:
    return GGML_TYPES[name].encode(x, None)


def decoded(stored: np.ndarray, name: str) -> np.ndarray:
    kind = GGML_TYPES[name]
    return part_values(kind.parts(stored.reshape(-1, kind.block_bytes))).reshape(len(stored), -1)


def error_of(x: np.ndarray, name: str) -> float:
    y = ggml_round_trip(x, name).astype(np.float64)
    return float(np.square(y - x).sum() / np.square(x.astype(np.float64)).sum())


# sha256 of the bytes that ggml itself (ggml_quantize_chunk without an importance matrix, a build
# without fused multiply-adds) writes: 0.25.3, and llama.cpp 0c1e570 for MXFP4 to Q1_0. Q6_0 is not
# in that library.
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
    "mxfp4": {"seeded": "4ea87f5314a46870c7f7e9d62368d17c",
              "edges": "0589242a1ff920602a55f80a17d68309"},
    "nvfp4": {"seeded": "c4a8aff17bf24fb5921ac39bd7f75066",
              "edges": "a9dbb9041c2ebde25b33fde9d5be29ed"},
    "tq1_0": {"seeded": "3b18e7df79c24666e652411aabfa47cc",
              "edges": "999601daaf5676a088d232f5615a7227"},
    "tq2_0": {"seeded": "fa1872dcd2edb3fe0cd89a5c7b39464e",
              "edges": "60490648f6582ba35fa3cdcf579e38ad"},
    "q2_0": {"seeded": "e077c260eca3883dd078be08d7cb3b74",
             "edges": "bfe592ada2079a5236a2fff8b38cf193"},
    "q1_0": {"seeded": "1b347b6d55178d2469c19959b44a362c",
             "edges": "2fe47487c8abdfe59c71df6976b80ff0"},
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", sorted(LIBRARY))
def test_bytes_equal_those_of_the_library(name, case):
    ours = hashlib.sha256(encoded(CASES[case](), name).tobytes()).hexdigest()
    assert ours[:32] == LIBRARY[name][case]


@pytest.mark.parametrize(
    "name", ["q8_0", "q5_0", "q5_1", "q4_0", "q4_1", "mxfp4", "tq1_0", "tq2_0"]
)
def test_bytes_equal_the_gguf_package(name):
    """gguf quantises types that need no search."""
    gguf = pytest.importorskip("gguf", reason="gguf is not installed (a test tool)")
    kind = getattr(gguf.GGMLQuantizationType, name.upper())
    for x in (values(200, seed=1), edges()):
        if name == "mxfp4":
            x = x[np.abs(x).max(axis=1) > 2.0**-60]  # gguf's exponents are clipped below
        np.testing.assert_array_equal(encoded(x, name), gguf.quants.quantize(x, kind))


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
        decoded(ours, "q6_0"), np.array([v for _, v in expected]).reshape(x.shape)
    )


@given(st.sampled_from(sorted(set(WRITTEN) - {"nvfp4"})), st.integers(0, 6), st.integers(0, 300))
def test_powers_of_two_pass_through(name, power, row):
    """No constant in a search depends on the unit that weights are in; NVFP4's scales are short
    of exponents."""
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
    "iq4_xs": 5.8e-3, "mxfp4": 1.35e-2, "nvfp4": 7.6e-3, "tq2_0": 0.6, "tq1_0": 0.6, "q2_0": 0.55,
    "q1_0": 0.36, "q8_1": 2.9e-5, "q8_k": 4.8e-5,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(NORMAL))
def test_relative_error_of_normal_weights(name):
    x = np.random.default_rng(3).standard_normal((64, 1024)).astype(F)
    assert NORMAL[name] / 1.25 < error_of(x, name) < NORMAL[name] * 1.25


@pytest.mark.parametrize(("better", "worse"), [
    ("q8_0", "q6_k"), ("q6_k", "q6_0"), ("q6_0", "q5_k"), ("q5_k", "q5_1"), ("q5_1", "q5_0"),
    ("q5_0", "q4_k"), ("q4_k", "q4_1"), ("iq4_nl", "iq4_xs"), ("iq4_xs", "q4_1"), ("q4_1", "q4_0"),
    ("q4_0", "q3_k"), ("q3_k", "q2_k"), ("nvfp4", "mxfp4"), ("mxfp4", "q3_k"),
    ("q2_k", "q1_0")])  # fmt: skip
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


@pytest.mark.parametrize("name", SEARCHED)
def test_zeros_stay_and_an_outlier_keeps_its_sign(name):
    x = np.zeros((2, 256), F)
    x[1, 40] = -7
    y = ggml_round_trip(x, name)
    assert (y[0] == 0).all()
    assert y[1, 40] == pytest.approx(-7, rel=0.01)
    if not name.startswith("iq4"):  # which has no level of zero
        np.testing.assert_allclose(np.delete(y[1], 40), 0, atol=0.004)


def test_ternary_values_come_back():
    """-1, 0 and 1 times what FP16 holds: every trit of every byte is read as it was written."""
    x = np.random.default_rng(8).integers(-1, 2, (100, 512)).astype(F) * F(0.25)
    x[:, ::64] = F(0.25)
    for name in ("tq1_0", "tq2_0", "q2_0"):
        np.testing.assert_array_equal(ggml_round_trip(x, name), x)
    assert (encoded(x, "tq1_0").shape[1], encoded(x, "tq2_0").shape[1]) == (108, 132)


def test_one_bit_keeps_signs_and_the_mean_magnitude():
    x = values(40)
    y = ggml_round_trip(x, "q1_0").reshape(-1, 128)
    blocks = x.reshape(-1, 128)
    empty = (np.abs(blocks).max(axis=1) == 0)[:, None]
    np.testing.assert_array_equal(y >= 0, (blocks >= 0) | empty)
    mean = np.abs(blocks).mean(axis=1, dtype=np.float64)
    np.testing.assert_allclose(np.abs(y[:, 0]), mean, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(("name", "size"), [("mxfp4", 32), ("nvfp4", 16)])
def test_four_bit_floats_take_the_nearest_level(name, size):
    """Of the stored scale: 2^(⌊log2 amax⌋ - 2), or the UE4M3 near amax / 6 (an eighth below where
    its subnormal numbers end, a sixteenth elsewhere)."""
    x = seeded(60)[:, :256]
    view = inspect(encoded(x, name), SCHEMES[f"ggml-{name}"].weight)
    scales = 2 * view.scales.reshape(-1, 1).astype(np.float64)
    groups = x.reshape(-1, size).astype(np.float64)
    largest = np.abs(groups).max(axis=1, keepdims=True)
    if name == "mxfp4":
        np.testing.assert_array_equal(scales, 2.0 ** (np.floor(np.log2(largest)) - 2))
    else:
        np.testing.assert_allclose(scales, largest / 6, rtol=1 / 8)
    levels = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    grid = np.concatenate([-levels, levels]) * scales
    nearest = np.abs(groups[:, :, None] - grid[:, None, :]).min(axis=2)
    back = ggml_round_trip(x, name).reshape(-1, size)
    np.testing.assert_allclose(np.abs(groups - back), nearest, rtol=1e-5, atol=1e-7)


def test_what_is_too_small_for_a_scale_becomes_zero():
    """MXFP4's exponent wraps below 2^-125, as the cast of the source does."""
    x = np.full((1, 32), 2.0**-130, F)
    assert not ggml_round_trip(x, "mxfp4").any()


def test_sums_beside_eight_bits():
    """Q8_1 is Q8_0 with d times the sum of its codes."""
    x = values(30)
    stored = encoded(x, "q8_1").reshape(-1, 36)
    plain = encoded(x, "q8_0").reshape(-1, 34)
    np.testing.assert_array_equal(stored[:, 4:], plain[:, 2:])
    np.testing.assert_array_equal(ggml_round_trip(x, "q8_1"), ggml_round_trip(x, "q8_0"))
    total = stored[:, 4:].view(np.int8).sum(axis=1) * np.abs(x.reshape(-1, 32)).max(axis=1) / 127
    np.testing.assert_allclose(
        stored[:, 2:4].copy().view("<f2")[:, 0].astype(np.float64), total, rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("name", ["q8_0", "q4_0", "q4_k", "q6_k", "tq1_0", "nvfp4", "iq4_xs"])
def test_schemes_are_the_types_of_their_names(name):
    x = seeded(20)
    made = quantize(x, f"ggml-{name}")
    np.testing.assert_array_equal(made.storage, ggml_encode(x, name))
    np.testing.assert_array_equal(made.dequantize(), ggml_decode(ggml_encode(x, name), name))


def test_importance_is_one_number_a_column():
    x = seeded(3)[:, :256]
    for wrong in (np.ones(255), np.ones((1, 256)), -np.ones(256), np.full(256, np.nan)):
        with pytest.raises(InputError, match="importance"):
            ggml_encode(x, "q8_0", importance=wrong)
    for name in ("q8_0", "mxfp4", "nvfp4", "tq1_0", "tq2_0", "q2_0", "q1_0"):  # it changes nothing
        np.testing.assert_array_equal(
            ggml_encode(x, name, importance=np.arange(256)), ggml_encode(x, name)
        )


def test_names_and_refusals():
    assert ggml_type(" Q5_K ") is GGML_TYPES["q5_k"]
    with pytest.raises(UnknownNameError, match="q6_k"):
        ggml_round_trip(np.zeros((1, 256), F), "q7_k")
    with pytest.raises(InputError, match="whole blocks of 256"):
        ggml_round_trip(np.zeros((1, 128), F), "q3_k")
    with pytest.raises(InputError, match="NaN"):
        ggml_round_trip(np.full((1, 256), np.nan, F), "q3_k")
    for name in FP16_SCALES:
        with pytest.raises(InputError, match="range of fp16"):
            ggml_round_trip(np.resize([4e9, -4e9], (1, 256)).astype(F), name)
