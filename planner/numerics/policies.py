"""What a conversion does where formats alone do not say: overflow, infinities, NaN codes, ties.

Libraries and hardware differ here, so "the" cast to FP8 does not exist; a policy names one. Presets
resolve per element format, because a library may saturate one format and not another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from planner.errors import UnknownNameError
from planner.formats.spec import ElementFormat

OutOfRange = Literal["ieee", "saturate"]
Tie = Literal["even", "away", "zero"]
Rounding = Literal["nearest", "toward-zero", "stochastic"]


@dataclass(frozen=True, slots=True)
class Policy:
    """The choices of one conversion.

    ``overflow`` and ``infinity``: what a finite value above the range, and an infinity, become:
    ``ieee`` (infinity, or NaN in a format without one) or ``saturate`` (the largest finite value);
    a format with neither always saturates. ``nan_sign`` and ``nan_payload`` choose the NaN code
    (``quiet`` sets the top mantissa bit, ``ones`` all of them); ``missing_nan`` what NaN becomes in
    a format without one (``max`` = positive maximum; ``flipped-zero`` = zero of the other sign).
    ``tie`` breaks exact halves. ``keep_negative_zero`` is False where small negatives become +0.
    ``unsigned`` says what a negative number becomes in a format without sign, and zero in E8M0:
    NaN, or the code of its magnitude. ``power_rounding`` rounds to E8M0 where ``rounding`` is
    nearest: to the nearest power of two, up, or as libraries do from the exponent field (``field``:
    nearest, but float32 subnormals above 2^-127 go up to 2^-126). ``reciprocal`` scales a block by
    multiplying with 1/s instead of dividing by s.

    ``rounding``: ``nearest`` (ties as ``tie`` says), ``toward-zero`` (a finite value above the
    range becomes the largest finite one, IEEE 754-2019 section 7.4), or ``stochastic``: with the
    distance to the lower neighbour as probability of the upper one, in steps of 2^-32, from the
    Generator that the caller passes; not defined for E8M0.
    """

    id: str
    overflow: OutOfRange = "ieee"
    infinity: OutOfRange = "ieee"
    nan_sign: Literal["kept", "positive"] = "kept"
    nan_payload: Literal["quiet", "ones"] = "quiet"
    missing_nan: Literal["flipped-zero", "max"] = "flipped-zero"
    tie: Tie = "even"
    keep_negative_zero: bool = True
    unsigned: Literal["nan", "magnitude"] = "nan"
    power_rounding: Literal["nearest", "up", "field"] = "nearest"
    reciprocal: bool = False
    rounding: Rounding = "nearest"


# OFP8 1.0 allows both modes; NaN codes and formats without NaN as in ml_dtypes 0.6.
_OCP = Policy("ocp")
_OCP_SATURATING = replace(_OCP, id="ocp-saturating", overflow="saturate", infinity="saturate")
# CUDA Math API, __NV_SATFINITE; E8M0 constructors round towards +infinity.
_CUDA = Policy("cuda-satfinite", overflow="saturate", infinity="saturate", nan_sign="positive",
               nan_payload="ones", missing_nan="max", unsigned="magnitude", power_rounding="up")
# pytorch/pytorch#178817 made E4M3 saturate; no other format changed.
_TORCH_OLD = Policy("torch<2.12", nan_payload="ones", unsigned="magnitude",
                    power_rounding="field")
_TORCH_NEW = replace(_TORCH_OLD, id="torch>=2.12")
_ML_DTYPES = replace(_OCP, id="ml_dtypes", power_rounding="field")
# deep_gemm/utils/math.py: torch casts after x·(1/s); FP4 by bucketize.
_DEEPGEMM = replace(_TORCH_NEW, id="deepgemm", power_rounding="up", reciprocal=True)
# inference/kernel.py of DeepSeek-V3: y = x / s, then the hardware conversion.
_DEEPSEEK_V3 = replace(_CUDA, id="deepseek-v3")

PRESETS: Mapping[str, Policy] = MappingProxyType({p.id: p for p in (
    _OCP, _OCP_SATURATING, _CUDA, _TORCH_NEW, _TORCH_OLD, _ML_DTYPES, _DEEPGEMM, _DEEPSEEK_V3,
)})  # fmt: skip

_ALIASES: Mapping[str, str] = MappingProxyType({
    "ocp-nonsat": "ocp", "ocp-sat": "ocp-saturating", "ml-dtypes": "ml_dtypes",
})  # fmt: skip


def policy_names() -> tuple[str, ...]:
    """The preset names, in the documented order."""
    return tuple(PRESETS)


def resolve_policy(policy: str | Policy, element: ElementFormat) -> Policy:
    """The choices that ``policy`` makes for ``element``; a record is taken as it is.

    Presets describe conversions to narrow formats: in FP32, TF32, BF16 and FP16 every preset
    overflows to infinity and keeps the NaN sign, as numpy, torch and CUDA do without ``satfinite``.

    Raises UnknownNameError for a name that is not a preset.
    """
    if isinstance(policy, Policy):
        return policy
    name = policy.strip().lower()
    found = PRESETS.get(_ALIASES.get(name, name))
    if found is None:
        raise UnknownNameError("cast policy", policy, PRESETS)
    if element.kind == "float" and element.bits > 8:
        return replace(_OCP, id=found.id, reciprocal=found.reciprocal)
    if found.id in ("torch>=2.12", "deepgemm") and element.id in ("e4m3fn", "ue4m3"):
        return replace(found, overflow="saturate", infinity="saturate")
    if found.id == "deepgemm" and element.id == "e2m1":
        return replace(found, tie="zero", keep_negative_zero=False, missing_nan="max")
    return found
