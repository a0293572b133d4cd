"""Exact bytes of a matrix under a tensor format. Everything is an integer."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

from planner.base.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.formats.spec import Scheme, TensorFormat

TENSOR_SCALE_BYTES = 4


def _check(rows: int, columns: int) -> None:
    if rows < 0 or columns < 0:
        raise InputError(
            f"shape ({rows}, {columns}) has a negative side", hint="rows and columns are 0 or more"
        )


def scale_shape(fmt: TensorFormat, rows: int, columns: int) -> tuple[int, int] | None:
    """(scale rows, scale columns) of a (rows, columns) matrix, or None without scales.

    Blocks at the edge count whole: fp8-block of 576×7168 has 5×56 scales.
    """
    _check(rows, columns)
    if fmt.scale is None:
        return None
    block_rows = fmt.scale.block_rows or max(rows, 1)
    block_columns = fmt.scale.block_columns or max(columns, 1)
    return -(-rows // block_rows), -(-columns // block_columns)


def tensor_bytes(fmt: TensorFormat, rows: int, columns: int) -> int:
    """Bytes of a (rows, columns) matrix: elements, scales, zero points and the tensor scale.

    Elements below a byte are packed along a row; a row is rounded up to whole bytes. Interleaved
    blocks (ggml) need rows of whole blocks.

    Raises UnsupportedError where ``columns`` is not a multiple of an interleaved block.
    """
    _check(rows, columns)
    if fmt.block_bytes is not None:
        return _interleaved_bytes(fmt, rows, columns)
    bits = element(fmt.element).bits
    total = rows * -(-bits * columns // 8)
    scales = scale_shape(fmt, rows, columns)
    if fmt.scale is None or scales is None:
        return total
    count = scales[0] * scales[1]
    total += count * element(fmt.scale.format).bits // 8
    if fmt.scale.zero_point:
        total += -(-count * bits // 8)
    return total + (TENSOR_SCALE_BYTES if fmt.scale.tensor_scale else 0)


def _interleaved_bytes(fmt: TensorFormat, rows: int, columns: int) -> int:
    assert fmt.scale is not None
    assert fmt.block_bytes is not None
    block = fmt.scale.block_columns
    if columns % block:
        raise UnsupportedError(
            f"rows of {columns} elements do not fill whole blocks of {block}",
            hint="store this tensor in a format with smaller blocks, or unquantised",
        )
    return rows * (columns // block) * fmt.block_bytes


def weight_bytes(scheme: Scheme, rows: int, columns: int) -> int:
    """Bytes of a (outputs, inputs) weight stored under ``scheme``, scales included."""
    return tensor_bytes(scheme.weight, rows, columns)


def bits_per_element(fmt: TensorFormat) -> float:
    """Bits per element of a matrix of unbounded size (nvfp4 4.5, mxfp4 4.25, ggml-q8_0 8.5).

    Scales that cover a whole axis cost nothing in the limit.
    """
    bits = element(fmt.element).bits
    spec = fmt.scale
    if spec is None:
        return float(bits)
    if fmt.block_bytes is not None:
        return float(Fraction(8 * fmt.block_bytes, spec.block_columns))
    block = spec.block_rows * spec.block_columns
    if block == 0:
        return float(bits)
    extra = element(spec.format).bits + (bits if spec.zero_point else 0)
    return float(bits + Fraction(extra, block))


def amortised_bytes(bits: int, group: int) -> int:
    """``bits`` shared by ``group`` items, in whole bytes an item, rounded up."""
    return ceil(Fraction(bits, 8 * group))
