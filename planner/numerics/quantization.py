"""Quantise matrices under the schemes of the catalogue, value-exact, tile by tile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnsupportedError
from planner.base.typed import typed
from planner.formats.spec import ScaleRule, Scheme, TensorFormat
from planner.numerics import blocks, ggml, passes, runs, tiles
from planner.numerics.block_job import BlockJob
from planner.numerics.cast import Codes, code_dtype, encode
from planner.numerics.engines import Chosen
from planner.numerics.policies import Policy
from planner.numerics.quantize_choices import (
    Choices,
    Role,
    batched,
    cast_policy,
    laid_out,
    made_job,
    source_of,
    target,
    turned,
)
from planner.numerics.quantized import Quantized, numpy_only
from planner.numerics.tiles import FloatArray, Tile

__all__ = ["Quantized", "Role", "quantize", "round_trip"]


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
    engine: Chosen = "auto",
    threads: int = 1,
    out: Quantized | None = None,
    axis: int = -1,
    batch_axes: int = 0,
    scale: npt.ArrayLike | None = None,
    tensor_scale: npt.ArrayLike | None = None,
    block: Sequence[int] | None = None,
    hadamard: int | None = None,
    random_bits: int | None = None,
) -> Quantized:
    """Quantise ``x`` (…, columns) as the weights or activations of ``scheme``.

    ``scheme``: a scheme, a block format (``mxint8``) or a TensorFormat (a cache layout). ``policy``
    decides casts and the order of scaling; the default saturates as the hardware conversion does
    (``deepseek-v3``: divide by the scale), which plain floats do not; ``modelopt``, ``torchao`` and
    ``compressed-tensors`` also make scales as those libraries do. ``scale_rule`` replaces the rule
    of the scheme's scales, ``reciprocal`` the policy's choice between x/s (False) and x·(1/s)
    (True). DeepSeek block activations clamp amax at 1e-4. ``rng``: the Generator of stochastic
    rounding. ``engine`` numba gives the same bits; ``auto`` is numba where it is installed and
    ``x`` large. ``out``: an earlier result of the same format and shape, whose codes and scales are
    written over; the result is a new record of the same arrays.

    ``axis``: blocks run along it (the default: the last). ``batch_axes``: so many leading axes
    number matrices of their own, with scales of their own. ``scale``: known scales, one for all
    or the shape of the result's (a static activation scale); ``tensor_scale``: NVFP4's second
    level, known (one for fused matrices). Recipes: ``block`` (rows, columns) replaces the shape of
    blocks, ``hadamard`` rotates runs of so many columns first (dequantize rotates back),
    ``random_bits`` (8 or 32) rounds elements stochastically.

    Beyond the result a few tiles of memory are taken, whatever the strides and dtype of ``x``; a
    copy of ``x`` is for a rotation. Blocks of zeros give zeros; edge blocks may be smaller than the
    scheme's (ggml: an error).
    Raises InputError for non-finite input to a scaled format, for input that is not real, for
    shapes, axes and scales that do not fit; UnsupportedError for a rule, recipe, scale or engine
    that the format does not have, and for a ggml type that is written with an importance matrix
    only (:func:`~planner.numerics.ggml_encode` takes one).
    """
    choices = Choices(
        policy,
        scale_rule,
        reciprocal,
        rng,
        engine,
        threads,
        scale,
        tensor_scale,
        block,
        hadamard,
        random_bits,
    )
    fmt, floor = target(scheme, role, choices)
    if axis == -1 and not batch_axes:
        return _one(turned(source_of(x), fmt), fmt, floor, choices, out)
    source, place = laid_out(source_of(x), axis, batch_axes)
    if out is not None:
        raise UnsupportedError(
            "out= takes results along the last axis, without batches", hint="leave out= away"
        )
    return batched(
        turned(source, fmt),
        fmt,
        place,
        choices,
        lambda part, own: _one(part, fmt, floor, own, None),
    )


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
    engine: Chosen = "auto",
    threads: int = 1,
    out: FloatArray | None = None,
    axis: int = -1,
    batch_axes: int = 0,
    scale: npt.ArrayLike | None = None,
    tensor_scale: npt.ArrayLike | None = None,
    block: Sequence[int] | None = None,
    hadamard: int | None = None,
    random_bits: int | None = None,
) -> FloatArray:
    """``quantize(x, …).dequantize()`` in one pass, without keeping codes: float32, shape of ``x``.

    ``out``: contiguous memory for the result, which may be that of ``x``. Other arguments and
    errors are those of :func:`quantize`.
    """
    choices = Choices(
        policy,
        scale_rule,
        reciprocal,
        rng,
        engine,
        threads,
        scale,
        tensor_scale,
        block,
        hadamard,
        random_bits,
    )
    source = source_of(x)
    fmt, floor = target(scheme, role, choices)
    unscaled = fmt.scale is None or fmt.block_bytes is not None or fmt.scale.zero_point
    if unscaled or axis != -1 or batch_axes or fmt.rotation:
        done = quantize(
            source,
            scheme,
            role=role,
            policy=policy,
            scale_rule=scale_rule,
            reciprocal=reciprocal,
            rng=rng,
            engine=engine,
            threads=threads,
            axis=axis,
            batch_axes=batch_axes,
            scale=scale,
            tensor_scale=tensor_scale,
            block=block,
            hadamard=hadamard,
            random_bits=random_bits,
        )
        return done.dequantize(engine=engine, threads=threads, out=out)
    job = made_job(fmt, floor, tiles.matrix_shape(source.shape), source.size, choices)
    values: FloatArray = tiles.output_array(out, source.shape, np.float32)
    matrix = values.reshape(tiles.matrix_shape(values.shape))

    def work(part: FloatArray, tile: Tile, divisor: FloatArray, factor: FloatArray) -> None:
        blocks.round_part(part, divisor, factor, job, tile.of(matrix))

    kept = np.empty(passes.grid(matrix.shape, job), np.float32)
    if runs.quantize(source, job, kept, values=matrix) is None:
        passes.each_tile(source, job, work, kept)
    return values


def _one(
    source: npt.NDArray[Any],
    target: TensorFormat,
    floor: float,
    choices: Choices,
    out: Quantized | None,
) -> Quantized:
    """One matrix whose blocks run along the last axis."""
    _check_memory(out, target, source.shape)
    if target.scale is None:
        return _plain(source, target, choices, None if out is None else out.codes)
    shape = tiles.matrix_shape(source.shape)
    job = made_job(target, floor, shape, source.size, choices)
    if target.block_bytes is not None:
        return _ggml(source, job, choices)
    codes = tiles.output_array(
        None if out is None else out.codes, source.shape, code_dtype(job.target)
    )
    matrix = codes.reshape(shape)
    if job.spec.zero_point:
        scale, zero = passes.asymmetric(source, job, matrix)
        return Quantized(target, codes, scale, None, zero_points=zero)

    def work(part: FloatArray, tile: Tile, divisor: FloatArray, _: FloatArray) -> None:
        blocks.encode_part(part, divisor, job, tile.of(matrix))

    kept = tiles.output_array(
        None if out is None else out.scales, passes.grid(shape, job), np.float32
    )
    scales = runs.quantize(source, job, kept, codes=matrix)
    if scales is None:
        scales = passes.each_tile(source, job, work, kept)
    tensor = scales.tensor if job.spec.tensor_scale else None
    return Quantized(target, codes, scales.block, tensor, tensor_divides=scales.inverse)


def _check_memory(out: Quantized | None, fmt: TensorFormat, shape: tuple[int, ...]) -> None:
    """Raise InputError for an ``out`` of another format or shape, or with more than one scale."""
    if out is None:
        return
    if fmt.block_bytes is not None or (fmt.scale is not None and fmt.scale.zero_point):
        raise UnsupportedError(
            "ggml blocks and zero points are not written into given memory", hint="leave out= away"
        )
    if out.format != fmt or out.codes.shape != shape:
        raise InputError(
            f"out holds {out.format.element} of shape {out.codes.shape}, the result "
            f"is {fmt.element} of shape {shape} in the scheme's layout",
            hint="pass an array that an earlier call with these arguments returned, "
            "or leave out= out",
        )


def _plain(
    source: npt.NDArray[Any], fmt: TensorFormat, choices: Choices, out: Codes | None
) -> Quantized:
    if choices.scale_rule is not None or choices.reciprocal is not None:
        raise UnsupportedError(
            f"{fmt.element} without scales takes no scale rule or reciprocal",
            hint="leave scale_rule and reciprocal out, or choose a format with scales",
        )
    if choices.scale is not None or choices.tensor_scale is not None:
        raise UnsupportedError(
            f"{fmt.element} without scales takes no scale",
            hint="leave scale and tensor_scale out, or choose a format with scales",
        )
    codes = encode(
        source,
        fmt.element,
        policy=cast_policy(choices, fmt),
        rng=choices.rng,
        engine=choices.engine,
        threads=choices.threads,
        out=out,
    )
    return Quantized(fmt, codes, None, None)


def _ggml(source: npt.NDArray[Any], job: BlockJob, choices: Choices) -> Quantized:
    """llama.cpp's own quantisers, which leave no choice."""
    given = (
        choices.policy,
        choices.scale_rule,
        choices.reciprocal,
        choices.rng,
        choices.scale,
        choices.tensor_scale,
    )
    if any(choice is not None for choice in given):
        raise UnsupportedError(
            "ggml formats are defined by their quantiser, not by a policy",
            hint="pass no policy, scale_rule, reciprocal, rng or scale",
        )
    numpy_only(job.engine, "ggml blocks")
    storage = ggml.encode_blocks(source, job.fmt, job.threads)
    view = ggml.inspect(storage, job.fmt)
    return Quantized(
        job.fmt,
        view.codes.reshape(source.shape),
        view.scales,
        None,
        minima=view.minima,
        storage=storage,
    )
