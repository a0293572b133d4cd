"""Assignments as segments, layers of a unit with the choice they take, and the bytes of a rank."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
from planner.planning.space.candidates import Space
from planner.planning.space.model import CostModel

Int = NDArray[np.int64]


@record
class Segment:
    """``layers`` of unit ``unit`` (an index) under choice ``choice`` (-1: as released)."""

    unit: int
    layers: tuple[int, ...]
    choice: int

    @property
    def count(self) -> int:
        return max(1, len(self.layers))


def tied_segments(model: CostModel, choice: Sequence[int] | Int) -> tuple[Segment, ...]:
    """One segment a unit from the choice of each unit [U]."""
    return tuple(
        Segment(i, u.layers, int(choice[i]) if u.decision >= 0 else -1)
        for i, u in enumerate(model.units)
    )


def rank_bytes(space: Space, choice: Int) -> Int:
    """Bytes of the fullest rank under ``choice`` for every candidate, int64 [C]."""
    model, tables = space.model, space.tables
    schemes = len(model.question.schemes)
    fixed, counts = space.padded
    resident = space.resident[:, None]
    used = fixed[space.pts.layout] + space.stages.caches(space.pts.layout, space.resident)
    for k, kernel in enumerate(model.decided.kernels):
        if kernel.decision < 0:
            continue
        layers = counts[space.pts.layout, :, k]
        for i in kernel.units:
            row, pick = model.units[i].row, int(choice[i])
            if kernel.role == "module":
                used = used + layers * tables.shard[space.pts.layout, row, pick][:, None]
            else:
                each, once = (
                    part[space.pts.layout, row, pick - schemes][:, None]
                    for part in (tables.cache, tables.once)
                )
                used = used + layers * np.maximum(each * resident, once)
    return np.asarray(used.max(axis=1) + space.extra)
