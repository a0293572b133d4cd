"""The number formats of single elements, and the dtype names of checkpoint headers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from planner.base.errors import UnknownNameError
from planner.formats.spec import ElementFormat, ElementKind

_OFP8 = "OCP 8-bit Floating Point Specification (OFP8) 1.0"
_MX = "OCP Microscaling Formats (MX) Specification 1.0"
_IEEE = "IEEE 754-2019"
_FNUZ = (
    "8-bit Numerical Formats for Deep Neural Networks (arXiv:2206.02915); AMD Instinct MI300 "
    "instruction set architecture, BF8 and FP8"
)
_ML_DTYPES = "ml_dtypes, {}: an 8-bit float by the rules of IEEE 754 (MLIR {})"


def _float(
    id: str,
    checkpoint_name: str,
    exponent_bits: int,
    mantissa_bits: int,
    source: str,
    *,
    nan: Literal["ieee", "all-ones", "negative-zero", "none"],
    bits: int | None = None,
    signed: bool = True,
    bias: int | None = None,
) -> ElementFormat:
    """A binary float with bias 2^(e-1)-1 (FNUZ: one more) unless given; ``nan`` decides which codes
    are not numbers."""
    if bias is None:
        bias = 2 ** (exponent_bits - 1) - (0 if nan == "negative-zero" else 1)
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


def _integer(
    id: str, checkpoint_name: str, bits: int, source: str, unit: float = 1.0
) -> ElementFormat:
    """A two's complement integer that counts ``unit``; ``max_finite`` is the symmetric bound
    (2^(bits-1)-1) units."""
    kind: ElementKind = "int"
    return ElementFormat(
        id,
        checkpoint_name,
        kind,
        bits,
        0,
        bits - 1,
        0,
        (2 ** (bits - 1) - 1) * unit,
        unit,
        unit,
        True,
        False,
        "none",
        source,
    )


_E8M0 = ElementFormat(
    "e8m0",
    "F8_E8M0",
    "scale",
    8,
    8,
    0,
    127,
    2.0**127,
    2.0**-127,
    2.0**-127,
    False,
    False,
    "ff",
    _MX,
)

_ALL = (
    _float("fp32", "F32", 8, 23, _IEEE, nan="ieee"),
    # 19 significant bits; stored in the top of an FP32 word.
    _float(
        "tf32", "", 8, 10, "NVIDIA A100 Tensor Core GPU Architecture (2020)", nan="ieee", bits=32
    ),
    _float("bf16", "BF16", 8, 7, "Intel bfloat16 Hardware Numerics Definition (2018)", nan="ieee"),
    _float("fp16", "F16", 5, 10, _IEEE, nan="ieee"),
    _float("e4m3fn", "F8_E4M3", 4, 3, _OFP8, nan="all-ones"),
    _float("e5m2", "F8_E5M2", 5, 2, _OFP8, nan="ieee"),
    _float("e3m2", "F6_E3M2", 3, 2, _MX, nan="none"),
    _float("e2m3", "F6_E2M3", 2, 3, _MX, nan="none"),
    _float("e2m1", "F4", 2, 1, _MX, nan="none"),
    _E8M0,
    # Seven value bits in a byte whose sign bit is ignored; checkpoints label it F8_E4M3.
    _float(
        "ue4m3",
        "F8_E4M3",
        4,
        3,
        "NVIDIA PTX ISA 8.7, block scale types",
        nan="all-ones",
        bits=8,
        signed=False,
    ),
    _integer("int8", "I8", 8, "two's complement; ±127 by amax / 127, down to -128 by amax / 127.5"),
    _integer(
        "int4",
        "",
        4,
        "two's complement; ±7 by amax / 7, down to -8 by amax / 7.5; two codes a byte",
    ),
    _float("e4m3fnuz", "F8_E4M3FNUZ", 4, 3, _FNUZ, nan="negative-zero"),
    _float("e5m2fnuz", "F8_E5M2FNUZ", 5, 2, _FNUZ, nan="negative-zero"),
    _float(
        "e4m3b11fnuz",
        "",
        4,
        3,
        "ml_dtypes, float8_e4m3b11fnuz: HFP8 (Sun et al., NeurIPS 2019) with a bias of 11",
        nan="negative-zero",
        bias=11,
    ),
    _float("e4m3", "", 4, 3, _ML_DTYPES.format("float8_e4m3", "f8E4M3"), nan="ieee"),
    _float("e3m4", "", 3, 4, _ML_DTYPES.format("float8_e3m4", "f8E3M4"), nan="ieee"),
    _integer("mxint8", "", 8, _MX + ", INT8: two's complement with six fraction bits", 2.0**-6),
)

ELEMENTS: Mapping[str, ElementFormat] = MappingProxyType({e.id: e for e in _ALL})
_STORED_ONLY = {
    one.id: one
    for one in (
        _integer("int2", "", 2, "two's complement; codes of 2 bits, packed into words (GPTQ)"),
        _integer("int3", "", 3, "two's complement; codes of 3 bits, packed into words (GPTQ)"),
    )
}
"""Elements of checkpoints' schemes that no plan chooses (``stored_schemes``)."""


# What libraries call the formats beside the ids: dtypes of ml_dtypes, torch, numpy and JAX, names
# of MLIR and of checkpoint headers. "e4m3" is ml_dtypes' format with infinities; OCP's is e4m3fn.
_ALIASES: Mapping[str, str] = MappingProxyType(
    {
        **{
            one.checkpoint_name.lower().replace("_", "-"): one.id
            for one in reversed(_ALL)
            if one.checkpoint_name
        },
        **{
            prefix + name: one
            for one, name in (
                ("e4m3fn", "e4m3fn"),
                ("e5m2", "e5m2"),
                ("e4m3fnuz", "e4m3fnuz"),
                ("e5m2fnuz", "e5m2fnuz"),
                ("e4m3b11fnuz", "e4m3b11fnuz"),
                ("e4m3", "e4m3"),
                ("e3m4", "e3m4"),
                ("e8m0", "e8m0fnu"),
            )
            for prefix in ("float8-", "f8")
        },
        "float6-e2m3fn": "e2m3",
        "float6-e3m2fn": "e3m2",
        "float4-e2m1fn": "e2m1",
        "f6e2m3fn": "e2m3",
        "f6e3m2fn": "e3m2",
        "f4e2m1fn": "e2m1",
        "e8m0fnu": "e8m0",
        "float32": "fp32",
        "float16": "fp16",
        "half": "fp16",
        "bfloat16": "bf16",
        "single": "fp32",
    }
)


def element(id: str) -> ElementFormat:
    """The element format ``id`` (case and underscores do not matter), or what a library or a
    checkpoint header calls it (``float8_e4m3fn``, ``torch.bfloat16``, ``F8_E4M3``).

    Raises UnknownNameError for a name outside ELEMENTS.
    """
    element_format = ELEMENTS.get(id)
    if element_format is None:
        name = id.strip().lower().replace("_", "-").removeprefix("torch.").removeprefix("jnp.")
        element_format = ELEMENTS.get(_ALIASES.get(name, name)) or _STORED_ONLY.get(name)
    if element_format is None:
        raise UnknownNameError("element format", id, ELEMENTS)
    return element_format
