"""Spaces of a question: every layout that fits with its batches; and the same space asked anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from planner.planning.space.candidates import (
    Slots,
    Space,
    build_space,
    fitting_pairs,
    possible_layouts,
)
from planner.planning.space.memory import tables_and_stages
from planner.planning.space.model import CostModel


def whole_space(model: CostModel, *, slots: Slots = "grid") -> Space | None:
    """Every layout that fits with a grid of batches, or others of its ``slots``; or None."""
    layouts = possible_layouts(model.question)
    if not layouts:
        return None
    tables, stages = tables_and_stages(model, layouts)
    pairs = fitting_pairs(model, tables, stages, slots=slots)
    return build_space(model, tables, stages, pairs) if pairs else None


def asked(space: Space, **changes: Any) -> Space:
    """``space`` with another objective or other limits in its question; its times are the same."""
    question = replace(space.model.question, **changes)
    return replace(space, model=replace(space.model, question=question))
