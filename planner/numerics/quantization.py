"""Quantise matrices under the schemes of the catalogue, value-exact, tile by tile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from planner.errors import InputError, UnsupportedError
from planner.formats.elements import element
from planner.formats.schemes import scheme as find_scheme
from planner.formats.sizes import tensor_bytes
from planner.formats.spec import ScaleRule, Scheme, TensorFormat
from planner.numerics import blocks, ggml, integers, passes, runs, tiles
from planner.numerics.block_job import BlockJob
from planner.numerics.cast import Codes, check_rng, code_dtype, decode, encode
from planner.numerics.engines import Engine, check_engine, run
from planner.numerics.policies import Policy, resolve_policy
from planner.numerics.scaling import (
    DEEPSEEK_AMAX_FLOOR,
    Scales,
    block_sides,
    check_rule,
)
from planner.numerics.tiles import FloatArray, Tile
from planner.typed import typed

Role = Literal["weight", "activation"]


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantised tensor: one code an element and float32 scales, one per block.

    ``codes`` has the shape of the input (leading axes are rows); 4-bit codes take a byte each here,
    ``nbytes`` counts them packed. ``scales`` (block rows, block columns) is None for plain floats;
    ``tensor_scale`` is NVFP4's second level; ``zero_points`` (int8, shape of ``scales``) belongs to
    asymmetric integers. Integer codes are two's complement bit patterns. ``storage`` (…, bytes) is
    set for ggml formats: the interleaved blocks as a GGUF file holds them. Their ``codes`` and
    ``scales`` are a view for inspection: ggml-q4_k has unsigned codes and ``minima`` to subtract.
    """

    format: TensorFormat
    codes: Codes
    scales: FloatArray | None
    tensor_scale: float | None
    zero_points: npt.NDArray[np.int8] | None = None
    minima: FloatArray | None = None
    storage: npt.NDArray[np.uint8] | None = None

    @property
    def nbytes(self) -> int:
        """Stored bytes: packed codes, scales in their format, the tensor scale."""
        rows, columns = tiles.matrix_shape(self.codes.shape)
        return tensor_bytes(self.format, rows, columns)

    def dequantize(
        self, *, engine: Engine = "numpy", threads: int = 1, out: FloatArray | None = None
    ) -> FloatArray:
        """float32 values, element · scale with one rounding, in the shape of the input.

        ``out``: contiguous memory for the result.
        Raises UnsupportedError where numba has no kernel (plain floats wider than 8 bits, zero
        points, ggml) or is not installed.
        """
        check_engine(engine, threads)
        spec = self.format.scale
        if self.scales is None or spec is None:
            return decode(self.codes, self.format.element, engine=engine, threads=threads, out=out)
        values = tiles.result(out, self.codes.shape, np.float32)
        if self.storage is not None:
            _numpy_only(engine, "ggml blocks")
            ggml.decode_blocks(self.storage, self.format, values)
            return values
        target = element(self.format.element)
        shape = tiles.matrix_shape(self.codes.shape)
        codes, matrix = self.codes.reshape(shape), values.reshape(shape)
        sides = block_sides(spec, *shape)
        tensor = 1.0 if self.tensor_scale is None else self.tensor_scale
        scales = Scales(self.scales, tensor, self.format.element_exponent)
        if self.zero_points is not None:
            _numpy_only(engine, "zero points")
        elif engine == "numba" and runs.decode(codes, scales, target, sides, threads, matrix):
            return values
        factor = scales.effective()

        def work(tile: Tile) -> None:
            part, scale, result = tile.of(codes), tile.blocks(factor, sides), tile.of(matrix)
            if self.zero_points is None:
                blocks.decode_part(part, scale, target, sides, engine, result)
            else:
                zero = tile.blocks(self.zero_points, sides)
                integers.decode_part(part, scale, zero, target, sides, result)

        for _ in run(work, tiles.tiles(*shape, blocks.STEP[engine], sides), threads):
            pass
        return values


@typed
def quantize(
    x: npt.ArrayLike,
    scheme: str | Scheme | TensorFormat,
    *,
    role: Role = "weight",
    policy: str | Policy | None = None,
    scale_rule: ScaleRule | None = None,
    reciprocal: bool | None = None,
    rng: np.random.Generator | None = None,
    engine: Engine = "numpy",
    threads: int = 1,
    out: Quantized | None = None,
) -> Quantized:
    """Quantise ``x`` (…, columns) as the weights or activations of ``scheme``.

    ``policy`` decides casts and the order of scaling; the default saturates as the hardware
    conversion does (``deepseek-v3``: divide by the scale), which plain floats do not.
    ``scale_rule`` replaces the rule of the scheme's scales, ``reciprocal`` the policy's choice
    between x/s (False) and x·(1/s) (True). DeepSeek block activations clamp amax at 1e-4. A
    TensorFormat (a cache layout, a block format) may stand for the scheme. ``rng``: the Generator
    of stochastic rounding. ``engine`` numba gives the same bits. ``out``: an earlier result of the
    same format and shape, whose codes and scales are written over (fresh memory costs as much as
    copying does); the result is a new record of the same arrays.

    Beyond the result a few tiles of memory are taken, whatever the strides and dtype of ``x``.
    Blocks of zeros give zeros; edge blocks may be smaller than the scheme's (ggml: an error).
    Raises InputError for non-finite input to a scaled format, for input that is not real and for
    shapes without a column axis; UnsupportedError for a rule or engine that the format does not
    have, and for a ggml type that is written with an importance matrix only
    (:func:`~planner.numerics.ggml_encode` takes one).
    """
    source = _source(x)
    found, floor = _target(scheme, role)
    choices = _Choices(policy, scale_rule, reciprocal, rng, engine, threads)
    _check_memory(out, found, source.shape)
    if found.scale is None:
        return _plain(source, found, choices, None if out is None else out.codes)
    job = _job(found, floor, tiles.matrix_shape(source.shape), choices)
    if found.block_bytes is not None:
        return _ggml(source, job, choices)
    codes = tiles.result(None if out is None else out.codes, source.shape, code_dtype(job.target))
    matrix = codes.reshape(tiles.matrix_shape(codes.shape))
    if job.spec.zero_point:
        scale, zero = passes.asymmetric(source, job, matrix)
        return Quantized(found, codes, scale, None, zero_points=zero)

    def work(part: FloatArray, tile: Tile, divisor: FloatArray, _: FloatArray) -> None:
        blocks.encode_part(part, divisor, job, tile.of(matrix))

    block = tiles.result(None if out is None else out.scales, passes.grid(matrix.shape, job),
                         np.float32)
    scales = runs.quantize(source, job, block, codes=matrix)
    if scales is None:
        scales = passes.each_tile(source, job, work, block)
    tensor = scales.tensor if job.spec.tensor_scale else None
    return Quantized(found, codes, scales.block, tensor)


@typed
def round_trip(
    x: npt.ArrayLike,
    scheme: str | Scheme | TensorFormat,
    *,
    role: Role = "weight",
    policy: str | Policy | None = None,
    scale_rule: ScaleRule | None = None,
    reciprocal: bool | None = None,
    rng: np.random.Generator | None = None,
    engine: Engine = "numpy",
    threads: int = 1,
    out: FloatArray | None = None,
) -> FloatArray:
    """``quantize(x, …).dequantize()`` in one pass, without keeping codes: float32, shape of ``x``.

    ``out``: contiguous memory for the result, which may be that of ``x``. Other arguments and
    errors are those of :func:`quantize`.
    """
    source = _source(x)
    found, floor = _target(scheme, role)
    if found.scale is None or found.block_bytes is not None or found.scale.zero_point:
        done = quantize(source, scheme, role=role, policy=policy, scale_rule=scale_rule,
                        reciprocal=reciprocal, rng=rng, engine=engine, threads=threads)
        return done.dequantize(engine=engine, threads=threads, out=out)
    choices = _Choices(policy, scale_rule, reciprocal, rng, engine, threads)
    job = _job(found, floor, tiles.matrix_shape(source.shape), choices)
    values: FloatArray = tiles.result(out, source.shape, np.float32)
    matrix = values.reshape(tiles.matrix_shape(values.shape))

    def work(part: FloatArray, tile: Tile, divisor: FloatArray, factor: FloatArray) -> None:
        blocks.round_part(part, divisor, factor, job, tile.of(matrix))

    block = np.empty(passes.grid(matrix.shape, job), np.float32)
    if runs.quantize(source, job, block, values=matrix) is None:
        passes.each_tile(source, job, work, block)
    return values


@dataclass(frozen=True, slots=True)
class _Choices:
    """The arguments that quantize and round_trip share."""

    policy: str | Policy | None
    scale_rule: ScaleRule | None
    reciprocal: bool | None
    rng: np.random.Generator | None
    engine: Engine
    threads: int


def _source(x: npt.ArrayLike) -> npt.NDArray[Any]:
    source = tiles.as_array(x)
    if source.ndim == 0:
        raise InputError("cannot quantise a scalar", hint="pass an array of at least one axis")
    return source


def _target(scheme: str | Scheme | TensorFormat, role: Role) -> tuple[TensorFormat, float]:
    """The tensor format and the floor of amax."""
    if isinstance(scheme, TensorFormat):
        return scheme, 0.0
    found = find_scheme(scheme) if isinstance(scheme, str) else scheme
    if role not in ("weight", "activation"):
        raise InputError(f"role {role!r} is neither weight nor activation",
                         hint="role=\"weight\" or role=\"activation\"")
    if role == "weight":
        return found.weight, 0.0
    return found.activation, DEEPSEEK_AMAX_FLOOR if found.id.startswith("fp8-block") else 0.0


def _policy(choices: _Choices, fmt: TensorFormat) -> Policy:
    named = "deepseek-v3" if choices.policy is None else choices.policy
    chosen = resolve_policy(named, element(fmt.element))
    if choices.reciprocal is not None:
        chosen = replace(chosen, reciprocal=choices.reciprocal)
    check_engine(choices.engine, choices.threads)
    check_rng(chosen, choices.rng, choices.threads)
    return chosen


def _check_memory(out: Quantized | None, fmt: TensorFormat, shape: tuple[int, ...]) -> None:
    """Raise InputError for an ``out`` of another format or shape, or with more than one scale."""
    if out is None:
        return
    if fmt.block_bytes is not None or (fmt.scale is not None and fmt.scale.zero_point):
        raise UnsupportedError("ggml blocks and zero points are not written into given memory",
                               hint="leave out= away")
    if out.format != fmt or out.codes.shape != shape:
        raise InputError(f"out holds {out.format.element} of shape {out.codes.shape}, the result "
                         f"is {fmt.element} of shape {shape} in the scheme's layout",
                         hint="pass an array that an earlier call with these arguments returned, "
                              "or leave out= out")


def _plain(
    source: npt.NDArray[Any], fmt: TensorFormat, choices: _Choices, out: Codes | None
) -> Quantized:
    if choices.scale_rule is not None or choices.reciprocal is not None:
        raise UnsupportedError(f"{fmt.element} without scales takes no scale rule or reciprocal",
                               hint="leave scale_rule and reciprocal out, or choose a format with "
                                    "scales")
    codes = encode(source, fmt.element, policy=_policy(choices, fmt), rng=choices.rng,
                   engine=choices.engine, threads=choices.threads, out=out)
    return Quantized(fmt, codes, None, None)


def _job(fmt: TensorFormat, floor: float, shape: tuple[int, int], choices: _Choices) -> BlockJob:
    assert fmt.scale is not None
    rule = fmt.scale.rule if choices.scale_rule is None else choices.scale_rule
    check_rule(rule, fmt.scale)
    return BlockJob(fmt, fmt.scale, element(fmt.element), _policy(choices, fmt), rule,
                    block_sides(fmt.scale, *shape), floor, choices.engine, choices.threads,
                    choices.rng)


def _ggml(source: npt.NDArray[Any], job: BlockJob, choices: _Choices) -> Quantized:
    """llama.cpp's own quantisers, which leave no choice."""
    given = (choices.policy, choices.scale_rule, choices.reciprocal, choices.rng)
    if any(choice is not None for choice in given):
        raise UnsupportedError("ggml formats are defined by their quantiser, not by a policy",
                               hint="pass no policy, scale_rule, reciprocal or rng")
    _numpy_only(job.engine, "ggml blocks")
    storage = ggml.encode_blocks(source, job.fmt, job.threads)
    view = ggml.inspect(storage, job.fmt)
    return Quantized(job.fmt, view.codes.reshape(source.shape), view.scales, None,
                     minima=view.minima, storage=storage)


def _numpy_only(engine: str, what: str) -> None:
    if engine == "numba":
        raise UnsupportedError(f"numba has no kernel for {what}", hint="use engine='numpy'")
