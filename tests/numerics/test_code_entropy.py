"""Order-0 entropy of codes, and what it says about compressing experts that are not used."""

import math
import zlib

import numpy as np
import pytest

from planner.base.errors import InputError, UnsupportedError
from planner.numerics import encode, quantize
from planner.numerics.entropy import code_entropy, entropy


def weights() -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((512, 1024)) * 0.02).astype(np.float32)


def test_known_entropies() -> None:
    assert entropy([]) == 0
    assert entropy([7, 7, 7]) == 0
    assert entropy([0, 1]) == 1
    assert entropy([0, 1, 2, 3] * 5) == 2
    assert entropy([0] * 3 + [1]) == pytest.approx(2 - 0.75 * math.log2(3))


def test_all_codes_once_save_nothing() -> None:
    for format, count in (("e4m3fn", 256), ("e2m1", 16), ("bf16", 65536)):
        got = code_entropy(np.arange(count, dtype=np.uint16), format)
        assert got.code == got.split == got.bits
        assert got.saving == 0


def test_normal_weights_in_bf16() -> None:
    """Exponents of a normal sample need 2.55 of 8 bits, mantissas nearly all: a third is saved."""
    got = code_entropy(encode(weights(), "bf16"), "bf16")
    assert got.sign == pytest.approx(1, abs=1e-4)
    assert got.exponent == pytest.approx(2.55, abs=0.03)
    assert got.mantissa > 6.9
    assert got.saving == pytest.approx(0.346, abs=0.01)


def test_an_inactive_expert_is_not_zero() -> None:
    """FP8 blocks: next to no zeros, a fifth saved by entropy, a bitmap of zeros would cost."""
    got = code_entropy(quantize(weights(), "fp8-block").codes, "e4m3fn")
    assert got.zeros < 1e-4
    assert got.zero_saving < -0.12
    assert got.saving == pytest.approx(0.19, abs=0.01)


@pytest.mark.parametrize(("format", "zeros"), [("e4m3fn", (0, 0x80)), ("bf16", (0, 0x8000))])
def test_both_zeros_are_zeros(format: str, zeros: tuple[int, int]) -> None:
    got = code_entropy(np.array([*zeros, zeros[1] | 1, zeros[1] - 1], np.uint16), format)
    assert got.zeros == 0.5
    assert got.zero_saving == 0.5 - 1 / got.bits


def test_real_coders_stay_above_the_entropy() -> None:
    codes = encode(weights(), "bf16")
    got = code_entropy(codes, "bf16")
    high = (codes >> 8).astype(np.uint8).tobytes()
    bound = entropy(codes >> 8) / 8 * len(high)
    packed = len(zlib.compress(high, 9))
    assert bound <= packed < 1.35 * bound
    assert got.code <= got.split


def test_zstandard_stays_above_the_entropy() -> None:
    zstandard = pytest.importorskip("zstandard", reason="the zstandard package is not installed")
    codes = quantize(weights(), "fp8-block").codes
    got = code_entropy(codes, "e4m3fn")
    packed = len(zstandard.ZstdCompressor(level=19).compress(codes.tobytes()))
    assert got.code / 8 * codes.size <= packed < 1.06 * got.code / 8 * codes.size


@pytest.mark.parametrize(
    ("codes", "format", "error"),
    [
        (np.array([300], np.uint16), "e4m3fn", InputError),
        (np.array([], np.uint8), "bf16", InputError),
        (np.array([1], np.int16), "bf16", InputError),
        (np.array([1], np.uint8), "int8", UnsupportedError),
        (np.array([1], np.uint8), "e8m0", UnsupportedError),
    ],
)
def test_refused(codes: np.ndarray, format: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        code_entropy(codes, format)
