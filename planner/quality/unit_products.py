"""The product of quantised operands through a matrix unit, beside their exact product."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from planner.formats.spec import Scheme, TensorFormat
from planner.numerics import decode, encode, matmul, matmul_int32
from planner.numerics.matrix_units import Unit
from planner.numerics.quantization import Quantized

PROMOTION = 128
INTEGER_UNITS = {"int8", "int4"}
Doubles = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]


def exact_product(x: Singles, w: Singles) -> Doubles:
    """X·Wᵀ in float64: (tokens, outputs) of (tokens, inputs) and (outputs, inputs)."""
    return np.asarray(x.astype(np.float64) @ w.astype(np.float64).T)


def through_unit(
    scheme: Scheme,
    x_hat: Singles,
    w_hat: Singles,
    qx: Quantized | None,
    qw: Quantized,
    unit: Unit,
    promote: int | None,
) -> tuple[Doubles, Doubles] | None:
    """(Y through the unit, exact Y of the same operands), or None where the unit cannot.

    Args:
        x_hat: (tokens, inputs) rounded inputs, as ``qx`` where the scheme quantises them.
        w_hat: (outputs, inputs) rounded weights, as ``qw``.
        promote: partial sums leave the unit every so many inputs; None: never.
    """
    if qx is None:
        element = scheme.compute
        if not _takes(unit, element, element):
            return None
        a, b = encode(x_hat, element), encode(w_hat, element)
        exact = exact_product(decode(a, element), decode(b, element))
        y = matmul(a, b.T, a_format=element, b_format=element, unit=unit.id, promote_every=promote)
        return y.astype(np.float64), exact
    a_fmt, b_fmt = scheme.activation, scheme.weight
    if not _takes(unit, a_fmt.element, b_fmt.element):
        return None
    exact = exact_product(x_hat, w_hat)
    if unit.kind == "block-scaled":
        return _block_scaled(scheme, qx, qw, unit, promote, exact)
    if a_fmt.scale is not None and a_fmt.scale.block_columns not in (0, PROMOTION):
        return None
    if a_fmt.scale is not None and a_fmt.scale.block_columns == PROMOTION:
        return None if promote else (_by_blocks(qx, qw, a_fmt, b_fmt, unit), exact)
    if unit.kind == "integer":
        sums = matmul_int32(qx.codes, qw.codes.T, unit=unit.id).astype(np.float64)
        return np.asarray(sums * _rows(qx) * _rows(qw).T), exact
    y = matmul(
        qx.codes,
        qw.codes.T,
        a_format=a_fmt.element,
        b_format=b_fmt.element,
        unit=unit.id,
        promote_every=promote,
    )
    scaled = y * _rows(qx) * _rows(qw).T
    return scaled.astype(np.float64), exact


def _takes(unit: Unit, a: str, b: str) -> bool:
    accumulator = "int32" if a in INTEGER_UNITS else "fp32"
    return any(r.takes(a, b) and r.accumulator == accumulator for r in unit.rules)


def _rows(q: Quantized) -> Singles:
    """Scales as a (rows, 1) column: per tensor, per token or per channel."""
    scales = np.asarray(q.scales, dtype=np.float32).reshape(-1, 1)
    return np.broadcast_to(scales, (q.codes.shape[0], 1)).astype(np.float32)


def _by_blocks(
    qx: Quantized, qw: Quantized, a_fmt: TensorFormat, b_fmt: TensorFormat, unit: Unit
) -> Doubles:
    """Scales every 128 inputs: each block's sum leaves the unit and is added in FP32."""
    k = qx.codes.shape[1]
    total = np.zeros((qx.codes.shape[0], qw.codes.shape[0]), dtype=np.float32)
    sx = np.asarray(qx.scales, dtype=np.float32)
    sw = np.repeat(np.asarray(qw.scales, dtype=np.float32), PROMOTION, axis=0)
    for n, start in enumerate(range(0, k, PROMOTION)):
        block = slice(start, min(start + PROMOTION, k))
        a, b = qx.codes[:, block], qw.codes[:, block].T
        part = (
            matmul_int32(a, b, unit=unit.id).astype(np.float32)
            if unit.kind == "integer"
            else matmul(a, b, a_format=a_fmt.element, b_format=b_fmt.element, unit=unit.id)
        )
        total += part * (sx[:, n : n + 1] * sw[: qw.codes.shape[0], n : n + 1].T)
    return total.astype(np.float64)


def _block_scaled(
    scheme: Scheme, qx: Quantized, qw: Quantized, unit: Unit, promote: int | None, exact: Doubles
) -> tuple[Doubles, Doubles] | None:
    """MX and NVFP4: the unit takes the block scales; the tensor scales follow in FP32."""
    a_scale, b_scale = scheme.activation.scale, scheme.weight.scale
    if a_scale is None or b_scale is None:
        return None
    wanted = (a_scale.format, a_scale.block_columns)
    if not any(
        wanted in r.scales and r.takes(scheme.activation.element, scheme.weight.element)
        for r in unit.rules
    ):
        return None
    y = matmul(
        qx.codes,
        qw.codes.T,
        a_format=scheme.activation.element,
        b_format=scheme.weight.element,
        unit=unit.id,
        promote_every=promote,
        a_scales=encode(np.asarray(qx.scales, dtype=np.float32), a_scale.format),
        b_scales=encode(_each_row(qw, b_scale.block_rows), b_scale.format).T,
        scale_format=a_scale.format,
        scale_group=a_scale.block_columns,
    )
    tensor = _tensor(qx) * _tensor(qw)
    return (y * tensor).astype(np.float64), exact


def _each_row(q: Quantized, height: int) -> Singles:
    """Block scales for every row of a matrix whose blocks are ``height`` rows high."""
    scales = np.asarray(q.scales, dtype=np.float32)
    return np.repeat(scales, height, axis=0)[: q.codes.shape[0]]


def _tensor(q: Quantized) -> np.float32:
    """What block scales are multiplied by."""
    scale = np.float32(1 if q.tensor_scale is None else q.tensor_scale)
    return np.float32(1) / scale if q.tensor_divides else scale
