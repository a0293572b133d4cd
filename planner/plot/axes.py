"""Axes for the figures of results: never of pyplot, shown by a notebook where they are the result
of a cell."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from planner.report.charts.chart import GRID, INK, SOFT
from planner.report.charts.svg import named_document

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ALT: WeakKeyDictionary[Axes, str] = WeakKeyDictionary()
"""What is seen on axes, in words."""


@cache
def _shown() -> type[Axes]:
    """Axes that a notebook draws by themselves: pyplot, which would show them, is not used."""
    from matplotlib.axes import Axes

    class ShownAxes(Axes):
        """Axes with the picture of their figure as their rich display."""

        def _repr_svg_(self) -> str:
            figure = self.get_figure(root=True)
            assert figure is not None
            text = as_svg(figure)
            return text[text.index("<svg") :]

    return ShownAxes


def describe(ax: Axes, alt: str) -> None:
    """Say in words what is seen on ``ax``: pictures of its figure carry it as their description."""
    _ALT[ax] = alt


def alt_of(ax: Axes) -> str:
    """What is seen on ``ax``, in words; empty where nobody said."""
    return _ALT.get(ax, "")


def as_svg(figure: Figure, title: str = "") -> str:
    """The figure as SVG text: the same bytes for the same figure, letters as text, named by
    ``title`` or those of its axes, and described by what was said of them."""
    from io import StringIO

    import matplotlib as mpl

    out = StringIO()
    with mpl.rc_context({"svg.hashsalt": "precision-planner", "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None})
    seen = [ax for ax in figure.axes if alt_of(ax)]
    return named_document(
        out.getvalue(),
        title or " · ".join(ax.get_title(loc="left") for ax in seen),
        " ".join(alt_of(ax) for ax in seen),
    )


def axes_for(ax: Axes | None, *, size: tuple[float, float]) -> Axes:
    """``ax``, or new axes on a figure of their own of ``size`` inches."""
    if ax is not None:
        return ax
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained", facecolor="white")
    return figure.add_subplot(axes_class=_shown())


def tidy(ax: Axes, title: str, *, grid: str = "") -> None:
    """The house style: a title at the left, no frame, a faint grid along ``grid`` (x, y, both)."""
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    for side in ("top", "right", "left") if grid == "x" else ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        ax.spines[side].set_color(SOFT)
    ax.tick_params(which="both", colors=SOFT, labelcolor=INK, labelsize=8, length=3)
    ax.xaxis.label.set(fontsize=8.5, color=SOFT)
    ax.yaxis.label.set(fontsize=8.5, color=SOFT)
    if grid:
        ax.grid(True, axis=grid, color=GRID, linewidth=0.7)  # type: ignore[arg-type]
        ax.set_axisbelow(True)
