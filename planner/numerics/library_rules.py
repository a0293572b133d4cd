"""How libraries turn largest magnitudes into scales where they differ: the named rules of presets.

Read in their sources (modelopt 0.47, torchao 0.18, compressed-tensors 0.20):

* ``plain``: g = amax / 2688; s = e4m3(amax_b / 6 / g); x / (s·g). Integers: amax / 127, ±127.
* ``modelopt``: s = e4m3(amax_b / (6·g)), at least 2^-9, 1 for zeros. Integers: amax / 127,
  -128 … 127.
* ``torchao``: s = e4m3(amax_b / 6 / g), at least 2^-6; x · ((1/g) / s). Integers: amax / 127.5,
  x · (1/s).
* ``compressed-tensors``: stores G = (1/amax) · 2688; s = e4m3(G · (amax_b / 6)), 0 becomes 0.125;
  x / (s/G). Integers: amax / 127.5, -128 … 127.

NVFP4: g of the tensor, s and amax_b of the block. Integers of four bits: 7, 7.5 and -8 … 7. MX:
modelopt rounds amax / max up (RCEIL), compressed-tensors rounds amax to the precision of E2M1 first
(EVEN), torchao takes OCP's floor. Instead of a scale of zero torchao has 2^-23 for integers, which
is its least, and compressed-tensors the epsilon of the scale's type. FP8: amax / 448 and x / s.
Ties go to even, in modelopt's MXFP4 toward zero.
"""

from __future__ import annotations

import numpy as np

from planner.formats.elements import element
from planner.formats.spec import ElementFormat, ScaleRule, ScaleSpec, TensorFormat
from planner.numerics.cast import decode, encode, has_values, round_flat
from planner.numerics.policies import Policy, Scaling, resolve_policy
from planner.numerics.tiles import FloatArray

NVFP4_SCALE_MAX = 448.0
FOUR_OVER_SIX_SCALE_MAX = 256.0
"""Four Over Six (arXiv 2512.02010): 1.5 times this is still exact in E4M3, 384."""
_LEAST_SCALE: dict[Scaling, float] = {"modelopt": 2.0**-9, "torchao": 2.0**-6}
_EPSILON = {"fp32": 2.0**-23, "bf16": 2.0**-7, "fp16": 2.0**-10}


def rule_of(spec: ScaleSpec, fmt: ElementFormat, scaling: Scaling) -> ScaleRule:
    """The scale rule that a library has for scales of this kind; ``plain``: that of ``spec``."""
    if scaling == "plain" or spec.zero_point or spec.tensor_scale:
        return spec.rule
    if fmt.kind == "int" and spec.format != "e8m0":
        return "amax" if scaling == "modelopt" else "half-range"
    if spec.format == "e8m0" and scaling != "torchao":
        return "rceil" if scaling == "modelopt" else "even"
    return spec.rule


def ties_to_zero(fmt: TensorFormat, policy: Policy) -> bool:
    """Whether a library breaks ties otherwise than its casts do: modelopt counts the bounds below a
    number in MXFP4, but not in NVFP4."""
    return (
        policy.id == "modelopt"
        and fmt.element == "e2m1"
        and fmt.scale is not None
        and fmt.scale.format == "e8m0"
    )


def even_bits(fmt: ElementFormat, scaling: Scaling) -> int:
    """Mantissa bits that amax is rounded to under the rule ``even``; compressed-tensors takes those
    of E2M1 for elements of 8 bits as well."""
    if scaling == "compressed-tensors" and fmt.bits == 8:
        return 1
    return fmt.mantissa_bits if fmt.kind == "float" else fmt.bits - 2


def least(raw: FloatArray, format: str, scaling: Scaling) -> FloatArray:
    """Scales proportional to amax, as a library keeps them from zero."""
    if scaling == "torchao":
        return np.maximum(raw, np.float32(2.0**-23))
    if scaling == "compressed-tensors":
        return np.where(raw == 0, np.float32(_EPSILON.get(format, 2.0**-23)), raw)
    return raw


def tensor_scale(largest: np.float32, top: np.float32, scaling: Scaling) -> np.float32:
    """NVFP4's second level, in one division: ``largest`` of the tensor becomes ``top`` · 448.

    compressed-tensors: the reciprocal. 0 where ``largest`` is tiny.
    """
    whole = np.float32(top * np.float32(NVFP4_SCALE_MAX))
    if scaling != "compressed-tensors":
        return np.float32(largest / whole)
    with np.errstate(over="ignore"):  # torch divides a number by a tensor in two steps
        inverse = np.float32(1) / np.maximum(largest, np.float32(2.0**-126)) * whole
    return np.float32(inverse) if np.isfinite(inverse) else np.float32(1)


def block_scales(
    amax: FloatArray, top: np.float32, tensor: np.float32, scaling: Scaling
) -> FloatArray:
    """NVFP4's block scales relative to ``tensor``, rounded to E4M3."""
    if scaling == "plain":
        return e4m3(amax / top / tensor)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if scaling == "compressed-tensors":
            raw = tensor * (amax / top)
        elif scaling == "modelopt":
            raw = amax / (top * tensor)
        else:
            raw = amax / top / tensor
    raw = np.where(np.isnan(raw), np.float32(0), raw)  # 0 / 0: a tensor of zeros
    if scaling == "modelopt":
        raw = np.where(raw == 0, np.float32(1), raw)
    stored = e4m3(np.maximum(raw, np.float32(_LEAST_SCALE.get(scaling, 0.0))))
    return np.where(stored == 0, np.float32(0.125), stored)


def e4m3(raw: FloatArray) -> FloatArray:
    """Scales rounded to E4M3, saturating."""
    raw, fmt = np.ascontiguousarray(raw), element("ue4m3")
    policy = resolve_policy("ocp-saturating", fmt)
    if not has_values(fmt, policy):
        return decode(encode(raw, fmt.id, policy=policy), fmt.id)
    stored = np.empty_like(raw)
    round_flat(raw.reshape(-1), fmt, policy, stored.reshape(-1))
    return stored
