"""The least memory that a question needs: the smallest choices and the fewest sequences."""

from __future__ import annotations

from planner.placement.layout import Layout
from planner.planning.space.candidates import first_slot
from planner.planning.space.memory import least_bytes, stage_table
from planner.planning.space.model import CostModel
from planner.planning.space.tables import layout_tables


def least_rank(model: CostModel, layouts: list[Layout]) -> tuple[int | None, int]:
    """(bytes of the fullest rank, layout) with the smallest choices and fewest sequences."""
    tables = layout_tables(model, layouts)
    stages = stage_table(model, tables)
    found: list[tuple[int, int]] = []
    for i, layout in enumerate(layouts):
        slot = first_slot(model.question, layout)
        if slot is not None:
            found.append((least_bytes(model, tables, stages[i], i, slot), i))
    return min(found) if found else (None, 0)
