"""Vectorised casts between float32 and every element format, bit-equal to the reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnknownNameError
from planner.base.typed import typed
from planner.formats.elements import element
from planner.formats.spec import ElementFormat
from planner.numerics import tiles, wide
from planner.numerics.engines import Chosen, Engine, resolve_engine, run
from planner.numerics.policies import Policy, resolve_policy
from planner.numerics.tables import decode_table, pair_table, table_of, value_table
from planner.numerics.tiles import FloatArray, Tile, as_float32

__all__ = ["CHUNK", "Codes", "FloatArray", "as_float32", "code_dtype", "decode", "decode_flat",
           "encode", "encode_flat", "pack4", "unpack4"]  # fmt: skip

Codes = npt.NDArray[np.unsignedinteger[Any]]

# Elements a step: the temporaries (4 + 8 + 1 bytes each) stay in a level-2 cache.
CHUNK = 1 << 15
# Arrays so small that calling numpy costs more than it computes.
FEW = 1 << 10
_LOWER, _HALF = np.uint32(0xFFFF), np.uint32(16)
# Where nothing has to be converted first: what a thread takes at once.
_FAST_TILE = {"numpy": 1 << 18, "numba": 1 << 22}


@typed
def encode(
    x: npt.ArrayLike,
    format: str,
    *,
    policy: str | Policy = "ocp",
    rng: np.random.Generator | None = None,
    engine: Chosen = "auto",
    threads: int = 1,
    out: Codes | None = None,
) -> Codes:
    """Codes of ``x`` in ``format``, of the shape of ``x``.

    uint8 for formats of up to 8 bits (one code a byte, integers as two's complement bit patterns),
    uint16 for BF16 and FP16, uint32 for FP32 and TF32. Integers and float64 input are rounded
    once, to odd in between, so that narrow formats see no double rounding.

    ``policy``: a preset name or a :class:`Policy`; ``rng``: the Generator of stochastic rounding,
    which takes one 32-bit draw an element in C order. ``engine``: numpy, or numba for formats of up
    to 8 bits and plain BF16, with the same codes; ``auto`` is numba where it is installed, has the
    kernel and ``x`` is large. ``out``: contiguous memory for the result.
    Raises UnknownNameError for an unknown format, preset or engine, InputError for input that is
    not real, for a Generator without stochastic rounding or the reverse, and UnsupportedError where
    numba has no kernel or is not installed.
    """
    fmt, chosen = _choice(format, policy)
    source = tiles.as_array(x)
    used = resolve_engine(
        engine, threads, source.size, covered=has_kernel(fmt, chosen) and rng is None
    )
    check_rng(chosen, rng, threads)
    codes = tiles.output_array(out, source.shape, code_dtype(fmt))
    fast, is_contiguous = _FAST_TILE[used], source.flags.c_contiguous
    if is_contiguous and source.dtype == np.float32 and source.size <= fast:
        encode_flat(source.reshape(-1), fmt, chosen, codes.reshape(-1), rng=rng, engine=used)
        return codes
    target = codes.reshape(tiles.matrix_shape(source.shape))
    if is_contiguous:
        source, target = source.reshape(1, -1), target.reshape(1, -1)
    step = fast if source.dtype == np.float32 else CHUNK

    def work(tile: Tile) -> None:
        part = tiles.fetch(source, tile, exact=fmt.id == "fp32").reshape(-1)
        encode_flat(part, fmt, chosen, tile.of(target).reshape(-1), rng=rng, engine=used)

    _finish(run(work, tiles.tiles(*target.shape, step), threads))
    return codes


@typed
def decode(
    codes: npt.ArrayLike,
    format: str,
    *,
    engine: Chosen = "auto",
    threads: int = 1,
    out: FloatArray | None = None,
) -> FloatArray:
    """float32 values of ``codes`` in ``format``, exact for every format, in ``out`` where given.

    ``codes``: integers, or an array of ml_dtypes or numpy whose dtype is the format.
    Raises InputError for codes that are not integers of the format's width, UnknownNameError for an
    unknown format or engine, UnsupportedError where numba has no kernel or is not installed.
    """
    fmt = element(format)
    given = integer_codes(tiles.unmasked(codes), fmt, "codes")
    used = resolve_engine(engine, threads, given.size, covered=fmt.bits <= 8)
    flat = _as_codes(given, fmt).reshape(-1)
    values = tiles.output_array(out, given.shape, np.float32)
    target, step = values.reshape(-1), _FAST_TILE[used]
    if flat.size <= step:
        decode_flat(flat, fmt, target, engine=used)
        return values

    def work(tile: Tile) -> None:
        part = slice(tile.left, tile.right)
        decode_flat(flat[part], fmt, target[part], engine=used)

    _finish(run(work, tiles.tiles(1, flat.size, step), threads))
    return values


@lru_cache(maxsize=256)
def _choice(format: str, policy: str | Policy) -> tuple[ElementFormat, Policy]:
    """The records that the names mean; looking them up costs as much as casting a few numbers."""
    fmt = element(format)
    return fmt, resolve_policy(policy, fmt)


def _finish(results: Iterator[None]) -> None:
    for _ in results:
        pass


def check_rng(policy: Policy, rng: np.random.Generator | None, threads: int) -> None:
    """Raise InputError unless a Generator is there exactly where it is used, by one thread."""
    if policy.rounding == "stochastic":
        if rng is None:
            raise InputError(
                "stochastic rounding needs a Generator",
                hint="pass rng=numpy.random.default_rng(seed)",
            )
        if threads != 1:
            raise InputError(
                f"stochastic rounding with {threads} threads has no order of draws",
                hint="pass threads=1",
            )
    elif rng is not None:
        raise InputError(
            f"a Generator is of no use to rounding {policy.rounding!r}",
            hint="pass a Policy with rounding='stochastic', or no rng",
        )


def integer_codes(given: npt.NDArray[Any], fmt: ElementFormat, name: str) -> npt.NDArray[Any]:
    """``given`` as integers: an array of numbers whose dtype is the format (ml_dtypes'
    ``float8_e4m3fn`` for e4m3fn, numpy's float16 for fp16) is seen as its codes, without a copy.

    Raises InputError for other arrays that are not of integers.
    """
    if given.dtype.kind in "iu":
        return given
    own = _format_of(given.dtype)
    if own is None:
        raise InputError(
            f"{name} has dtype {given.dtype}, {fmt.id} codes are integers",
            hint=f"encode(x, {fmt.id!r}) makes them",
        )
    if own.id != fmt.id:
        raise InputError(
            f"{name} has dtype {given.dtype}, which is {own.id} and not {fmt.id}",
            hint=f"pass {own.id!r} as the format, or encode({name}, {fmt.id!r})",
        )
    return np.ascontiguousarray(given).view(code_dtype(fmt))


def _format_of(dtype: np.dtype[Any]) -> ElementFormat | None:
    """The element format that arrays of ``dtype`` hold one code of in each item."""
    if dtype.names is not None or not dtype.isnative:
        return None
    try:
        element_format = element(dtype.name)
    except UnknownNameError:
        return None
    return (
        element_format if dtype.itemsize == np.dtype(code_dtype(element_format)).itemsize else None
    )


def code_dtype(fmt: ElementFormat) -> type[np.uint8] | type[np.uint16] | type[np.uint32]:
    """The unsigned type that holds one code."""
    return np.uint8 if fmt.bits <= 8 else np.uint16 if fmt.bits == 16 else np.uint32


def encode_flat(
    x: FloatArray,
    fmt: ElementFormat,
    policy: Policy,
    out: npt.NDArray[Any],
    *,
    rng: np.random.Generator | None = None,
    engine: Engine = "numpy",
) -> None:
    """Encode one contiguous float32 vector into ``out`` (the type of :func:`code_dtype`)."""
    if fmt.kind == "int" and fmt.min_subnormal != 1:
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is clipped
            units = x * np.float32(1 / fmt.min_subnormal)
        encode_flat(units, element(f"int{fmt.bits}"), policy, out, rng=rng, engine=engine)
        return
    if rng is not None and fmt.id != "fp32":
        nearest = replace(policy, rounding="nearest")
        for start in range(0, x.size, CHUNK):
            part = wide.stochastic(x[start : start + CHUNK], fmt, rng, policy.random_bits)
            encode_flat(part, fmt, nearest, out[start : start + CHUNK], engine=engine)
        return
    bits = x.view(np.uint32)
    if engine == "numba":
        from planner.numerics import fast_cast

        fast_cast.encode_flat(x, fmt, policy, out)
    elif fmt.kind == "int":
        _encode_ints(x, fmt, policy, out)
    elif fmt.id == "fp32":
        out[:] = bits
    elif fmt.bits <= 8:
        table = table_of(fmt.id, policy)
        if bits.size <= FEW:
            index = bits & _LOWER
            index += _LOWER
            index |= bits
            index >>= _HALF
            table.take(index, out=out, mode="wrap")
            return
        for part_of, entries in _indices(bits):
            # mode="wrap" skips a bounds check that 16-bit indices cannot fail.
            np.take(table, entries, out=out[part_of], mode="wrap")
    else:
        plain = wide.is_plain_bf16(fmt, policy)
        for start in range(0, bits.size, CHUNK):
            chunk = bits[start : start + CHUNK]
            done = wide.encode_bf16(chunk) if plain else wide.encode_wide(chunk, fmt, policy)
            out[start : start + CHUNK] = done


def decode_flat(
    codes: npt.NDArray[Any], fmt: ElementFormat, out: FloatArray, *, engine: Engine = "numpy"
) -> None:
    """Decode one contiguous vector of codes into contiguous float32 ``out``."""
    if engine == "numba":
        from planner.numerics import fast_cast

        fast_cast.decode_flat(codes, fmt, out)
    elif fmt.bits <= 8:
        _decode_pairs(codes, fmt, out)
    elif fmt.id == "fp16":
        with np.errstate(invalid="ignore"):
            out[:] = codes.view(np.float16)
    elif fmt.id == "bf16":
        np.left_shift(codes, np.uint32(16), out=out.view(np.uint32), dtype=np.uint32)
    else:
        out.view(np.uint32)[:] = codes


def _decode_pairs(codes: npt.NDArray[np.uint8], fmt: ElementFormat, out: FloatArray) -> None:
    """Look up two codes at once; the last one of an odd count alone."""
    if codes.size <= FEW:
        decode_table(fmt.id).take(codes, out=out, mode="clip")
        return
    even = codes.size & ~1
    pairs, values = codes[:even].view(np.uint16), out[:even].view(np.uint64)
    table = pair_table(fmt.id)
    index = np.empty(min(CHUNK, pairs.size), dtype=np.intp)
    for start in range(0, pairs.size, CHUNK):
        chunk = pairs[start : start + CHUNK]
        i = index[: chunk.size]
        i[:] = chunk
        # mode="clip" skips a bounds check that 16-bit indices cannot fail.
        np.take(table, i, out=values[start : start + CHUNK], mode="clip")
    out[even:] = decode_table(fmt.id)[codes[even:]]


@typed
def pack4(codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Pack 4-bit codes two to a byte along the last axis, low nibble first.

    Raises InputError for another dtype or a last axis of odd length.
    """
    _check_bytes(codes)
    if codes.shape[-1] % 2:
        raise InputError(
            f"{codes.shape[-1]} four-bit codes do not fill whole bytes",
            hint="pass an even number of codes a row",
        )
    return codes[..., 0::2] & np.uint8(15) | codes[..., 1::2] << np.uint8(4)


@typed
def unpack4(packed: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The inverse of :func:`pack4`: one code a byte."""
    _check_bytes(packed)
    out = np.empty((*packed.shape[:-1], 2 * packed.shape[-1]), dtype=np.uint8)
    out[..., 0::2] = packed & np.uint8(15)
    out[..., 1::2] = packed >> np.uint8(4)
    return out


def _check_bytes(given: npt.NDArray[Any]) -> None:
    if given.dtype != np.uint8 or given.ndim == 0:
        raise InputError(
            f"codes have dtype {given.dtype} and {given.ndim} axes",
            hint="pass uint8 of at least one axis",
        )


def _as_codes(given: npt.NDArray[Any], fmt: ElementFormat) -> npt.NDArray[Any]:
    dtype = np.dtype(code_dtype(fmt))
    if given.dtype == np.int8 and fmt.id == "int8":
        return np.ascontiguousarray(given).view(np.uint8)
    if given.size and (given.dtype != dtype or fmt.bits < 8):
        low, high = int(given.min()), int(given.max())
        if low < 0 or high >= 1 << fmt.bits:
            bad = low if low < 0 else high
            raise InputError(
                f"code {bad} does not fit the {fmt.bits} bits of {fmt.id}",
                hint="pass codes that encode() returned for this format",
            )
    return np.ascontiguousarray(given, dtype=dtype)


def has_kernel(fmt: ElementFormat, policy: Policy) -> bool:
    """Whether numba encodes ``fmt`` under ``policy``."""
    if fmt.bits > 8:
        return wide.is_plain_bf16(fmt, policy)
    return fmt.kind != "int" or (policy.rounding == "nearest" and policy.tie == "even")


def has_values(fmt: ElementFormat, policy: Policy) -> bool:
    """Whether :func:`round_flat` has a table for the cast."""
    return fmt.kind != "int" and fmt.bits <= 8 and policy.rounding != "stochastic"


def round_flat(x: FloatArray, fmt: ElementFormat, policy: Policy, out: FloatArray) -> None:
    """Encode and decode one contiguous float32 vector at once, where :func:`has_values`."""
    table = value_table(fmt.id, policy)
    for part, index in _indices(x.view(np.uint32)):
        # mode="wrap" skips a bounds check that 16-bit indices cannot fail.
        np.take(table, index, out=out[part], mode="wrap")


def _indices(bits: npt.NDArray[np.uint32]) -> Iterator[tuple[slice, npt.NDArray[np.intp]]]:
    """Chunk by chunk the upper half, the lower half folded into its last bit.

    Adding 0xFFFF to the lower half carries into bit 16 exactly if that half is not zero; OR-ing the
    input puts this sticky bit into the upper half without losing anything.
    """
    size = min(CHUNK, bits.size)
    sticky = np.empty(size, dtype=np.uint32)
    index = np.empty(size, dtype=np.intp)
    for start in range(0, bits.size, CHUNK):
        u = bits[start : start + CHUNK]
        t, i = sticky[: u.size], index[: u.size]
        np.bitwise_and(u, np.uint32(0xFFFF), out=t)
        np.add(t, np.uint32(0xFFFF), out=t)
        np.bitwise_or(t, u, out=t)
        np.right_shift(t, np.uint32(16), out=t)
        i[:] = t
        yield slice(start, start + CHUNK), i


def _encode_ints(x: FloatArray, fmt: ElementFormat, policy: Policy, out: npt.NDArray[Any]) -> None:
    low, high = np.float32(-(1 << fmt.bits - 1)), np.float32((1 << fmt.bits - 1) - 1)
    mask = np.uint8((1 << fmt.bits) - 1)
    for start in range(0, x.size, CHUNK):
        part = x[start : start + CHUNK]
        with np.errstate(invalid="ignore"):  # signalling NaNs and infinities
            rounded = np.clip(round_integers(part, policy), low, high)
        rounded[np.isnan(rounded)] = 0
        out[start : start + CHUNK] = rounded.astype(np.int8).view(np.uint8) & mask


def round_integers(x: FloatArray, policy: Policy) -> FloatArray:
    """To an integer, to nearest with the policy's ties or toward zero."""
    if policy.rounding == "toward-zero":
        return np.trunc(x)
    if policy.tie == "even":
        return np.rint(x)
    truncated = np.trunc(x)
    rest = np.abs(x - truncated)
    up = rest >= 0.5 if policy.tie == "away" else rest > 0.5
    return truncated + np.copysign(up.astype(np.float32), x)
