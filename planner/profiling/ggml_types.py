"""Values of ggml blocks that checkpoints are stored in.

Q8_0, Q4_0, Q4_K and Q6_K by this project's decoders; Q4_1, Q5_0, Q5_1 and MXFP4 here, by their
definition in ggml/src/ggml-common.h; the others by the ``gguf`` package, where it is installed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from planner.errors import MissingPackageError, UnsupportedError
from planner.numerics import ggml_decode
from planner.numerics.tables import decode_table
from planner.numerics.tiles import FloatArray

Bytes = npt.NDArray[np.uint8]
_OWN = ("Q8_0", "Q4_0", "Q4_K", "Q6_K")


def decode(raw: Bytes, kind: str) -> FloatArray:
    """float32 (rows, columns) of whole blocks, uint8 (rows, bytes of a row).

    Raises:
        MissingPackageError: a type that only the gguf package decodes, which is not installed.
        UnsupportedError: a type that it does not decode either.
    """
    if kind in _OWN:
        return ggml_decode(raw, kind)
    if kind in _SIMPLE:
        return _SIMPLE[kind](raw)
    try:
        from gguf import GGMLQuantizationType
        from gguf.quants import dequantize
    except ImportError:
        raise MissingPackageError("gguf", extra="gguf") from None
    try:
        values: FloatArray = dequantize(raw, GGMLQuantizationType[kind]).astype(np.float32)
    except NotImplementedError:
        raise UnsupportedError(f"no decoder for ggml type {kind}",
                               hint="profile the safetensors checkpoint instead, or "
                                    "install gguf: pip install 'precision-planner[gguf]'") from None
    return values


def _parts(raw: Bytes, size: int) -> Bytes:
    return np.ascontiguousarray(raw).reshape(-1, size)


def _rows(values: FloatArray, raw: Bytes) -> FloatArray:
    return values.reshape(raw.shape[0], -1)


def _half(block: Bytes, at: int) -> FloatArray:
    return np.ascontiguousarray(block[:, at : at + 2]).view("<f2").astype(np.float32)


def _nibbles(packed: Bytes) -> npt.NDArray[Any]:
    """(n, 32) from 16 bytes: low nibbles first, then high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=1)


def _fifth(block: Bytes, at: int) -> npt.NDArray[Any]:
    """The fifth bits of 32 elements, as 0 or 16."""
    return np.unpackbits(block[:, at : at + 4], axis=1, bitorder="little") << 4


def _q4_1(raw: Bytes) -> FloatArray:
    b = _parts(raw, 20)
    values = _half(b, 0) * _nibbles(b[:, 4:]).astype(np.float32) + _half(b, 2)
    return _rows(values, raw)


def _q5_0(raw: Bytes) -> FloatArray:
    b = _parts(raw, 22)
    codes = (_nibbles(b[:, 6:]) | _fifth(b, 2)).astype(np.float32) - np.float32(16)
    return _rows(_half(b, 0) * codes, raw)


def _q5_1(raw: Bytes) -> FloatArray:
    b = _parts(raw, 24)
    codes = (_nibbles(b[:, 8:]) | _fifth(b, 4)).astype(np.float32)
    return _rows(_half(b, 0) * codes + _half(b, 2), raw)


def _mxfp4(raw: Bytes) -> FloatArray:
    b = _parts(raw, 17)
    scale = decode_table("e8m0")[b[:, :1]]
    return _rows(decode_table("e2m1")[_nibbles(b[:, 1:])] * scale, raw)


_SIMPLE = {"Q4_1": _q4_1, "Q5_0": _q5_0, "Q5_1": _q5_1, "MXFP4": _mxfp4}
