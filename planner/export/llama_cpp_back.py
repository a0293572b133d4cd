"""The way back from llama.cpp: a list of ``PATTERN=TYPE`` lines as the schemes of a model's layers.

Patterns are those of ``llama-quantize --tensor-type``: the first that is found in a GGUF tensor
name decides, as ``std::regex_search`` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from planner.base.errors import DataError, UnsupportedError
from planner.base.files import decode_text
from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.export.assignment import is_linear
from planner.export.llama_cpp import FILE, TYPES, stems_of
from planner.export.read_back import (
    Imported,
    configuration_notes,
    read_configuration,
    unquantised,
)
from planner.formats.schemes import SCHEMES
from planner.models.quantization.plan import MAX_PATTERN, expression, largest_scheme
from planner.models.spec import ModelSpec, StoredAs, TensorRow
from planner.placement.modules import AS_RELEASED_KINDS, PLANNED_KINDS
from planner.planning.engines.rules import PLAIN

MAX_LINES = 4096
_SCHEMES = {name.lower(): scheme for scheme, name in TYPES.items()}
_OUTSIDE = {"head": "output.weight", "embedding": "token_embd.weight"}


@record
class _Line:
    """One line: which tensors, and the scheme of their type."""

    pattern: re.Pattern[str]
    scheme: str


def read_any(text: bytes, name: str, place: str, spec: ModelSpec) -> Imported:
    """The file ``name`` of an export, or a release's: a list of tensor types by its ending, a
    quantisation configuration else."""
    read = read_tensor_types if name.endswith(".txt") else read_configuration
    return read(text, place, spec)


def read_tensor_types(text: bytes, place: str, spec: ModelSpec) -> Imported:
    """The types of ``tensor_types.txt`` on ``spec``, whatever that is released in.

    Raises:
        DataError: a line that is none, or a matrix that no line names.
        UnsupportedError: a type without a scheme in the catalogue.
    """
    lines = _lines(text, place)
    rows = tuple(
        part
        for row, stored in zip(unquantised(spec).rows, spec.rows, strict=True)
        for part in _typed(row, stored.scheme, lines, place)
    )
    released = replace(
        spec,
        rows=rows,
        kv_scheme="",
        quantization=largest_scheme(rows, unquantised(spec).quantization),
    )
    return Imported(
        released, FILE, None, tuple(configuration_notes(released, (), None)), apart=True
    )


def _lines(text: bytes, place: str) -> list[_Line]:
    try:
        written = decode_text(text).splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{place}: is not UTF-8 text", hint=f"give {FILE}") from None
    if len(written) > MAX_LINES:
        raise DataError(f"{place}: has more than {MAX_LINES} lines", hint=f"give {FILE}")
    parsed = [
        _line(line, f"{place}: line {number}")
        for number, line in enumerate(written, 1)
        if line.strip()
    ]
    if not parsed:
        raise DataError(f"{place}: names no tensor", hint="a line is PATTERN=TYPE")
    return parsed


def _line(text: str, place: str) -> _Line:
    pattern, separator, name = text.strip().rpartition("=")
    if not separator or not pattern or len(pattern) > MAX_PATTERN:
        raise DataError(
            f"{place}: {short_repr(text)} is no PATTERN=TYPE",
            hint="as llama-quantize --tensor-type takes it",
        )
    scheme = _SCHEMES.get(name.strip().lower())
    if scheme is None:
        raise UnsupportedError(
            f"{place}: type {short_repr(name)} has no scheme in the catalogue",
            hint="there are " + ", ".join(_SCHEMES),
        )
    return _Line(expression(pattern, place), scheme)


def _typed(
    row: TensorRow, released: str | None, lines: Sequence[_Line], place: str
) -> Iterator[TensorRow]:
    """``row`` once for each type that its layers are given; a type that the ``released`` scheme is
    stored in is read as that scheme."""
    decided = row.kind in PLANNED_KINDS and row.quantisable
    outside = row.kind in _OUTSIDE and row.fused in _OUTSIDE and row.is_matrix
    indexer = row.kind in AS_RELEASED_KINDS and bool(row.layers) and row.quantisable
    if row.part != "main" or not (outside or (is_linear(row) and (decided or indexer))):
        yield row
        return
    layers: dict[str | None, list[int]] = {}
    for layer in row.layers or (-1,):
        scheme = _scheme(row, layer, lines, place, decided)
        if scheme is not None and released in TYPES and TYPES[released] == TYPES[scheme]:
            scheme = released
        layers.setdefault(scheme, []).append(layer)
    for scheme, own in layers.items():
        part = replace(row, layers=tuple(own) if row.layers else ())
        yield part if scheme is None else _stored(part, scheme)


def _scheme(
    row: TensorRow, layer: int, lines: Sequence[_Line], place: str, decided: bool
) -> str | None:
    """The scheme of the first line that names a row's tensor in ``layer``; None where none does and
    llama-quantize leaves it as it is."""
    matches: dict[str | None, str] = {}
    for name in _names(row, layer):
        hit = next((line.scheme for line in lines if line.pattern.search(name)), None)
        matches.setdefault(hit, name)
    if len(matches) > 1:
        raise DataError(
            f"{place}: {' and '.join(matches.values())} are parts of one matrix of "
            f"{row.name}, in several types",
            hint="give them one type",
        )
    scheme, name = next(iter(matches.items()))
    if scheme is None and decided:
        raise DataError(
            f"{place}: no line names {name}",
            hint="llama-quantize would give it a default: name every matrix",
        )
    return scheme


def _names(row: TensorRow, layer: int) -> Sequence[str]:
    if not row.layers:
        return (_OUTSIDE[row.kind],)
    return [f"blk.{layer}.{stem}.weight" for stem in stems_of(row.name)]


def _stored(row: TensorRow, scheme: str) -> TensorRow:
    if scheme in PLAIN:
        return replace(row, dtype=scheme)
    shape = (row.experts, *row.shape) if row.experts > 1 else row.shape
    return replace(
        row,
        scheme=scheme,
        dtype=SCHEMES[scheme].weight.element,
        stored=StoredAs(row.name, TYPES[scheme].upper(), shape),
    )
