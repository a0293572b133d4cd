"""What a conversion does where formats alone do not say: overflow, infinities, NaN codes, ties.

Libraries and hardware differ here, so "the" cast to FP8 does not exist; a policy names one. Presets
resolve per element format, because a library may saturate one format and not another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Literal, get_args

from planner.base.errors import InputError, UnknownNameError
from planner.formats.spec import ElementFormat

OutOfRange = Literal["ieee", "saturate"]
Tie = Literal["even", "away", "zero"]
Rounding = Literal["nearest", "toward-zero", "stochastic"]
Sign = Literal["kept", "positive"]
Payload = Literal["quiet", "ones"]
MissingNan = Literal["flipped-zero", "max"]
Unsigned = Literal["nan", "magnitude"]
PowerRounding = Literal["nearest", "up", "field"]
Scaling = Literal["plain", "modelopt", "torchao", "compressed-tensors"]
RANDOM_BITS = (8, 32)


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
    multiplying with 1/s instead of dividing by s. ``scaling``: how block scales are made where
    libraries differ (:mod:`planner.numerics.library_rules`).

    ``rounding``: ``nearest`` (ties as ``tie`` says), ``toward-zero`` (a finite value above the
    range becomes the largest finite one, IEEE 754-2019 section 7.4), or ``stochastic``: with the
    distance to the lower neighbour as probability of the upper one, in steps of 2^-32
    (``random_bits`` 32) or rounded down to steps of 2^-8 (8, as NVIDIA's cvt.rs has them), from
    the Generator that the caller passes; not defined for E8M0.

    Raises UnknownNameError for a choice that a field does not have, InputError for other types.
    """

    id: str
    overflow: OutOfRange = "ieee"
    infinity: OutOfRange = "ieee"
    nan_sign: Sign = "kept"
    nan_payload: Payload = "quiet"
    missing_nan: MissingNan = "flipped-zero"
    tie: Tie = "even"
    keep_negative_zero: bool = True
    unsigned: Unsigned = "nan"
    power_rounding: PowerRounding = "nearest"
    reciprocal: bool = False
    rounding: Rounding = "nearest"
    scaling: Scaling = "plain"
    random_bits: int = 32

    def __hash__(self) -> int:
        return hash((self.id, self.rounding))  # a table is looked up by policy in every call

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if not any(type(value) is type(choice) and value == choice for choice in choices):
                raise _wrong_choice(name, value, choices)


_CHOICES: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        "overflow": get_args(OutOfRange),
        "infinity": get_args(OutOfRange),
        "nan_sign": get_args(Sign),
        "nan_payload": get_args(Payload),
        "missing_nan": get_args(MissingNan),
        "tie": get_args(Tie),
        "keep_negative_zero": (True, False),
        "unsigned": get_args(Unsigned),
        "power_rounding": get_args(PowerRounding),
        "reciprocal": (True, False),
        "rounding": get_args(Rounding),
        "scaling": get_args(Scaling),
        "random_bits": RANDOM_BITS,
    }
)


def _wrong_choice(name: str, value: object, choices: tuple[object, ...]) -> InputError:
    """The error of a field: with the nearest choices where both are names."""
    names = [choice for choice in choices if isinstance(choice, str)]
    if names and isinstance(value, str):
        return UnknownNameError(f"policy {name.replace('_', ' ')}", value, names)
    return InputError(
        f"policy {name} = {value!r} is none of its choices",
        hint=f"{name} is " + " or ".join(repr(choice) for choice in choices),
    )


# OFP8 1.0 allows both modes; NaN codes and formats without NaN as in ml_dtypes 0.6.
_OCP = Policy("ocp")
_OCP_SATURATING = replace(_OCP, id="ocp-saturating", overflow="saturate", infinity="saturate")
# CUDA Math API, __NV_SATFINITE; E8M0 constructors round towards +infinity.
_CUDA = Policy(
    "cuda-satfinite",
    overflow="saturate",
    infinity="saturate",
    nan_sign="positive",
    nan_payload="ones",
    missing_nan="max",
    unsigned="magnitude",
    power_rounding="up",
)
# pytorch/pytorch#178817 made E4M3 saturate; no other format changed.
_TORCH_OLD = Policy("torch<2.12", nan_payload="ones", unsigned="magnitude", power_rounding="field")
_TORCH_NEW = replace(_TORCH_OLD, id="torch>=2.12")
# Up to 0.6: from 0.7 on the library rounds E8M0 to nearest everywhere, as OCP's policy does.
_ML_DTYPES = replace(_OCP, id="ml_dtypes", power_rounding="field")
# deep_gemm/utils/math.py: torch casts after x·(1/s); FP4 by bucketize.
_DEEPGEMM = replace(_TORCH_NEW, id="deepgemm", power_rounding="up", reciprocal=True)
# inference/kernel.py of DeepSeek-V3: y = x / s, then the hardware conversion.
_DEEPSEEK_V3 = replace(_CUDA, id="deepseek-v3")
# Saturating casts of torch, which scales are written for; their rules: library_rules.py.
_LIBRARY = replace(_TORCH_NEW, overflow="saturate", infinity="saturate", missing_nan="max")
_MODELOPT = replace(_LIBRARY, id="modelopt", scaling="modelopt")
_TORCHAO = replace(_LIBRARY, id="torchao", scaling="torchao")
_COMPRESSED = replace(_LIBRARY, id="compressed-tensors", scaling="compressed-tensors")

PRESETS: Mapping[str, Policy] = MappingProxyType({p.id: p for p in (
    _OCP, _OCP_SATURATING, _CUDA, _TORCH_NEW, _TORCH_OLD, _ML_DTYPES, _DEEPGEMM, _DEEPSEEK_V3,
    _MODELOPT, _TORCHAO, _COMPRESSED,
)})  # fmt: skip

_ALIASES: Mapping[str, str] = MappingProxyType({
    "ocp-nonsat": "ocp", "ocp-sat": "ocp-saturating", "ml-dtypes": "ml_dtypes",
    "compressed_tensors": "compressed-tensors", "llm-compressor": "compressed-tensors",
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
    return policy if isinstance(policy, Policy) else _preset(policy, element)


@cache
def _preset(policy: str, element: ElementFormat) -> Policy:
    name = policy.strip().lower()
    preset = PRESETS.get(_ALIASES.get(name, name))
    if preset is None:
        raise UnknownNameError("cast policy", policy, PRESETS)
    if element.kind == "float" and element.bits > 8:
        return replace(_OCP, id=preset.id, reciprocal=preset.reciprocal, scaling=preset.scaling)
    if preset.id in ("torch>=2.12", "deepgemm") and element.id in ("e4m3fn", "ue4m3"):
        return replace(preset, overflow="saturate", infinity="saturate")
    if preset.id == "torchao" and element.id in ("e2m1", "int8", "int4"):
        return replace(preset, reciprocal=True)
    if preset.id == "deepgemm" and element.id == "e2m1":
        return replace(preset, tie="zero", keep_negative_zero=False, missing_nan="max")
    return preset
