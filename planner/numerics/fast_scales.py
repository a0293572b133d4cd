"""Scale rules compiled by numba, with the bits of planner/numerics/scaling.py. Import lazily: it
needs the ``[fast]`` extra.

A recipe covers FP32 scales proportional to amax, every rule that gives powers of two, and NVFP4's
two levels; other scale formats go through numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.formats.elements import element
from planner.numerics.engines import kernel
from planner.numerics.tiles import FloatArray

if TYPE_CHECKING:
    from planner.numerics.block_job import BlockJob

PROPORTIONAL, POWER, TWO_LEVEL = 0, 1, 2


class ScaleRecipe(NamedTuple):
    """What the kernel needs to know of a scale rule.

    Largest magnitudes, at least ``floor``, are divided by ``top`` and then by ``tensor``. Scales
    are ``tiny`` or larger (PROPORTIONAL); the power of two ``minus`` below the magnitude, rounded
    ``up`` or after adding ``half`` to its bits, of biased exponent ``lowest`` or more (POWER); or
    rounded to ``mantissa`` bits, ``lowest`` the smallest normal's biased exponent plus one, up to
    ``largest`` (TWO_LEVEL). Elements count ``unit`` times the stored scale.
    """

    kind: int
    floor: np.float32
    top: np.float32
    tensor: np.float32
    tiny: np.float32
    half: np.uint32
    up: bool
    minus: np.int32
    lowest: np.int32
    mantissa: np.int32
    largest: np.float32
    unit: np.float32


def scale_recipe(job: BlockJob, tensor: float = 1.0) -> ScaleRecipe | None:
    """The recipe of a job's scales, ``tensor`` being NVFP4's second level; None where numpy does
    them."""
    spec, fmt = job.spec, job.target
    if job.policy.scaling != "plain" or job.rule == "four-over-six":
        return None
    unit = 2.0**job.fmt.element_exponent
    top = fmt.max_finite * unit
    made = _recipe(PROPORTIONAL, floor=job.floor, top=top, unit=tensor * unit)
    if spec.tensor_scale:
        stored = element(spec.format)
        return made._replace(
            kind=TWO_LEVEL,
            tensor=np.float32(tensor),
            lowest=np.int32(128 - stored.bias),
            mantissa=np.int32(stored.mantissa_bits),
            largest=np.float32(stored.max_finite),
        )
    if job.rule in ("amax", "half-range"):
        half = 0.5 * unit if job.rule == "half-range" else 0.0
        return made._replace(top=np.float32(top + half)) if spec.format == "fp32" else None
    if job.rule == "rceil":
        return made._replace(kind=POWER, up=True, lowest=np.int32(1))
    made = made._replace(
        kind=POWER,
        top=np.float32(1),
        up=job.rule == "ceil",
        minus=np.int32(np.frexp(np.float32(top))[1] - 1),
    )
    if job.rule == "even":
        significand = fmt.mantissa_bits if fmt.kind == "float" else fmt.bits - 2
        made = made._replace(half=np.uint32(1 << 22 - significand))
    return made


def _recipe(kind: int, *, floor: float, top: float, unit: float) -> ScaleRecipe:
    single = np.float32
    return ScaleRecipe(
        kind=kind,
        floor=single(floor),
        top=single(top),
        tensor=single(1),
        tiny=single(element("fp32").min_subnormal),
        half=np.uint32(0),
        up=False,
        minus=np.int32(0),
        lowest=np.int32(0),
        mantissa=np.int32(0),
        largest=single(0),
        unit=single(unit),
    )


def exact_reciprocal(recipe: ScaleRecipe) -> bool:
    """Whether 1/s is exact for every scale, so that x·(1/s) has the bits of x/s."""
    return recipe.kind == POWER and float(recipe.unit) == 1.0


@kernel
def _proportional(amax: FloatArray, s: ScaleRecipe, out: FloatArray) -> None:
    for b in range(amax.size):
        a = np.float32(max(amax[b], s.floor))
        raw = np.float32(max(np.float32(a / s.top), s.tiny))
        out[b] = raw if a > 0 else np.float32(1)


@kernel
def _power(amax: FloatArray, s: ScaleRecipe, out: FloatArray) -> None:
    bits = out.view(np.uint32)
    for b in range(amax.size):
        a = np.float32(np.float32(max(amax[b], s.floor)) / s.top)
        word = np.uint32(a.view(np.uint32) + s.half)
        field = np.int32(np.int32(word >> np.uint32(23)) - s.minus)
        if s.up and np.uint32(word & np.uint32(0x7FFFFF)) != 0:
            field = np.int32(field + 1)
        field = np.int32(min(max(field, s.lowest), np.int32(254)))
        bits[b] = np.uint32(field << 23) if field > 0 else np.uint32(0x400000)


@kernel
def _two_level(amax: FloatArray, s: ScaleRecipe, out: FloatArray) -> None:
    lowest = np.uint32(s.lowest << 23)
    add = np.uint32(((23 - s.mantissa) << 23) | 0x400000)
    for b in range(amax.size):
        raw = np.float32(np.float32(np.float32(max(amax[b], s.floor)) / s.top) / s.tensor)
        v = np.float32(min(raw, s.largest))
        field = np.uint32(v.view(np.uint32) & np.uint32(0x7F800000))
        c = np.uint32(max(field, lowest) + add).view(np.float32)
        out[b] = np.float32(v + c) - c


@kernel
def scale_blocks(
    amax: FloatArray, s: ScaleRecipe, multiply: bool, out: FloatArray, divisor: FloatArray
) -> None:
    """Stored scales of blocks, and what their elements are divided by (or multiplied with)."""
    if s.kind == PROPORTIONAL:
        _proportional(amax, s, out)
    elif s.kind == POWER:
        _power(amax, s, out)
    else:
        _two_level(amax, s, out)
    for b in range(amax.size):
        d = np.float32(out[b] * s.unit)
        if s.kind == TWO_LEVEL:
            d = np.float32(np.inf) if d == 0 else d
        if multiply:
            inverse = np.float32(np.float32(1) / d)
            d = np.float32(min(inverse, np.float32(3.4028234663852886e38)))
        divisor[b] = d
