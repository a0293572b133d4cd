"""What an error in each matrix costs, as a heat map of layers and kinds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from planner.errors import InputError
from planner.models.catalog import resolve_model
from planner.models.spec import ModelSpec
from planner.planning.plan.record import Plan
from planner.plot.axes import INK, SOFT, as_svg, axes_for, describe, listed, tidy
from planner.quality.prior import WEIGH_AS
from planner.quality.sensitivity.alpha_table import UNIT, AlphaTable, alpha_table, in_order
from planner.quality.sensitivity.kld_data import CREDIT
from planner.records import record
from planner.typed import typed

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.colors import LogNorm

COLOURS, ABSENT = "YlGnBu", "#eef0f3"
STEPS = (1, 2, 4, 5, 10, 20, 25, 50, 100)
MOST_TICKS = 14
COLUMNS = ("layer", "kind", "alpha", "tier")


@record
class LossCell:
    """α of a kind in a layer, None outside the stack; ``band``: the factor up and down that holds
    80 %, None where the frame has none."""

    layer: int | None
    kind: str
    alpha: float
    band: float | None = None


@typed
def sensitivity(
    result: Plan | pd.DataFrame | ModelSpec | str,
    ax: Axes | None = None,
    *,
    hardware_dir: str | os.PathLike[str] | None = None,
) -> Axes:
    """What an error in each matrix costs, layers by kinds on a logarithmic scale of colours, of a
    model or of the frame of ``planner.sensitivity``; of a plan what its premises are worth: its
    rate (TPOT where the objective is latency) with each a fifth less and more.

    The embedding stands before the first layer, the head behind the last, with their α in nats.
    Percentages are shares of all that was measured. Hatched bars of a plan would not fit memory.

    Raises:
        InputError: another kind of result, a frame without the columns, a plan that cannot be
            priced again from its file alone, or ``hardware_dir`` for anything but a plan.
    """
    if isinstance(result, Plan):
        from planner.plot.priced import premises

        return premises(result, ax, hardware_dir=hardware_dir)
    if hardware_dir is not None:
        raise InputError(
            "hardware_dir is for a plan: a sensitivity is of no device",
            hint="leave hardware_dir out",
        )
    if isinstance(result, (str, ModelSpec, os.PathLike)):
        spec = result if isinstance(result, ModelSpec) else resolve_model(str(result))
        return _of_table(alpha_table(spec), ax)
    cells, tier = _of_frame(result)
    return _draw(cells, f"what an error in each matrix costs; {tier}", ax)


def svg(table: AlphaTable) -> str:
    """The figure as SVG text, the same bytes for the same table."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=_size(_cells(table)), layout="constrained")
    _of_table(table, figure.add_subplot())
    return as_svg(figure)


def _of_table(table: AlphaTable, ax: Axes | None) -> Axes:
    return _draw(
        _cells(table), f"{table.model}: what an error in each matrix costs; {table.tier}", ax
    )


def _cells(table: AlphaTable) -> list[LossCell]:
    return [LossCell(r.layer, r.kind, r.alpha, r.high / r.alpha) for r in table.rows]


def _band(cells: Sequence[LossCell]) -> str:
    """The least and greatest factor of the intervals, in words."""
    bands = [cell.band for cell in cells if cell.band is not None]
    if not bands:
        return ""
    low, high = f"{min(bands):.2g}", f"{max(bands):.2g}"
    return f" 80 % interval ×/÷ {low}" + ("." if low == high else f" to {high}.")


def _of_frame(frame: Any) -> tuple[list[LossCell], str]:
    """The cells of a frame and its tiers."""
    missing = [name for name in COLUMNS if name not in frame.columns]
    if missing or frame.empty:
        what = "no rows" if not missing else "no column " + ", ".join(missing)
        raise InputError(
            f"result is a DataFrame with {what}", hint="give the frame of planner.sensitivity"
        )
    places = [
        None if absent else int(layer)
        for layer, absent in zip(frame["layer"], frame["layer"].isna(), strict=True)
    ]
    highs = frame["high"] if "high" in frame.columns else [None] * len(places)
    cells = [
        LossCell(
            layer,
            str(kind),
            float(alpha),
            float(high) / float(alpha) if high is not None and alpha > 0 else None,
        )
        for layer, kind, alpha, high in zip(
            places, frame["kind"], frame["alpha"], highs, strict=True
        )
    ]
    for cell in cells:
        if not isfinite(cell.alpha) or cell.alpha <= 0:
            raise InputError(
                f"result: alpha of {cell.kind} is {cell.alpha:g}",
                hint="every alpha is a number above 0",
            )
    return cells, ", ".join(dict.fromkeys(frame["tier"]))


def _draw(cells: Sequence[LossCell], heading: str, ax: Axes | None) -> Axes:
    """Kinds from above as a token meets them, layers from the left."""
    from matplotlib.colors import LogNorm

    sums = _summed(cells)
    kinds = in_order(cell.kind for cell in cells)
    layers = 1 + max((layer for layer, _ in sums if layer is not None), default=0)
    ax = axes_for(ax, size=_size(cells))
    norm = LogNorm(min(sums.values()), max(sums.values()))
    if norm.vmin == norm.vmax:
        norm = LogNorm(min(sums.values()) / 2, max(sums.values()) * 2)
    wide = max(1.0, layers / 24)
    _stack(ax, sums, kinds, layers, norm)
    _ends(ax, sums, kinds, (layers, wide), norm)
    tidy(ax, heading)
    step = next(s for s in STEPS if layers / s <= MOST_TICKS or s == STEPS[-1])
    ax.set_xticks(
        [n + 0.5 for n in range(0, layers, step)], [str(n) for n in range(0, layers, step)]
    )
    ax.set_yticks([y + 0.5 for y in range(len(kinds))], _labels(sums, kinds))
    ax.set(
        xlim=(-1.5 * wide, layers + 1.5 * wide),
        ylim=(len(kinds), 0),
        xlabel=f"layer\nfigures: {CREDIT}",
    )
    ax.tick_params(axis="y", length=0)
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(False)
    _scale(ax, norm, _band(cells))
    describe(
        ax,
        f"α [{UNIT}] summed by kind: "
        + listed(
            (label, f"{sum(v for (_, k), v in sums.items() if k == kind):.3g}")
            for kind, label in zip(kinds, _labels(sums, kinds), strict=True)
        )
        + _band(cells),
    )
    return ax


def _size(cells: Sequence[LossCell]) -> tuple[float, float]:
    """Inches: a row of 0.3 a kind, and wider for many layers."""
    layers = 1 + max((c.layer for c in cells if c.layer is not None), default=0)
    return (8.0 + min(layers, 200) / 60, 1.5 + 0.3 * len({c.kind for c in cells}))


def _summed(cells: Sequence[LossCell]) -> dict[tuple[int | None, str], float]:
    """α by layer and kind: tensors of a kind add up."""
    sums: dict[tuple[int | None, str], float] = {}
    for cell in cells:
        key = (cell.layer, cell.kind)
        sums[key] = sums.get(key, 0.0) + cell.alpha
    return sums


def _labels(sums: dict[tuple[int | None, str], float], kinds: Sequence[str]) -> list[str]:
    """Kinds with their shares of what was measured."""
    by_kind = {kind: sum(v for (_, k), v in sums.items() if k == kind) for kind in kinds}
    whole = sum(value for kind, value in by_kind.items() if kind not in WEIGH_AS)
    return [
        f"{kind}, derived" if kind in WEIGH_AS else f"{kind} {by_kind[kind] / whole:.1%}"
        for kind in kinds
    ]


def _stack(
    ax: Axes,
    sums: dict[tuple[int | None, str], float],
    kinds: Sequence[str],
    layers: int,
    norm: LogNorm,
) -> None:
    """The cells of the layers; where a layer has no matrix of a kind, grey."""
    import numpy as np

    values = np.full((len(kinds), layers), np.nan)
    for (layer, kind), value in sums.items():
        if layer is not None:
            values[kinds.index(kind), layer] = value
    inside = [y for y, kind in enumerate(kinds) if not np.isnan(values[y]).all()]
    for y in inside:
        ax.axhspan(y, y + 1, xmin=0, xmax=1, color="white", zorder=0)
        ax.fill_betweenx([y + 0.02, y + 0.98], 0, layers, color=ABSENT, linewidth=0, zorder=0.5)
    ax.pcolormesh(
        np.arange(layers + 1),
        np.arange(len(kinds) + 1),
        np.ma.masked_invalid(values),
        cmap=COLOURS,
        norm=norm,
        edgecolors="white",
        linewidth=0.4,
        zorder=1,
    )


def _ends(
    ax: Axes,
    sums: dict[tuple[int | None, str], float],
    kinds: Sequence[str],
    place: tuple[int, float],
    norm: LogNorm,
) -> None:
    """Embedding before the stack of ``place`` = (layers, width of a cell), head behind it."""
    layers, wide = place
    for y, kind in enumerate(kinds):
        value = sums.get((None, kind))
        if value is None:
            continue
        last = kind == "head"
        left = layers + 0.4 * wide if last else -1.4 * wide
        ax.pcolormesh(
            [left, left + wide],
            [y, y + 1],
            [[value]],
            cmap=COLOURS,
            norm=norm,
            edgecolors="white",
            linewidth=0.4,
        )
        ax.text(
            layers - 0.1 * wide if last else 0.1 * wide,
            y + 0.5,
            f"{value:.2g} nats",
            ha="right" if last else "left",
            va="center",
            fontsize=8,
            color=INK,
        )


def _scale(ax: Axes, norm: LogNorm, band: str) -> None:
    """The scale of colours, in plain numbers, and how wide the intervals are."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    figure = ax.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=ax, pad=0.015, aspect=26)
    few = norm.vmax is not None and norm.vmin is not None and norm.vmax < 60 * norm.vmin
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0, 3.0)))
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.ax.tick_params(labelsize=7.5, colors=SOFT, labelcolor=INK, length=3)
    bar.set_label(UNIT.replace(" of", " of\n", 1) + f"\n{band.strip(' .')}", fontsize=8, color=SOFT)
    bar.outline.set_visible(False)
