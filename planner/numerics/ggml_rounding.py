"""Rounding to any emulated ggml weight type, for evidence about types that plans do not choose.

:mod:`planner.numerics.ggml` holds the types that are schemes. All are llama.cpp's reference
quantisers without an importance matrix; of Q6_0, which only ik_llama.cpp has, that one's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from planner.errors import InputError, UnknownNameError
from planner.numerics import ggml_k, ggml_k_low, ggml_legacy, ggml_nonlinear, ggml_simple
from planner.numerics.ggml_simple import BlockParts, Bytes
from planner.numerics.tiles import FloatArray

_STEP = 1 << 18  # elements at a time


@dataclass(frozen=True, slots=True)
class GgmlType:
    """Blocks of ``elements`` in ``block_bytes``.

    ``encode``: (n, elements) float32 → (n, block_bytes); ``parts`` takes those apart.
    """

    elements: int
    block_bytes: int
    encode: Callable[[FloatArray], Bytes]
    parts: Callable[[Bytes], BlockParts]


GGML_TYPES: Mapping[str, GgmlType] = MappingProxyType({
    "q8_0": GgmlType(32, 34, ggml_simple.quantize_q8_0, ggml_simple.parts_q8_0),
    "q6_0": GgmlType(32, 26, ggml_legacy.quantize_q6_0, ggml_legacy.parts_q6_0),
    "q6_k": GgmlType(256, 210, ggml_k.quantize_q6_k, ggml_k.parts_q6_k),
    "q5_0": GgmlType(32, 22, ggml_legacy.quantize_q5_0, ggml_legacy.parts_q5_0),
    "q5_1": GgmlType(32, 24, ggml_legacy.quantize_q5_1, ggml_legacy.parts_q5_1),
    "q5_k": GgmlType(256, 176, ggml_k.quantize_q5_k, ggml_k.parts_q5_k),
    "q4_0": GgmlType(32, 18, ggml_simple.quantize_q4_0, ggml_simple.parts_q4_0),
    "q4_1": GgmlType(32, 20, ggml_legacy.quantize_q4_1, ggml_legacy.parts_q4_1),
    "q4_k": GgmlType(256, 144, ggml_k.quantize_q4_k, ggml_k.parts_q4_k),
    "q3_k": GgmlType(256, 110, ggml_k_low.quantize_q3_k, ggml_k_low.parts_q3_k),
    "q2_k": GgmlType(256, 84, ggml_k_low.quantize_q2_k, ggml_k_low.parts_q2_k),
    "iq4_nl": GgmlType(32, 18, ggml_nonlinear.quantize_iq4_nl, ggml_nonlinear.parts_iq4_nl),
    "iq4_xs": GgmlType(256, 136, ggml_nonlinear.quantize_iq4_xs, ggml_nonlinear.parts_iq4_xs),
})  # fmt: skip


def ggml_type(name: str) -> GgmlType:
    """The type of a name in GGML_TYPES, in any case.

    Raises UnknownNameError for another name.
    """
    found = GGML_TYPES.get(name.strip().lower())
    if found is None:
        raise UnknownNameError("ggml type", name, tuple(GGML_TYPES))
    return found


def ggml_round_trip(x: FloatArray, name: str) -> FloatArray:
    """``x`` (rows, columns) float32 as it comes back from storage in the ggml type ``name``.

    Raises UnknownNameError for another type; InputError where rows are not whole blocks, where
    input is not finite, or where a scale exceeds FP16.
    """
    kind = ggml_type(name)
    if x.shape[-1] % kind.elements:
        raise InputError(f"rows of {x.shape[-1]} elements do not fill whole blocks of "
                         f"{kind.elements} ({name})", hint="pad the rows to whole blocks")
    if not np.isfinite(x).all():
        raise InputError("cannot scale a matrix that holds NaN or infinities",
                         hint="replace NaN and infinities first, for example with "
                              "numpy.nan_to_num")
    blocks = np.ascontiguousarray(x, dtype=np.float32).reshape(-1, kind.elements)
    back, step = np.empty_like(blocks), _STEP // kind.elements
    for start in range(0, len(blocks), step):
        stored = kind.encode(blocks[start : start + step])
        back[start : start + step] = ggml_simple.part_values(kind.parts(stored))
    return back.reshape(x.shape)
