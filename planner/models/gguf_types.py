"""A model whose matrices are stored in given ggml types, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from planner.base.errors import UnsupportedError
from planner.formats.elements import element
from planner.formats.ggml_types import GGML_WEIGHTS
from planner.formats.schemes import SCHEMES
from planner.models.gguf_names import gguf_matrices
from planner.models.quantization.plan import largest_scheme
from planner.models.spec import ModelSpec, StoredAs, TensorRow

PLAIN_TYPES = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}
_FLOATS = {"MXFP4": "e2m1", "NVFP4": "e2m1"}
_OTHER_NAMES = {"MXFP4": "mxfp4-w4a16"}
OUTSIDE, BYTE = -1, 8


def scheme_of_type(word: str) -> str:
    """The scheme of a ggml type as GGUF files name it (Q4_K → ggml-q4_k), whether the catalogue has
    it or not."""
    word = word.upper()
    scheme = PLAIN_TYPES.get(word, f"ggml-{word.lower()}")
    return scheme if scheme in SCHEMES else _OTHER_NAMES.get(word, scheme)


def scheme_of_stored(word: str) -> str | None:
    """The scheme of a tensor that a file stores in a ggml type, None where the type is plain."""
    return None if word in PLAIN_TYPES else "ggml-" + word.lower()


def element_of(word: str) -> str:
    """The element format nearest to a ggml type; its bytes are the type's own."""
    if word in PLAIN_TYPES or word in _FLOATS:
        return (PLAIN_TYPES | _FLOATS)[word]
    ggml_block_type = GGML_WEIGHTS.get(word.lower())
    return "int8" if ggml_block_type is None else ggml_block_type.element


def with_types(spec: ModelSpec, types: Mapping[str, str]) -> ModelSpec:
    """``spec`` with each matrix in the type that ``types`` {GGUF tensor: type} has it in, or in the
    scheme of that id; a matrix that is not there stays as it is.

    Raises:
        UnsupportedError: a type without a scheme in the catalogue, an architecture or a tensor that
            llama.cpp has no name for, or tensors of one matrix in several types.
    """
    stored: dict[tuple[str, int], str] = {}
    for matrix in gguf_matrices(spec):
        word = types.get(matrix.name)
        if word is None:
            continue
        scheme = word if word in SCHEMES else scheme_of_type(word)
        if scheme not in SCHEMES:
            raise UnsupportedError(
                f"{matrix.name} is stored in {word}, which has no scheme in the catalogue",
                hint="`plan list formats` lists the schemes",
            )
        layer = OUTSIDE if matrix.layer is None else matrix.layer
        for row in matrix.rows:
            if stored.setdefault((row, layer), scheme) != scheme:
                raise UnsupportedError(
                    f"{row} of layer {layer} is stored in {scheme} and {stored[row, layer]}",
                    hint="give its parts one type",
                )
    rows = tuple(part for row in spec.rows for part in _parts(row, stored))
    return replace(spec, rows=rows, quantization=largest_scheme(rows, "bf16"))


def _parts(row: TensorRow, stored: Mapping[tuple[str, int], str]) -> Iterator[TensorRow]:
    """``row`` once for each scheme of its layers."""
    layers: dict[str | None, list[int]] = {}
    for layer in row.layers or (OUTSIDE,):
        layers.setdefault(stored.get((row.name, layer)), []).append(layer)
    for scheme, own in layers.items():
        part = replace(row, layers=tuple(own)) if row.layers else row
        if scheme is None:
            yield part
        elif scheme in PLAIN_TYPES.values():
            yield replace(part, dtype=scheme, scheme=None)
        else:
            yield replace(
                part,
                scheme=scheme,
                dtype=SCHEMES[scheme].weight.element,
                stored=_stored(row, scheme),
            )


def _stored(row: TensorRow, scheme: str) -> StoredAs | None:
    """How a file has the row in ``scheme``: blocks of ggml, elements of a byte (None), or several
    codes in one."""
    if scheme.startswith("ggml-"):
        shape = (row.experts, *row.shape) if row.experts > 1 else row.shape
        return StoredAs(row.name, scheme.removeprefix("ggml-").upper(), shape)
    bits = element(SCHEMES[scheme].weight.element).bits
    if bits >= BYTE:
        return None
    return StoredAs(row.name, "U8", (*row.shape[:-1], -(-row.shape[-1] * bits // BYTE)))
