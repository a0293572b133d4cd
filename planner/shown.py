"""How a result shows itself: on a terminal by ``print``, in a notebook by a table.

The one place where a record reaches up to the code that draws it: modules are named here as text
and loaded when something is shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

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
FORMER = {
    "Plan": {
        f"plot_{name}": name
        for name in (
            "formats",
            "memory",
            "time",
            "uniform",
            "roofline",
            "frontier",
            "users",
            "sensitivity",
        )
    },
    "Frontier": {"plot": "frontier", "plot_frontier": "frontier", "plot_map": "phase_map"},
    "Inventory": {"plot_bytes": "tensor_bytes"},
    "ExpertUse": {"plot_residency": "residency"},
    "LayerNumerics": {"plot_errors": "layer_errors"},
    "MemoryAnswer": {"plot_memory": "memory"},
    "TrainingMemory": {"plot_memory": "memory"},
    "ServingAnswer": {"plot_frontier": "serving"},
    "Validation": {"plot_errors": "validation_errors"},
}
"""Class of a result: its methods in 0.1, and the functions of planner.plot that they are now."""
READER = ("planner.lookup", "read_plan")
"""What Plan.from_dict of 0.1 is now."""
Class = TypeVar("Class")


def as_text(result: object) -> str:
    """What the terminal shows, at 80 columns without colour; no newline at its end."""
    with import_module("planner.report.terminal.columns").plain_width():
        return _drawn(TEXT, result).rstrip("\n")


def as_cell(result: object) -> str:
    """What a notebook shows: HTML without scripts."""
    return _drawn(CELLS, result)


def as_frame(
    rows: Sequence[Mapping[str, Any]],
    columns: list[str] | None = None,
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


def with_former_methods(cls: type[Class]) -> type[Class]:
    """The class with what 0.1 called its methods: they work until 0.3, with a DeprecationWarning
    that says what they are called now."""
    cls.__getattr__ = _former  # type: ignore[attr-defined]
    if cls.__name__ == "Plan":
        cls.from_dict = staticmethod(_former_reader)  # type: ignore[attr-defined]
    return cls


def _former(result: object, name: str) -> Callable[..., Axes]:
    """Python calls it for an attribute that the result lacks.

    Raises:
        AttributeError: 0.1 had no such method.
    """
    owner = type(result).__name__
    drawing = FORMER.get(owner, {}).get(name)  # none of a class that somebody derived
    if drawing is None:
        raise AttributeError(f"{owner!r} object has no attribute {name!r}", name=name, obj=result)
    _warn(f"{owner}.{name}()", f"planner.plot.{drawing}({owner.lower()})")
    return partial(getattr(import_module("planner.plot"), drawing), result)


def _former_reader(data: object) -> Any:
    """What 0.1 called ``planner.read_plan``; works until 0.3, with a DeprecationWarning."""
    module, name = READER
    _warn("Plan.from_dict(data)", f"planner.{name}(data)")
    return getattr(import_module(module), name)(data)


def _warn(former: str, now: str) -> None:
    warnings.warn(
        f"{former} is {now} since 0.2; the old name goes with 0.3", DeprecationWarning, stacklevel=3
    )


def _drawn(functions: dict[str, tuple[str, str]], result: object) -> str:
    return str(_function(functions, result)(result))


def _function(functions: dict[str, tuple[str, str]], result: object) -> Any:
    module, name = next(
        functions[c.__name__] for c in type(result).__mro__ if c.__name__ in functions
    )
    return getattr(import_module(module), name)
