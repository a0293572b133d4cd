"""Spaces of a question: every layout that fits with its batches; and the same space asked anew."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from planner.base.identity_cache import cached_by_identity
from planner.planning.search.paces import with_paces
from planner.planning.space.candidates import (
    Slots,
    Space,
    build_space,
    fitting_pairs,
    possible_layouts,
)
from planner.planning.space.memory import StageTable, tables_and_stages
from planner.planning.space.model import CostModel
from planner.planning.space.tables import LayoutTables

SPACES = 16
"""Spaces that are kept, of which large ones count for several: service levels of a sweep, and a
what-if page's limits, ask for the same."""
SMALL_BYTES = 2 << 20
"""Up to so many a space counts as one: those that are kept take 32 MiB, or one that is larger."""


def grid_space(
    model: CostModel, *, slots: Slots = "grid", reads_prompts: bool = True
) -> Space | None:
    """Every layout that fits with a grid of batches, or others of its ``slots``; or None.
    ``reads_prompts``: in the closed loop of its requests, else as workers that only decode."""
    layouts = possible_layouts(model.question)
    if not layouts:
        return None
    tables, stages = tables_and_stages(model, layouts)
    pairs = fitting_pairs(model, tables, stages, slots=slots)
    if not pairs:
        return None
    space = replace(_timed(model, tables, stages, tuple(pairs)), model=model)
    return with_paces(space) if reads_prompts else space


def _timed_of(
    model: CostModel, tables: LayoutTables, stages: StageTable, pairs: tuple[tuple[int, int], ...]
) -> tuple[object, ...]:
    """What of a question its times depend on: not its limits, nor its objective."""
    work = model.question.workload
    return (
        model.known_tables,
        tables,
        stages,
        frozenset(enumerate(pairs)),
        model.question.hold_steps,
        *(getattr(work, field.name) for field in fields(work)),
    )


def _size(space: Space) -> float:
    """For how many spaces one counts; the mechanisms of its units take about as much as its
    times."""
    size = 2 * (space.decode.nbytes + space.alone.nbytes + space.prefill.nbytes)
    return max(1.0, size / SMALL_BYTES)


@cached_by_identity(SPACES, of=_timed_of, size_of=_size)
def _timed(
    model: CostModel, tables: LayoutTables, stages: StageTable, pairs: tuple[tuple[int, int], ...]
) -> Space:
    """The space of the first question of its kind: one with other limits takes the same times."""
    return build_space(model, tables, stages, pairs)


def with_question(space: Space, **changes: Any) -> Space:
    """``space`` with another objective or other limits in its question; its times are the same."""
    question = replace(space.model.question, **changes)
    return replace(space, model=space.model.with_question(question))
