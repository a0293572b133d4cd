"""Headers of safetensors files, read raw: no tensor data, nothing allocated on a header's word.

A file is an 8-byte little-endian length, that many bytes of JSON, then the data. Source: the
safetensors format description (github.com/huggingface/safetensors). Its library opens whole files
alone; here the header of a part or of a link is enough, and what is wrong is said with its place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path

from planner.base.errors import DataError
from planner.base.files import check_regular
from planner.base.strict_json import parse_object, read_config_bytes, short_repr
from planner.models.links import require_inside
from planner.models.storage import STORED_TYPES, StoredTensor, stored_bytes

_DAMAGED = "the file is damaged or incomplete: download it again"

MAX_HEADER_BYTES = 100 * 10**6
INDEX_NAME = "model.safetensors.index.json"
MAX_INDEX_BYTES = 64 * 2**20
_MAX_DIMENSIONS = 16
_MAX_SIZE = 2**62
_KEYS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True, slots=True)
class CheckpointInventory:
    """What the headers of a checkpoint say, without knowing its structure."""

    files: int
    tensor_count: int
    elements_by_dtype: dict[str, int]
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class Extent:
    """A tensor and where its data lies [B]: in the file, or while checked in its data section."""

    tensor: StoredTensor
    begin: int
    end: int


def file_size(path: Path) -> int:
    """The bytes of a file."""
    return path.stat().st_size


def read_header(path: Path, size_of: Callable[[Path], int] = file_size) -> list[StoredTensor]:
    """The tensors of one safetensors file, in the order of the header; ``size_of`` says the bytes
    of a file, of which ``path`` may have the head alone.

    Raises:
        DataError: truncated, a header longer than the file or than 100 MB, not UTF-8 JSON, a
            repeated key, an unknown type, or offsets that overlap, leave the file or contradict
            the shape.
    """
    return [extent.tensor for extent in read_extents(path, size_of)[0]]


def read_extents(
    path: Path, size_of: Callable[[Path], int] = file_size
) -> tuple[list[Extent], bytes]:
    """(tensors with their place in the file, header bytes) of one safetensors file.

    Raises:
        DataError: as ``read_header``.
    """
    try:
        check_regular(
            path, hint="name a .safetensors file, or the folder of a checkpoint", there=True
        )
        size = size_of(path)
        text = _header_text(path, size)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", hint="check the path and its permissions"
        ) from None
    start = 8 + len(text)
    return [
        Extent(item.tensor, start + item.begin, start + item.end)
        for item in _extents(text, size, path)
    ], text


def _extents(text: bytes, size: int, path: Path) -> list[Extent]:
    values = parse_object(text, f"{path}: header")
    _check_metadata(values.pop("__metadata__", None), path)
    extents = [_extent(name, entry, path) for name, entry in values.items()]
    _check_layout(extents, size - 8 - len(text), path)
    return extents


def read_checkpoint(
    directory: Path, size_of: Callable[[Path], int] = file_size
) -> list[StoredTensor]:
    """The tensors of every safetensors file in ``directory``, file by file.

    With an index, the files are those it lists, and its names must be the files' names.

    Raises:
        DataError: no file, an invalid header or index, a tensor stored twice, or a mismatch
            between index and headers.
    """
    index = _read_index(directory)
    names = sorted(set(index.values())) if index is not None else _file_names(directory)
    tensors: list[StoredTensor] = []
    file_of: dict[str, str] = {}
    for name in names:
        path = directory / name
        require_inside(path, directory)
        if not os.path.exists(path):
            raise DataError(
                f"{directory}: {INDEX_NAME} lists {short_repr(name)}, which is not here",
                hint="download that file into the folder too",
            )
        for tensor in read_header(path, size_of):
            if tensor.name in file_of:
                raise DataError(
                    f"{directory}: tensor {short_repr(tensor.name)} is stored twice, in "
                    f"{file_of[tensor.name]} and {name}",
                    hint="remove the file that does not belong to the checkpoint",
                )
            file_of[tensor.name] = name
            tensors.append(tensor)
    if index is not None:
        _check_index(index, file_of, directory)
    return tensors


def checkpoint_inventory(directory: Path) -> CheckpointInventory:
    """Counts over the headers of the checkpoint in ``directory``.

    Raises:
        DataError: as ``read_checkpoint``.
    """
    tensors = read_checkpoint(directory)
    elements: dict[str, int] = {}
    for tensor in tensors:
        elements[tensor.dtype] = elements.get(tensor.dtype, 0) + prod(tensor.shape)
    return CheckpointInventory(
        files=len({tensor.file for tensor in tensors}), tensor_count=len(tensors),
        elements_by_dtype=dict(sorted(elements.items())),
        payload_bytes=sum(stored_bytes(t.dtype, prod(t.shape)) for t in tensors),
    )  # fmt: skip


def _header_text(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        prefix = file.read(9)
        if len(prefix) < 8:
            raise DataError(
                f"{path}: {size} bytes, too short for a safetensors file", hint=_DAMAGED
            )
        length = int.from_bytes(prefix[:8], "little")
        if length > size - 8:
            raise DataError(
                f"{path}: the header claims {length} bytes of a {size}-byte file; the file is "
                "truncated or not safetensors",
                hint=_DAMAGED,
            )
        if length > MAX_HEADER_BYTES:
            raise DataError(
                f"{path}: the header claims {length} bytes; the limit is 100 MB", hint=_DAMAGED
            )
        if prefix[8:] != b"{" or length < 2:
            raise DataError(f"{path}: the header is not a JSON object", hint=_DAMAGED)
        file.seek(8)
        text = file.read(length)
    if len(text) != length:
        raise DataError(f"{path}: the file shrank while it was read", hint=_DAMAGED)
    return text


def _check_metadata(value: object, path: Path) -> None:
    if value is None:
        return
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise DataError(f"{path}: __metadata__ is not a map of strings", hint=_DAMAGED)


def _extent(name: str, entry: object, path: Path) -> Extent:
    place = f"{path}: tensor {short_repr(name)}"
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise DataError(f"{place}: needs exactly dtype, shape and data_offsets", hint=_DAMAGED)
    dtype = entry["dtype"]
    if not isinstance(dtype, str) or dtype not in STORED_TYPES:
        raise DataError(f"{place}: unknown dtype {short_repr(dtype)}", hint=_DAMAGED)
    shape = _sizes(entry["shape"], f"{place}: shape")
    offsets = _sizes(entry["data_offsets"], f"{place}: data_offsets")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise DataError(f"{place}: data_offsets is not a begin and an end", hint=_DAMAGED)
    bits = prod(shape) * STORED_TYPES[dtype].bits
    if bits % 8 or bits // 8 != offsets[1] - offsets[0]:
        raise DataError(
            f"{place}: {offsets[1] - offsets[0]} bytes of data for shape "
            f"{'x'.join(map(str, shape)) or 'scalar'} of {dtype}",
            hint=_DAMAGED,
        )
    return Extent(StoredTensor(name, dtype, shape, path.name), offsets[0], offsets[1])


def _sizes(value: object, place: str) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > _MAX_DIMENSIONS:
        raise DataError(
            f"{place} is {short_repr(value)}; a short list of integers is needed", hint=_DAMAGED
        )
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int) or not 0 <= item <= _MAX_SIZE:
            raise DataError(
                f"{place} holds {short_repr(item)}; the range is 0 to 2^62", hint=_DAMAGED
            )
    return tuple(value)


def _check_layout(extents: list[Extent], size: int, path: Path) -> None:
    """The data must be covered once, without holes, from 0 to ``size``."""
    position = 0
    for extent in sorted(extents, key=lambda item: (item.begin, item.end)):
        if extent.end > size:
            raise DataError(
                f"{path}: tensor {short_repr(extent.tensor.name)} ends at byte {extent.end} of a "
                f"data section of {size} bytes; the file is truncated",
                hint=_DAMAGED,
            )
        if extent.begin != position:
            what = "overlaps the one before it" if extent.begin < position else "leaves a hole"
            raise DataError(
                f"{path}: tensor {short_repr(extent.tensor.name)} {what}", hint=_DAMAGED
            )
        position = extent.end
    if position != size:
        raise DataError(
            f"{path}: {size - position} bytes of data belong to no tensor", hint=_DAMAGED
        )


def _file_names(directory: Path) -> list[str]:
    names = sorted(path.name for path in directory.glob("*.safetensors"))
    if not names:
        raise DataError(
            f"{directory}: no safetensors file",
            hint="name the folder of a checkpoint, with its *.safetensors files",
        )
    return names


def index_files(directory: Path) -> list[str]:
    """The files that the index in ``directory`` lists.

    Raises:
        DataError: it is not understood.
    """
    return sorted(set((_read_index(directory) or {}).values()))


def _read_index(directory: Path) -> dict[str, str] | None:
    path = directory / INDEX_NAME
    if not os.path.lexists(path):
        return None
    require_inside(path, directory)
    values = parse_object(read_config_bytes(path, limit=MAX_INDEX_BYTES), str(path))
    weights = values.get("weight_map")
    if not isinstance(weights, dict) or not weights:
        raise DataError(
            f"{path}: weight_map is missing or empty",
            hint="download the index again: model.safetensors.index.json",
        )
    index: dict[str, str] = {}
    for name, file in weights.items():
        if not isinstance(file, str) or not _is_name(file):
            raise DataError(
                f"{path}: {short_repr(name)} is in {short_repr(file)}, not a file name",
                hint="download the index again: model.safetensors.index.json",
            )
        index[name] = file
    return index


def _is_name(text: str) -> bool:
    """Whether a text can name a file of a folder, and no other place; half a character of UTF-16,
    which JSON can spell, is in no name."""
    return Path(text).name == text != ".." and not re.search("[\0\ud800-\udfff]", text)


def _check_index(index: dict[str, str], file_of: dict[str, str], directory: Path) -> None:
    wrong = [name for name in index if file_of.get(name) != index[name]]
    wrong += [name for name in file_of if name not in index]
    if wrong:
        names = ", ".join(short_repr(name) for name in sorted(wrong)[:3])
        raise DataError(
            f"{directory}: {INDEX_NAME} and the headers disagree about {len(wrong)} tensors, "
            f"first {names}",
            hint="download the checkpoint again: index and files are of different versions",
        )
