"""How many bytes a published file has: as its source states them, or counted from the rules of what
made it.

GGUF: every matrix in the type that llama-quantize's mixture gives it, everything else in F32, and
the header with the vocabulary. MLX: matrices in whole groups along a row in ``bits`` bits with a
scale and a bias of 16 bits a group, everything else in 16 bits.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from functools import cache, lru_cache

from planner.base.errors import UnsupportedError
from planner.formats.ggml_types import GGML_WEIGHTS
from planner.models.gguf_names import gguf_matrices
from planner.models.spec import ModelSpec, TensorRow
from planner.planning.engines.mixes import engine_mixes, mix_types
from planner.planning.engines.repositories import mlx_bits
from planner.planning.engines.rules import DATA

PLAIN_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
"""Files that quantise nothing → bytes of an element of a matrix."""
LARGE = {
    "Q2_K_L": "Q2_K",
    "Q3_K_XL": "Q3_K_L",
    "Q4_K_L": "Q4_K_M",
    "Q5_K_L": "Q5_K_M",
    "Q6_K_L": "Q6_K",
}
"""Bartowski's names → the mixture whose head and table of tokens are in Q8_0 instead."""
LARGE_TYPE = "q8_0"
_TABLES = ("output.weight", "token_embd.weight")
_F32_BYTES = 4
_MLX_GROUP = 64
"""What mlx_lm.convert groups by unless it is told otherwise (ml-explore/mlx-lm convert.py)."""
_MLX_GROUP_BYTES = 4
"""A scale and a bias in 16 bits."""
_HEADER_BYTES = 39
"""Bytes of a header a token of the vocabulary, where no file with the tokenizer is known: the
median over :func:`header_bytes`' table."""


@lru_cache(maxsize=1024)
def gguf_bytes(
    spec: ModelSpec, quant: str, imatrix: bool = True, *, predicts: bool = False
) -> int | None:
    """Bytes of a GGUF file of ``spec`` in a mixture of llama-quantize, a plain type or one of
    :data:`LARGE`, without the vision tower; ``predicts``: with the prediction layers, which files
    of some converters have. None for another name, or where llama.cpp has no name or type for a
    tensor."""
    name = quant.upper()
    element = PLAIN_BYTES.get(name)
    mix = LARGE.get(name, name)
    if element is None and mix not in engine_mixes():
        return None
    types = {} if element is not None else mix_types(spec, mix, imatrix)
    if element is None and not types:
        return None
    wide = _TABLES if name in LARGE else ()
    try:
        elements = _matrix_elements(spec, predicts)
    except UnsupportedError:
        return None
    total, counted = 0.0, 0
    for tensor, (count, row) in elements.items():
        counted += count
        if tensor not in types:
            total += count * (element if element and not _router(row) else _F32_BYTES)
            continue
        total += count * _type_bytes(LARGE_TYPE if tensor in wide else types[tensor].type)
    total += (stored_elements(spec, predicts) - counted) * _F32_BYTES
    return round(total) + header_bytes(spec)


def mlx_bytes(spec: ModelSpec, quant: str, group: int = _MLX_GROUP) -> int | None:
    """Bytes of the weights that mlx_lm.convert writes of ``spec`` in ``quant`` ("4bit"), the same
    bits in all matrices whose rows are whole groups; None for a name of another kind."""
    bits = mlx_bits(quant)
    plain = quant.lower() in ("bf16", "fp16")
    if bits is None and not plain:
        return None
    total = 0.0
    for row in spec.rows:
        if row.part not in (*_HERE, _VISION) or row.copy_of is not None:
            continue
        count = row.elements * row.copies
        bytes_each = 2.0
        if bits is not None and row.part in _HERE and row.is_matrix and row.shape[1] % group == 0:
            bytes_each = bits / 8 + _MLX_GROUP_BYTES / group
        total += count * bytes_each
    return round(total)


_HERE = ("main", "lookup")
"""Parts of a model that its text file holds."""
_PREDICTION = "mtp"
_VISION = "vision"
"""What MLX keeps beside it, plain."""


def _router(row: TensorRow) -> bool:
    return row.kind == "router"


@lru_cache(maxsize=8)
def _matrix_elements(spec: ModelSpec, predicts: bool) -> dict[str, tuple[int, TensorRow]]:
    """Name of every matrix of the main model in the file → (elements, a row it is from)."""
    here = _rows_in(spec, predicts)
    # Layers of one name may have rows of several shapes.
    rows = {(row.name, layer): row for row in here for layer in row.layers or (None,)}
    matrices = [m for m in gguf_matrices(spec) if any(_row(rows, n, m.layer) for n in m.rows)]
    sharing = Counter((name, matrix.layer) for matrix in matrices for name in matrix.rows)
    elements: dict[str, tuple[int, TensorRow]] = {}
    for matrix in matrices:
        for name in matrix.rows:
            if (row := _row(rows, name, matrix.layer)) is not None:
                each = row.elements * row.experts // sharing[name, matrix.layer]
                before = elements[matrix.name][0] if matrix.name in elements else 0
                elements[matrix.name] = (before + each, row)
    return elements


def _row(
    rows: Mapping[tuple[str, int | None], TensorRow], name: str, layer: int | None
) -> TensorRow | None:
    """The row of a matrix; what joins a prediction layer's inputs is outside the stack."""
    return rows.get((name, layer)) or rows.get((name, None))


def _rows_in(spec: ModelSpec, predicts: bool) -> list[TensorRow]:
    """The rows that a text file holds, once each."""
    parts = (*_HERE, _PREDICTION) if predicts else _HERE
    return [row for row in spec.rows if row.part in parts and row.copy_of is None]


def stored_elements(spec: ModelSpec, predicts: bool = False) -> int:
    """Elements of all tensors of a text file."""
    return sum(row.elements * row.copies for row in _rows_in(spec, predicts))


def _type_bytes(name: str) -> float:
    """Bytes of one element in a ggml type."""
    plain = PLAIN_BYTES.get(name.upper())
    return float(plain) if plain else GGML_WEIGHTS[name].bytes / GGML_WEIGHTS[name].elements


def header_bytes(spec: ModelSpec) -> int:
    """Bytes of a GGUF header, nearly all of them the vocabulary and its merges: as in a published
    file with as many tokens, else by the token."""
    return _headers().get(spec.vocab_size) or spec.vocab_size * _HEADER_BYTES


@cache
def _headers() -> dict[int, int]:
    path = DATA / "gguf_headers.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {int(row["vocabulary"]): int(row["bytes"]) for row in csv.DictReader(file)}
