"""How a result shows itself: on a terminal by ``print``, in a notebook by a table.

The one place where a record reaches up to the code that draws it: modules are named here as text
and loaded when something is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from planner.errors import needs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

TEXT = {
    "Plan": ("planner.report.terminal.plan", "plan_text"),
    "MemoryAnswer": ("planner.report.terminal.memory", "memory_text"),
    "TrainingMemory": ("planner.report.terminal.train", "train_text"),
    "ServingAnswer": ("planner.report.terminal.serve", "serve_text"),
    "ExpertUse": ("planner.report.terminal.experts", "experts_text"),
    "ChoiceExplanation": ("planner.report.terminal.choice", "choice_text"),
    "PoolsExplanation": ("planner.report.terminal.pool_choice", "pool_choice_text"),
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
CELLS = {"Plan": ("planner.report.page.cell", "fragment")}
"""Class of a result: the function that writes its notebook cell."""
TABLE = ("planner.report.page.rounded_table", "rounded_table")
"""The function that writes the notebook cell of a frame."""
AXES = {"Compared": ("planner.plot", "compare")}
"""Class of a result: the function of planner.plot that draws it."""


def as_text(result: object) -> str:
    """What the terminal shows, at 80 columns without colour; no newline at its end."""
    with import_module("planner.report.terminal.columns").plain_width():
        return _drawn(TEXT, result).rstrip("\n")


def as_cell(result: object) -> str:
    """What a notebook shows: HTML without scripts."""
    return _drawn(CELLS, result)


def as_frame(rows: Sequence[Mapping[str, Any]], columns: list[str] | None = None,
             ) -> pd.DataFrame:
    """A row each as a frame; ``columns`` in their order where there may be no row.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    needs("pandas", extra="frames")
    import pandas as pd

    return pd.DataFrame(rows, columns=columns)


def as_table(frame: pd.DataFrame) -> str:
    """What a notebook shows of a frame: its numbers rounded; the frame has the exact ones."""
    module, name = TABLE
    return str(getattr(import_module(module), name)(frame))


def as_axes(result: object, ax: Axes | None = None) -> Axes:
    """Draw the result with matplotlib, on ``ax`` where it is given."""
    drawn: Axes = _function(AXES, result)(result, ax)
    return drawn


def _drawn(functions: dict[str, tuple[str, str]], result: object) -> str:
    return str(_function(functions, result)(result))


def _function(functions: dict[str, tuple[str, str]], result: object) -> Any:
    module, name = next(functions[c.__name__] for c in type(result).__mro__
                        if c.__name__ in functions)
    return getattr(import_module(module), name)
