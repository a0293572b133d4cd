"""The block types that GGUF files hold weights in: facts of ggml and of llama-quantize, as data.

Sources, all of llama.cpp 0c1e570 (MIT): block sizes, ggml/src/ggml-common.h; numbers of the types,
ggml/include/ggml.h; what activations are rounded to beside each on CPUs, ``vec_dot_type`` in
ggml/src/ggml-cpu/ggml-cpu.c; fallbacks and importance matrices, tensor_type_fallback and
tensor_requires_imatrix in src/llama-quant.cpp, ggml_quantize_requires_imatrix in ggml/src/ggml.c;
words that name a whole file's type, QUANT_OPTIONS in tools/quantize/quantize.cpp.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from planner.base.records import record

Inputs = Literal["q8_0", "q8_1", "q8_k"]
Imatrix = Literal["", "linears", "always"]
SOURCE = "ggml-org/llama.cpp ggml/src/ggml-common.h"
PREFIX = "ggml-"


@record
class GgmlBlockType:
    """One type: ``number`` in files, blocks of ``elements`` in ``bytes``.

    ``element`` is the element format nearest to its codes; ``inputs`` the blocks that activations
    take beside it on CPUs. ``fallback`` is what llama-quantize writes where rows are not whole
    blocks (empty: it stops there, or writes F16 where blocks are of 32). ``imatrix``: what it
    refuses to write without an importance matrix (``linears``: all but head and embedding).
    ``file_type`` is the word of llama-quantize for a file of this type, empty where it has none.
    """

    name: str
    number: int
    elements: int
    bytes: int
    element: str
    inputs: Inputs
    fallback: str
    imatrix: Imatrix
    file_type: str
    title: str


_TYPES = (
    GgmlBlockType(
        "q8_0", 8, 32, 34, "int8", "q8_0", "", "", "Q8_0", "32 INT8 and an FP16 scale in 34 bytes"
    ),
    GgmlBlockType(
        "q4_0", 2, 32, 18, "int4", "q8_0", "", "", "Q4_0", "32 INT4 and an FP16 scale in 18 bytes"
    ),
    GgmlBlockType(
        "q4_k",
        12,
        256,
        144,
        "int4",
        "q8_k",
        "q5_0",
        "",
        "Q4_K",
        "256 INT4 with 6-bit scales and minima in 144 bytes",
    ),
    GgmlBlockType(
        "q6_k",
        14,
        256,
        210,
        "int8",
        "q8_k",
        "q8_0",
        "",
        "Q6_K",
        "256 six-bit integers with 8-bit scales in 210 bytes",
    ),
    GgmlBlockType(
        "q5_1",
        7,
        32,
        24,
        "int8",
        "q8_1",
        "",
        "",
        "Q5_1",
        "32 five-bit integers, an FP16 scale and minimum in 24 bytes",
    ),
    GgmlBlockType(
        "q5_k",
        13,
        256,
        176,
        "int8",
        "q8_k",
        "q5_1",
        "",
        "Q5_K",
        "256 five-bit integers with 6-bit scales and minima in 176 bytes",
    ),
    GgmlBlockType(
        "q5_0",
        6,
        32,
        22,
        "int8",
        "q8_0",
        "",
        "",
        "Q5_0",
        "32 five-bit integers and an FP16 scale in 22 bytes",
    ),
    GgmlBlockType(
        "q4_1",
        3,
        32,
        20,
        "int4",
        "q8_1",
        "",
        "",
        "Q4_1",
        "32 INT4, an FP16 scale and minimum in 20 bytes",
    ),
    GgmlBlockType(
        "iq4_nl",
        20,
        32,
        18,
        "int4",
        "q8_0",
        "",
        "",
        "IQ4_NL",
        "32 indices of sixteen uneven levels and an FP16 scale in 18 bytes",
    ),
    GgmlBlockType(
        "nvfp4",
        40,
        64,
        36,
        "e2m1",
        "q8_0",
        "",
        "",
        "",
        "64 E2M1 in groups of 16 with UE4M3 scales in 36 bytes",
    ),
    GgmlBlockType(
        "mxfp4",
        39,
        32,
        17,
        "e2m1",
        "q8_0",
        "",
        "",
        "MXFP4_MOE",
        "32 E2M1 and an E8M0 scale in 17 bytes",
    ),
    GgmlBlockType(
        "iq4_xs",
        23,
        256,
        136,
        "int4",
        "q8_k",
        "iq4_nl",
        "",
        "IQ4_XS",
        "256 indices of sixteen uneven levels with 6-bit scales in 136 bytes",
    ),
    GgmlBlockType(
        "q3_k",
        11,
        256,
        110,
        "int4",
        "q8_k",
        "q4_0",
        "",
        "Q3_K",
        "256 three-bit integers with 6-bit scales in 110 bytes",
    ),
    GgmlBlockType(
        "iq3_s",
        21,
        256,
        110,
        "int4",
        "q8_k",
        "iq4_nl",
        "",
        "IQ3_S",
        "64 points of a grid of 512 in four dimensions, signs and scales in 110 bytes",
    ),
    GgmlBlockType(
        "iq3_xxs",
        18,
        256,
        98,
        "int4",
        "q8_k",
        "iq4_nl",
        "linears",
        "IQ3_XXS",
        "64 points of a grid of 256 in four dimensions, signs and scales in 98 bytes",
    ),
    GgmlBlockType(
        "q2_k",
        10,
        256,
        84,
        "int4",
        "q8_k",
        "q4_0",
        "",
        "Q2_K",
        "256 two-bit integers with 4-bit scales and minima in 84 bytes",
    ),
    GgmlBlockType(
        "iq2_s",
        22,
        256,
        82,
        "int4",
        "q8_k",
        "iq4_nl",
        "linears",
        "IQ2_M",
        "32 points of a grid of 1,024 in eight dimensions, signs and scales in 82 bytes",
    ),
    GgmlBlockType(
        "iq2_xs",
        17,
        256,
        74,
        "int4",
        "q8_k",
        "iq4_nl",
        "always",
        "IQ2_XS",
        "32 points of a grid of 512 in eight dimensions, signs and scales in 74 bytes",
    ),
    GgmlBlockType(
        "q2_0",
        42,
        64,
        18,
        "int4",
        "q8_0",
        "q4_0",
        "",
        "Q2_0",
        "64 two-bit integers and an FP16 scale in 18 bytes",
    ),
    GgmlBlockType(
        "iq2_xxs",
        16,
        256,
        66,
        "int4",
        "q8_k",
        "iq4_nl",
        "always",
        "IQ2_XXS",
        "32 points of a grid of 256 in eight dimensions, signs and scales in 66 bytes",
    ),
    GgmlBlockType(
        "tq2_0",
        35,
        256,
        66,
        "int4",
        "q8_k",
        "q4_0",
        "",
        "TQ2_0",
        "256 ternary values in two bits and an FP16 scale in 66 bytes",
    ),
    GgmlBlockType(
        "iq1_m",
        29,
        256,
        56,
        "int4",
        "q8_k",
        "iq4_nl",
        "linears",
        "IQ1_M",
        "32 points of a grid of 2,048 in eight dimensions with 3-bit scales in 56 bytes",
    ),
    GgmlBlockType(
        "tq1_0",
        34,
        256,
        54,
        "int4",
        "q8_k",
        "q4_0",
        "",
        "TQ1_0",
        "256 ternary values, five a byte, and an FP16 scale in 54 bytes",
    ),
    GgmlBlockType(
        "iq1_s",
        19,
        256,
        50,
        "int4",
        "q8_k",
        "iq4_nl",
        "always",
        "IQ1_S",
        "32 points of a grid of 2,048 in eight dimensions with scales in 50 bytes",
    ),
    GgmlBlockType(
        "q1_0",
        41,
        128,
        18,
        "int4",
        "q8_0",
        "",
        "",
        "Q1_0",
        "128 signs and an FP16 scale in 18 bytes",
    ),
)

GGML_WEIGHTS: Mapping[str, GgmlBlockType] = MappingProxyType({t.name: t for t in _TYPES})
"""Types of weights by name, in the order of the catalogue of schemes."""


def weight_type(scheme: str) -> GgmlBlockType | None:
    """The type of a scheme, ``ggml-q4_k``; None for a scheme of another kind."""
    return GGML_WEIGHTS.get(scheme.removeprefix(PREFIX)) if scheme.startswith(PREFIX) else None


def needs_imatrix(scheme: str) -> bool:
    """Whether llama-quantize writes linear layers in ``scheme`` with an importance matrix only."""
    ggml_block_type = weight_type(scheme)
    return ggml_block_type is not None and ggml_block_type.imatrix != ""


def written_type(name: str, columns: int) -> str:
    """What llama-quantize writes a matrix in that is asked for as ``name``: the type itself, or
    its fallback, where rows of ``columns`` elements are not whole blocks; ``f16`` where they are
    no whole blocks of the fallback either; empty where it stops, having no fallback.

    ``--tensor-type`` and the mixes go by this; ``--output-tensor-type`` and
    ``--token-embedding-type`` do not, and fail. Source: tensor_type_fallback in
    src/llama-quant.cpp.
    """
    ggml_block_type = GGML_WEIGHTS[name]
    if columns % ggml_block_type.elements == 0:
        return name
    if ggml_block_type.fallback:
        return (
            ggml_block_type.fallback
            if columns % GGML_WEIGHTS[ggml_block_type.fallback].elements == 0
            else "f16"
        )
    return "f16" if ggml_block_type.elements <= _SMALL else ""


_SMALL = 32
"""Elements of the smallest blocks, from which nothing but F16 is left."""
