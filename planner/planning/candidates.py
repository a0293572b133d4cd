"""Candidates of a search: layouts × sequences per rank, with the times of every unit."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import Layout, replica_layouts
from planner.planning.costs import (
    LayoutTables,
    Model,
    legality,
    unit_times,
)
from planner.planning.question import PREFILL_CHUNK, Question
from planner.planning.residency import StageBytes, budget, least, overhead
from planner.throughput.fixed import pipeline_seconds
from planner.throughput.points import Points, decode_phase, points, prefill_phase

Array = NDArray[np.float64]
Int = NDArray[np.int64]
SLOTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Sequences per rank and micro-batch that are tried; the best is refined between its neighbours."""


def possible_layouts(question: Question) -> list[Layout]:
    """Single-replica layouts whose device count divides one of the sizes to try."""
    largest = max(question.sizes)
    reach = question.net.reach()
    wanted = []
    for layout in replica_layouts(question.spec, max_ranks=largest, node=question.node_devices,
                                  fixed=question.fixed):
        fits = any(size % layout.ranks == 0 for size in question.sizes) \
            if question.devices_given else layout.ranks in question.sizes
        if fits and layout.ranks <= reach:
            wanted.append(layout)
    return wanted


def slots_to_try(question: Question, layout: Layout) -> list[int]:
    """Slots for one layout: the one that the given batch implies, or the grid."""
    if question.batch is not None:
        each, rest = divmod(question.batch, layout.dp * layout.pp)
        return [each] if each >= 1 and rest == 0 else []
    return list(SLOTS)


@dataclass(frozen=True)
class Space:
    """All candidates that could fit, with unit times [C, U, S] of one layer and legality."""

    model: Model
    tables: LayoutTables
    stages: list[StageBytes]
    pts: Points
    decode: Array
    prefill: Array
    decode_constant: Array
    prefill_constant: Array
    legal: NDArray[np.bool_]
    extra: Int
    """Activations, runtime, indexer keys and states of one rank [C]."""

    def __len__(self) -> int:
        return len(self.pts)

    @cached_property
    def padded(self) -> tuple[Int, Int]:
        """(fixed [L, P], counts [L, P, U]) of all layouts, padded with empty stages."""
        most = max(len(s.fixed) for s in self.stages)
        fixed = np.zeros((len(self.stages), most), dtype=np.int64)
        counts = np.zeros((len(self.stages), most, len(self.model.units)), dtype=np.int64)
        for i, stage in enumerate(self.stages):
            fixed[i, :len(stage.fixed)] = stage.fixed
            counts[i, :len(stage.fixed)] = stage.counts
        return fixed, counts

    @cached_property
    def released_pace(self) -> tuple[Array, Array]:
        """(seconds of the as-released units in each stage [C, P], hops between stages [C])."""
        fixed = np.array([u.role == "released" for u in self.model.units])
        stages = by_stage(self, np.where(fixed, self.decode[:, :, 0], 0.0))
        return stages, np.asarray(self.decode_constant - stages.sum(axis=1))

    @cached_property
    def held(self) -> Int:
        """Sequences whose caches a rank holds [C]."""
        return np.asarray(self.pts.slot.astype(np.int64) * self.pts.pp.astype(np.int64))


def fitting_pairs(model: Model, tables: LayoutTables, stages: list[StageBytes],
                  ) -> list[tuple[int, int]]:
    """(layout, slot) pairs whose smallest assignment fits; a layout's slots stop at the first
    that does not."""
    limit = budget(model.question)
    pairs = []
    for i, layout in enumerate(tables.layouts):
        smallest = least(model, tables, stages[i], i)
        for slot in slots_to_try(model.question, layout):
            if smallest.at(model, tables, i, slot) > limit:
                break
            pairs.append((i, slot))
    return pairs


def build_space(model: Model, tables: LayoutTables, stages: list[StageBytes],
                pairs: list[tuple[int, int]]) -> Space:
    """Times and legality of ``pairs``."""
    question = model.question
    pts = points(tables.layouts, pairs)
    length = question.workload.decode_length
    isl = question.workload.isl
    step = decode_phase(pts, length)
    prompt = prefill_phase(pts, isl, PREFILL_CHUNK)
    decode = unit_times(model, tables, pts, step)
    prefill = unit_times(model, tables, pts, prompt)
    fixed = np.array([u.role == "released" for u in model.units])
    layers = np.array([u.count for u in model.units], dtype=np.float64)
    legal = legality(model, tables, pts.layout)
    return Space(
        model, tables, stages, pts, decode, prefill,
        decode_constant=(decode[:, fixed, 0] * layers[fixed]).sum(axis=1)
        + pipeline_seconds(question.spec, model.machine, pts, step),
        prefill_constant=(prefill[:, fixed, 0] * layers[fixed]).sum(axis=1)
        + pipeline_seconds(question.spec, model.machine, pts, prompt),
        legal=legal,
        extra=np.array([overhead(model, tables, i, slot) for i, slot in pairs], dtype=np.int64))


def by_stage(space: Space, seconds: Array) -> Array:
    """Decode seconds of each pipeline stage [C, P] from those of one layer of each unit [C, U];
    stages that a layout lacks are 0. What is outside the stack runs in the first or last stage."""
    _, counts = space.padded
    layers = counts[space.pts.layout].astype(np.float64)
    every = np.arange(len(space))
    last = space.pts.pp.astype(np.int64) - 1
    for i, unit in enumerate(space.model.units):
        if not unit.layers:
            layers[every, 0 if unit.kind == "embedding" else last, i] = 1.0
    return np.asarray((layers * seconds[:, None, :]).sum(axis=2))
