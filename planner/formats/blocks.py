"""Named block formats of single tensors, those outside the list of schemes included.

:func:`block_format` gives the record that ``quantize`` takes in place of a scheme.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from planner.base.errors import UnknownNameError
from planner.formats.schemes import SCHEMES
from planner.formats.spec import ScaleSpec, TensorFormat


def _mx(element: str, exponent: int = 0) -> TensorFormat:
    return TensorFormat(element, ScaleSpec("e8m0", 1, 32, "ocp-floor"), element_exponent=exponent)


def _affine(element: str, scale: str, columns: int) -> TensorFormat:
    return TensorFormat(element, ScaleSpec(scale, 1, columns, "amax", zero_point=True))


# The first five: OCP Microscaling Formats (MX) Specification 1.0, section 5, blocks of 32. MXINT8
# elements have six fraction bits. Asymmetric integers: ONNX DynamicQuantizeLinear per token or
# channel; groups of 128 with FP16 scales and zero points as GPTQ and AWQ checkpoints store them.
BLOCK_FORMATS: Mapping[str, TensorFormat] = MappingProxyType(
    {
        "mxfp8-e4m3": _mx("e4m3fn"),
        "mxfp8-e5m2": _mx("e5m2"),
        "mxfp6-e2m3": _mx("e2m3"),
        "mxfp6-e3m2": _mx("e3m2"),
        "mxfp4": _mx("e2m1"),
        "mxint8": _mx("int8", -6),
        "nvfp4": SCHEMES["nvfp4"].weight,
        "int8-asymmetric": _affine("int8", "fp32", 0),
        "int4-asymmetric-g128": _affine("int4", "fp16", 128),
        "int4-asymmetric-g32": _affine("int4", "fp16", 32),
    }
)


def block_format(id: str) -> TensorFormat:
    """The block format ``id`` (case and underscores do not matter).

    Raises UnknownNameError for a name outside BLOCK_FORMATS.
    """
    fmt = BLOCK_FORMATS.get(id.strip().lower().replace("_", "-"))
    if fmt is None:
        raise UnknownNameError("block format", id, BLOCK_FORMATS)
    return fmt
