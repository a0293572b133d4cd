"""MLX's groups, bit for bit as ``mlx.core.quantize`` makes them on a CPU (0.32).

Affine: a group of w has a scale s and a bias b in the type of the weights, and unsigned codes q;
a value is s · q + b. s begins as (max - min) / (2^bits - 1), at least 1e-7, negative where the
largest magnitude is positive; then the end of larger magnitude is made exact: q₀ = round(end / s),
s = end / q₀, b = end. Codes are taken with s and b in float32, before they are rounded to the
stored type. MXFP4: scale 2^⌈log2(amax / 6)⌉, the nearest of E2M1, of two equally near the smaller,
zeros positive.

Storage is one record a group (codes little-endian, then scale and bias), where MLX keeps three
arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from planner.formats.stored_schemes import MLX_BITS, MLX_GROUPS
from planner.numerics.cast import decode, encode
from planner.numerics.ggml_blocks import BlockParts, Bytes
from planner.numerics.ggml_registry import GgmlType
from planner.numerics.tiles import FloatArray

MXFP4 = "mlx-mxfp4"
_LEAST = np.float32(1e-7)
_MX_GROUP, _MX_BYTES = 32, 17
_BOUNDS = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0], dtype=np.float32)
_DOUBLED = np.array([0, 1, 2, 3, 4, 6, 8, 12], dtype=np.int8)


def affine_name(bits: int, group: int) -> str:
    """The block type of groups of ``group`` codes of ``bits``."""
    return f"mlx{bits}-g{group}"


def affine_groups(
    groups: FloatArray, bits: int
) -> tuple[npt.NDArray[np.uint8], FloatArray, FloatArray]:
    """Codes (n, group), scales (n,) and biases (n,) of groups (n, group), all before rounding to
    the stored type."""
    high, low = groups.max(axis=1), groups.min(axis=1)
    top = np.float32((1 << bits) - 1)
    below = np.abs(low) > np.abs(high)
    scale = np.maximum((high - low) / top, _LEAST)
    scale = np.where(below, scale, -scale)
    end = np.where(below, low, high)
    steps = np.rint(end / scale)
    exact = steps != 0
    scale = np.where(exact, end / np.where(exact, steps, np.float32(1)), scale)
    bias = np.where(exact, end, np.float32(0))
    codes = np.clip(np.rint((groups - bias[:, None]) / scale[:, None]), np.float32(0), top)
    return codes.astype(np.uint8), scale, bias


def _write(bits: int, groups: FloatArray) -> Bytes:
    """(n, group) → (n, bytes of a record)."""
    codes, scale, bias = affine_groups(groups, bits)
    spread = np.unpackbits(codes[:, :, None], axis=2, count=bits, bitorder="little")
    packed = np.packbits(spread.reshape(len(codes), -1), axis=1, bitorder="little")
    ends = np.stack([encode(scale, "bf16"), encode(bias, "bf16")], axis=1).astype(np.uint16)
    return np.concatenate([packed, ends.view(np.uint8)], axis=1)


def _read(bits: int, stored: Bytes) -> BlockParts:
    spread = np.unpackbits(stored[:, :-4], axis=1, bitorder="little")
    powers = (1 << np.arange(bits)).astype(np.uint8)
    codes = (spread.reshape(len(stored), -1, bits) * powers).sum(axis=2, dtype=np.uint8)
    ends = np.ascontiguousarray(stored[:, -4:]).view(np.uint16)
    scale, bias = decode(ends[:, :1], "bf16"), decode(ends[:, 1:], "bf16")
    return BlockParts(codes, scale, minima=-bias)


def _write_mxfp4(groups: FloatArray) -> Bytes:
    raw = np.abs(groups).max(axis=1) / np.float32(6)
    fraction, exponent = np.frexp(raw)
    power = np.where(raw > 0, exponent - (fraction == 0.5), 0)
    field = np.clip(power + 127, 0, 254).astype(np.uint8)
    scaled = groups / np.exp2(field.astype(np.float32) - 127)[:, None]
    codes = np.searchsorted(_BOUNDS, np.abs(scaled)).astype(np.uint8)
    codes |= np.where((scaled < 0) & (codes > 0), np.uint8(8), np.uint8(0))
    return np.concatenate([codes[:, ::2] | codes[:, 1::2] << 4, field[:, None]], axis=1)


def _read_mxfp4(stored: Bytes) -> BlockParts:
    pairs = stored[:, :-1]
    codes = np.stack([pairs & 15, pairs >> 4], axis=2).reshape(len(stored), -1)
    levels = np.where(codes < 8, _DOUBLED[codes & 7], -_DOUBLED[codes & 7])
    scale = np.exp2(stored[:, -1:].astype(np.float32) - 128)
    return BlockParts(levels.astype(np.int8).view(np.uint8), scale)


def _affine_type(bits: int, group: int) -> GgmlType:
    def encode_rows(rows: FloatArray, importance: FloatArray | None) -> Bytes:
        return _write(bits, rows.reshape(-1, group)).reshape(len(rows), -1)

    size = group * bits // 8 + 4
    return GgmlType(affine_name(bits, group), group, size, partial(_read, bits), encode_rows)


def _encode_mxfp4(rows: FloatArray, importance: FloatArray | None) -> Bytes:
    return _write_mxfp4(rows.reshape(-1, _MX_GROUP)).reshape(len(rows), -1)


MLX_TYPES: Mapping[str, GgmlType] = MappingProxyType(
    {
        affine_name(bits, group): _affine_type(bits, group)
        for bits in MLX_BITS
        for group in MLX_GROUPS
    }
    | {MXFP4: GgmlType(MXFP4, _MX_GROUP, _MX_BYTES, _read_mxfp4, _encode_mxfp4)}
)
"""Block types of MLX by name."""
