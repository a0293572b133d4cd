"""Agreement of a checkpoint's headers with the inventory of its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from planner.errors import DataError
from planner.models.dtypes import STORED_TYPES, StoredTensor
from planner.models.headers import checkpoint_inventory, read_checkpoint
from planner.models.spec import ModelSpec, TensorRow
from planner.models.strict_json import shown

_PLAIN = ("fp32", "bf16", "fp16")
_SCALES = (*_PLAIN, "e8m0")
_NAMED = 4


@dataclass(slots=True)
class _Comparison:
    """Headers not yet matched, and the first differences found."""

    found: dict[str, StoredTensor]
    differences: list[str] = field(default_factory=list)

    @property
    def full(self) -> bool:
        return len(self.differences) >= _NAMED


def is_checkpoint(directory: Path) -> bool:
    """Whether ``directory`` holds safetensors files."""
    return next(directory.glob("*.safetensors"), None) is not None


def require_structure(directory: Path) -> NoReturn:
    """Refuse a directory without a configuration, saying what its headers hold.

    Raises:
        DataError: always.
    """
    if not is_checkpoint(directory):
        raise DataError(
            f"{directory}: neither config.json nor a safetensors file is here",
            hint="give a model id, a config.json, or a directory that holds one",
        )
    held = checkpoint_inventory(directory)
    types = ", ".join(f"{name} {count:,}" for name, count in held.elements_by_dtype.items())
    raise DataError(
        f"{directory}: no config.json, and headers alone do not give the structure; found "
        f"{held.tensor_count:,} tensors in {held.files} files, {held.payload_bytes:,} bytes, "
        f"elements {types}",
        hint="put the model's config.json beside the files",
    )


def read_stored(spec: ModelSpec, directory: Path) -> ModelSpec:
    """``spec`` with the element types that the headers in ``directory`` store.

    Names and shapes must be those of the inventory. A row whose layers are stored in different
    types becomes one row a type; a matrix stored plain, without scales, is not quantised.

    Raises:
        DataError: naming the first tensors that differ, or an invalid header.
    """
    state = _Comparison({tensor.name: tensor for tensor in read_checkpoint(directory)})
    rows: list[TensorRow] = []
    for row in spec.rows:
        rows += _stored_rows(row, state)
        if state.full:
            break
    if not state.full:
        extra = sorted(state.found)[: _NAMED - len(state.differences)]
        state.differences += [f"{shown(name)} is not in the inventory" for name in extra]
    if state.differences:
        missing = all("is missing" in text for text in state.differences)
        only_mtp = missing and spec.mtp_layers and f"layers.{spec.layers}." in state.differences[0]
        raise DataError(
            f"{directory}: the checkpoint differs from its config.json: "
            + "; ".join(state.differences),
            hint="a checkpoint without prediction layers needs num_nextn_predict_layers 0"
            if only_mtp
            else "check that config.json belongs to these files",
        )
    return replace(spec, rows=tuple(rows), quantization=_quantization(spec, rows))


def _stored_rows(row: TensorRow, state: _Comparison) -> Iterator[TensorRow]:
    """``row`` once for each pair of (type, scale type) found, with the layers that have it."""
    layers_of: dict[tuple[str, str | None], list[int]] = {}
    for layer in row.layers or (-1,):
        stored = {_stored_types(row, layer, expert, state) for expert in range(row.experts)}
        if state.full:
            return
        if len(stored) > 1:
            state.differences.append(f"{shown(row.name)}: the experts of layer {layer} differ")
        layers_of.setdefault(next(iter(stored)), []).append(layer)
    for (dtype, scale), layers in layers_of.items():
        yield replace(
            row, dtype=dtype, layers=tuple(layers) if row.layers else (), scale_dtype=scale,
            scale_name=row.scale_name if scale else None,
            scale_shape=row.scale_shape if scale else None,
        )  # fmt: skip


def _stored_types(
    row: TensorRow, layer: int, expert: int, state: _Comparison
) -> tuple[str, str | None]:
    """The formats of one tensor and of its scales; differences go to ``state``."""
    expected = (row.dtype, row.scale_dtype)
    if state.full:
        return expected
    dtype = _match(row.name, row.shape, layer, expert, state)
    if dtype is None:
        return expected
    if row.scale_name is None or row.scale_shape is None:
        if dtype not in _PLAIN:
            name = row.name.format(layer=layer, expert=expert)
            state.differences.append(f"{name} is {dtype}, which config.json does not say")
        return dtype, None
    scale_name = row.scale_name.format(layer=layer, expert=expert)
    if dtype in _PLAIN and scale_name not in state.found:
        return dtype, None
    scale = _match(row.scale_name, row.scale_shape, layer, expert, state)
    if dtype != row.dtype or scale not in (*_SCALES, None):
        name = row.name.format(layer=layer, expert=expert)
        state.differences.append(f"{name} is {dtype} with {scale} scales, not {row.dtype}")
    return dtype, scale


def _match(
    template: str, shape: tuple[int, ...], layer: int, expert: int, state: _Comparison
) -> str | None:
    """The element format of a tensor that has the name and shape expected, else None."""
    name = template.format(layer=layer, expert=expert)
    tensor = state.found.pop(name, None)
    if tensor is None:
        state.differences.append(f"{name} is missing")
        return None
    if tensor.shape != shape:
        state.differences.append(f"{name} is {_times(tensor.shape)}, not {_times(shape)}")
        return None
    stored = STORED_TYPES[tensor.dtype].format
    if stored is None:
        state.differences.append(f"{name} is {tensor.dtype}, which is no weight format")
    return stored


def _quantization(spec: ModelSpec, rows: list[TensorRow]) -> str:
    """The scheme of ``spec`` while scales are stored, else the plain format of most elements."""
    if any(row.scale_name for row in rows):
        return spec.quantization
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row.dtype] = sizes.get(row.dtype, 0) + row.elements * row.copies
    return _largest(sizes)


def _largest(sizes: Mapping[str, int]) -> str:
    return max(sorted(sizes), key=lambda name: sizes[name])


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
