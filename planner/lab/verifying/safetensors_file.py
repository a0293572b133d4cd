"""Write safetensors files tensor by tensor: the header first, then data as it is made.

Source: the safetensors format description (github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from planner.base.errors import DataError
from planner.models.storage import stored_bytes

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class HeaderEntry:
    """A tensor to be written: its name, checkpoint type and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Bytes of the data [B]."""
        return stored_bytes(self.dtype, prod(self.shape))


@dataclass(frozen=True, slots=True)
class TensorGroup:
    """Tensors that come of one: ``make`` gives the data of each entry, in their order."""

    entries: tuple[HeaderEntry, ...]
    make: Callable[[], Sequence[Array]]


def write_safetensors(path: Path, parts: Iterable[TensorGroup]) -> int:
    """Write the tensors of ``parts`` into ``path``; one part is in memory at a time.

    Returns the bytes of the data section [B].

    Raises:
        DataError: two tensors of one name, or data that is not as long as its entry says.
        OSError: the disk is full or the place cannot be written to.
    """
    groups = list(parts)
    entries = [entry for part in groups for entry in part.entries]
    header = header_bytes(entries)
    with path.open("xb") as file:
        file.write(header)
        for part in groups:
            _write(file, part, path)
        file.flush()
        os.fsync(file.fileno())
    return sum(entry.bytes for entry in entries)


def header_bytes(entries: Sequence[HeaderEntry]) -> bytes:
    """The length and the JSON of a file with ``entries`` in their order, padded to 8 bytes.

    Raises:
        DataError: two entries of one name.
    """
    said: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for entry in entries:
        if entry.name in said:
            raise DataError(
                f"two tensors named {entry.name!r} in one file",
                hint="the checkpoint is damaged: download it again",
            )
        said[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [at, at + entry.bytes],
        }
        at += entry.bytes
    text = json.dumps(said, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def index_text(files: Mapping[str, Sequence[HeaderEntry]]) -> str:
    """The index of a checkpoint in several files: file name → its tensors."""
    total = sum(entry.bytes for entries in files.values() for entry in entries)
    names = {entry.name: file for file, entries in files.items() for entry in entries}
    return (
        json.dumps(
            {"metadata": {"total_size": total}, "weight_map": names}, indent=2, sort_keys=True
        )
        + "\n"
    )


def bf16_codes(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """BF16 codes of float32 values of any shape, to the nearest, ties to even."""
    from planner.numerics import encode

    codes = encode(values, "bf16")
    return np.asarray(codes, np.uint16)


def _write(file: BinaryIO, part: TensorGroup, path: Path) -> None:
    arrays = part.make()
    if len(arrays) != len(part.entries):
        raise DataError(
            f"{path}: {len(arrays)} arrays for {len(part.entries)} tensors",
            hint="report this: it is a fault of the program",
        )
    for entry, array in zip(part.entries, arrays, strict=True):
        data = np.ascontiguousarray(array)
        if data.nbytes != entry.bytes:
            raise DataError(
                f"{path}: {entry.name} has {data.nbytes} bytes, not {entry.bytes}",
                hint="report this: it is a fault of the program",
            )
        file.write(data.tobytes())
