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

from planner.base.errors import UnknownNameError, UnsupportedError
from planner.formats.ggml_types import GGML_WEIGHTS, PREFIX
from planner.numerics import (
    ggml_blocks,
    ggml_grids,
    ggml_iq1,
    ggml_iq2_iq3,
    ggml_k,
    ggml_nonlinear,
    ggml_ternary,
    ggml_weighted,
)
from planner.numerics.ggml_blocks import BlockParts, Bytes
from planner.numerics.tiles import FloatArray

Encoder = Callable[[FloatArray, FloatArray | None], Bytes]
"""(rows, columns) float32 of whole blocks and the importance of each column (columns,), None
without an importance matrix → (rows, bytes of a row)."""
Parts = Callable[[Bytes], BlockParts]
"""(n, block bytes) → codes, scales and minima of n blocks."""


@dataclass(frozen=True, slots=True)
class GgmlType:
    """Blocks of ``elements`` in ``block_bytes``; ``weighted_only``: ``encode`` needs importance."""

    name: str
    elements: int
    block_bytes: int
    parts: Parts
    encode: Encoder
    weighted_only: bool = False


Quantise = Callable[[FloatArray], Bytes]
"""Blocks (n, elements) → (n, block bytes)."""
QuantiseWeighted = Callable[[FloatArray, FloatArray], Bytes]
"""Rows (r, columns) and the importance of each column → (r, bytes of a row)."""
_OnBlocks = Callable[[FloatArray, FloatArray], Bytes]


def _by_row(quantise: _OnBlocks) -> QuantiseWeighted:
    """From a quantiser of blocks of 256 with the importance of each element."""

    def quantise_rows(rows: FloatArray, importance: FloatArray) -> Bytes:
        return quantise(*ggml_weighted.blocks_of(rows, importance, 256)).reshape(len(rows), -1)

    return quantise_rows


def without_importance(name: str) -> UnsupportedError:
    """The error of a type that is written with an importance matrix only."""
    return UnsupportedError(
        f"{name} is written with an importance matrix only",
        hint="pass the importance of each column; llama-imatrix measures it",
    )


def _encoder(
    name: str,
    elements: int,
    quantise: Quantise | None,
    weighted: QuantiseWeighted | None,
    alike: bool = True,
) -> Encoder:
    """``quantise`` is None of a type that is written with an importance matrix only, ``weighted``
    of one that is written without in any case (``alike``), or not emulated with one."""

    def encode(rows: FloatArray, importance: FloatArray | None) -> Bytes:
        if importance is not None and weighted is not None:
            return weighted(rows, importance)
        if quantise is None:
            raise without_importance(name)
        if importance is not None and not alike:
            raise UnsupportedError(
                f"no weighted quantiser of {name} is emulated", hint="leave the importance out"
            )
        return quantise(rows.reshape(-1, elements)).reshape(len(rows), -1)

    return encode


_Row = tuple[Parts, Quantise | None, QuantiseWeighted | None]
"""Parts, the quantiser without an importance matrix and that with one; of two that are None the
first is of a type that needs one, the second of a type that takes none."""
_WEIGHTS: Mapping[str, _Row] = {
    "q8_0": (ggml_blocks.parts_q8_0, ggml_blocks.quantize_q8_0, None),
    "q4_0": (ggml_blocks.parts_q4_0, ggml_blocks.quantize_q4_0, ggml_weighted.weighted_q4_0),
    "q4_1": (ggml_blocks.parts_q4_1, ggml_blocks.quantize_q4_1, ggml_weighted.weighted_q4_1),
    "q5_0": (ggml_blocks.parts_q5_0, ggml_blocks.quantize_q5_0, ggml_weighted.weighted_q5_0),
    "q5_1": (ggml_blocks.parts_q5_1, ggml_blocks.quantize_q5_1, ggml_weighted.weighted_q5_1),
    "q2_k": (ggml_k.parts_q2_k, ggml_k.quantize_q2_k, ggml_weighted.weighted_q2_k),
    "q3_k": (ggml_k.parts_q3_k, ggml_k.quantize_q3_k, ggml_weighted.weighted_q3_k),
    "q4_k": (ggml_k.parts_q4_k, ggml_k.quantize_q4_k, ggml_weighted.weighted_q4_k),
    "q5_k": (ggml_k.parts_q5_k, ggml_k.quantize_q5_k, ggml_weighted.weighted_q5_k),
    "q6_k": (ggml_k.parts_q6_k, ggml_k.quantize_q6_k, ggml_weighted.weighted_q6_k),
    "iq4_nl": (
        ggml_nonlinear.parts_iq4_nl,
        ggml_nonlinear.quantize_iq4_nl,
        ggml_weighted.weighted_iq4_nl,
    ),
    "iq4_xs": (
        ggml_nonlinear.parts_iq4_xs,
        ggml_nonlinear.quantize_iq4_xs,
        ggml_weighted.weighted_iq4_xs,
    ),
    "iq3_s": (
        ggml_grids.parts_iq3_s,
        ggml_iq2_iq3.quantize_iq3_s,
        _by_row(ggml_iq2_iq3.quantize_iq3_s),
    ),
    "iq3_xxs": (
        ggml_grids.parts_iq3_xxs,
        ggml_iq2_iq3.quantize_iq3_xxs,
        _by_row(ggml_iq2_iq3.quantize_iq3_xxs),
    ),
    "iq2_s": (
        ggml_grids.parts_iq2_s,
        ggml_iq2_iq3.quantize_iq2_s,
        _by_row(ggml_iq2_iq3.quantize_iq2_s),
    ),
    "iq2_xs": (ggml_grids.parts_iq2_xs, None, _by_row(ggml_iq2_iq3.quantize_iq2_xs)),
    "iq2_xxs": (ggml_grids.parts_iq2_xxs, None, _by_row(ggml_iq2_iq3.quantize_iq2_xxs)),
    "iq1_m": (
        ggml_grids.parts_iq1_m,
        ggml_iq1.quantize_iq1_m,
        _by_row(ggml_iq1.quantize_iq1_m),
    ),
    "iq1_s": (ggml_grids.parts_iq1_s, None, _by_row(ggml_iq1.quantize_iq1_s)),
    "mxfp4": (ggml_nonlinear.parts_mxfp4, ggml_nonlinear.quantize_mxfp4, None),
    "nvfp4": (ggml_nonlinear.parts_nvfp4, ggml_nonlinear.quantize_nvfp4, None),
    "tq2_0": (ggml_ternary.parts_tq2_0, ggml_ternary.quantize_tq2_0, None),
    "tq1_0": (ggml_ternary.parts_tq1_0, ggml_ternary.quantize_tq1_0, None),
    "q2_0": (ggml_ternary.parts_q2_0, ggml_ternary.quantize_q2_0, None),
    "q1_0": (ggml_ternary.parts_q1_0, ggml_ternary.quantize_q1_0, None),
}


def _weight(name: str) -> GgmlType:
    block, (parts, quantise, weighted) = GGML_WEIGHTS[name], _WEIGHTS[name]
    encode = _encoder(name, block.elements, quantise, weighted)
    return GgmlType(name, block.elements, block.bytes, parts, encode, quantise is None)


_OTHERS = (
    GgmlType(
        "q6_0",
        32,
        26,
        ggml_blocks.parts_q6_0,
        _encoder("q6_0", 32, ggml_blocks.quantize_q6_0, None, alike=False),
    ),
    GgmlType(
        "q8_1",
        32,
        36,
        ggml_blocks.parts_q8_1,
        _encoder("q8_1", 32, ggml_blocks.quantize_q8_1, None),
    ),
    GgmlType(
        "q8_k", 256, 292, ggml_k.parts_q8_k, _encoder("q8_k", 256, ggml_k.quantize_q8_k, None)
    ),
)
ACTIVATIONS = ("q8_1", "q8_k")
"""Types that no file holds weights in."""

GGML_TYPES: Mapping[str, GgmlType] = MappingProxyType(
    {name: _weight(name) for name in GGML_WEIGHTS} | {one.name: one for one in _OTHERS}
)
"""Types of weights in the order of the catalogue, then Q6_0 and those of activations."""


def ggml_type(name: str) -> GgmlType:
    """The type of a name in GGML_TYPES, in any case, or of the scheme of it: Q4_K, ggml-q4_k.

    Raises UnknownNameError for another name.
    """
    spelled = name.strip().lower().replace("-", "_").removeprefix(PREFIX.replace("-", "_"))
    known_type = GGML_TYPES.get(spelled)
    if known_type is None:
        raise UnknownNameError("ggml type", name, tuple(GGML_TYPES))
    return known_type
