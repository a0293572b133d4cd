"""Results by their class: what ``print`` writes of each, and its cell in a notebook.

``planner/__init__.py`` gives these functions to the registry that records ask
(planner/base/display.py).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

TEXT = {
    "Plan": ("planner.report.terminal.plan", "plan_text"),
    "MemoryAnswer": ("planner.report.terminal.memory", "memory_text"),
    "TrainingMemory": ("planner.report.terminal.train", "train_text"),
    "ServingAnswer": ("planner.report.terminal.serve", "serve_text"),
    "ExpertUse": ("planner.report.terminal.experts", "experts_text"),
    "ChoiceExplanation": ("planner.report.terminal.choice", "choice_text"),
    "PoolsExplanation": ("planner.report.terminal.choice", "pool_choice_text"),
    "ModuleExplanation": ("planner.report.terminal.explain", "explain_text"),
    "Difference": ("planner.report.terminal.diff", "diff_text"),
    "Capacity": ("planner.report.terminal.capacity", "capacity_text"),
    "Compared": ("planner.report.terminal.compared", "compared_text"),
    "Fleet": ("planner.report.terminal.fleet", "fleet_text"),
    "Frontier": ("planner.report.terminal.frontier", "frontier_text"),
    "Verification": ("planner.report.terminal.verified", "verification_text"),
    "LayerNumerics": ("planner.report.terminal.numerics", "numerics_text"),
}
"""Class of a result: the function that writes what its command prints on stdout."""


def text_of(result: object) -> str:
    """What the terminal shows, at 80 columns without colour."""
    from planner.report.terminal.columns import plain_width

    module, name = next(TEXT[c.__name__] for c in type(result).__mro__ if c.__name__ in TEXT)
    with plain_width():
        return str(getattr(import_module(module), name)(result))


def cell_of(plan: Any) -> str:
    """A plan's notebook cell: HTML without scripts."""
    from planner.report.render.notebook import fragment

    return fragment(plan)


def table_of(frame: pd.DataFrame) -> str:
    """The notebook cell of a frame: its numbers rounded."""
    from planner.report.render.notebook import rounded_table

    return rounded_table(frame)
