"""Matrix products as matrix units compute them: validation, padding, tiles and threads."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnsupportedError
from planner.base.typed import typed
from planner.numerics.dot_amd import amd_matmul
from planner.numerics.dot_exact import exact_matmul
from planner.numerics.dot_fma import NAN_BITS as FMA_NAN
from planner.numerics.dot_fma import fma_matmul
from planner.numerics.engines import ENGINES, Chosen
from planner.numerics.fast_fused import fast_fused_matmul, numba_available
from planner.numerics.fused_numpy import fp4_matmul, fused_matmul, scale_operand, scale_values
from planner.numerics.matrix_units import DotRule, Unit
from planner.numerics.operands import NAN_BITS, Operand, Singles, operand
from planner.numerics.product_inputs import (
    BlockScales,
    accumulator,
    block_scales,
    check_promotion,
    check_shapes,
    checked_codes,
    padded,
)
from planner.numerics.products_int import matmul_int32
from planner.numerics.unit_catalog import UNITS, unit_by_name

Step = Callable[[Operand, Operand, Singles, DotRule], None]

COLUMNS = 4096
ROWS = 512
DEPTH = 1024
# Multiplications from which compiling the kernel (some seconds) is repaid.
_WORTH_COMPILING = 1 << 33
INTEGERS = ("int8", "uint8", "int4")


@dataclass(frozen=True, slots=True)
class _Job:
    """One product: padded codes, the rule, and how to run it."""

    a: npt.NDArray[Any]
    b: npt.NDArray[Any]
    a_format: str
    b_format: str
    rule: DotRule
    scales: BlockScales | None
    promote: int | None
    step: Step
    threads: int


@typed
def matmul(
    a_codes: npt.ArrayLike,
    b_codes: npt.ArrayLike,
    *,
    a_format: str,
    b_format: str,
    unit: str,
    promote_every: int | None = None,
    c: npt.ArrayLike | None = None,
    accumulator_format: str = "fp32",
    a_scales: npt.ArrayLike | None = None,
    b_scales: npt.ArrayLike | None = None,
    scale_format: str = "e8m0",
    scale_group: int = 32,
    engine: Chosen | None = "auto",
    threads: int = 1,
) -> Singles:
    """``a`` (M, K) @ ``b`` (K, N) + ``c`` (M, N) as ``unit`` computes it, as float32.

    ``a_codes`` and ``b_codes`` hold codes of ``a_format`` and ``b_format``; K is padded with zeros
    to the unit's instruction. The unit's instructions run along K in order, each with the result of
    the one before; ``c`` (zeros unless given) is the first accumulator, rounded to FP32 or, with
    ``accumulator_format`` "fp16", to FP16.

    ``promote_every``: every so many k a partial sum that started from zero leaves the unit and is
    added in FP32 (rounded to nearest), as DeepSeek-V3 does at 128. ``a_scales`` (M, ⌈K / group⌉)
    and ``b_scales`` (⌈K / group⌉, N) are scale codes of the block-scaled unit, one for every
    ``scale_group`` elements of K: E8M0 for 32, of E2M1 also 16 and UE4M3.

    Integer units compute int32 (:func:`matmul_int32` returns that); here it is rounded to float32.
    ``engine``: ``numpy``, ``numba`` (the ``[fast]`` extra; fused and FMA units), or ``auto`` (None
    too) for numba where it is installed and the product large. ``threads`` share the rows:
    worthwhile with numba, which holds no interpreter lock, hardly with numpy. Neither ever changes
    a bit. NaN comes out as 0x7FFFFFFF from tensor cores and 0x7FC00000 elsewhere. K = 0 returns
    ``c``. ``unit`` may be a device's name: its unit for floats, or for integers. FP64 is multiplied
    by :func:`matmul_fp64`.

    Raises UnknownNameError for an unknown unit or format, UnsupportedError for operands, scales or
    promotion that the unit does not have, InputError for shapes, codes or an engine that do not
    fit.
    """
    matrix_unit = _unit_of_codes(unit, a_format)
    a, a_format = checked_codes(a_codes, a_format, "a")
    b, b_format = checked_codes(b_codes, b_format, "b")
    check_shapes(a, b, c)
    if matrix_unit.kind == "integer":
        return _from_integers(a, b, a_format, b_format, matrix_unit.id, promote_every, c)
    rule = matrix_unit.rule(a_format, b_format, accumulator_format)
    promote = check_promotion(matrix_unit, rule, promote_every)
    scales = block_scales(matrix_unit, rule, a_scales, b_scales, scale_format, scale_group, a, b)
    rule = rule if scales is None else scales.rule
    start = accumulator(c, (a.shape[0], b.shape[1]), rule.accumulator)
    step = _step(rule.arithmetic or matrix_unit.kind, engine, a.shape[0] * a.shape[1] * b.shape[1])
    if matrix_unit.kind == "exact":
        _run_exact(a, b, a_format, b_format, start)
        return _finished(start, FMA_NAN)
    job = _Job(padded(a, rule.instruction_k, 1), padded(b, rule.instruction_k, 0), a_format,
               b_format, rule, scales, promote, step, threads)  # fmt: skip
    _run(job, start)
    return _finished(start, FMA_NAN if matrix_unit.kind in ("fma", "mfma") else NAN_BITS)


def _unit_of_codes(unit: str, a_format: str) -> Unit:
    """The unit of that name, or the device's for such operands; not the one of float64 numbers."""
    unit_of_codes = unit_by_name(unit, UNITS, integers=a_format.strip().lower() in INTEGERS)
    if unit_of_codes.id == "fp64":
        raise UnsupportedError(
            "unit fp64 multiplies float64 numbers, not codes",
            hint="planner.numerics.matmul_fp64(a, b, c=c)",
        )
    return unit_of_codes


def _step(kind: str, engine: str | None, work: int) -> Step:
    if engine not in (None, *ENGINES):
        raise InputError(f"unknown engine {engine!r}", hint="auto, numpy or numba")
    if kind not in ("fused", "block-scaled", "fma"):
        return fused_matmul if kind == "exact" else amd_matmul
    if engine in (None, "auto"):
        engine = "numba" if work >= _WORTH_COMPILING and numba_available() else "numpy"
    if engine == "numba" and not numba_available():
        raise InputError(
            "engine 'numba' needs numba, which is not installed",
            hint="pip install 'precision-planner[fast]'",
        )
    if kind == "fma":
        return _fast_fma if engine == "numba" else _fma
    return fast_fused_matmul if engine == "numba" else fused_matmul


def _fma(a: Operand, b: Operand, c: Singles, rule: DotRule) -> None:
    fma_matmul(a.values, b.values, c, rule)


def _fast_fma(a: Operand, b: Operand, c: Singles, rule: DotRule) -> None:
    from planner.numerics.fast_fused import fast_fma_matmul

    fast_fma_matmul(a.values, b.values, c, rule)


def _from_integers(
    a: npt.NDArray[Any], b: npt.NDArray[Any], a_format: str, b_format: str, id: str,
    promote_every: int | None, c: npt.ArrayLike | None,
) -> Singles:  # fmt: skip
    if promote_every is not None:
        raise UnsupportedError(
            f"unit {id} has exact partial sums: nothing to promote", hint="leave promote_every out"
        )
    exact = matmul_int32(a, b, a_format=a_format, b_format=b_format, unit=id, c=c)
    return exact.astype(np.float32)


def _run_exact(a: npt.NDArray[Any], b: npt.NDArray[Any], a_format: str, b_format: str,
               out: Singles) -> None:  # fmt: skip
    for j in range(0, out.shape[1], COLUMNS):
        columns = slice(j, j + COLUMNS)
        right = operand(b[:, columns], b_format).values
        for i in range(0, out.shape[0], ROWS):
            rows = slice(i, i + ROWS)
            left = operand(a[rows], a_format).values
            out[rows, columns] = exact_matmul(left, right, out[rows, columns])


def _run(job: _Job, out: Singles) -> None:
    """Tiles of columns, then of K, then of rows; ``out`` is the running accumulator."""
    depth = job.promote or lcm(DEPTH, job.rule.instruction_k)
    height = min(ROWS, -(-out.shape[0] // max(1, job.threads)))
    tops = range(0, out.shape[0], max(1, height))
    with ThreadPoolExecutor(max(1, job.threads)) as pool:
        for j in range(0, out.shape[1], COLUMNS):
            columns = slice(j, j + COLUMNS)
            for k in range(0, job.a.shape[1], depth):
                ks = slice(k, min(k + depth, job.a.shape[1]))
                right = _right(job, ks, columns)

                def rows(top: int, ks: slice = ks, columns: slice = columns,
                         right: Operand = right) -> None:  # fmt: skip
                    _rows(job, slice(top, top + height), ks, columns, right, out)

                if job.threads > 1:
                    list(pool.map(rows, tops))
                else:
                    for top in tops:
                        rows(top)


def _rows(job: _Job, rows: slice, ks: slice, columns: slice, right: Operand,
          out: Singles) -> None:  # fmt: skip
    """One tile: rows × columns over ``ks``."""
    tile = out[rows, columns]
    part = np.zeros_like(tile) if job.promote else np.ascontiguousarray(tile)
    scales = job.scales
    if scales is not None and job.rule.terms == 64:
        left = operand(job.a[rows, ks], job.a_format)
        part_ks = slice(ks.start // scales.group, -(-ks.stop // scales.group))
        fp4_matmul(left.values, right.values,
                   scale_values(scales.a[rows, part_ks], scales.format, scales.group),
                   scale_values(scales.b[part_ks, columns].T, scales.format,
                                scales.group).transposed(), part, job.rule)  # fmt: skip
    else:
        job.step(_left(job, rows, ks), right, part, job.rule)
    if job.promote:
        with np.errstate(all="ignore"):
            tile += part
    else:
        tile[...] = part


def _left(job: _Job, rows: slice, ks: slice) -> Operand:
    x = operand(job.a[rows, ks], job.a_format)
    if job.scales is None:
        return x
    group = job.scales.group
    return scale_operand(x, job.scales.a[rows, ks.start // group : -(-ks.stop // group)], group)


def _right(job: _Job, ks: slice, columns: slice) -> Operand:
    x = operand(job.b[ks, columns], job.b_format)
    if job.scales is None or job.rule.terms == 64:
        return x
    group = job.scales.group
    part = job.scales.b[ks.start // group : -(-ks.stop // group), columns]
    return scale_operand(x.transposed(), part.T, group).transposed()


def _finished(values: Singles, nan_bits: np.uint32) -> Singles:
    nan = np.isnan(values)
    if nan.any():
        values.view(np.uint32)[nan] = nan_bits
    return values
