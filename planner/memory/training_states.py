"""Parameters, gradients, optimizer states and master copies of one rank, from the tensor rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod

from planner.base.errors import InputError
from planner.formats.elements import element
from planner.formats.schemes import scheme
from planner.formats.sizes import tensor_bytes
from planner.memory.training_setup import TrainingRecipe, TrainLayout, TrainSetup
from planner.models.spec import ModelSpec, TensorRow
from planner.placement.layout import stage_of_layer
from planner.placement.modules import EXPERT_KINDS, PLANNED_KINDS, kv_heads_of

ATTENTION_KINDS = ("attention-qkv", "mla-q", "mla-kv", "attention-out", "linear-attention")


@dataclass(frozen=True, slots=True)
class RankRow:
    """Tensors of one row on one rank: ``copies`` of ``shape`` (``layers`` held × local experts).

    ``layers`` is empty for tensors outside the stack.
    """

    row: TensorRow
    layers: tuple[int, ...]
    shape: tuple[int, ...]
    copies: int
    trained: bool

    @property
    def elements(self) -> int:
        return prod(self.shape) * self.copies

    @property
    def routed(self) -> bool:
        """True for routed experts, which have a shard group of their own."""
        return self.row.kind in EXPERT_KINDS


@dataclass(frozen=True, slots=True)
class States:
    """Bytes of one rank that last through a step [B], and the parameters behind them.

    ``weights`` are working copies, frozen ones included. ``buffers`` are what ZeRO gathers or
    collects for the largest layer: its gradients (stage 2 and 3) and its weights (stage 3).
    """

    weights: int
    gradients: int
    master: int
    moments: int
    buffers: int
    dense_parameters: int
    expert_parameters: int
    trained_parameters: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.master + self.moments + self.buffers


def _part_of_layer(layers: int, layout: TrainLayout) -> tuple[int, ...]:
    """The part of each layer, in order: as even as possible, or with the stated layers of the first
    and last stage and the rest even (Megatron-Core, get_num_layers_to_build)."""
    if not layout.first and not layout.last:
        return stage_of_layer(layers, layout.pp * layout.chunks)
    sizes = stage_layers(layers, layout)
    return tuple(
        part
        for part in range(layout.pp * layout.chunks)
        for _ in range(sizes[part % layout.pp] // layout.chunks)
    )


def stage_layers(layers: int, layout: TrainLayout) -> tuple[int, ...]:
    """Layers of each pipeline stage where the first or the last one states its own."""
    middle = layout.pp - bool(layout.first) - bool(layout.last)
    each = (layers - layout.first - layout.last) // middle if middle else 0
    sizes = [each] * layout.pp
    sizes[0], sizes[-1] = layout.first or each, layout.last or each
    return tuple(sizes)


def chunk_layers(spec: ModelSpec, layout: TrainLayout, stage: int) -> tuple[tuple[int, ...], ...]:
    """Layers of each model chunk of pipeline rank ``stage``; chunk c of v is part c·pp + stage."""
    parts = _part_of_layer(spec.layers, layout)
    return tuple(
        tuple(i for i, part in enumerate(parts) if part == chunk * layout.pp + stage)
        for chunk in range(layout.chunks)
    )


def trainable_rows(spec: ModelSpec, setup: TrainSetup) -> Iterator[tuple[TensorRow, bool]]:
    """Rows of the main model and whether each is trained; adapters follow the matrix they adapt.

    A LoRA adapter of a (outputs, inputs) matrix is A (rank, inputs) and B (outputs, rank); the
    factor that touches the split axis is split with it, the other is copied.
    """
    for row in spec.rows:
        if row.part != "main" or row.copy_of is not None or not row.counted:
            continue
        yield row, setup.mode == "full"
        if setup.mode == "lora" and row.is_matrix and row.kind in setup.lora_kinds:
            yield from ((factor, True) for factor in adapter_rows(row, setup.lora_rank))


def adapter_rows(row: TensorRow, rank: int) -> tuple[TensorRow, TensorRow]:
    """The two factors of a rank-``rank`` adapter of ``row``.

    Source: Hu et al., LoRA, arXiv 2106.09685, section 4.1.
    """
    outputs, inputs = row.shape
    base = replace(row, scale_name=None, scale_shape=None, scale_dtype=None)
    return (
        replace(
            base,
            name=row.name + ".lora_a",
            shape=(rank, inputs),
            shard="row" if row.shard == "row" else "replicated",
        ),
        replace(
            base,
            name=row.name + ".lora_b",
            shape=(outputs, rank),
            shard="column" if row.shard == "column" else "replicated",
        ),
    )


def rank_shape(row: TensorRow, layout: TrainLayout, kv_heads: int) -> tuple[int, ...]:
    """Shape of one tensor of ``row`` on one rank.

    Keys and values keep whole heads: where tp exceeds their number, heads are copied.

    Raises:
        InputError: the split axis does not divide.
    """
    width = layout.etp if row.kind in EXPERT_KINDS else layout.tp
    axis = {"column": 0, "vocab": 0, "row": 1}.get(row.shard)
    if axis is None or axis >= len(row.shape):
        return row.shape
    kv = row.kv_outputs if axis == 0 and kv_heads else 0
    copied = min(width, kv_heads or 1)
    if (row.shape[axis] - kv) % width or kv % copied:
        raise InputError(
            f"tensor parallel {width} does not divide axis {axis} of {row.name} {row.shape}",
            hint="choose a --tp (for experts --etp) that divides it",
        )
    kept = (row.shape[axis] - kv) // width + kv // copied
    return (*row.shape[:axis], kept, *row.shape[axis + 1 :])


def rank_rows(
    spec: ModelSpec,
    layout: TrainLayout,
    setup: TrainSetup,
    stage: int,
) -> Iterator[RankRow]:
    """Tensors that a rank of pipeline stage ``stage`` holds.

    The embedding is on the first stage, final norm and head on the last; a head tied to the
    embedding is a copy on the last stage if that is another one.
    """
    rank_layers = {layer for chunk in chunk_layers(spec, layout, stage) for layer in chunk}
    last = stage == layout.pp - 1
    for row, trained in trainable_rows(spec, setup):
        layers = tuple(sorted(rank_layers.intersection(row.layers)))
        if row.layers:
            count = len(layers)
        elif row.kind == "embedding":
            tied = last and spec.tied_embeddings and row.shape[0] == spec.vocab_size
            count = int(stage == 0 or tied)
        else:
            count = int(last)
        if count:
            experts = row.experts // layout.ep if row.kind in EXPERT_KINDS else row.experts
            shape = rank_shape(row, layout, kv_heads_of(spec, row.layers, row.kind))
            yield RankRow(row, layers, shape, count * experts, trained)


def working_bytes(item: RankRow, recipe: TrainingRecipe) -> int:
    """Bytes of the working copies of ``item``; linear layers in the recipe's scheme with scales."""
    row = item.row
    adapter = row.name.endswith((".lora_a", ".lora_b"))
    if len(item.shape) == 2 and row.kind in PLANNED_KINDS and not adapter:
        return tensor_bytes(scheme(recipe.weights).weight, *item.shape) * item.copies
    return item.elements * element(recipe.other).bits // 8


def rank_states(spec: ModelSpec, layout: TrainLayout, setup: TrainSetup, stage: int) -> States:
    """States of a rank of pipeline stage ``stage``; each shard group is rounded up to whole ranks.

    ZeRO 1 divides optimizer states and master copies over the group, 2 also gradients, 3 also the
    working copies (frozen ones too).
    """
    items = tuple(rank_rows(spec, layout, setup, stage))
    sums = {False: _Group(), True: _Group()}
    for item in items:
        sums[item.routed].add(item, setup.recipe)
    parts = [
        group.states(setup.recipe, setup.zero, shards)
        for group, shards in (
            (sums[False], layout.dense_shards),
            (sums[True], layout.expert_shards),
        )
    ]
    return States(
        weights=sum(p[0] for p in parts),
        gradients=sum(p[1] for p in parts),
        master=sum(p[2] for p in parts),
        moments=sum(p[3] for p in parts),
        buffers=_buffers(items, layout, setup),
        dense_parameters=sums[False].elements,
        expert_parameters=sums[True].elements,
        trained_parameters=sums[False].trained + sums[True].trained,
    )


def state_bytes(parameters: int, recipe: TrainingRecipe, *, zero: int, shards: int) -> int:
    """Bytes of the states of ``parameters`` plain parameters on one of ``shards`` ranks [B].

    With 16-bit recipes: 16Ψ, 4Ψ + 12Ψ/N, 2Ψ + 14Ψ/N and 16Ψ/N for stages 0 to 3 (ZeRO, table 1).
    Scales of block formats are not in it; :func:`rank_states` counts them.
    """
    group = _Group(
        parameters,
        parameters,
        parameters * element(scheme(recipe.weights).weight.element).bits // 8,
    )
    return sum(group.states(recipe, zero, shards))


@dataclass(slots=True)
class _Group:
    """Sums over one shard group: elements, trained elements, bytes of working copies."""

    elements: int = 0
    trained: int = 0
    working: int = 0

    def add(self, item: RankRow, recipe: TrainingRecipe) -> None:
        self.elements += item.elements
        self.trained += item.elements if item.trained else 0
        self.working += working_bytes(item, recipe)

    def states(self, recipe: TrainingRecipe, zero: int, shards: int) -> tuple[int, int, int, int]:
        """(weights, gradients, master, moments) of one rank."""
        own = -(-self.trained // shards)
        weights = -(-self.working // shards) if zero >= 3 else self.working
        gradients = (own if zero >= 2 else self.trained) * recipe.gradient
        kept = own if zero >= 1 else self.trained
        return weights, gradients, kept * recipe.master, kept * recipe.moments


def _buffers(items: tuple[RankRow, ...], layout: TrainLayout, setup: TrainSetup) -> int:
    """Bytes that ZeRO 2 and 3 keep whole for the largest layer, embedding or head."""
    if setup.zero < 2:
        return 0
    sizes: dict[int | str, int] = {}
    for item in items:
        if (layout.expert_shards if item.routed else layout.dense_shards) == 1:
            continue
        size = item.elements * setup.recipe.gradient if item.trained else 0
        if setup.zero >= 3:
            size += working_bytes(item, setup.recipe)
        for place in item.layers or (item.row.kind,):
            sizes[place] = sizes.get(place, 0) + size // max(1, len(item.layers))
    return max(sizes.values(), default=0)
