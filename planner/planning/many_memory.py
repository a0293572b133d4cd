"""Bytes of one assignment on many candidates: the fullest pipeline stage of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.placement.layout import stage_of_layer
from planner.planning.costs import LayoutTables, Model, temporary_bytes
from planner.planning.residency import StageBytes
from planner.throughput.points import Points

Int = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RankBytes:
    """``fullest`` int64 [4, C]: weights, caches, activations and runtime of the fullest stage."""

    fullest: Int


def rank_bytes(model: Model, tables: LayoutTables, stages: Sequence[StageBytes], pts: Points,
               choice: Sequence[int]) -> RankBytes:
    """Bytes of the assignment ``choice`` (by unit, -1: as released) on ``pts``."""
    out = np.zeros((4, len(pts)), dtype=np.int64)
    slots = pts.slot.astype(np.int64)
    for index in set(pts.layout.tolist()):
        here = np.flatnonzero(pts.layout == index)
        layout = tables.layouts[index]
        weights, sequence = stage_sums(model, tables, stages[index], index, choice)
        held = sequence[:, None] * (slots[here] * layout.pp)
        stage = (weights[:, None] + held).argmax(axis=0)
        out[0, here] = weights[stage]
        out[1, here] = held[stage, np.arange(len(here))]
        each = {s: temporary_bytes(model, layout, s) for s in set(slots[here].tolist())}
        out[2:, here] = np.array([each[s] for s in slots[here].tolist()], dtype=np.int64).T
    return RankBytes(out)


def stage_sums(model: Model, tables: LayoutTables, stage: StageBytes, index: int,
               choice: Sequence[int]) -> tuple[Int, Int]:
    """(weights, caches of one sequence) of each stage of layout ``index``, int64 [P]."""
    schemes = len(model.question.schemes)
    weights, sequence = stage.fixed.copy(), np.zeros(len(stage.fixed), dtype=np.int64)
    for i, (unit, c) in enumerate(zip(model.units, choice, strict=True)):
        if unit.role == "module":
            weights += stage.counts[:, i] * tables.shard[index, unit.row, c]
        elif unit.role == "cache":
            sequence += stage.counts[:, i] * tables.cache[index, unit.row, c - schemes]
    place = np.array(stage_of_layer(tables.fixed.shape[1], len(stage.fixed)))
    np.add.at(sequence, place, tables.fixed[index])
    return weights, sequence
