"""The error split as a picture: one row a scheme, one mark a cause, on a logarithmic axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plot.axes import as_svg, axes_for, describe, listed
from planner.typed import typed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from planner.quality.layer_error import LayerNumerics

CAUSES = (
    ("weight", "weights", "s", "#1f5f9e"),
    ("activation", "activations", "D", "#0f766e"),
    ("rounding", "both", "o", "#1b1f24"),
)
UNIT_COLOUR = "#9a4a00"
FLOOR = 1e-9


@typed
def layer_errors(result: LayerNumerics, ax: Axes | None = None) -> Axes:
    """Relative errors of a layer under each scheme: rounding of weights, inputs and both, and what
    each matrix unit adds.

    Raises:
        InputError: not the answer of ``planner.layer_error``.
    """
    return _draw(result, axes_for(ax, size=(8.5, _height(result))))


def _height(result: LayerNumerics) -> float:
    """Inches for a row a scheme and unit."""
    return 1.6 + 0.22 * sum(max(1, len(layer.accumulations)) for layer in result.layers)


def _draw(result: LayerNumerics, axes: Axes) -> Axes:
    """Draw on ``axes``; every accumulation mark carries its unit's name and its standard error."""
    rows = [(layer, unit) for layer in result.layers for unit in (layer.accumulations or (None,))]
    labels = []
    for y, (layer, unit) in enumerate(rows):
        first = y == 0 or rows[y - 1][0] is not layer
        if first:
            for name, _, marker, colour in CAUSES:
                value = getattr(layer, name)
                if value > 0:
                    axes.plot(value, y, marker, color=colour, markersize=5)
        if unit is not None:
            axes.plot(
                max(unit.relative_error, FLOOR),
                y,
                "|",
                color=UNIT_COLOUR,
                markersize=11,
                markeredgewidth=2.5,
            )
            axes.hlines(
                y,
                max(unit.relative_error - unit.standard_error, FLOOR),
                max(unit.relative_error + unit.standard_error, FLOOR),
                color=UNIT_COLOUR,
                linewidth=1.2,
            )
        name = unit.label if unit is not None else "not emulated"
        labels.append(f"{layer.scheme}  ·  {name}" if first else name)
    _bands(axes, [layer.scheme for layer, _ in rows])
    axes.set_xscale("log")
    axes.set_xlim(FLOOR / 2, 1)
    axes.set_yticks(range(len(rows)), labels)
    axes.invert_yaxis()
    axes.set_xlabel("relative error ‖ΔY‖ / ‖Y‖")
    axes.grid(axis="x", color="#d8dce1", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    shape = result.shape
    axes.set_title(f"{result.model} {shape.kind}, K = {shape.inputs}", loc="left", fontsize=11)
    for _, label, marker, colour in CAUSES:
        axes.plot([], [], marker, color=colour, markersize=5, label=f"rounding: {label}")
    axes.plot(
        [],
        [],
        "|",
        color=UNIT_COLOUR,
        markersize=11,
        markeredgewidth=2.5,
        label="accumulation in the unit",
    )
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(0, 0),
        borderaxespad=4.5,
        ncols=2,
        frameon=False,
        fontsize=9,
    )
    describe(
        axes,
        "Relative errors by scheme: "
        + listed(
            (
                layer.scheme,
                ", ".join(
                    [
                        *(f"{label} {getattr(layer, name):.3g}" for name, label, *_ in CAUSES),
                        *(
                            f"{unit.label} {unit.relative_error:.3g} ± {unit.standard_error:.2g}"
                            for unit in layer.accumulations
                        ),
                    ]
                ),
            )
            for layer in result.layers
        ),
    )
    return axes


def _bands(axes: Axes, schemes: list[str]) -> None:
    """Shade every other scheme, so that its rows are seen together."""
    start, shaded = 0, False
    for y in range(1, len(schemes) + 1):
        if y == len(schemes) or schemes[y] != schemes[start]:
            if shaded:
                axes.axhspan(start - 0.5, y - 0.5, color="#f2f4f7", zorder=0)
            start, shaded = y, not shaded
    axes.tick_params(axis="y", length=0)


def svg(result: LayerNumerics) -> str:
    """The figure as SVG text, the same bytes for the same result."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9}):
        figure = Figure(figsize=(8.5, _height(result)), layout="constrained")
        _draw(result, figure.add_subplot())
        return as_svg(figure)
