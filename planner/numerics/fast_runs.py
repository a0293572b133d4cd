"""Whole blocks in a row, compiled by numba: maxima, scales and codes of a piece in one go. Import
lazily: it needs the ``[fast]`` extra.

A piece of about 4,096 elements stays in the first-level cache between its steps. Each block has one
scalar factor for inner loops of fixed length, LANES, which the compiler turns into vector
instructions without remainders; widths are multiples of it.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from planner.formats.spec import ElementFormat
from planner.numerics.engines import kernel
from planner.numerics.fast_cast import (
    INTEGER,
    Bytes,
    CastParameters,
    Words,
)
from planner.numerics.fast_scales import ScaleRecipe, scale_blocks
from planner.numerics.reference import max_code
from planner.numerics.tables import decode_table
from planner.numerics.tiles import FloatArray


class FloatRecipe(NamedTuple):
    """A signed float format: widths, bias, smallest subnormal, codes of the largest finite value
    and of the last one that is not NaN."""

    bits: np.uint32
    mantissa: np.uint32
    bias: np.uint32
    least: np.float32
    top: np.uint32
    last: np.uint32


Signed = npt.NDArray[np.int32]
PIECE = 4096  # elements
LANES = 16  # of the inner loops


@kernel
def _fold(pairs: npt.NDArray[np.uint64], out: Words) -> None:
    """The larger magnitude of each two neighbours."""
    mask = np.uint64(0x7FFFFFFF)
    for i in range(out.size):
        low = np.uint64(pairs[i] & mask)
        high = np.uint64(np.uint64(pairs[i] >> np.uint64(32)) & mask)
        out[i] = np.uint32(low if low > high else high)


@kernel
def largest(bits: Signed) -> Any:
    largest = np.int32(0)
    for i in range(bits.size):
        v = np.int32(bits[i] & np.int32(0x7FFFFFFF))
        largest = v if v > largest else largest
    return largest


@kernel
def _amax(bits: Signed, width: int, t: Words, u: Words, out: Signed) -> None:
    """Largest magnitude of each block. Blocks of 16 and 32 are folded in pairs, all at once."""
    if width != 16 and width != 32:
        for b in range(out.size):
            out[b] = largest(bits[b * width : b * width + width])
        return
    n = bits.size
    _fold(bits.view(np.uint64), t[: n // 2])
    _fold(t[: n // 2].view(np.uint64), u[: n // 4])
    _fold(u[: n // 4].view(np.uint64), t[: n // 8])
    if width == 16:
        _fold(t[: n // 8].view(np.uint64), out.view(np.uint32))
    else:
        _fold(t[: n // 8].view(np.uint64), u[: n // 16])
        _fold(u[: n // 16].view(np.uint64), out.view(np.uint32))


@kernel
def _codes(x: FloatArray, divisor: FloatArray, divide: bool, p: Words, out: Bytes) -> None:
    """Codes of elements over (or times) their block's divisor, to nearest even, as
    :func:`planner.numerics.fast_cast.encode_nearest`; rows of LANES."""
    shift, sign_shift = np.uint32(p[0] & np.uint32(31)), np.uint32(p[4] & np.uint32(31))
    add, normal, magic, sign_bit, over, inf = p[1], p[2], p[3], p[5], p[6], p[7]
    last, nan, flip, least = p[8], p[9], p[10], np.int32(p[11])
    constant = np.uint32(p[3]).view(np.float32)
    per = x.shape[0] // divisor.size
    for n in range(divisor.size):
        d = divisor[n]
        for j in range(n * per, n * per + per):
            for k in range(LANES):
                b = np.float32(x[j, k] / d if divide else x[j, k] * d).view(np.uint32)
                a = np.uint32(b & np.uint32(0x7FFFFFFF))
                odd = np.uint32(np.uint32(a >> shift) & np.uint32(1))
                large = np.uint32(np.uint32(np.uint32(a + add) + odd) >> shift)
                total = np.float32(a.view(np.float32) + constant)
                small = np.uint32(total.view(np.uint32) - magic)
                code = np.uint32(min(np.uint32(small if a < normal else large), over))
                code = np.uint32(inf if a == np.uint32(0x7F800000) else code)
                sign = np.uint32(np.uint32(b >> sign_shift) & sign_bit)
                wrong = np.uint32(nan ^ np.uint32(sign & flip))
                sign = np.uint32(sign if np.int32(code) > least else np.uint32(0))
                out[j, k] = np.uint8(wrong if a > last else np.uint32(code | sign))


@kernel
def _rounded(
    x: FloatArray, divisor: FloatArray, factor: FloatArray, divide: bool, p: Words, out: FloatArray
) -> None:
    """Rounded quotients times a factor, to nearest even, saturating, -0 kept; rows of LANES."""
    shift, normal, top = np.uint32(p[0] & np.uint32(31)), p[2], p[14]
    magic, unit = np.uint32(p[3]).view(np.float32), np.uint32(np.uint32(1) << shift)
    half, keep = np.uint32(np.uint32(unit >> np.uint32(1)) - np.uint32(1)), np.uint32(-unit)
    per = x.shape[0] // divisor.size
    for n in range(divisor.size):
        d, f = divisor[n], factor[n]
        for j in range(n * per, n * per + per):
            for k in range(LANES):
                b = np.float32(x[j, k] / d if divide else x[j, k] * d).view(np.uint32)
                a = np.uint32(b & np.uint32(0x7FFFFFFF))
                odd = np.uint32(np.uint32(a >> shift) & np.uint32(1))
                large = np.uint32(np.uint32(np.uint32(a + half) + odd) & keep)
                small = np.float32(np.float32(a.view(np.float32) + magic) - magic)
                y = np.uint32(min(small.view(np.uint32) if a < normal else large, top))
                y = np.uint32(y | np.uint32(b & np.uint32(0x80000000)))
                out[j, k] = y.view(np.float32) * f


@kernel
def _integer_block(
    x: FloatArray,
    d: np.float32,
    f: np.float32,
    divide: bool,
    low: np.float32,
    high: np.float32,
    out: FloatArray,
) -> None:
    """Clipped quotients, to nearest even, times a factor; -0 becomes 0, as codes have no -0."""
    magic = np.float32(12582912.0)
    for i in range(x.size):
        q = np.float32(x[i] / d if divide else x[i] * d)
        q = np.float32(np.float32(max(min(q, high), low)) + magic) - magic
        out[i] = np.float32(q) * f


@kernel
def _integer_block_codes(
    x: FloatArray,
    d: np.float32,
    divide: bool,
    low: np.float32,
    high: np.float32,
    mask: np.uint8,
    out: Bytes,
) -> None:
    magic = np.float32(12582912.0)
    for i in range(x.size):
        q = np.float32(x[i] / d if divide else x[i] * d)
        q = np.float32(max(min(q, high), low))
        out[i] = np.uint8(np.int32(np.float32(q + magic) - magic)) & mask


@kernel
def _cast(
    x: FloatArray,
    divisor: FloatArray,
    factor: FloatArray,
    divide: bool,
    r: CastParameters,
    low: np.float32,
    high: np.float32,
    keep: bool,
    codes: Bytes,
    values: FloatArray,
) -> None:
    """Blocks to ``codes`` where ``keep``, else to ``values``."""
    rows, width = (x.size // LANES, LANES), x.size // divisor.size
    if r.kind == INTEGER:
        for b in range(divisor.size):
            left, right = b * width, b * width + width
            if keep:
                _integer_block_codes(
                    x[left:right],
                    divisor[b],
                    divide,
                    low,
                    high,
                    np.uint8(r.words[0]),
                    codes[left:right],
                )
            else:
                _integer_block(
                    x[left:right], divisor[b], factor[b], divide, low, high, values[left:right]
                )
    elif keep:
        _codes(x.reshape(rows), divisor, divide, r.words, codes.reshape(rows))
    else:
        _rounded(x.reshape(rows), divisor, factor, divide, r.words, values.reshape(rows))


@kernel
def run(
    x: FloatArray,
    width: int,
    s: ScaleRecipe,
    r: CastParameters,
    divide: bool,
    low: np.float32,
    high: np.float32,
    keep: bool,
    codes: Bytes,
    values: FloatArray,
    scales: FloatArray,
) -> Any:
    """Blocks of a run to ``codes`` where ``keep``, else to ``values``; the bits of the largest."""
    piece = max(width, PIECE // width * width)
    t, u = np.zeros(piece // 2, np.uint32), np.zeros(piece // 4, np.uint32)
    amax, divisor = np.empty(piece // width, np.int32), np.empty(piece // width, np.float32)
    factor = np.empty(piece // width, np.float32)
    most = np.int32(0)
    for start in range(0, x.size, piece):
        stop = min(start + piece, x.size)
        first, blocks = start // width, (stop - start) // width
        block_amax, own = amax[:blocks], scales[first : first + blocks]
        _amax(x[start:stop].view(np.int32), width, t, u, block_amax)
        most = max(most, largest(block_amax))
        scale_blocks(block_amax.view(np.float32), s, not divide, own, divisor[:blocks])
        for b in range(blocks):
            factor[b] = own[b] * s.unit
        _cast(
            x[start:stop],
            divisor[:blocks],
            factor[:blocks],
            divide,
            r,
            low,
            high,
            keep,
            codes[start:stop],
            values[start:stop],
        )
    return most


@kernel
def _integer_values(codes: Bytes, factor: np.float32, bits: np.uint32, out: FloatArray) -> None:
    """Two's complement integers times a factor; NaN beyond ``bits``."""
    sign, beyond = np.int32(1 << (bits - 1)), np.int32((1 << bits) - 1)
    for i in range(codes.size):
        code = np.int32(codes[i])
        y = np.float32(np.int32(np.int32(code ^ sign) - sign)) * factor
        out[i] = np.float32(np.nan) if code > beyond else y


@kernel
def _float_values(codes: Bytes, factor: FloatArray, f: FloatRecipe, out: FloatArray) -> None:
    """Signed floats times a factor; infinities above ``f.top``, NaN above ``f.last``."""
    shift, sign = np.uint32((23 - f.mantissa) & 31), np.uint32((32 - f.bits) & 31)
    offset, normal = np.uint32((127 - f.bias) << 23), np.uint32(1 << f.mantissa)
    mask, beyond = np.uint32((1 << (f.bits - 1)) - 1), np.uint32((1 << f.bits) - 1)
    per = codes.shape[0] // factor.size
    for b in range(factor.size):
        by = factor[b]
        for j in range(b * per, b * per + per):
            for k in range(LANES):
                code = np.uint32(codes[j, k])
                a = np.uint32(code & mask)
                large = np.uint32(np.uint32(a << shift) + offset)
                small = np.float32(np.float32(np.int32(a)) * f.least).view(np.uint32)
                y = large if a >= normal else small
                y = np.uint32(0x7F800000) if a > f.top else y
                y = np.uint32(y | np.uint32(np.uint32(code << sign) & np.uint32(0x80000000)))
                y = np.uint32(0x7FC00000) if a > f.last else y
                word = np.uint32(np.uint32(0x7FC00000) if code > beyond else y)
                out[j, k] = word.view(np.float32) * by


@kernel
def _values(
    codes: Bytes,
    scales: FloatArray,
    unit: np.float32,
    width: int,
    integer: bool,
    f: FloatRecipe,
    out: FloatArray,
) -> None:
    """Codes of a run of blocks, times their block's scale."""
    factor = np.empty(scales.size, np.float32)
    for b in range(scales.size):
        factor[b] = scales[b] * unit
    if integer:
        for b in range(scales.size):
            left, right = b * width, b * width + width
            _integer_values(codes[left:right], factor[b], f.bits, out[left:right])
    else:
        rows = codes.size // LANES, LANES
        _float_values(codes.reshape(rows), factor, f, out.reshape(rows))


def decode(
    codes: Bytes, scales: FloatArray, unit: float, width: int, fmt: ElementFormat, out: FloatArray
) -> None:
    """Values of a run of blocks (all one-dimensional) of a signed format of up to 8 bits."""
    _values(codes, scales, np.float32(unit), width, fmt.kind == "int", _float_recipe(fmt), out)


@cache
def _float_recipe(fmt: ElementFormat) -> FloatRecipe:
    word, top = np.uint32, max_code(fmt)
    infinite = fmt.bits == 8 and bool(np.isinf(decode_table(fmt.id)[(top + 1) & 127]))
    return FloatRecipe(
        word(fmt.bits),
        word(fmt.mantissa_bits),
        word(fmt.bias),
        np.float32(fmt.min_subnormal),
        word(top),
        word(top + infinite),
    )
