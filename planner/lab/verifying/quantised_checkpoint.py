"""A plan's weights as a compressed-tensors checkpoint: a folder that vLLM and transformers load.

Tensors are read, quantised and written one by one, file by file; the folder is whole or not there.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from planner.base.atomic_files import draft
from planner.base.errors import DataError, InputError, UnsupportedError
from planner.base.strict_json import parse_object, read_config_bytes
from planner.export.assignment import Linear, ModuleAssignment
from planner.export.stored_weights import stored_shapes, stored_weight
from planner.lab.verifying.safetensors_file import (
    HeaderEntry,
    TensorGroup,
    index_text,
    write_safetensors,
)
from planner.models.headers import INDEX_NAME, read_checkpoint, read_extents

Array = npt.NDArray[Any]
_CONFIG = "config.json"
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf", ".h5", ".msgpack")


def write_quantised(
    assignment: ModuleAssignment, config: Mapping[str, Any], source: Path, folder: Path
) -> int:
    """Write ``folder``: the checkpoint ``source`` with the schemes of ``assignment`` and
    ``config`` as its quantization_config; other files, a tokeniser's among them, are copied.

    Returns the bytes of its tensors [B].

    Raises:
        InputError: the folder is there, or the disk is full or cannot be written to.
        DataError: no checkpoint, or one of another model.
        UnsupportedError: a scheme that is not written here, or weights that are not in 16 bits.
    """
    if folder.exists():
        raise InputError(f"folder {str(folder)!r} exists", hint="name a new folder")
    said = parse_object(read_config_bytes(source / _CONFIG), str(source / _CONFIG))
    if "quantization_config" in said:
        raise UnsupportedError(
            f"{source} is quantised already", hint="give the model's 16-bit checkpoint"
        )
    files = _files(source, _schemes(assignment), source)
    beside = folder.with_name(f".{folder.name}.part")
    try:
        with draft(beside):
            beside.mkdir(parents=True)
            total = _write(beside, source, files, {**said, "quantization_config": dict(config)})
            beside.rename(folder)
    except OSError as error:
        raise InputError(
            f"folder {str(folder)!r} cannot be written: {error.strerror}",
            hint="nothing was kept: free some room, or name another place",
        ) from None
    return total


def _schemes(assignment: ModuleAssignment) -> dict[str, str]:
    """Module name → scheme of every matrix that the plan quantises."""
    schemes: dict[str, str] = {}
    for linear in assignment.quantised():
        schemes |= dict.fromkeys(_names(linear), linear.scheme)
    return schemes


def _names(linear: Linear) -> list[str]:
    if linear.stacked:
        raise UnsupportedError(
            f"experts that are one tensor ({linear.module}) are not written here",
            hint="run the export's quantise.py",
        )
    return list(linear.names())


def _files(source: Path, schemes: Mapping[str, str], place: Path) -> dict[str, list[TensorGroup]]:
    """The files to write: their tensors, and how each is made."""
    left = dict(schemes)
    out: dict[str, list[TensorGroup]] = {}
    for name in sorted({tensor.file for tensor in read_checkpoint(source)}):
        parts = out.setdefault(name, [])
        for extent in read_extents(source / name)[0]:
            tensor = extent.tensor
            module = tensor.name.removesuffix(".weight")
            scheme = left.pop(module, None) if module != tensor.name else None
            read = _reader(source / name, extent.begin, extent.end)
            if scheme is None:
                parts.append(
                    TensorGroup((HeaderEntry(tensor.name, tensor.dtype, tensor.shape),), read)
                )
            else:
                parts.append(_quantised(module, scheme, tensor.dtype, tensor.shape, read, place))
    if left:
        raise DataError(
            f"{place}: {next(iter(left))}.weight is missing ({len(left)} in all)",
            hint="give the checkpoint of the plan's model",
        )
    return out


def _quantised(
    module: str,
    scheme: str,
    dtype: str,
    shape: tuple[int, ...],
    read: Callable[[], list[Array]],
    place: Path,
) -> TensorGroup:
    if dtype != "BF16" or len(shape) != 2:
        raise UnsupportedError(
            f"{place}: {module}.weight is {dtype} of {len(shape)} axes; BF16 matrices are "
            "quantised here",
            hint="run the export's quantise.py, or widen the checkpoint to BF16",
        )
    shapes = stored_shapes(scheme, *shape)
    entries = tuple(HeaderEntry(f"{module}.{name}", *kind) for name, kind in shapes.items())

    def make() -> list[Array]:
        from planner.numerics import decode

        values = decode(read()[0].view("<u2"), "bf16").reshape(shape)
        stored = stored_weight(scheme, values)
        return [stored[name] for name in shapes]

    return TensorGroup(entries, make)


def _reader(path: Path, begin: int, end: int) -> Callable[[], list[Array]]:
    def read() -> list[Array]:
        with path.open("rb") as file:
            file.seek(begin)
            return [np.frombuffer(file.read(end - begin), np.uint8)]

    return read


def _write(
    folder: Path, source: Path, files: Mapping[str, list[TensorGroup]], config: Mapping[str, Any]
) -> int:
    total = sum(write_safetensors(folder / name, parts) for name, parts in files.items())
    if (source / INDEX_NAME).exists():
        (folder / INDEX_NAME).write_text(
            index_text(
                {name: [e for part in parts for e in part.entries] for name, parts in files.items()}
            ),
            encoding="utf-8",
            newline="\n",
        )
    for path in sorted(source.iterdir()):
        if (
            path.is_file()
            and path.name not in (_CONFIG, INDEX_NAME)
            and path.suffix not in _WEIGHTS
            and not path.name.startswith(".")
        ):
            shutil.copyfile(path, folder / path.name)
    (folder / _CONFIG).write_text(
        json.dumps(config, indent=2) + "\n", encoding="utf-8", newline="\n"
    )
    return total
