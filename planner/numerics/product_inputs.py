"""What ``matmul`` accepts: codes, shapes, accumulators, promotion and block scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.numerics.cast import code_dtype, integer_codes
from planner.numerics.matrix_units import DotRule, Unit
from planner.numerics.operands import Singles
from planner.numerics.tiles import as_array, unmasked

# Integer units also take unsigned bytes, which are no element format of a tensor.
UNSIGNED = "uint8"


@dataclass(frozen=True, slots=True)
class BlockScales:
    """Scale codes (M, K / group) and (K / group, N), padded like the operands; the rule to use."""

    a: npt.NDArray[np.uint8]
    b: npt.NDArray[np.uint8]
    format: str
    group: int
    rule: DotRule


def checked_codes(codes: npt.ArrayLike, format: str, name: str) -> tuple[npt.NDArray[Any], str]:
    """Codes as the unsigned type of the format, and its id.

    Raises InputError unless they are a matrix of integers that fit; UnknownNameError for a format.
    """
    fmt = None if format.lower() == UNSIGNED else element(format)
    bits = 8 if fmt is None else fmt.bits
    label = UNSIGNED if fmt is None else fmt.id
    given = unmasked(codes)
    if given.ndim != 2:
        raise InputError(
            f"{name} has {given.ndim} dimensions, a matrix has 2", hint="reshape to (rows, columns)"
        )
    given = integer_codes(given, element("int8") if fmt is None else fmt, name)
    dtype = np.dtype(np.uint8 if fmt is None else code_dtype(fmt))
    if label == "int8" and given.dtype == np.int8:
        return given.view(np.uint8), label
    if given.size and (given.dtype != dtype or bits < 8):
        low, high = int(given.min()), int(given.max())
        if low < 0 or high >= 1 << bits:
            bad = low if low < 0 else high
            raise InputError(
                f"code {bad} of {name} does not fit the {bits} bits of {label}",
                hint="pass codes that encode() returned for this format",
            )
    return given.astype(dtype, copy=False), label


def check_shapes(a: npt.NDArray[Any], b: npt.NDArray[Any], c: npt.ArrayLike | None) -> None:
    """Raise InputError unless (M, K) @ (K, N) + (M, N) fit together."""
    if a.shape[1] != b.shape[0]:
        raise InputError(
            f"a is {a.shape} and b is {b.shape}: their K differ", hint="a is (M, K), b is (K, N)"
        )
    shape = (a.shape[0], b.shape[1])
    if c is not None and np.shape(c) != shape:
        raise InputError(
            f"c is {np.shape(c)}, the product is {shape}",
            hint="pass c in the shape of the product, or leave it out",
        )


def check_promotion(unit: Unit, rule: DotRule, every: int | None) -> int | None:
    """``every`` if the unit can stop there.

    Raises UnsupportedError for a unit without promotion, InputError for a length that is not a
    positive multiple of the instruction's K.
    """
    if every is None:
        return None
    if not unit.promotion or rule.accumulator != "fp32":
        raise UnsupportedError(
            f"unit {unit.id} into {rule.accumulator} has no promotion",
            hint="leave promote_every out",
        )
    if every <= 0 or every % rule.instruction_k:
        raise InputError(
            f"promote_every={every} is not a positive multiple of "
            f"{rule.instruction_k}, the K of one instruction of {unit.id}",
            hint="choose a multiple of that K, or leave promote_every out",
        )
    return every


def accumulator(c: npt.ArrayLike | None, shape: tuple[int, int], format: str) -> Singles:
    """A new array with the first accumulators, rounded to their format.

    Raises InputError for values that are no real numbers, or finite and beyond the format.
    """
    if c is None:
        return np.zeros(shape, dtype=np.float32)
    given = as_array(c)
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.array(given, dtype=np.float16 if format == "fp16" else np.float32, order="C")
        beyond = np.isinf(stored) & np.isfinite(given)
    if beyond.any():
        bad = float(given[beyond][0])
        raise InputError(
            f"c holds {bad:.6g}, beyond the range of the {format.upper()} accumulator",
            hint="scale c and the operands down, or pass infinity where it is meant",
        )
    return stored.astype(np.float32, copy=False)


def padded(x: npt.NDArray[Any], multiple: int, axis: int) -> npt.NDArray[Any]:
    """``x`` (any shape) with zero codes up to a multiple along ``axis``."""
    missing = -x.shape[axis] % multiple
    if not missing:
        return x
    return np.pad(x, [(0, missing if i == axis else 0) for i in range(2)])


def block_scales(
    unit: Unit, rule: DotRule, a: npt.ArrayLike | None, b: npt.ArrayLike | None,
    format: str, group: int, a_codes: npt.NDArray[Any], b_codes: npt.NDArray[Any],
) -> BlockScales | None:  # fmt: skip
    """Checked scales, padded with those of 1 to the instruction's K; None for other units.

    Raises UnsupportedError for scales on a unit without them, or of a kind the unit does not take;
    InputError where they are missing or of the wrong shape.
    """
    if unit.kind != "block-scaled":
        if a is not None or b is not None:
            raise UnsupportedError(
                f"unit {unit.id} takes no block scales", hint="blackwell-block-scaled does"
            )
        return None
    if a is None or b is None:
        raise InputError(
            f"unit {unit.id} needs a_scales and b_scales",
            hint="pass one scale for each block of K of every row of a and column of b",
        )
    format = element(format).id
    if (format, group) not in rule.scales:
        taken = ", ".join(f"{f} every {g}" for f, g in rule.scales)
        raise UnsupportedError(
            f"unit {unit.id} takes no {format} scales every {group} elements of these operands",
            hint=f"it takes {taken}",
        )
    count = -(-a_codes.shape[1] // group)
    sa, sb = checked_codes(a, format, "a_scales")[0], checked_codes(b, format, "b_scales")[0]
    if sa.shape != (a_codes.shape[0], count) or sb.shape != (count, b_codes.shape[1]):
        raise InputError(
            f"scales are {sa.shape} and {sb.shape}, the operands need "
            f"{(a_codes.shape[0], count)} and {(count, b_codes.shape[1])}",
            hint="pass one scale for each block of K of every row of a and column of b",
        )
    code_of_one = 127 if format == "e8m0" else 0x38
    total = -(-a_codes.shape[1] // rule.instruction_k) * rule.instruction_k // group - count
    return BlockScales(np.pad(sa, ((0, 0), (0, total)), constant_values=code_of_one),
                       np.pad(sb, ((0, total), (0, 0)), constant_values=code_of_one), format, group,
                       rule)  # fmt: skip
