"""Bytes of one assignment on many candidates, by pipeline stage and of the fullest of them.

A plan is priced as one candidate (:mod:`planner.planning.price.price`), estimates as many of other
workloads (:mod:`planner.planning.price.estimates`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import Layout, stage_of_layer
from planner.planning.space.assignment import Segment
from planner.planning.space.memory import StageBytes, activations, overhead_rates
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables, cache_tables
from planner.throughput.points import Points

Int = NDArray[np.int64]


def rank_bytes(
    model: CostModel,
    tables: LayoutTables,
    stages: Sequence[StageBytes],
    pts: Points,
    context: Int,
    requests: Int,
    isl: Int,
    segments: Sequence[Segment],
) -> Int:
    """Bytes of the fullest stage under the assignment ``segments``, int64 [4, C]: weights, caches,
    activations and runtime. ``context``, what ``requests`` hold and ``isl`` are of each candidate
    [C]."""
    out = np.zeros((4, len(pts)), dtype=np.int64)
    slots = pts.slot.astype(np.int64)
    known: dict[tuple[Layout, int], tuple[Int, Int]] = {}
    for index in set(pts.layout.tolist()):
        here = np.flatnonzero(pts.layout == index)
        layout = tables.layouts[index]
        counts = segment_counts(model, segments, layout.pp)
        weights = stage_weights(model, tables, stages[index], index, segments, counts)
        each, once = (
            _caches_of_lengths(model, layout, lengths[here], segments, counts, known)
            for lengths in (requests, context)
        )
        resident = resident_bytes(each, once, slots[here] * layout.pp)
        stage = (weights[:, None] + resident).argmax(axis=0)
        rates = overhead_rates(model, tables, np.array([index]))
        out[0, here] = weights[stage]
        out[1, here] = resident[stage, np.arange(len(here))]
        out[2, here] = activations(model, rates, slots[here], isl[here])
        out[3, here] = rates[0, 2]
    return out


def segment_counts(model: CostModel, segments: Sequence[Segment], pp: int) -> Int:
    """Layers of each segment in each of ``pp`` pipeline stages, int64 [P, S]: the embedding is in
    the first stage, what else is outside the stack in the last."""
    stages = stage_of_layer(model.question.spec.layers, pp)
    counts = np.zeros((pp, len(segments)), dtype=np.int64)
    for s, segment in enumerate(segments):
        if not segment.layers:
            counts[0 if model.units[segment.unit].kind == "embedding" else -1, s] = 1
        for layer in segment.layers:
            counts[stages[layer], s] += 1
    return counts


def stage_weights(
    model: CostModel,
    tables: LayoutTables,
    stage: StageBytes,
    index: int,
    segments: Sequence[Segment],
    counts: Int,
) -> Int:
    """Weights of each stage of layout ``index``, int64 [P]; ``counts`` [P, S] of the segments."""
    weights = stage.fixed.copy()
    for s, segment in enumerate(segments):
        unit = model.units[segment.unit]
        if segment.choice >= 0 and unit.role == "module":
            weights += counts[:, s] * tables.shard[index, unit.row, segment.choice]
    return weights


def stage_caches(
    model: CostModel, segments: Sequence[Segment], counts: Int, sizes: Int, fixed: Int
) -> Int:
    """Caches of one sequence in each stage, int64 [G, P]: of each cache segment, then what is
    ``fixed`` [P]; ``sizes`` [cache unit, layout] are of one layer, ``counts`` [P, S] of all."""
    schemes = len(model.question.schemes)
    return np.stack(
        [
            *(
                counts[:, s] * sizes[model.units[segment.unit].row, segment.choice - schemes]
                for s, segment in enumerate(segments)
                if model.units[segment.unit].role == "cache" and segment.choice >= 0
            ),
            fixed,
        ]
    )


def resident_bytes(each: Int, once: Int, sequences: Int) -> Int:
    """Cache bytes kept for ``sequences`` [C] of a rank, int64 [P, C]: of ``each`` request, at least
    ``once`` of one of the context, by what grows alike [G, P, C]."""
    return np.asarray(np.maximum(each * sequences, once).sum(axis=0))


def _caches_of_lengths(
    model: CostModel,
    layout: Layout,
    lengths: Int,
    segments: Sequence[Segment],
    counts: Int,
    known: dict[tuple[Layout, int], tuple[Int, Int]],
) -> Int:
    """:func:`stage_caches` of sequences of ``lengths`` tokens [C], int64 [G, P, C]; ``known`` are
    sizes of lengths that were met."""
    distinct, place = np.unique(lengths, return_inverse=True)
    own = Layout(layout.tp) if model.draft is None else layout
    stages = np.array(stage_of_layer(model.question.spec.layers, layout.pp))
    by_length = []
    for length in distinct.tolist():
        if (own, length) not in known:
            cache, _, fixed = cache_tables(model, [own], length)
            known[own, length] = cache[0], fixed[0]
        sizes, fixed = known[own, length]
        by_stage = np.zeros(layout.pp, dtype=np.int64)
        np.add.at(by_stage, stages, fixed)
        by_length.append(stage_caches(model, segments, counts, sizes, by_stage))
    return np.stack(by_length, axis=2)[:, :, place.reshape(-1)]
