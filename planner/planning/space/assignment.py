"""Assignments as segments: layers of a unit with the choice they take."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.base.records import record
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
