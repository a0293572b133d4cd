"""Importance matrices of llama.cpp: how much each input column of a matrix is used.

llama-imatrix sums the squares of what comes in on a text, column by column; llama-quantize weighs
errors by their mean. Two forms are read: GGUF (``NAME.in_sum2`` and ``NAME.counts``) and the older
binary one. Sources: tools/imatrix/imatrix.cpp, common/imatrix-loader.cpp and load_imatrix in
tools/quantize/quantize.cpp of ggml-org/llama.cpp.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from planner.base.errors import DataError
from planner.base.files import check_regular
from planner.base.strict_json import short_repr
from planner.models.gguf_header import GgufFile, GgufTensor, read_gguf
from planner.models.gguf_names import gguf_alias, gguf_matrices, gguf_stems
from planner.models.spec import ModelSpec, TensorRow

Importance = npt.NDArray[np.float32]
_SUMS, _COUNTS = ".in_sum2", ".counts"
_METADATA = ("imatrix.chunk_count", "imatrix.chunk_size")
_MOST_ENTRIES, _LONGEST_NAME = 1 << 20, 1 << 10
_BLOCK = "blk.{layer}."
_MAKE = "make one with llama-imatrix -m MODEL.gguf -f TEXT"


@dataclass(frozen=True, slots=True)
class ImportanceMatrix:
    """One file. ``entries`` by GGUF tensor name: (experts · columns,), the mean square of each
    input; an expert that no token reached has ones. ``chunks`` is how many runs of text it is from
    (0: the file does not say)."""

    path: str
    sha256: str
    entries: Mapping[str, Importance]
    chunks: int

    def of(self, row: str, layer: int, expert: int, columns: int) -> Importance | None:
        """Importance (columns,) of one matrix of the row named ``row``, -1 the expert of one that
        is alone; None where the file has no entry for it."""
        importance = self.entries.get(self.name_of(row, layer))
        if (
            importance is None
            or importance.size % columns
            or max(expert, 0) * columns >= importance.size
        ):
            return None
        if expert < 0 and importance.size != columns:
            return None  # cut into one a head: check_imatrix has looked at all others
        own: Importance = importance.reshape(-1, columns)[max(expert, 0)]
        return own

    def name_of(self, row: str, layer: int) -> str:
        """The entry that a row of the model has in ``layer``, empty where there is none."""
        return next((name for name in _names(row, layer) if name in self.entries), "")


def load_imatrix(path: Path) -> ImportanceMatrix:
    """Read one file.

    Raises:
        DataError: it cannot be read, is no regular file (a pipe would be waited for), is neither
            form, is damaged, or holds numbers that are negative or not finite.
    """
    try:
        check_regular(path, hint=_MAKE)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            magic = file.read(4)
            file.seek(0)
            if magic == b"GGUF":
                entries, chunks = _gguf(path, file)
            else:
                entries, chunks = _legacy(path, file)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None
    for name, values in entries.items():
        if not (np.isfinite(values) & (values >= 0)).all():
            raise DataError(
                f"{path}: importance of {short_repr(name)} is negative or not finite",
                hint=f"llama-quantize refuses it as well: {_MAKE}",
            )
    return ImportanceMatrix(str(path.absolute()), digest, entries, chunks)


def _gguf(path: Path, file: BinaryIO) -> tuple[dict[str, Importance], int]:
    header = read_gguf(path)
    tensors = {tensor.name: tensor for tensor in header.tensors}
    names = sorted(
        {
            name.removesuffix(end)
            for name in tensors
            for end in (_SUMS, _COUNTS)
            if name.endswith(end)
        }
    )
    if not names:
        what = header.metadata.get("general.architecture")
        raise DataError(
            f"{path}: a GGUF file without an importance matrix"
            + (f" (a model, {short_repr(what)})" if what else ""),
            hint=_MAKE,
        )
    missing = [key for key in _METADATA if key not in header.metadata]
    if missing:
        raise DataError(
            f"{path}: {missing[0]} is missing, and llama-quantize refuses the file", hint=_MAKE
        )
    entries = {name: _mean(path, file, header, name, tensors) for name in names}
    return entries, int(header.metadata["imatrix.chunk_count"])  # type: ignore[arg-type]


def _mean(
    path: Path, file: BinaryIO, header: GgufFile, name: str, tensors: Mapping[str, GgufTensor]
) -> Importance:
    """Sums over counts, expert by expert, in float32 as llama-quantize divides."""
    sums, counts = tensors.get(name + _SUMS), tensors.get(name + _COUNTS)
    if sums is None or counts is None or (sums.type, counts.type) != ("F32", "F32"):
        raise DataError(f"{path}: {short_repr(name)} needs sums and counts in F32", hint=_MAKE)
    total, tokens = (
        _floats(file, header.data_begin + gguf_tensor.offset, gguf_tensor)
        for gguf_tensor in (sums, counts)
    )
    if total.size % tokens.size:
        raise DataError(
            f"{path}: {short_repr(name)} has {total.size} sums and {tokens.size} counts", hint=_MAKE
        )
    times = np.rint(tokens).astype(np.float32)[:, None]
    with np.errstate(all="ignore"):
        means = np.where(times > 0, total.reshape(tokens.size, -1) / times, np.float32(1))
    return means.reshape(-1)


def _floats(file: BinaryIO, offset: int, tensor: GgufTensor) -> Importance:
    file.seek(offset)
    return np.frombuffer(file.read(tensor.bytes), dtype="<f4").astype(np.float32)


def _legacy(path: Path, file: BinaryIO) -> tuple[dict[str, Importance], int]:
    """int32 number of entries; each a name, the number of calls and the values, which are means
    times calls; then, in newer files, the number of chunks."""
    size = path.stat().st_size

    def read_exactly(count: int) -> bytes:
        data = file.read(count) if 0 <= count <= size else b""
        if len(data) != count:
            raise DataError(
                f"{path}: neither a GGUF file nor an importance matrix of the older "
                "form, or cut off",
                hint=_MAKE,
            )
        return data

    def number(least: int, most: int) -> int:
        value: int = struct.unpack("<i", read_exactly(4))[0]
        return value if least <= value <= most else len(read_exactly(-1))

    entries: dict[str, Importance] = {}
    for _ in range(number(1, _MOST_ENTRIES)):
        try:
            name = read_exactly(number(1, _LONGEST_NAME)).decode("utf-8")
        except UnicodeDecodeError:
            name = read_exactly(-1).decode()
        calls = number(0, 2**31 - 1)
        values = np.frombuffer(read_exactly(4 * number(1, size // 4)), dtype="<f4").astype(
            np.float32
        )
        with np.errstate(all="ignore"):
            entries[name] = values / np.float32(calls) if calls else values
    rest = file.read(4)
    return entries, struct.unpack("<i", rest)[0] if len(rest) == 4 else 0


def check_imatrix(matrix: ImportanceMatrix, spec: ModelSpec) -> int:
    """How many matrices of the decoder layers have no entry; llama-quantize writes those without
    importance.

    Raises:
        DataError: the file is of another model: names or widths that this one does not have.
        UnsupportedError: the names of the model's tensors in GGUF files are not known.
    """
    known = _known(spec)
    unknown = sorted(set(matrix.entries) - known)
    if unknown:
        more = (
            f", nor {len(unknown) - 1} more of its {len(matrix.entries)} entries"
            if len(unknown) > 1
            else ""
        )
        raise DataError(
            f"{matrix.path}: an importance matrix of another model: {spec.id} has no "
            f"{short_repr(unknown[0])}{more}",
            hint=f"name the matrix of {spec.id}, or {_MAKE}",
        )
    missing = 0
    for row in spec.rows:
        if row.part == "main" and row.is_matrix and row.copy_of is None and row.kind != "norm":
            missing += sum(not _checked(matrix, row, layer) for layer in row.layers)
    return missing


def _known(spec: ModelSpec) -> set[str]:
    """Names that tensors of the model have in GGUF files."""
    if any(row.name.startswith(_BLOCK) for row in spec.rows):
        return {
            row.name.format(layer=layer)
            for row in spec.rows
            if row.is_matrix
            for layer in row.layers or (0,)
        }
    return {matrix.name for matrix in gguf_matrices(spec)} | set(gguf_alias(spec))


def _names(row: str, layer: int) -> tuple[str, ...]:
    """What the weights of a row in a layer may be called in GGUF files."""
    if row.startswith(_BLOCK):
        return (row.format(layer=layer),)
    return tuple(f"blk.{layer}.{stem}.weight" for stem in gguf_stems(row))


def _checked(matrix: ImportanceMatrix, row: TensorRow, layer: int) -> bool:
    """Whether a row has an entry in a layer, of its size."""
    name = matrix.name_of(row.name, layer)
    expected = row.shape[1] * max(row.experts, 1)
    if name and matrix.entries[name].size != expected:
        if _by_head(row.name):
            return False
        raise _other_size(matrix.path, name, matrix.entries[name].size, expected)
    return bool(name)


def _by_head(row: str) -> bool:
    """Whether llama.cpp cuts a matrix into one a head, whose inputs are not the row's columns."""
    return "kv_b_proj" in row


def _other_size(path: str, name: str, size: int, expected: int) -> DataError:
    return DataError(
        f"{path}: {short_repr(name)} has {size} numbers, the model {expected}",
        hint=f"name the matrix of this model, or {_MAKE}",
    )
