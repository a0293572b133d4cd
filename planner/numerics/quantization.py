"""Quantise matrices under the schemes of the catalogue, value-exact, numpy only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from planner.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.formats.schemes import scheme as find_scheme
from planner.formats.sizes import tensor_bytes
from planner.formats.spec import ElementFormat, ScaleSpec, Scheme, TensorFormat
from planner.numerics import ggml
from planner.numerics.cast import (
    Codes,
    FloatArray,
    as_float32,
    code_dtype,
    decode_flat,
    encode_flat,
)
from planner.numerics.policies import Policy, resolve_policy
from planner.numerics.scaling import (
    DEEPSEEK_AMAX_FLOOR,
    Scales,
    block_amax,
    block_sides,
    scales_of,
)

Role = Literal["weight", "activation"]

# Elements a step: whole block rows near this size keep the temporaries in cache.
_STRIP = 1 << 18


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantised tensor: one code an element and float32 scales, one per block.

    ``codes`` has the shape of the input (leading axes are rows); 4-bit codes take a byte each here,
    ``nbytes`` counts them packed. ``scales`` (block rows, block columns) is None for plain floats;
    ``tensor_scale`` is NVFP4's second level. Integer codes are two's complement bit patterns.
    """

    format: TensorFormat
    codes: Codes
    scales: FloatArray | None
    tensor_scale: float | None

    @property
    def nbytes(self) -> int:
        """Stored bytes: packed codes, scales in their format, the tensor scale."""
        rows, columns = _matrix_shape(self.codes.shape)
        return tensor_bytes(self.format, rows, columns)

    def dequantize(self) -> FloatArray:
        """float32 values, element · scale with one rounding, in the shape of the input."""
        fmt = element(self.format.element)
        rows, columns = _matrix_shape(self.codes.shape)
        out = np.empty((rows, columns), dtype=np.float32)
        decode_flat(self.codes.reshape(-1), fmt, out.reshape(-1))
        if self.scales is not None and self.format.scale is not None:
            tensor = 1.0 if self.tensor_scale is None else self.tensor_scale
            factor = Scales(self.scales, tensor).effective()
            for part, scale in _strips(out, self.format.scale, factor):
                _apply(np.multiply, part, scale, self.format.scale, part)
        return out.reshape(self.codes.shape)


def quantize(
    x: npt.ArrayLike,
    scheme: str | Scheme | TensorFormat,
    *,
    role: Role = "weight",
    policy: str | Policy | None = None,
) -> Quantized:
    """Quantise ``x`` (…, columns) as the weights or activations of ``scheme``.

    ``policy`` decides casts and the order of scaling; the default saturates as the hardware
    conversion does (``deepseek-v3``: divide by the scale), which plain floats do not.
    DeepSeek block activations clamp amax at 1e-4. A TensorFormat (a cache layout, say) may stand
    for the scheme.

    Raises UnsupportedError for ggml-q4_k and ggml-q6_k, whose encoder is a search; InputError for
    non-finite input to a scaled format and for shapes without a column axis.
    """
    fmt, floor = _target(scheme, role)
    given = np.asarray(x)
    if given.ndim == 0:
        raise InputError("cannot quantise a scalar", hint="pass an array of at least one axis")
    values = as_float32(given)
    rows, columns = _matrix_shape(values.shape)
    matrix = values.reshape(rows, columns)
    target = element(fmt.element)
    chosen = resolve_policy("deepseek-v3" if policy is None else policy, target)
    if fmt.scale is None:
        codes = np.empty(matrix.size, dtype=code_dtype(target))
        encode_flat(matrix.reshape(-1), target, chosen, codes)
        return Quantized(fmt, codes.reshape(values.shape), None, None)
    if fmt.block_bytes is not None:
        blocks = ggml.quantize_blocks(matrix, fmt)
        return Quantized(fmt, blocks.codes.reshape(values.shape), blocks.scales, None)
    codes, scales = _scaled(matrix, fmt, fmt.scale, target, chosen, floor)
    tensor = scales.tensor if fmt.scale.tensor_scale else None
    return Quantized(fmt, codes.reshape(values.shape), scales.block, tensor)


def _target(scheme: str | Scheme | TensorFormat, role: Role) -> tuple[TensorFormat, float]:
    """The tensor format and the floor of amax."""
    if isinstance(scheme, TensorFormat):
        return scheme, 0.0
    found = find_scheme(scheme) if isinstance(scheme, str) else scheme
    if role not in ("weight", "activation"):
        raise InputError(f"role {role!r} is neither weight nor activation")
    if found.id in ggml.SEARCHED:
        raise UnsupportedError(
            f"{found.id} has no closed-form encoder: llama.cpp searches its scales",
            hint="its bytes are modelled; quantise with llama.cpp to measure its error",
        )
    if role == "weight":
        return found.weight, 0.0
    return found.activation, DEEPSEEK_AMAX_FLOOR if found.id.startswith("fp8-block") else 0.0


def _matrix_shape(shape: tuple[int, ...]) -> tuple[int, int]:
    rows = 1
    for side in shape[:-1]:
        rows *= side
    return rows, shape[-1]


def _scaled(
    matrix: FloatArray, fmt: TensorFormat, spec: ScaleSpec, target: ElementFormat, policy: Policy,
    floor: float,
) -> tuple[Codes, Scales]:
    amax = block_amax(matrix, *block_sides(spec, *matrix.shape))
    scales = scales_of(np.maximum(amax, np.float32(floor)), spec, target)
    divisor = scales.effective()
    # NVFP4: a block whose scale is zero holds zeros, x / inf.
    divisor = np.where(divisor == 0, np.float32(np.inf), divisor)
    operation: Any = np.divide
    if policy.reciprocal:
        with np.errstate(over="ignore"):
            divisor = np.minimum(np.float32(1) / divisor, np.finfo(np.float32).max)
        operation = np.multiply
    codes = np.empty(matrix.shape, dtype=code_dtype(target))
    done = 0
    limit = np.float32(target.max_finite) if target.kind == "int" else None
    for part, scale in _strips(matrix, spec, divisor):
        scaled = np.empty(part.shape, dtype=np.float32)
        _apply(operation, part, scale, spec, scaled)
        if limit is not None:
            np.clip(scaled, -limit, limit, out=scaled)
        out = codes[done : done + part.shape[0]].reshape(-1)
        encode_flat(scaled.reshape(-1), target, policy, out)
        done += part.shape[0]
    return codes, scales


def _strips(
    matrix: FloatArray, spec: ScaleSpec, factor: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Runs of whole block rows with their rows of ``factor``."""
    rows, columns = matrix.shape
    block_rows, _ = block_sides(spec, rows, columns)
    count = max(1, _STRIP // max(1, block_rows * columns))
    for start in range(0, factor.shape[0], count):
        stop = start + count
        yield matrix[start * block_rows : stop * block_rows], factor[start:stop]


def _apply(
    operation: Any, part: FloatArray, factor: FloatArray, spec: ScaleSpec, out: FloatArray
) -> None:
    """``out`` = operation(part, factor of its block), without building the expanded factor."""
    rows, columns = part.shape
    block_rows, block_columns = block_sides(spec, rows, columns)
    wide = factor if block_rows == 1 else np.repeat(factor, block_rows, axis=0)[:rows]
    if wide.shape[1] == 1 or block_columns == 1:
        operation(part, wide, out=out)
    elif columns % block_columns:
        operation(part, np.repeat(wide, block_columns, axis=1)[:, :columns], out=out)
    else:
        shape = (rows, columns // block_columns, block_columns)
        operation(part.reshape(shape), wide[:, :, None], out=out.reshape(shape))
