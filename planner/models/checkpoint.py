"""Agreement of a checkpoint's headers with the inventory of its configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from planner.base.errors import DataError
from planner.base.strict_json import short_repr
from planner.messages.message import Note, message
from planner.models.headers import checkpoint_inventory, file_size, read_checkpoint
from planner.models.inventory import stored_scales, stored_weight
from planner.models.quantization.plan import largest_scheme
from planner.models.spec import ModelSpec, StoredAs, TensorRow
from planner.models.storage import STORED_TYPES, StoredTensor, stored_type

_PLAIN = ("fp32", "bf16", "fp16")
_SCALES = (*_PLAIN, "e8m0")
_PACKED = ("e2m1", "int2", "int3", "int4")
_HEADS = ("lm_head.weight", "language_model.lm_head.weight", "model.lm_head.weight")
_CACHE_SCALES = (".k_scale", ".v_scale")
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
    inventory = checkpoint_inventory(directory)
    types = ", ".join(f"{name} {count:,}" for name, count in inventory.elements_by_dtype.items())
    raise DataError(
        f"{directory}: no config.json, and headers alone do not give the structure; found "
        f"{inventory.tensor_count:,} tensors in {inventory.files} files, "
        f"{inventory.payload_bytes:,} bytes, elements {types}",
        hint="put the model's config.json beside the files",
    )


def read_stored(
    spec: ModelSpec, directory: Path, *, size_of: Callable[[Path], int] = file_size
) -> ModelSpec:
    """``spec`` with the element types that the headers in ``directory`` store.

    Names and shapes must be those of the inventory. A row whose layers are stored in different
    types becomes one row a type; a matrix stored plain, without scales, is not quantised.
    ``size_of`` says the bytes of a file of which the heads alone are here.

    Raises:
        DataError: naming the first tensors that differ, or an invalid header.
    """
    state = _Comparison({tensor.name: tensor for tensor in read_checkpoint(directory, size_of)})
    rows: list[TensorRow] = []
    for row in spec.rows:
        rows += _stored_rows(row, state)
        if state.full:
            break
    if not state.full:
        rows += _stored_head(spec, state)
        extra = sorted(state.found)[: _NAMED - len(state.differences)]
        state.differences += [f"{short_repr(name)} is not in the inventory" for name in extra]
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
    method = _quantization(rows)
    notes = (
        spec.notes
        if spec.quantization in _PLAIN or method not in _PLAIN
        else (
            *spec.notes,
            Note(
                "stored as",
                message(
                    "assumptions.throughout_and_config_json_says",
                    a=method,
                    quantization=spec.quantization,
                ),
                message("assumptions.engines_that_believe_it_look"),
            ),
        )
    )
    return replace(spec, rows=tuple(rows), quantization=method, notes=notes)


def _stored_head(spec: ModelSpec, state: _Comparison) -> Iterator[TensorRow]:
    """The head that some files store beside the embedding it is tied to: a copy that the model
    shares when it runs."""
    tables = [row for row in spec.rows if row.kind == "embedding" and row.part == "main"]
    if not spec.tied_embeddings or len(tables) != 1 or tables[0].stored is not None:
        return
    names = [name for name in _HEADS if name in state.found]
    for name in names[:1]:
        head = replace(
            tables[0], name=name, kind="head", fused="head", counted=False, copy_of=tables[0].name
        )
        yield from _stored_rows(head, state)


def _stored_rows(row: TensorRow, state: _Comparison) -> Iterator[TensorRow]:
    """``row`` once for each way its layers are stored, with the layers that have it."""
    layers_of: dict[TensorRow, list[int]] = {}
    for layer in row.layers or (-1,):
        if _left_out(row, layer, state):
            continue
        copies = range(1 if row.stacked else row.experts)
        stored = {_stored_row(row, layer, expert, state) for expert in copies}
        if state.full:
            return
        if len(stored) > 1:
            state.differences.append(f"{short_repr(row.name)}: the experts of layer {layer} differ")
        layers_of.setdefault(next(iter(stored)), []).append(layer)
    for tensor, layers in layers_of.items():
        yield replace(tensor, layers=tuple(layers) if row.layers else ())


def _left_out(row: TensorRow, layer: int, state: _Comparison) -> bool:
    """Whether a tensor that may be absent is."""
    lies = row.stored
    return (
        lies is not None
        and lies.optional
        and lies.name.format(layer=layer, expert=0) not in state.found
    )


def _stored_row(row: TensorRow, layer: int, expert: int, state: _Comparison) -> TensorRow:
    """``row`` as one tensor of it is stored; differences go to ``state``."""
    if state.full:
        return row
    weight, scale = stored_weight(row), stored_scales(row)
    scale_name = scale.name.format(layer=layer, expert=expert) if scale is not None else ""
    name = row.name.format(layer=layer, expert=expert)
    packed = weight.dtype != _type_name(row)
    tensor = state.found.get(name)
    plain = tensor is not None and STORED_TYPES[tensor.dtype].format in _PLAIN
    if scale is None or (plain and scale_name not in state.found and not row.stacked):
        lies = weight if scale is None else StoredAs(row.name, weight.dtype, row.shape)
        return _unquantised(row, lies, layer, expert, state)
    stored_name = _match(weight, layer, expert, state, free=not packed)
    if stored_name is None:
        return row
    scale_type = _match(scale, layer, expert, state, free=row.stored_scale is None)
    if scale_type is None:
        return row
    extras = tuple(_extras(row.extras, layer, expert, state))
    if packed:
        return replace(row, extras=extras)
    dtype, scale_format = STORED_TYPES[stored_name].format, STORED_TYPES[scale_type].format
    if dtype != row.dtype or scale_format not in _SCALES:
        state.differences.append(f"{name} is {dtype} with {scale_format} scales, not {row.dtype}")
        return row
    return replace(row, extras=extras, scale_dtype=scale_format)


def _unquantised(
    row: TensorRow, lies: StoredAs, layer: int, expert: int, state: _Comparison
) -> TensorRow:
    """``row`` without a scheme, in the plain type that is stored; lookup tables keep theirs."""
    stored_name = _match(lies, layer, expert, state, free=True)
    if stored_name is None:
        return row
    dtype = STORED_TYPES[stored_name].format
    if dtype not in _PLAIN and stored_name != lies.dtype:
        name = row.name.format(layer=layer, expert=expert)
        state.differences.append(f"{name} is {dtype}, which config.json does not say")
        return row
    stored = None if row.stored is None or row.scheme else replace(row.stored, dtype=stored_name)
    cache = tuple(item for item in row.extras if item.name.endswith(_CACHE_SCALES))
    return replace(
        row, dtype=dtype or row.dtype, scheme=None, stored=stored, stored_scale=None,
        scale_name=None, scale_shape=None, scale_dtype=None,
        extras=tuple(_extras(cache, layer, expert, state)),
    )  # fmt: skip


def _extras(
    extras: tuple[StoredAs, ...], layer: int, expert: int, state: _Comparison
) -> Iterator[StoredAs]:
    """The further tensors that are stored, with their types; an optional one may be absent."""
    for extra in extras:
        if extra.optional and extra.name.format(layer=layer, expert=expert) not in state.found:
            continue
        stored = state.found.get(extra.name.format(layer=layer, expert=expert))
        if extra.any_length and stored is not None and len(stored.shape) == 1:
            extra = replace(extra, shape=stored.shape)
        extra_name = _match(extra, layer, expert, state, free=True, known=False)
        if extra_name is not None:
            yield replace(extra, dtype=extra_name)


def _type_name(row: TensorRow) -> str:
    """The checkpoint type of ``row`` stored one element an element; "" for sub-byte elements."""
    return "" if row.dtype in _PACKED else stored_type(row.dtype).name


def _match(
    expected: StoredAs, layer: int, expert: int, state: _Comparison, *, free: bool,
    known: bool = True,
) -> str | None:  # fmt: skip
    """The type of a tensor that has the name and shape expected, else None.

    ``free``: any type that is a number format (any type at all unless ``known``) will do.
    """
    name = expected.name.format(layer=layer, expert=expert)
    tensor = state.found.pop(name, None)
    if tensor is None:
        state.differences.append(f"{name} is missing")
        return None
    is_scalar = (tensor.shape, expected.shape) in (((), (1,)), ((1,), ()))
    if tensor.shape != expected.shape and not is_scalar:
        state.differences.append(
            f"{name} is {_times(tensor.shape)}, not {_times(expected.shape)}"
        )  # fmt: skip
        return None
    if not free and tensor.dtype != expected.dtype:
        state.differences.append(f"{name} is {tensor.dtype}, not {expected.dtype}")
        return None
    unknown = STORED_TYPES[tensor.dtype].format is None and tensor.dtype != expected.dtype
    if known and unknown:
        state.differences.append(f"{name} is {tensor.dtype}, which is no weight format")
        return None
    return tensor.dtype


def _quantization(rows: list[TensorRow]) -> str:
    """The scheme of most quantised elements, else the plain format of most elements."""
    sizes: dict[str, int] = {}
    for row in rows:
        sizes[row.dtype] = sizes.get(row.dtype, 0) + row.elements * row.copies
    return largest_scheme(rows, max(sorted(sizes), key=lambda name: sizes[name]))


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
