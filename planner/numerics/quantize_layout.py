"""Arrays as quantize takes them: blocks along another axis, batches of matrices, rotations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import InputError
from planner.formats.spec import TensorFormat
from planner.numerics import rotations, tiles
from planner.numerics.quantize_choices import Choices
from planner.numerics.quantized import Quantized

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class BlocksAlong:
    """Where blocks run, counted from the end, and how many leading axes number matrices."""

    axis: int
    batch_axes: int


def source_of(x: npt.ArrayLike) -> Array:
    """``x`` as an array of real numbers with at least one axis.

    Raises InputError for a scalar.
    """
    source = tiles.as_array(x)
    if source.ndim == 0:
        raise InputError("cannot quantise a scalar", hint="pass an array of at least one axis")
    return source


def laid_out(source: Array, axis: int, batch_axes: int) -> tuple[Array, BlocksAlong]:
    """A view of ``source`` with ``axis`` last.

    Raises InputError for an axis that is not there or is one of the batch.
    """
    if not -source.ndim <= axis < source.ndim:
        raise InputError(
            f"axis {axis} of an array of {source.ndim} axes",
            hint=f"from {-source.ndim} to {source.ndim - 1}",
        )
    if not 0 <= batch_axes < source.ndim:
        raise InputError(
            f"batch_axes = {batch_axes} of an array of {source.ndim} axes",
            hint=f"from 0 to {source.ndim - 1}: every matrix keeps an axis",
        )
    place = axis if axis < 0 else axis - source.ndim
    if place + source.ndim < batch_axes:
        raise InputError(
            f"axis {axis} is one of the {batch_axes} batch axes",
            hint="blocks run along an axis inside a matrix",
        )
    return np.moveaxis(source, place, -1), BlocksAlong(place, batch_axes)


def turned(source: Array, fmt: TensorFormat) -> Array:
    """``source`` (…, columns) rotated where the format says so.

    Raises InputError for columns that are not whole runs.
    """
    return rotations.hadamard(source, fmt.rotation) if fmt.rotation else source


def batched(
    source: Array,
    fmt: TensorFormat,
    place: BlocksAlong,
    choices: Choices,
    one: Callable[[Array, Choices], Quantized],
) -> Quantized:
    """``one`` of every matrix of ``source``, put together; ``scale`` and ``tensor_scale`` that
    begin with the axes of the batch are divided among the matrices."""
    if not place.batch_axes:
        found = one(source, choices)
    else:
        outer = source.shape[: place.batch_axes]
        parts = [
            one(
                source[index],
                replace(
                    choices,
                    scale=_part(choices.scale, outer, index, 2),
                    tensor_scale=_part(choices.tensor_scale, outer, index, 0),
                ),
            )
            for index in np.ndindex(outer)
        ]
        found = _together(parts, outer, source.shape, fmt)
    return replace(
        found,
        codes=np.moveaxis(found.codes, -1, place.axis),
        axis=place.axis,
        batch_axes=place.batch_axes,
    )


def _part(
    given: npt.ArrayLike | None, outer: tuple[int, ...], index: tuple[int, ...], inner: int
) -> npt.ArrayLike | None:
    """What of a known scale belongs to the matrix ``index``."""
    if given is None:
        return None
    whole = tiles.as_array(given)
    if whole.ndim <= inner and whole.shape != outer:
        return whole
    if whole.shape[: len(outer)] != outer:
        raise InputError(
            f"a scale of shape {whole.shape} does not begin with the batch {outer}",
            hint="one number, one for every matrix, or one for every block of each",
        )
    found: npt.ArrayLike = whole[index]
    return found


def _together(
    parts: list[Quantized], outer: tuple[int, ...], shape: tuple[int, ...], fmt: TensorFormat
) -> Quantized:
    """Quantised matrices as one record with the axes of the batch in front."""
    if not parts:
        raise InputError(f"a batch of shape {outer} holds no matrix", hint="leave batch_axes out")
    first = parts[0]

    def stacked(name: str) -> Any:
        values = [getattr(part, name) for part in parts]
        if values[0] is None:
            return None
        array = np.stack([np.asarray(one) for one in values])
        return array.reshape(*outer, *array.shape[1:])

    tensor = stacked("tensor_scale")
    return Quantized(
        fmt,
        stacked("codes").reshape(shape),
        stacked("scales"),
        None if tensor is None else tensor.astype(np.float32),
        zero_points=stacked("zero_points"),
        minima=stacked("minima"),
        storage=stacked("storage"),
        tensor_divides=first.tensor_divides,
    )
