"""How a result shows itself: on a terminal by ``print``, in a notebook by a table.

A registry that is filled from above (``planner/__init__.py``) before any record exists: a record
asks here, and nothing here names who writes or draws it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

AXES = {"Compared": "compare"}
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
Class = TypeVar("Class")
Result = TypeVar("Result")
Parameters = ParamSpec("Parameters")


class Layers(Protocol):
    """What the layers above do for a result."""

    def text(self, result: Any) -> str:
        """What its command prints on stdout, at 80 columns without colour."""

    def cell(self, result: Any) -> str:
        """Its notebook cell: HTML without scripts."""

    def table(self, frame: pd.DataFrame) -> str:
        """The notebook cell of a frame."""

    def figure(self, name: str) -> Callable[..., Axes]:
        """A function of planner.plot."""

    def plan(self, data: Any) -> Any:
        """A plan of the mapping that its file holds."""


_ABOVE: list[Layers] = []


def register(layers: Layers) -> None:
    """Let ``layers`` show results from now on."""
    _ABOVE[:] = [layers]


def as_text(result: object) -> str:
    """What the terminal shows, at 80 columns without colour; no newline at its end."""
    return _ABOVE[0].text(result).rstrip("\n")


def as_cell(result: object) -> str:
    """What a notebook shows: HTML without scripts."""
    return _ABOVE[0].cell(result)


def as_frame(
    rows: Sequence[Mapping[str, Any]],
    columns: list[str] | None = None,
) -> pd.DataFrame:
    """A row each as a frame; ``columns`` in their order where there may be no row.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    from planner.base.errors import needs

    needs("pandas", extra="frames")
    import pandas as pd

    return pd.DataFrame(rows, columns=columns)


def as_table(frame: pd.DataFrame) -> str:
    """What a notebook shows of a frame: its numbers rounded; the frame has the exact ones."""
    return _ABOVE[0].table(frame)


def as_axes(result: object, ax: Axes | None = None) -> Axes:
    """Draw the result with matplotlib, on ``ax`` where it is given."""
    name = next(AXES[c.__name__] for c in type(result).__mro__ if c.__name__ in AXES)
    return _ABOVE[0].figure(name)(result, ax)


def with_former_methods(cls: type[Class]) -> type[Class]:
    """The class with what 0.1 called its methods: they work until 0.3, with a DeprecationWarning
    that says what they are called now."""
    cls.__getattr__ = _former  # type: ignore[attr-defined]
    if cls.__name__ == "Plan":
        cls.from_dict = staticmethod(_former_reader)  # type: ignore[attr-defined]
    return cls


def with_former_keywords(
    **names: str,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """The function with what 0.2 called its keywords, ``former="now"``: they work until 0.4, with a
    DeprecationWarning that says what they are called now."""

    def decorated(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @wraps(function)
        def renamed(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            for former in names.keys() & kwargs.keys():
                now = names[former]
                verb = function.__name__
                _warn(f"{verb}({former}=…)", f"{verb}({now}=…)", "0.3", "0.4")
                kwargs[now] = kwargs.pop(former)
            return function(*args, **kwargs)

        return renamed

    return decorated


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
    return partial(_ABOVE[0].figure(drawing), result)


def _former_reader(data: object) -> Any:
    """What 0.1 called ``planner.read_plan``; works until 0.3, with a DeprecationWarning."""
    _warn("Plan.from_dict(data)", "planner.read_plan(data)")
    return _ABOVE[0].plan(data)


def _warn(former: str, now: str, since: str = "0.2", gone: str = "0.3") -> None:
    warnings.warn(
        f"{former} is {now} since {since}; the old name goes with {gone}",
        DeprecationWarning,
        stacklevel=3,
    )
