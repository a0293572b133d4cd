"""Rows of the tensors that a process beside has found: classes that differ in layer and expert."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from math import prod

from planner.base.errors import UnsupportedError
from planner.base.records import record
from planner.base.strict_json import short_repr
from planner.models.spec import Part, StoredAs, TensorRow
from planner.models.storage import stored_type
from planner.models.through_transformers.built import Built, Tensor
from planner.models.through_transformers.kinds import Sizes, TensorPlace, place_of

_FORMATS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "int64": "int64",
            "int32": "int32", "float8_e4m3fn": "e4m3fn", "int8": "int8"}  # fmt: skip
_NUMBER = re.compile(r"\.(\d+)(?=\.)")
_EXPERT = re.compile(r"(experts?(?:\.\w*expert\w*)*)\.(\d+)(?=\.)")
_EMBEDS = re.compile(r"embed|wpe|wte|position|token_type|(^|[._])(emb|ape)$", re.I)
_HEADS = re.compile(r"(^|\.)(lm_head|output_projection)\.weight$")
_ENCODERS = re.compile(r"vision|visual|image|audio|speech|protein_encoder", re.I)
_SMALL = 64
"""Matrices with a shorter side than this are maps, scales or tables that no format narrows: one
block of the narrowest formats is 32 elements, and nothing is gained."""
_NAMED = 4


@record
class _Class:
    """Tensors alike but for layer and expert."""

    name: str
    tensor: Tensor
    inner: str


def rows_of(
    built: Built,
    sizes: Sizes,
    *,
    towers: Part,
    place: str,
) -> tuple[tuple[TensorRow, ...], tuple[str, ...]]:
    """Every tensor of ``built`` in a row, those outside the decoder of part ``towers``; and the
    linear layers whose purpose neither name nor shape tells.

    Raises:
        UnsupportedError: naming the tensors that are of no known kind.
    """
    unknown: list[str] = []
    rows, others = [], []
    for item, layers, experts in _classes(map(_moved, built.tensors)):
        if item.tensor.region == "decoder" and not layers and built.layers:
            layers = (0,)  # what a token passes before or after the stack
        row = _row(item, layers, experts, sizes, towers)
        if row is None:
            unknown.append(f"{item.name} ({'x'.join(map(str, item.tensor.shape))})")
        else:
            rows.append(row)
            if row.shard == "replicated" and row.kind in _OTHER:
                others.append(item.name.removesuffix(".weight"))
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise UnsupportedError(
            f"{place}: {len(unknown)} kinds of tensors are not classified: "
            f"{', '.join(map(short_repr, unknown[:_NAMED]))}{more}",
            hint="a family of its own in planner/models/families would say what they are",
        )
    return tuple(rows), tuple(dict.fromkeys(others))


def _moved(tensor: Tensor) -> Tensor:
    """``tensor``, an encoder's in its region also where it lies inside the decoder's module."""
    inside = tensor.region == "decoder" and _ENCODERS.search(tensor.name)
    return replace(tensor, region="tower") if inside else tensor


def _classes(tensors: Iterable[Tensor]) -> list[tuple[_Class, tuple[int, ...], int]]:
    """(class, its layers, experts of a layer), in the order of the model."""
    layers_by_class: dict[_Class, dict[int, int]] = {}
    for tensor in tensors:
        name, layer = _template(tensor)
        expert = _EXPERT.search(name)
        if expert is not None:
            name = f"{name[: expert.end(1)]}.{{expert}}{name[expert.end(2) :]}"
        alike = replace(tensor, name="")
        item = _Class(name, alike, name.partition("{layer}.")[2] or name)
        counts = layers_by_class.setdefault(item, {})
        counts[layer] = counts.get(layer, 0) + 1
    complete_classes: dict[tuple[_Class, int], list[int]] = {}
    for item, counts in layers_by_class.items():
        for layer, count in counts.items():
            complete_classes.setdefault((item, count), []).append(layer)
    return [(item, tuple(sorted(layer for layer in layers if layer >= 0)), count)
            for (item, count), layers in complete_classes.items()]  # fmt: skip


def _template(tensor: Tensor) -> tuple[str, int]:
    """The name with ``{layer}`` for its first number, and the number, -1 where it has none."""
    number = _NUMBER.search(tensor.name)
    if number is None or tensor.region in ("embedding", "head"):
        return tensor.name, -1
    return f"{tensor.name[: number.start(1)]}{{layer}}{tensor.name[number.end(1) :]}", int(
        number.group(1)
    )


def _row(
    item: _Class,
    layers: tuple[int, ...],
    experts: int,
    sizes: Sizes,
    towers: Part,
) -> TensorRow | None:
    tensor = item.tensor
    dtype = _FORMATS.get(tensor.dtype)
    if dtype is None:
        return None
    shape, stored, stacked = _matrix(item, sizes, dtype)
    if stacked:
        experts = tensor.shape[0]
    tensor_place = _place(item, shape, sizes)
    if tensor_place is None:
        return None
    part: Part = towers if tensor.region == "tower" else "main"
    return TensorRow(
        name=item.name, kind=tensor_place.kind, shape=shape, layers=layers, experts=experts,
        fused=_fused(item, tensor_place, shape, sizes, part), shard=tensor_place.shard, dtype=dtype,
        scale_name=None, scale_shape=None, scale_dtype=None, part=part,
        counted=not tensor.buffer, stored=stored, stacked=stacked,
        quantisable=len(shape) == 2 and tensor_place.kind in _QUANTISABLE and part == "main",
    )  # fmt: skip


def _matrix(
    item: _Class,
    sizes: Sizes,
    dtype: str,
) -> tuple[tuple[int, ...], StoredAs | None, bool]:
    """(shape of one matrix as (outputs, inputs), how it lies where otherwise, whether all experts
    of a layer are one tensor)."""
    shape = item.tensor.shape
    if item.tensor.owner == "Conv1D" and len(shape) == 2:
        return (shape[1], shape[0]), StoredAs(item.name, stored_type(dtype).name, shape), False
    if item.inner.endswith("A_log") and len(shape) == 2:  # decays of states: nothing multiplies
        return (prod(shape),), StoredAs(item.name, stored_type(dtype).name, shape), False
    if len(shape) == 3 and shape[0] == sizes.hidden and _heads_apart(item):
        matrix = (shape[0], prod(shape[1:]))
        return (
            matrix if item.inner.endswith(".o") else matrix[::-1],
            StoredAs(item.name, stored_type(dtype).name, shape),
            False,
        )
    stacked = (
        item.tensor.region == "stack"
        and sizes.experts > 0
        and len(shape) in (2, 3)
        and (shape[0] == sizes.experts or (len(shape) == 3 and "shared_exp" in item.inner))
        and "{expert}" not in item.name
        and (len(shape) == 3 or _vector_of_experts(item))
    )
    if not stacked:
        return shape, None, False
    if len(shape) == 2:
        return shape[1:], None, True
    down = re.search(r"down|w2|output", item.inner) is not None
    turned = shape[2 if down else 1] == sizes.hidden and shape[1 if down else 2] != sizes.hidden
    if not turned:
        return shape[1:], None, True
    return (shape[2], shape[1]), StoredAs(item.name, stored_type(dtype).name, shape), True


def _heads_apart(item: _Class) -> bool:
    """Whether a bare tensor is (hidden, heads, width) of attention: XLNet's."""
    return re.search(r"attn\.[qkvor]$", item.inner) is not None


def _vector_of_experts(item: _Class) -> bool:
    return "experts" in item.inner and item.inner.endswith("bias")


def _place(item: _Class, shape: tuple[int, ...], sizes: Sizes) -> TensorPlace | None:
    region, name, tensor = item.tensor.region, item.name, item.tensor
    direct = not name.endswith((".weight", ".bias"))
    blocks = (*tensor.blocks, tensor.owner) if direct and tensor.owner else tensor.blocks
    if region in ("embedding", "head"):
        return TensorPlace(region, "vocab")
    if region == "stack":
        if tensor.owner == "Embedding":
            return TensorPlace("embedding", "replicated")
        return place_of(item.inner, shape, blocks, sizes) or _other(item, shape, sizes)
    if len(shape) < 2:
        return TensorPlace("norm", "replicated")
    if _HEADS.search(name):
        return TensorPlace("head", "vocab")
    if "Embedding" in tensor.owner or _EMBEDS.search(name):
        return TensorPlace("embedding", "replicated")
    if region == "decoder":
        return place_of(item.inner, shape, blocks, sizes) or _other(item, shape, sizes)
    tensor_place = place_of(item.inner, shape, blocks, replace(sizes, experts=0, hidden=0))
    return tensor_place or TensorPlace("mlp-down" if len(shape) == 2 else "embedding", "replicated")


def _other(item: _Class, shape: tuple[int, ...], sizes: Sizes) -> TensorPlace | None:
    """What neither name nor shape places: a linear layer is one more product of every token, whole
    on every rank; small maps, filters and tables of numbers are none."""
    owner, name = item.tensor.owner, item.inner
    if item.tensor.dtype.startswith("int") or _EMBEDS.search(name):
        return TensorPlace("embedding", "replicated")
    if owner.startswith("Conv") and len(shape) == 3:
        return TensorPlace("norm", "replicated")
    if len(shape) != 2:
        return None
    if min(shape) < _SMALL:
        return TensorPlace("norm", "replicated")
    if (
        owner.endswith("Linear")
        or name.endswith("_weight")
        or (not owner and name.endswith(".weight"))
    ):
        down = shape[0] == sizes.hidden != shape[1]
        return TensorPlace("mlp-down" if down else "mlp-gate-up", "replicated")
    return None


def _fused(
    item: _Class,
    place: TensorPlace,
    shape: tuple[int, ...],
    sizes: Sizes,
    part: Part,
) -> str:
    """Matrices of a layer with the same word are one product: those of one kind and input."""
    own = re.sub(r"[^a-z0-9]+", "-", item.inner.removesuffix(".weight").lower()).strip("-")
    if part != "main" or len(shape) != 2:
        return f"{part}-{own}" if part != "main" else own
    if place.kind in ("embedding", "head"):
        return place.kind if item.tensor.region == place.kind else own
    side = _SIDES.get(place.kind)
    if side is None or place.shard == "replicated":
        return own
    if place.kind == "linear-attention" and place.shard == "row":
        side = "linear-out"
    return side if shape[1] == sizes.hidden or place.shard == "row" else f"{side}-{shape[1]}"


_SIDES = {
    "attention-qkv": "qkv", "attention-out": "o", "mlp-gate-up": "gate-up", "mlp-down": "down",
    "experts-gate-up": "experts-gate-up", "experts-down": "experts-down",
    "shared-gate-up": "shared-gate-up", "shared-down": "shared-down",
    "linear-attention": "linear-in",
}  # fmt: skip


_OTHER = frozenset({"mlp-gate-up", "mlp-down"})
_QUANTISABLE = frozenset({*_SIDES, "mla-q", "mla-kv", "indexer"})
