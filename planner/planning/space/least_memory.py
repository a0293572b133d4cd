"""The least memory that a question needs: the smallest choices and the fewest sequences."""

from __future__ import annotations

import numpy as np

from planner.placement.layout import Layout
from planner.planning.space.candidates import first_slot
from planner.planning.space.memory import overheads, stage_table
from planner.planning.space.model import CostModel
from planner.planning.space.smallest import smallest
from planner.planning.space.tables import layout_tables


def least_rank(model: CostModel, layouts: list[Layout]) -> tuple[int | None, int]:
    """(bytes of the fullest rank, layout) with the smallest choices and fewest sequences."""
    tables = layout_tables(model, layouts)
    stages = stage_table(model, tables)
    slots = [first_slot(model.question, layout) for layout in layouts]
    index = np.array([i for i, slot in enumerate(slots) if slot is not None], dtype=np.int64)
    if not len(index):
        return None, 0
    held = np.array([slots[i] for i in index], dtype=np.int64)
    beside = overheads(model, tables, index, held)
    found = [
        (int(one.at_slots(layouts[i].pp, held[n : n + 1], beside[n : n + 1])[0]), i)
        for n, (i, one) in enumerate(
            zip(index.tolist(), smallest(model, tables, stages, index.tolist()), strict=True)
        )
    ]
    return min(found)
