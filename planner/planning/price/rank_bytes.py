"""Bytes of one assignment on many candidates: the fullest pipeline stage of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.memory.footprint import activation_rates, runtime_bytes
from planner.placement.cache_entries import fixed_slot_bytes, slot_layer_bytes
from planner.placement.layout import Layout, stage_of_layer
from planner.planning.space.draft_bytes import draft_sequence_bytes
from planner.planning.space.memory import StageBytes
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables
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
    choice: Sequence[int],
) -> Int:
    """Bytes of the fullest stage under ``choice`` (by unit, -1: as released), int64 [4, C]:
    weights, caches, activations and runtime. ``context``, what ``requests`` hold and ``isl`` are of
    each candidate [C]."""
    question = model.question
    out = np.zeros((4, len(pts)), dtype=np.int64)
    slots = pts.slot.astype(np.int64)
    sizes: dict[tuple[Layout, int], tuple[dict[int, int], Int]] = {}
    for index in set(pts.layout.tolist()):
        here = np.flatnonzero(pts.layout == index)
        layout = tables.layouts[index]
        weights = _weights(model, tables, stages[index], index, choice)
        one, once = (
            _caches(model, stages[index], layout, lengths[here], choice, sizes)
            for lengths in (requests, context)
        )
        held = np.maximum(one * (slots[here] * layout.pp), once).sum(axis=0)
        stage = (weights[:, None] + held).argmax(axis=0)
        out[0, here] = weights[stage]
        out[1, here] = held[stage, np.arange(len(here))]
        token, sequence = activation_rates(question.spec, layout)
        chunk = np.minimum(isl[here], question.chunk_tokens)
        passed = slots[here] * int(question.verified)
        out[2, here] = np.maximum(chunk, passed) * token + passed * sequence
        out[3, here] = runtime_bytes(question.device, layout, question.usable)
    return out


def _weights(
    model: CostModel, tables: LayoutTables, stage: StageBytes, index: int, choice: Sequence[int]
) -> Int:
    """Weights of each stage of layout ``index``, int64 [P]."""
    weights = stage.fixed.copy()
    for i, (unit, c) in enumerate(zip(model.units, choice, strict=True)):
        if unit.role == "module":
            layers = stage.counts[:, model.decided.kernel_of[i]]
            weights += layers * tables.shard[index, unit.row, c]
    return weights


def _sizes(
    model: CostModel, layout: Layout, context: int, choice: Sequence[int]
) -> tuple[dict[int, int], Int]:
    """(bytes of one layer and sequence by cache unit, of what has no layout of its own by layer)
    on one rank of ``layout``."""
    spec, tp = model.question.spec, layout.tp
    units = {
        i: slot_layer_bytes(model.caches[unit.row], model.choices[choice[i]], tp, context)
        for i, unit in enumerate(model.units)
        if unit.role == "cache"
    }
    fixed = np.zeros(spec.layers, dtype=np.int64)
    for group in spec.attention:
        fixed[list(group.layers)] = fixed_slot_bytes(
            group, tp, context, indexer_fp8=model.indexer_fp8
        )
    fixed[-1] += draft_sequence_bytes(model, layout, context)
    return units, fixed


def _caches(
    model: CostModel,
    stage: StageBytes,
    layout: Layout,
    lengths: Int,
    choice: Sequence[int],
    sizes: dict[tuple[Layout, int], tuple[dict[int, int], Int]],
) -> Int:
    """Caches of one sequence of ``lengths`` tokens [C] by what grows alike in each stage, int64
    [G, P, C]; ``sizes`` are those that are known."""
    distinct, place = np.unique(lengths, return_inverse=True)
    found = []
    for length in distinct.tolist():
        key = (Layout(layout.tp) if model.draft is None else layout, length)
        if key not in sizes:
            sizes[key] = _sizes(model, layout, length, choice)
        found.append(_sequence(model, stage, *sizes[key]))
    return np.stack(found, axis=2)[:, :, place.reshape(-1)]


def _sequence(model: CostModel, stage: StageBytes, units: dict[int, int], fixed: Int) -> Int:
    """Caches of one sequence in each stage by unit, and what is fixed, int64 [G, P]."""
    rest = np.zeros(len(stage.fixed), dtype=np.int64)
    np.add.at(rest, np.array(stage_of_layer(len(fixed), len(rest))), fixed)
    return np.stack(
        [*(stage.counts[:, model.decided.kernel_of[i]] * size for i, size in units.items()), rest]
    )
