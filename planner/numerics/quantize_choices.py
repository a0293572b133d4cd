"""What callers of quantize chose, checked and settled into one job.

Arrays as quantize takes them: blocks along another axis, batches of matrices, rotations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from planner.base.errors import InputError, UnknownNameError, UnsupportedError
from planner.formats.blocks import BLOCK_FORMATS, block_format
from planner.formats.elements import element
from planner.formats.schemes import SCHEMES
from planner.formats.schemes import scheme as find_scheme
from planner.formats.spec import ElementFormat, ScaleRule, ScaleSpec, Scheme, TensorFormat
from planner.numerics import rotations, tiles
from planner.numerics.block_job import BlockJob
from planner.numerics.cast import check_rng, decode, encode, has_kernel
from planner.numerics.engines import Chosen, resolve_engine
from planner.numerics.library_rules import rule_of, ties_to_zero
from planner.numerics.policies import RANDOM_BITS, Policy, resolve_policy
from planner.numerics.quantized import Quantized
from planner.numerics.rotations import check_size
from planner.numerics.scaling import DEEPSEEK_AMAX_FLOOR, block_sides, check_rule
from planner.numerics.tiles import FloatArray, as_array

Role = Literal["weight", "activation"]


@dataclass(frozen=True, slots=True)
class Choices:
    """The arguments that quantize and round_trip share."""

    policy: str | Policy | None
    scale_rule: ScaleRule | None
    reciprocal: bool | None
    rng: np.random.Generator | None
    engine: Chosen
    threads: int
    scale: npt.ArrayLike | None = None
    tensor_scale: npt.ArrayLike | None = None
    block: Sequence[int] | None = None
    hadamard: int | None = None
    random_bits: int | None = None


def target(
    scheme: str | Scheme | TensorFormat, role: Role, choices: Choices
) -> tuple[TensorFormat, float]:
    """The tensor format, recipes included, and the floor of amax.

    Raises UnknownNameError for a name that is neither a scheme nor a block format, InputError for a
    role or a recipe that is none, UnsupportedError for a recipe that the format does not have.
    """
    if role not in ("weight", "activation"):
        raise InputError(
            f"role {role!r} is neither weight nor activation",
            hint='role="weight" or role="activation"',
        )
    if isinstance(scheme, TensorFormat):
        return _recipe(scheme, choices), 0.0
    named = _named(scheme) if isinstance(scheme, str) else scheme
    if isinstance(named, TensorFormat):
        return _recipe(named, choices), 0.0
    if role == "weight":
        return _recipe(named.weight, choices), 0.0
    floor = DEEPSEEK_AMAX_FLOOR if named.id.startswith("fp8-block") else 0.0
    return _recipe(named.activation, choices), floor


def _named(name: str) -> Scheme | TensorFormat:
    """A scheme, or else a block format."""
    for find in (find_scheme, block_format):
        try:
            return find(name)
        except UnknownNameError:
            continue
    raise UnknownNameError("scheme or block format", name, [*SCHEMES, *BLOCK_FORMATS])


def _recipe(fmt: TensorFormat, choices: Choices) -> TensorFormat:
    """``fmt`` with the blocks, the rotation and the random bits that were asked for."""
    changes: dict[str, object] = {}
    options = (choices.block, choices.hadamard, choices.random_bits)
    if all(option is None for option in options):
        return fmt
    if fmt.block_bytes is not None:
        raise UnsupportedError(
            "ggml formats are defined by their quantiser",
            hint="leave block, hadamard and random_bits out",
        )
    if choices.block is not None:
        changes["scale"] = _with_block(fmt.scale, choices.block)
    if choices.hadamard is not None:
        check_size(choices.hadamard, (choices.hadamard,))
        changes["rotation"] = choices.hadamard
    if choices.random_bits is not None:
        if choices.random_bits not in RANDOM_BITS:
            raise InputError(
                f"random_bits = {choices.random_bits} is not emulated",
                hint="8 (as NVIDIA's cvt.rs) or 32",
            )
        changes["random_bits"] = choices.random_bits
    return replace(fmt, **changes)  # type: ignore[arg-type]


def _with_block(spec: ScaleSpec | None, block: Sequence[int]) -> ScaleSpec:
    if spec is None:
        raise UnsupportedError(
            "a format without scales has no blocks",
            hint="leave block out, or choose a format with scales",
        )
    if len(block) != 2 or min(block) < 0:
        raise InputError(
            f"block = {block!r} is not (rows, columns)",
            hint="two whole numbers, 0 for a whole axis: (16, 16)",
        )
    return replace(spec, block_rows=block[0], block_columns=block[1])


def cast_policy(choices: Choices, fmt: TensorFormat) -> Policy:
    """The policy of the elements' cast."""
    named = "deepseek-v3" if choices.policy is None else choices.policy
    chosen = resolve_policy(named, element(fmt.element))
    if ties_to_zero(fmt, chosen):
        chosen = replace(chosen, tie="zero")
    if choices.reciprocal is not None:
        chosen = replace(chosen, reciprocal=choices.reciprocal)
    if fmt.random_bits:
        chosen = replace(chosen, rounding="stochastic", random_bits=fmt.random_bits)
    check_rng(chosen, choices.rng, choices.threads)
    return chosen


def made_job(
    fmt: TensorFormat, floor: float, shape: tuple[int, int], size: int, choices: Choices
) -> BlockJob:
    """One quantisation of a matrix of ``shape``, all choices made.

    Raises:
        UnsupportedError: an element that takes no further scale.
    """
    spec, chosen, aim = fmt.scale, cast_policy(choices, fmt), element(fmt.element)
    assert spec is not None
    if aim.kind == "int" and aim.min_subnormal != 1:
        raise UnsupportedError(
            f"{aim.id} elements take no further scale",
            hint="the block format 'mxint8' has int8 elements",
        )
    rule = rule_of(spec, aim, chosen.scaling) if choices.scale_rule is None else choices.scale_rule
    check_rule(rule, spec, aim.kind)
    if rule == "four-over-six" and choices.reciprocal is None:
        chosen = replace(chosen, reciprocal=True)
    covered = (
        not spec.zero_point
        and fmt.block_bytes is None
        and choices.rng is None
        and has_kernel(aim, chosen)
    )
    sides = block_sides(spec, *shape)
    return BlockJob(
        fmt,
        spec,
        aim,
        chosen,
        rule,
        sides,
        floor,
        resolve_engine(choices.engine, choices.threads, size, covered=covered),
        choices.threads,
        choices.rng,
        _given(choices.scale, spec, sides, shape),
        _tensor(choices.tensor_scale, spec, choices.scale is not None, aim),
    )


def _given(
    scale: npt.ArrayLike | None, spec: ScaleSpec, sides: tuple[int, int], shape: tuple[int, int]
) -> FloatArray | None:
    """Known scales of all blocks. Raises InputError unless they are positive, finite, of the right
    shape and numbers of the scale format."""
    if scale is None:
        return None
    if spec.zero_point:
        raise UnsupportedError(
            "known scales are not defined with zero points",
            hint="leave scale out, or choose a scheme without zero points",
        )
    grid = (-(-shape[0] // sides[0]), -(-shape[1] // sides[1]))
    given_scale = as_array(scale)
    if given_scale.ndim > 2 or any(
        a not in (1, b) for a, b in zip(given_scale.shape[::-1], grid[::-1], strict=False)
    ):
        raise InputError(
            f"scale has shape {given_scale.shape}, the blocks are {grid}",
            hint="one number, or one for every block",
        )
    values = _numbers(given_scale, "scale")
    stored = decode(encode(values, spec.format), spec.format)
    if (stored != values).any():
        bad = values[stored != values].reshape(-1)[0]
        raise InputError(
            f"scale {bad:.9g} is no number of {spec.format}",
            hint=f"round it first: decode(encode(scale, {spec.format!r}), {spec.format!r})",
        )
    return np.broadcast_to(values, grid)


def _tensor(
    scale: npt.ArrayLike | None, spec: ScaleSpec, blocks_given: bool, aim: ElementFormat
) -> np.float32 | None:
    """NVFP4's second level where it is known."""
    if scale is None:
        if spec.tensor_scale and blocks_given:
            raise InputError(
                "block scales of two-level formats need their tensor scale",
                hint="pass tensor_scale as well",
            )
        return None
    if not spec.tensor_scale:
        raise UnsupportedError(
            f"{aim.id} with {spec.format} scales has no tensor scale",
            hint="leave tensor_scale out; scale gives the scales of the blocks",
        )
    given_scale = as_array(scale)
    if given_scale.size != 1:
        raise InputError(
            f"tensor_scale has shape {given_scale.shape}, a matrix has one",
            hint="one number, or batch_axes for one of every matrix",
        )
    return np.float32(_numbers(given_scale, "tensor_scale").reshape(())[()])


def _numbers(given: npt.NDArray[np.generic], name: str) -> FloatArray:
    with np.errstate(over="ignore"):
        values = given.astype(np.float32)
    if not (np.isfinite(values) & (values > 0)).all():
        raise InputError(
            f"{name} holds a number that is not positive and finite",
            hint=f"{name} is what a decoded element is multiplied by",
        )
    return values


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
    quantise_matrix: Callable[[Array, Choices], Quantized],
) -> Quantized:
    """``quantise_matrix`` of every matrix of ``source``, put together; ``scale`` and
    ``tensor_scale`` that begin with the axes of the batch are divided among the matrices."""
    if not place.batch_axes:
        quantized = quantise_matrix(source, choices)
    else:
        outer = source.shape[: place.batch_axes]
        parts = [
            quantise_matrix(
                source[index],
                replace(
                    choices,
                    scale=_part(choices.scale, outer, index, 2),
                    tensor_scale=_part(choices.tensor_scale, outer, index, 0),
                ),
            )
            for index in np.ndindex(outer)
        ]
        quantized = _batched(parts, outer, source.shape, fmt)
    return replace(
        quantized,
        codes=np.moveaxis(quantized.codes, -1, place.axis),
        axis=place.axis,
        batch_axes=place.batch_axes,
    )


def _part(
    given: npt.ArrayLike | None, outer: tuple[int, ...], index: tuple[int, ...], inner: int
) -> npt.ArrayLike | None:
    """What of a known scale belongs to the matrix ``index``."""
    if given is None:
        return None
    full_array = tiles.as_array(given)
    if full_array.ndim <= inner and full_array.shape != outer:
        return full_array
    if full_array.shape[: len(outer)] != outer:
        raise InputError(
            f"a scale of shape {full_array.shape} does not begin with the batch {outer}",
            hint="one number, one for every matrix, or one for every block of each",
        )
    part: npt.ArrayLike = full_array[index]
    return part


def _batched(
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
        array = np.stack([np.asarray(value) for value in values])
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
