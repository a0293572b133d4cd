"""MLX's formats against what mlx 0.32.4 gave for the same seeded input, recorded as digests, and
the laws of its affine groups."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.base.errors import InputError
from planner.formats.schemes import scheme
from planner.formats.sizes import bits_per_element, weight_bytes
from planner.formats.stored_schemes import MLX_BITS, MLX_GROUPS, mlx_scheme_ids
from planner.numerics import quantize
from planner.numerics.cast import decode, encode
from planner.numerics.ggml_blocks import Bytes
from planner.numerics.mlx_blocks import affine_groups

RECORDED = json.loads((Path(__file__).parent / "mlx_vectors.json").read_text(encoding="utf-8"))
FloatArray = npt.NDArray[np.float32]


def _input() -> FloatArray:
    """Small, usual and large rows, one of zeros, of one sign, of one value, on a grid; as BF16."""
    rng = np.random.default_rng(20261202)
    x = rng.standard_normal((24, 256)).astype(np.float32)
    x *= rng.choice([1e-3, 1, 30], size=(24, 1)).astype(np.float32)
    x[3] = 0
    x[4] = np.abs(x[4])
    x[5] = 7
    x[6] = -np.abs(x[6])
    x[7] = -0.25
    x[8, :] = np.round(x[8] * 4) / 4
    return quantize(x, "bf16").dequantize()


def _digest(array: npt.NDArray[np.generic]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def mlx_arrays(
    storage: Bytes, bits: int, group: int
) -> tuple[npt.NDArray[np.uint32], FloatArray, FloatArray]:
    """``w_q`` (rows, words), scales and biases (rows, groups) of the records (rows, bytes)."""
    rows = storage.shape[0]
    records = storage.reshape(rows, -1, group * bits // 8 + 4)
    words = np.ascontiguousarray(records[:, :, :-4]).reshape(rows, -1).view(np.uint32)
    ends = np.ascontiguousarray(records[:, :, -4:]).view(np.uint16)
    return words, decode(ends[:, :, 0], "bf16"), decode(ends[:, :, 1], "bf16")


def mlx_values(codes: Bytes, scales: FloatArray, biases: FloatArray, stored: str) -> FloatArray:
    """The values (n, group) that ``mlx.core.dequantize`` gives: product and sum each rounded to
    the ``stored`` type. Matrix products keep both in float32."""
    product = _rounded(codes.astype(np.float32) * scales[:, None], stored)
    return _rounded(product + biases[:, None], stored)


def _rounded(values: FloatArray, stored: str) -> FloatArray:
    return values if stored == "fp32" else decode(encode(values, stored), stored)


def test_the_input_is_the_recorded_one() -> None:
    assert _digest(_input()) == RECORDED["input_sha256"]
    assert set(RECORDED["cases"]) == set(mlx_scheme_ids())


@pytest.mark.parametrize("bits", MLX_BITS)
@pytest.mark.parametrize("group", MLX_GROUPS)
def test_affine_bytes_and_values_are_mlx_own(bits: int, group: int) -> None:
    id = f"mlx-{bits}bit-g{group}"
    case, result = RECORDED["cases"][id], quantize(_input(), id)
    assert result.storage is not None
    words, scales, biases = mlx_arrays(result.storage, bits, group)
    assert _digest(words) == case["w_q"]
    assert _digest(scales) == case["scales"]
    assert _digest(biases) == case["biases"]
    codes = result.codes.reshape(-1, group)
    values = mlx_values(codes, scales.reshape(-1), biases.reshape(-1), "bf16")
    assert _digest(values.reshape(24, 256)) == case["values"]
    assert result.nbytes == case["nbytes"] == weight_bytes(scheme(id), 24, 256)
    taken = mlx_values(codes, scales.reshape(-1), biases.reshape(-1), "fp32")
    assert np.array_equal(result.dequantize(), taken.reshape(24, 256))


def test_mxfp4_bytes_and_values_are_mlx_own() -> None:
    case, result = RECORDED["cases"]["mlx-mxfp4"], quantize(_input(), "mlx-mxfp4")
    assert result.storage is not None
    records = result.storage.reshape(24, -1, 17)
    packed = np.ascontiguousarray(records[:, :, :-1]).reshape(24, -1).view(np.uint32)
    assert _digest(packed) == case["w_q"]
    assert _digest(records[:, :, -1]) == case["scales"]
    assert _digest(result.dequantize()) == case["values"]
    assert result.nbytes == case["nbytes"]


@given(
    st.sampled_from(MLX_BITS),
    st.lists(st.floats(-1e4, 1e4, width=32), min_size=32, max_size=32),
)
def test_the_end_of_larger_magnitude_is_exact_and_the_rest_within_a_step(
    bits: int, group: list[float]
) -> None:
    values = np.array([group], dtype=np.float32)
    codes, scale, bias = affine_groups(values, bits)
    back = codes * scale[:, None].astype(np.float64) + bias[:, None]
    high, low = values.max(), values.min()
    end = low if abs(low) > abs(high) else high
    span = float(values.max()) - float(values.min())
    if abs(end) > 1e-3:
        assert np.isclose(back[0], end, rtol=1e-6, atol=1e-6).any()
    # The step is stretched until it divides the end: by half a step of 2^bits - 1 at most.
    assert np.abs(back - values).max() <= max(span, 1e-6) / (2**bits - 1) * 1.01 + 1e-6


def test_bits_and_names() -> None:
    assert bits_per_element(scheme("mlx-4bit-g64").weight) == 4.5
    assert bits_per_element(scheme("mlx-8bit-g32").weight) == 9.0
    assert bits_per_element(scheme("mlx-mxfp4").weight) == 4.25
    assert scheme("mlx-4bit").id == "mlx-4bit-g64"
    assert scheme("MLX_6BIT").id == "mlx-6bit-g64"
    assert len(mlx_scheme_ids()) == 19
    with pytest.raises(InputError, match="whole blocks of 64"):
        quantize(np.ones((2, 96), np.float32), "mlx-4bit-g64")
