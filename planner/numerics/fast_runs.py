"""Whole blocks in a row, compiled by numba: maxima, scales and codes of a piece in one go. Import
lazily: it needs the ``[fast]`` extra.

A piece of about 2,048 elements stays in the first-level cache between its steps. Every step is one
long loop over contiguous memory, whatever the width of a block, because that is what the compiler
vectorises: factors are first spread to one an element.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from planner.formats.spec import ElementFormat
from planner.numerics.engines import kernel
from planner.numerics.fast_cast import INTEGER, Bytes, CastParameters
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
PIECE = 2048  # elements


@kernel
def _fold(a: Signed, b: Signed, out: Signed) -> None:
    """Larger magnitudes of two runs."""
    for i in range(out.size):
        v, w = np.int32(a[i] & np.int32(0x7FFFFFFF)), np.int32(b[i] & np.int32(0x7FFFFFFF))
        out[i] = v if v > w else w


@kernel
def largest(bits: Signed) -> Any:
    largest = np.int32(0)
    for i in range(bits.size):
        v = np.int32(bits[i] & np.int32(0x7FFFFFFF))
        largest = v if v > largest else largest
    return largest


@kernel
def _amax(bits: Signed, width: int, t: Signed, u: Signed, out: Signed) -> None:
    """Largest magnitude of each block. Blocks of 16 and 32 are folded in halves by long loops, down
    to eight neighbours."""
    n = bits.size
    if width != 16 and width != 32:
        for b in range(out.size):
            out[b] = largest(bits[b * width : b * width + width])
        return
    half = width // 2
    _fold(bits[: n - half], bits[half:], t[: n - half])
    if width == 32:
        _fold(t[: n - 24], t[8 : n - 16], u[: n - 24])
        t = u
    octets = t[:n].reshape(out.size, width)
    for b in range(out.size):
        low = max(max(octets[b, 0], octets[b, 1]), max(octets[b, 2], octets[b, 3]))
        high = max(max(octets[b, 4], octets[b, 5]), max(octets[b, 6], octets[b, 7]))
        out[b] = max(low, high)


@kernel
def _spread(factors: FloatArray, unit: np.float32, width: int, wide: FloatArray) -> None:
    """Each factor times ``unit`` for every element of its block, two at a time."""
    pairs = wide[: factors.size * width].view(np.uint64).reshape(factors.size, width // 2)
    for b in range(factors.size):
        word = np.uint64(np.float32(factors[b] * unit).view(np.uint32))
        word = word | (word << np.uint64(32))
        for k in range(width // 2):
            pairs[b, k] = word


@kernel
def _integer_codes(
    x: FloatArray, wide: FloatArray, divide: bool, low: np.float32, high: np.float32,
    mask: np.uint8, out: Bytes,
) -> None:
    """Codes of elements over (or times) their factor, clipped, to nearest even."""
    magic = np.float32(12582912.0)
    for i in range(x.size):
        q = np.float32(x[i] / wide[i] if divide else x[i] * wide[i])
        q = np.float32(max(min(q, high), low))
        out[i] = np.uint8(np.int32(np.float32(q + magic) - magic)) & mask


@kernel
def _codes(x: FloatArray, wide: FloatArray, divide: bool, r: CastParameters, out: Bytes) -> None:
    """Codes of finite elements over (or times) their factor, to nearest even."""
    over, lowest, ceiling, add = np.uint32(r.special[0]), r.lowest, r.ceiling, r.add
    shift, sign_bit = np.uint32(r.shift & np.uint32(31)), r.sign_bit
    sign_shift = np.uint32(r.sign_shift & np.uint32(31))
    for i in range(x.size):
        q = np.float32(x[i] / wide[i] if divide else x[i] * wide[i])
        bits = q.view(np.uint32)
        v = np.uint32(min(np.uint32(bits & np.uint32(0x7FFFFFFF)), ceiling))
        e = np.uint32(max(np.uint32(v & np.uint32(0x7F800000)), lowest))
        c = np.uint32(e + add)
        total = np.float32(v.view(np.float32) + c.view(np.float32))
        above = np.uint32(np.uint32(e - lowest) >> shift)
        code = np.uint32(min(np.uint32(np.uint32(total.view(np.uint32) - c) + above), over))
        out[i] = np.uint8(code | np.uint32(np.uint32(bits >> sign_shift) & sign_bit))


@kernel
def _integers(
    x: FloatArray, wide: FloatArray, divide: bool, low: np.float32, high: np.float32,
    out: FloatArray,
) -> None:
    """Clipped quotients, to nearest even; -0 becomes 0, as codes have no -0."""
    magic = np.float32(12582912.0)
    for i in range(x.size):
        q = np.float32(x[i] / wide[i] if divide else x[i] * wide[i])
        out[i] = np.float32(np.float32(max(min(q, high), low)) + magic) - magic


@kernel
def _round(x: FloatArray, wide: FloatArray, divide: bool, r: CastParameters,
           out: FloatArray) -> None:
    """Rounded quotients as values, saturating, -0 kept."""
    lowest, ceiling, add, largest = r.lowest, r.ceiling, r.add, r.largest
    for i in range(x.size):
        q = np.float32(x[i] / wide[i] if divide else x[i] * wide[i])
        bits = q.view(np.uint32)
        v = np.uint32(min(np.uint32(bits & np.uint32(0x7FFFFFFF)), ceiling))
        c = np.uint32(max(np.uint32(v & np.uint32(0x7F800000)), lowest) + add).view(np.float32)
        y = np.float32(min(np.float32((v.view(np.float32) + c) - c), largest))
        word = np.uint32(y.view(np.uint32) | np.uint32(bits & np.uint32(0x80000000)))
        out[i] = word.view(np.float32)


@kernel
def _times(x: FloatArray, wide: FloatArray) -> None:
    for i in range(x.size):
        x[i] = x[i] * wide[i]


@kernel
def _cast(
    x: FloatArray, wide: FloatArray, divide: bool, r: CastParameters, low: np.float32,
    high: np.float32, keep: bool, codes: Bytes, values: FloatArray,
) -> None:
    if r.kind == INTEGER and keep:
        _integer_codes(x, wide, divide, low, high, np.uint8(r.sign_bit * 2 - 1), codes)
    elif r.kind == INTEGER:
        _integers(x, wide, divide, low, high, values)
    elif keep:
        _codes(x, wide, divide, r, codes)
    else:
        _round(x, wide, divide, r, values)


@kernel
def run(
    x: FloatArray, width: int, s: ScaleRecipe, r: CastParameters, divide: bool, low: np.float32,
    high: np.float32, keep: bool, codes: Bytes, values: FloatArray, scales: FloatArray,
) -> Any:
    """Blocks of a run to ``codes`` where ``keep``, else to ``values``; the bits of the largest."""
    piece = max(width, PIECE // width * width)
    t, u = np.zeros(piece, np.int32), np.zeros(piece, np.int32)
    amax, divisor = np.empty(piece // width, np.int32), np.empty(piece // width, np.float32)
    wide = np.empty(piece, np.float32)
    most = np.int32(0)
    for start in range(0, x.size, piece):
        part = x[start : min(start + piece, x.size)]
        blocks = part.size // width
        found = amax[:blocks]
        _amax(part.view(np.int32), width, t, u, found)
        most = max(most, largest(found))
        own = scales[start // width : start // width + blocks]
        scale_blocks(found.view(np.float32), s, not divide, own, divisor[:blocks])
        _spread(divisor[:blocks], np.float32(1), width, wide)
        factors, stop = wide[: part.size], start + part.size
        _cast(part, factors, divide, r, low, high, keep, codes[start:stop], values[start:stop])
        if not keep:
            _spread(own, s.unit, width, wide)
            _times(values[start:stop], factors)
    return most


@kernel
def _integer_values(codes: Bytes, wide: FloatArray, bits: np.uint32, out: FloatArray) -> None:
    """Two's complement integers times a factor; NaN beyond ``bits``."""
    sign, beyond = np.int32(1 << (bits - 1)), np.int32((1 << bits) - 1)
    for i in range(codes.size):
        code = np.int32(codes[i])
        y = np.float32(np.int32(np.int32(code ^ sign) - sign)) * wide[i]
        out[i] = np.float32(np.nan) if code > beyond else y


@kernel
def _float_values(codes: Bytes, wide: FloatArray, f: FloatRecipe, out: FloatArray) -> None:
    """Signed floats times a factor; infinities above ``f.top``, NaN above ``f.last``."""
    shift, sign = np.uint32((23 - f.mantissa) & 31), np.uint32((32 - f.bits) & 31)
    offset, normal = np.uint32((127 - f.bias) << 23), np.uint32(1 << f.mantissa)
    mask, beyond = np.uint32((1 << (f.bits - 1)) - 1), np.uint32((1 << f.bits) - 1)
    for i in range(codes.size):
        code = np.uint32(codes[i])
        a = np.uint32(code & mask)
        large = np.uint32(np.uint32(a << shift) + offset)
        small = np.float32(np.float32(np.int32(a)) * f.least).view(np.uint32)
        y = large if a >= normal else small
        y = np.uint32(0x7F800000) if a > f.top else y
        y = np.uint32(y | np.uint32(np.uint32(code << sign) & np.uint32(0x80000000)))
        y = np.uint32(0x7FC00000) if a > f.last else y
        word = np.uint32(np.uint32(0x7FC00000) if code > beyond else y)
        out[i] = word.view(np.float32) * wide[i]


@kernel
def _ordinary(codes: Bytes, mask: np.uint8, top: np.uint8, beyond: np.uint8) -> Any:
    """Whether all codes are finite numbers within the width of the format."""
    magnitude, code = np.uint8(0), np.uint8(0)
    for i in range(codes.size):
        a = np.uint8(codes[i] & mask)
        magnitude = a if a > magnitude else magnitude
        code = codes[i] if codes[i] > code else code
    return magnitude <= top and code <= beyond


@kernel
def _finite_values(codes: Bytes, wide: FloatArray, f: FloatRecipe, out: FloatArray) -> None:
    """:func:`_float_values` where all codes are ordinary."""
    shift, sign = np.uint32((23 - f.mantissa) & 31), np.uint32((32 - f.bits) & 31)
    offset, normal = np.uint32((127 - f.bias) << 23), np.uint32(1 << f.mantissa)
    mask = np.uint32((1 << (f.bits - 1)) - 1)
    for i in range(codes.size):
        code = np.uint32(codes[i])
        a = np.uint32(code & mask)
        large = np.uint32(np.uint32(a << shift) + offset)
        small = np.float32(np.float32(np.int32(a)) * f.least).view(np.uint32)
        y = np.uint32(large if a >= normal else small)
        word = np.uint32(y | np.uint32(np.uint32(code << sign) & np.uint32(0x80000000)))
        out[i] = word.view(np.float32) * wide[i]


@kernel
def _values(
    codes: Bytes, scales: FloatArray, unit: np.float32, width: int, integer: bool,
    f: FloatRecipe, out: FloatArray,
) -> None:
    """Codes of a run of blocks, times their block's scale."""
    piece = max(width, PIECE // width * width)
    wide = np.empty(piece, np.float32)
    mask, beyond = np.uint8((1 << (f.bits - 1)) - 1), np.uint8((1 << f.bits) - 1)
    for start in range(0, codes.size, piece):
        stop = min(start + piece, codes.size)
        _spread(scales[start // width : stop // width], unit, width, wide)
        if integer:
            _integer_values(codes[start:stop], wide, f.bits, out[start:stop])
        elif _ordinary(codes[start:stop], mask, np.uint8(f.top), beyond):
            _finite_values(codes[start:stop], wide, f, out[start:stop])
        else:
            _float_values(codes[start:stop], wide, f, out[start:stop])


def decode(
    codes: Bytes, scales: FloatArray, unit: float, width: int, fmt: ElementFormat, out: FloatArray
) -> None:
    """Values of a run of blocks (all one-dimensional) of a signed format of up to 8 bits."""
    _values(codes, scales, np.float32(unit), width, fmt.kind == "int", _float_recipe(fmt), out)


@cache
def _float_recipe(fmt: ElementFormat) -> FloatRecipe:
    word, top = np.uint32, max_code(fmt)
    infinite = fmt.bits == 8 and bool(np.isinf(decode_table(fmt.id)[(top + 1) & 127]))
    return FloatRecipe(word(fmt.bits), word(fmt.mantissa_bits), word(fmt.bias),
                       np.float32(fmt.min_subnormal), word(top), word(top + infinite))
