"""Every block type of ggml that is emulated, by name: how rows are written and blocks are read.

Quantisers are llama.cpp's own (``quantize_*`` in ggml/src/ggml-quants.c): closed forms and
searches, followed step by step. Operations are single IEEE float32 operations in the order of the
source; a build that contracts them into fused multiply-adds may differ in a code here and there.
Reading is exact for every build. Q6_0 is a type of ik_llama.cpp alone, by its rule; Q8_1 and Q8_K
are never in a file: activations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from planner.errors import UnknownNameError, UnsupportedError
from planner.formats.ggml_types import GGML_WEIGHTS, PREFIX
from planner.numerics import (
    ggml_fp4,
    ggml_grid_parts,
    ggml_k,
    ggml_k_low,
    ggml_legacy,
    ggml_nonlinear,
    ggml_simple,
    ggml_ternary,
)
from planner.numerics.ggml_simple import BlockParts, Bytes
from planner.numerics.tiles import FloatArray

Encoder = Callable[[FloatArray, FloatArray | None], Bytes]
"""(rows, columns) float32 of whole blocks and the importance of each column (columns,), None
without an importance matrix → (rows, bytes of a row)."""
Parts = Callable[[Bytes], BlockParts]
"""(n, block bytes) → codes, scales and minima of n blocks."""


@dataclass(frozen=True, slots=True)
class GgmlType:
    """Blocks of ``elements`` in ``block_bytes``; ``encode`` is None where only reading is known."""

    name: str
    elements: int
    block_bytes: int
    parts: Parts
    encode: Encoder | None


def _alike(quantise: Callable[[FloatArray], Bytes], elements: int) -> Encoder:
    """Of a type that ggml writes alike with and without an importance matrix."""
    def encode(rows: FloatArray, _: FloatArray | None) -> Bytes:
        return quantise(rows.reshape(-1, elements)).reshape(len(rows), -1)

    return encode


def _plain(quantise: Callable[[FloatArray], Bytes], elements: int, name: str) -> Encoder:
    """Of a type whose quantiser without an importance matrix alone is emulated."""
    write = _alike(quantise, elements)

    def encode(rows: FloatArray, importance: FloatArray | None) -> Bytes:
        if importance is not None:
            raise UnsupportedError(f"no weighted quantiser of {name} is emulated",
                                   hint="leave the importance out")
        return write(rows, None)

    return encode


_Row = tuple[Parts, Callable[[FloatArray], Bytes] | None, bool]
"""Parts, the quantiser of blocks, and whether an importance matrix changes what is written."""
_WEIGHTS: Mapping[str, _Row] = {
    "q8_0": (ggml_simple.parts_q8_0, ggml_simple.quantize_q8_0, False),
    "q4_0": (ggml_simple.parts_q4_0, ggml_simple.quantize_q4_0, True),
    "q4_1": (ggml_legacy.parts_q4_1, ggml_legacy.quantize_q4_1, True),
    "q5_0": (ggml_legacy.parts_q5_0, ggml_legacy.quantize_q5_0, True),
    "q5_1": (ggml_legacy.parts_q5_1, ggml_legacy.quantize_q5_1, True),
    "q2_k": (ggml_k_low.parts_q2_k, ggml_k_low.quantize_q2_k, True),
    "q3_k": (ggml_k_low.parts_q3_k, ggml_k_low.quantize_q3_k, True),
    "q4_k": (ggml_k.parts_q4_k, ggml_k.quantize_q4_k, True),
    "q5_k": (ggml_k.parts_q5_k, ggml_k.quantize_q5_k, True),
    "q6_k": (ggml_k.parts_q6_k, ggml_k.quantize_q6_k, True),
    "iq4_nl": (ggml_nonlinear.parts_iq4_nl, ggml_nonlinear.quantize_iq4_nl, True),
    "iq4_xs": (ggml_nonlinear.parts_iq4_xs, ggml_nonlinear.quantize_iq4_xs, True),
    "iq3_s": (ggml_grid_parts.parts_iq3_s, None, True),
    "iq3_xxs": (ggml_grid_parts.parts_iq3_xxs, None, True),
    "iq2_s": (ggml_grid_parts.parts_iq2_s, None, True),
    "iq2_xs": (ggml_grid_parts.parts_iq2_xs, None, True),
    "iq2_xxs": (ggml_grid_parts.parts_iq2_xxs, None, True),
    "iq1_m": (ggml_grid_parts.parts_iq1_m, None, True),
    "iq1_s": (ggml_grid_parts.parts_iq1_s, None, True),
    "mxfp4": (ggml_fp4.parts_mxfp4, ggml_fp4.quantize_mxfp4, False),
    "nvfp4": (ggml_fp4.parts_nvfp4, ggml_fp4.quantize_nvfp4, False),
    "tq2_0": (ggml_ternary.parts_tq2_0, ggml_ternary.quantize_tq2_0, False),
    "tq1_0": (ggml_ternary.parts_tq1_0, ggml_ternary.quantize_tq1_0, False),
    "q2_0": (ggml_ternary.parts_q2_0, ggml_ternary.quantize_q2_0, False),
    "q1_0": (ggml_ternary.parts_q1_0, ggml_ternary.quantize_q1_0, False),
}


def _weight(name: str) -> GgmlType:
    block, (parts, quantise, weighted) = GGML_WEIGHTS[name], _WEIGHTS[name]
    encode = None if quantise is None else _plain(quantise, block.elements, name) if weighted \
        else _alike(quantise, block.elements)
    return GgmlType(name, block.elements, block.bytes, parts, encode)


_OTHERS = (
    GgmlType("q6_0", 32, 26, ggml_legacy.parts_q6_0,
             _plain(ggml_legacy.quantize_q6_0, 32, "q6_0")),
    GgmlType("q8_1", 32, 36, ggml_legacy.parts_q8_1, _alike(ggml_legacy.quantize_q8_1, 32)),
    GgmlType("q8_k", 256, 292, ggml_k.parts_q8_k, _alike(ggml_k.quantize_q8_k, 256)),
)
ACTIVATIONS = ("q8_1", "q8_k")
"""Types that no file holds weights in."""

GGML_TYPES: Mapping[str, GgmlType] = MappingProxyType(
    {name: _weight(name) for name in GGML_WEIGHTS} | {one.name: one for one in _OTHERS})
"""Types of weights in the order of the catalogue, then Q6_0 and those of activations."""


def ggml_type(name: str) -> GgmlType:
    """The type of a name in GGML_TYPES, in any case, or of the scheme of it: Q4_K, ggml-q4_k.

    Raises UnknownNameError for another name.
    """
    spelled = name.strip().lower().replace("-", "_").removeprefix(PREFIX.replace("-", "_"))
    found = GGML_TYPES.get(spelled)
    if found is None:
        raise UnknownNameError("ggml type", name, tuple(GGML_TYPES))
    return found
