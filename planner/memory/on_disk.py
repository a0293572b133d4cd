"""An inventory against the headers of a checkpoint on disk: bytes, and tensors that differ."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from planner.base.errors import DataError
from planner.models.headers import read_checkpoint
from planner.models.inventory import expand, inventory_of
from planner.models.spec import ModelSpec
from planner.models.storage import stored_bytes

NAMED = 5
"""Names shown of each kind of difference."""
MAX_TENSORS = 10**6


@dataclass(frozen=True, slots=True)
class OnDisk:
    """Predicted and stored payload [B]; ``file_bytes`` adds the headers.

    ``missing`` tensors are predicted and not stored, ``unexpected`` the other way round,
    ``different`` have another shape or type; the first few are named.
    """

    directory: str
    files: int
    predicted_bytes: int
    stored_bytes: int
    file_bytes: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    different: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        return not (self.missing or self.unexpected or self.different)

    def to_dict(self) -> dict[str, Any]:
        """JSON values; the first names of each kind of difference."""
        data: dict[str, Any] = {
            "directory": self.directory,
            "files": self.files,
            "predicted_bytes": self.predicted_bytes,
            "stored_bytes": self.stored_bytes,
            "file_bytes": self.file_bytes,
            "difference_bytes": self.predicted_bytes - self.stored_bytes,
        }
        for name in ("missing", "unexpected", "different"):
            values: tuple[str, ...] = getattr(self, name)
            data[name] = {"count": len(values), "first": list(values[:NAMED])}
        return data


def compare(spec: ModelSpec, directory: Path) -> OnDisk:
    """Compare the tensors of ``spec`` with the safetensors headers in ``directory``.

    Only headers are read. Tensors that a release may leave out are not missed.

    Raises:
        DataError: no such directory, no safetensors file, an invalid header, or more tensors than
            a checkpoint has.
    """
    if not directory.is_dir():
        raise DataError(
            f"checkpoint {str(directory)!r} is not a directory",
            hint="name the folder of the safetensors files",
        )
    count = inventory_of(spec).tensor_count
    if count > MAX_TENSORS:
        raise DataError(
            f"{spec.id} has {count:,} tensors by its configuration, more than the "
            f"{MAX_TENSORS:,} that are compared",
            hint="check the configuration",
        )
    every = read_checkpoint(directory)
    stored = {tensor.name: tensor for tensor in every}
    optional = _optional_names(spec)
    predicted, missing, different = 0, [], []
    for tensor in expand(spec):
        stored_tensor = stored.pop(tensor.name, None)
        size = stored_bytes(tensor.dtype, prod(tensor.shape))
        if stored_tensor is None:
            if tensor.name not in optional:
                missing.append(tensor.name)
                predicted += size
            continue
        predicted += size
        if (stored_tensor.shape, stored_tensor.dtype) != (tensor.shape, tensor.dtype):
            different.append(tensor.name)
    names = {tensor.file for tensor in every}
    return OnDisk(
        directory=str(directory),
        files=len(names),
        predicted_bytes=predicted,
        stored_bytes=sum(stored_bytes(t.dtype, prod(t.shape)) for t in every),
        file_bytes=sum((directory / name).stat().st_size for name in names),
        missing=tuple(missing),
        unexpected=tuple(stored),
        different=tuple(different),
    )


def _optional_names(spec: ModelSpec) -> frozenset[str]:
    """Names of tensors that a release may leave out."""
    return frozenset(
        extra.name.format(layer=layer, expert=expert)
        for row in spec.rows
        for extra in (*row.extras, *((row.stored,) if row.stored else ()))
        if extra.optional
        for layer in row.layers or (-1,)
        for expert in range(1 if row.stacked else row.experts)
    )
