"""The number formats of single elements, and the dtype names of checkpoint headers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from planner.errors import UnknownNameError
from planner.formats.spec import ElementFormat, ElementKind

_OFP8 = "OCP 8-bit Floating Point Specification (OFP8) 1.0"
_MX = "OCP Microscaling Formats (MX) Specification 1.0"
_IEEE = "IEEE 754-2019"


def _float(
    id: str,
    checkpoint_name: str,
    exponent_bits: int,
    mantissa_bits: int,
    source: str,
    *,
    nan: Literal["ieee", "all-ones", "none"],
    bits: int | None = None,
    signed: bool = True,
) -> ElementFormat:
    """A binary float with bias 2^(e-1)-1; ``nan`` decides which top codes are not numbers."""
    bias = 2 ** (exponent_bits - 1) - 1
    top_exponent = 2**exponent_bits - 1 - bias - (1 if nan == "ieee" else 0)
    top_mantissa = 2**mantissa_bits - 1 - (1 if nan == "all-ones" else 0)
    return ElementFormat(
        id=id,
        checkpoint_name=checkpoint_name,
        kind="float",
        bits=bits if bits is not None else 1 + exponent_bits + mantissa_bits,
        exponent_bits=exponent_bits,
        mantissa_bits=mantissa_bits,
        bias=bias,
        max_finite=(1 + top_mantissa / 2**mantissa_bits) * 2.0**top_exponent,
        min_normal=2.0 ** (1 - bias),
        min_subnormal=2.0 ** (1 - bias - mantissa_bits),
        signed=signed,
        has_inf=nan == "ieee",
        nan=nan,
        source=source,
    )


def _integer(id: str, checkpoint_name: str, bits: int, source: str) -> ElementFormat:
    """A two's complement integer; ``max_finite`` is the symmetric bound 2^(bits-1)-1."""
    kind: ElementKind = "int"
    return ElementFormat(id, checkpoint_name, kind, bits, 0, bits - 1, 0,
                         float(2 ** (bits - 1) - 1), 1.0, 1.0, True, False, "none", source)


_E8M0 = ElementFormat("e8m0", "F8_E8M0", "scale", 8, 8, 0, 127, 2.0**127, 2.0**-127, 2.0**-127,
                      False, False, "ff", _MX)

_ALL = (
    _float("fp32", "F32", 8, 23, _IEEE, nan="ieee"),
    # 19 significant bits; stored in the top of an FP32 word.
    _float("tf32", "", 8, 10, "NVIDIA A100 Tensor Core GPU Architecture (2020)", nan="ieee",
           bits=32),
    _float("bf16", "BF16", 8, 7, "Intel bfloat16 Hardware Numerics Definition (2018)", nan="ieee"),
    _float("fp16", "F16", 5, 10, _IEEE, nan="ieee"),
    _float("e4m3fn", "F8_E4M3", 4, 3, _OFP8, nan="all-ones"),
    _float("e5m2", "F8_E5M2", 5, 2, _OFP8, nan="ieee"),
    _float("e3m2", "F6_E3M2", 3, 2, _MX, nan="none"),
    _float("e2m3", "F6_E2M3", 2, 3, _MX, nan="none"),
    _float("e2m1", "F4", 2, 1, _MX, nan="none"),
    _E8M0,
    # Seven value bits in a byte whose sign bit is ignored; checkpoints label it F8_E4M3.
    _float("ue4m3", "F8_E4M3", 4, 3, "NVIDIA PTX ISA 8.7, block scale types", nan="all-ones",
           bits=8, signed=False),
    _integer("int8", "I8", 8, "two's complement; symmetric range ±127 in weights and activations"),
    _integer("int4", "", 4, "two's complement; symmetric range ±7; two codes to a byte"),
)

ELEMENTS: Mapping[str, ElementFormat] = MappingProxyType({e.id: e for e in _ALL})
_STORED_ONLY = {one.id: one for one in (
    _integer("int2", "", 2, "two's complement; codes of 2 bits, packed into words (GPTQ)"),
    _integer("int3", "", 3, "two's complement; codes of 3 bits, packed into words (GPTQ)"),
)}
"""Elements of checkpoints' schemes that no plan chooses (``stored_schemes``)."""


def element(id: str) -> ElementFormat:
    """The element format ``id`` (case and underscores do not matter).

    Raises UnknownNameError for a name outside ELEMENTS.
    """
    found = ELEMENTS.get(id) or ELEMENTS.get(id.lower().replace("_", "-")) or _STORED_ONLY.get(id)
    if found is None:
        raise UnknownNameError("element format", id, ELEMENTS)
    return found
