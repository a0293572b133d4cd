"""What a model holds, counted from its tensor rows: parameters, elements, bytes, tensors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from planner.base.display import as_frame, as_table, with_former_methods
from planner.base.records import cached_record, record
from planner.models.spec import ModelSpec, StoredAs, TensorRow
from planner.models.storage import StoredTensor, stored_bytes, stored_type

if TYPE_CHECKING:
    import pandas as pd

_MAIN = ("main", "lookup")
_ROUTED = ("experts-gate-up", "experts-down")


@record
class Pattern:
    """One class of stored tensors: ``count`` tensors of ``shape`` and checkpoint type ``dtype``."""

    name: str
    kind: str
    part: str
    dtype: str
    shape: tuple[int, ...]
    layers: tuple[int, ...]
    experts: int
    is_scale: bool

    @property
    def count(self) -> int:
        """Number of tensors: layers × experts."""
        return max(1, len(self.layers)) * self.experts

    @property
    def elements(self) -> int:
        """Elements of all tensors of the class."""
        return prod(self.shape) * self.count

    @property
    def bytes(self) -> int:
        """Bytes of all tensors of the class [B]; each tensor is whole bytes."""
        return stored_bytes(self.dtype, prod(self.shape)) * self.count


@with_former_methods
@cached_record
class Inventory:
    """Counts over the rows of ``spec``.

    ``parameters_total`` is the main model: no scales, no multi-token prediction, nothing that is
    not ``counted``; lookup tables are in it, as published counts have them.
    ``parameters_mtp`` is the prediction layers as stored, with their copies of embedding and head;
    ``parameters_mtp_unique`` is without the copies.
    """

    spec: ModelSpec

    @cached_property
    def parameters_total(self) -> int:
        return sum(_size(row) for row in self._main)

    @cached_property
    def parameters_mtp(self) -> int:
        return sum(_size(row) for row in self.spec.rows if row.part == "mtp" and row.counted)

    @cached_property
    def parameters_mtp_unique(self) -> int:
        copies = (row for row in self.spec.rows if row.part == "mtp" and row.copy_of)
        return self.parameters_mtp - sum(_size(row) for row in copies if row.counted)

    @cached_property
    def parameters_vision(self) -> int:
        """Parameters of the vision encoder and its projector, where the configuration has one."""
        return sum(_size(row) for row in self.spec.rows if row.part == "vision" and row.counted)

    @cached_property
    def parameters_audio(self) -> int:
        """Parameters of the audio encoder, where the configuration has one."""
        return sum(_size(row) for row in self.spec.rows if row.part == "audio" and row.counted)

    @cached_property
    def parameters_active(self) -> dict[str, int]:
        """Parameters one token passes through, under the three conventions in use.

        ``with_embedding`` counts everything but the experts not chosen; published figures also
        leave out the input embedding, or embedding and head. A tied matrix is both: it stays
        while the head is counted.
        """
        experts = self.spec.experts
        every = self.parameters_total
        if experts is not None:
            routed = self.parameters_by_kind.get(_ROUTED[0], 0)
            routed += self.parameters_by_kind.get(_ROUTED[1], 0)
            every -= routed - routed * experts.per_token // experts.count
        embedding = self.parameters_by_kind.get("embedding", 0)
        without_input = every if self.spec.tied_embeddings else every - embedding
        return {
            "with_embedding": every,
            "without_input_embedding": without_input,
            "without_embedding_and_head": every
            - embedding
            - self.parameters_by_kind.get("head", 0),
        }

    @cached_property
    def parameters_by_kind(self) -> dict[str, int]:
        """Parameters of the main model by module kind."""
        sums: dict[str, int] = {}
        for row in self._main:
            sums[row.kind] = sums.get(row.kind, 0) + _size(row)
        return sums

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """Stored tensor classes, each weight followed by its scales."""
        return tuple(pattern for row in self.spec.rows for pattern in patterns_of(row))

    @cached_property
    def elements_by_dtype(self) -> dict[str, int]:
        """Stored elements by checkpoint type, scales and prediction layers included."""
        sums: dict[str, int] = {}
        for pattern in self.patterns:
            sums[pattern.dtype] = sums.get(pattern.dtype, 0) + pattern.elements
        return dict(sorted(sums.items()))

    @cached_property
    def payload_bytes(self) -> int:
        """Bytes of tensor data in the checkpoint [B]; file headers are not in it."""
        return sum(pattern.bytes for pattern in self.patterns)

    @cached_property
    def tensor_count(self) -> int:
        return sum(pattern.count for pattern in self.patterns)

    def to_dict(self, expand: bool = False) -> dict[str, Any]:
        """The inventory as JSON values; ``expand`` lists every tensor instead of the classes."""
        tensors: list[dict[str, Any]]
        if expand:
            tensors = [
                {"name": item.name, "dtype": item.dtype, "shape": list(item.shape)}
                for item in _tensors(self.spec)
            ]
        else:
            tensors = [_pattern_dict(pattern) for pattern in self.patterns]
        return {
            "parameters_total": self.parameters_total,
            "parameters_mtp": self.parameters_mtp,
            "parameters_vision": self.parameters_vision,
            "parameters_audio": self.parameters_audio,
            "not_counted": list(self.spec.not_counted),
            **({"structure": self.spec.structure} if self.spec.structure else {}),
            **({"unplanned": self.spec.unplanned} if self.spec.unplanned else {}),
            "assumed_keys": dict(self.spec.assumed_keys),
            "harmless_keys": list(self.spec.harmless_keys),
            "ignored_keys": list(self.spec.ignored_keys),
            "notes": [list(note) for note in self.spec.notes],
            "parameters_active": dict(self.parameters_active),
            "elements_by_dtype": dict(self.elements_by_dtype),
            "payload_bytes": self.payload_bytes,
            "tensor_count": self.tensor_count,
            "tensors": tensors,
        }

    def to_frame(self) -> pd.DataFrame:
        """One row a tensor class, the columns of ``to_dict``'s ``tensors``."""
        return as_frame([_pattern_dict(pattern) for pattern in self.patterns])

    def _repr_html_(self) -> str:
        from html import escape

        head = (
            f"{self.spec.id}: {self.parameters_total:,} parameters, {self.payload_bytes:,} B "
            f"in {self.tensor_count:,} tensors"
        )
        return f"<p>{escape(head)}</p>" + as_table(self.to_frame())

    @property
    def _main(self) -> Iterator[TensorRow]:
        return (row for row in self.spec.rows if row.part in _MAIN and row.counted)


def inventory_of(spec: ModelSpec) -> Inventory:
    """The inventory of ``spec``."""
    return Inventory(spec)


def expand(spec: ModelSpec) -> Iterator[StoredTensor]:
    """Every stored tensor, one at a time, in row order, layer by layer, expert by expert."""
    return _tensors(spec)


def _tensors(spec: ModelSpec) -> Iterator[StoredTensor]:
    for row in spec.rows:
        for pattern in patterns_of(row):
            for layer in pattern.layers or (-1,):
                for expert in range(pattern.experts):
                    name = pattern.name.format(layer=layer, expert=expert)
                    yield StoredTensor(name, pattern.dtype, pattern.shape)


def patterns_of(row: TensorRow) -> Iterator[Pattern]:
    """The stored tensor classes of one row: the tensor, its scales, its further tensors."""
    yield _pattern(row, stored_weight(row), is_scale=False)
    scale = stored_scales(row)
    for item in (*(() if scale is None else (scale,)), *row.extras):
        yield _pattern(row, item, is_scale=True)


def stored_weight(row: TensorRow) -> StoredAs:
    """How the tensors of ``row`` are stored."""
    if row.stored is not None:
        return row.stored
    shape = (row.experts, *row.shape) if row.stacked else row.shape
    return StoredAs(row.name, stored_type(row.dtype).name, shape)


def stored_scales(row: TensorRow) -> StoredAs | None:
    """How the scales of ``row`` are stored, None where it has none."""
    if row.stored_scale is not None:
        return row.stored_scale
    if row.scale_name is None or row.scale_shape is None or row.scale_dtype is None:
        return None
    shape = (row.experts, *row.scale_shape) if row.stacked else row.scale_shape
    return StoredAs(row.scale_name, stored_type(row.scale_dtype).name, shape)


def row_bytes(row: TensorRow) -> int:
    """Stored bytes of one layer of ``row``: all experts, scales, further tensors [B]."""
    layers = max(1, len(row.layers))
    return sum(pattern.bytes for pattern in patterns_of(row)) // layers


def _pattern(row: TensorRow, stored: StoredAs, *, is_scale: bool) -> Pattern:
    return Pattern(
        name=stored.name, kind=row.kind, part=row.part, dtype=stored.dtype, shape=stored.shape,
        layers=row.layers, experts=1 if row.stacked else row.experts, is_scale=is_scale,
    )  # fmt: skip


def _pattern_dict(pattern: Pattern) -> dict[str, Any]:
    return {
        "name": pattern.name, "kind": pattern.kind, "part": pattern.part,
        "scale": pattern.is_scale, "dtype": pattern.dtype, "shape": list(pattern.shape),
        "count": pattern.count, "elements": pattern.elements, "bytes": pattern.bytes,
        "layers": list(pattern.layers), "experts": pattern.experts,
    }  # fmt: skip


def _size(row: TensorRow) -> int:
    return row.elements * row.copies
