"""Where every stored tensor lies, and the digest that identifies a checkpoint."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from planner.base.errors import DataError
from planner.models.gguf_header import read_gguf
from planner.models.headers import INDEX_NAME, read_checkpoint, read_extents
from planner.models.storage import stored_bytes

_SPLIT = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Place:
    """A stored tensor: its file, first byte [B], checkpoint type and shape."""

    file: str
    offset: int
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All tensors of a checkpoint by name; ``sha256`` is over index, headers and file sizes."""

    places: dict[str, Place]
    sha256: str
    files: int
    format: str
    payload_bytes: int


def read_places(path: Path) -> Checkpoint:
    """The tensors of a directory of safetensors files, or of a GGUF file with its parts.

    The digest does not read tensor data: two checkpoints that differ in values alone, with equal
    headers and sizes, have the same one.

    Raises:
        DataError: no such checkpoint, or an invalid header; a truncated file is one.
    """
    if path.suffix == ".gguf" and path.is_file():
        return _gguf(path)
    if not path.is_dir():
        raise DataError(
            f"{path}: neither a directory of safetensors files nor a GGUF file",
            hint="give the folder that holds config.json and *.safetensors",
        )
    return _safetensors(path)


def _safetensors(directory: Path) -> Checkpoint:
    digest = hashlib.sha256()
    index = directory / INDEX_NAME
    names = sorted({tensor.file for tensor in read_checkpoint(directory)})  # looks at the index too
    digest.update(index.read_bytes() if index.exists() else b"")
    places: dict[str, Place] = {}
    payload = 0
    for name in names:
        file = directory / name
        extents, header = read_extents(file)
        _add(digest, name, file.stat().st_size, header)
        for item in extents:
            tensor = item.tensor
            places[tensor.name] = Place(str(file), item.begin, tensor.dtype, tensor.shape)
            payload += item.end - item.begin
    return Checkpoint(places, digest.hexdigest(), len(names), "safetensors", payload)


def _gguf(path: Path) -> Checkpoint:
    digest = hashlib.sha256()
    places: dict[str, Place] = {}
    files = _parts(path)
    payload = 0
    for file in files:
        gguf_file = read_gguf(file)
        with file.open("rb") as stream:
            header = stream.read(gguf_file.data_begin)
        _add(digest, file.name, file.stat().st_size, header)
        for item in gguf_file.tensors:
            places[item.name] = Place(
                str(file), gguf_file.data_begin + item.offset, item.type, item.shape
            )
            payload += stored_bytes(item.type, _elements(item.shape))
    return Checkpoint(places, digest.hexdigest(), len(files), "gguf", payload)


def _parts(path: Path) -> list[Path]:
    named = _SPLIT.search(path.name)
    if named is None:
        return [path]
    stem = path.name[: named.start()]
    return [
        path.with_name(f"{stem}-{n:05d}-of-{named[1]}.gguf") for n in range(1, int(named[1]) + 1)
    ]


def _add(digest: hashlib._Hash, name: str, size: int, header: bytes) -> None:
    digest.update(f"{name}\0{size}\0{len(header)}\0".encode())
    digest.update(header)


def _elements(shape: tuple[int, ...]) -> int:
    total = 1
    for side in shape:
        total *= side
    return total
