"""What an error in each matrix costs, as a heat map of layers and kinds."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from planner.base.errors import InputError
from planner.base.records import record
from planner.quality.prior import WEIGH_AS
from planner.quality.sensitivity.alpha_table import UNIT, AlphaTable, in_order
from planner.quality.sensitivity.kld_data import CREDIT
from planner.report.charts.chart import (
    Chart,
    ChartAxis,
    ColouredCell,
    ColourScale,
    HeatCells,
    Mark,
    Words,
    values_in_words,
)

COLOURS, ABSENT = "YlGnBu", "#eef0f3"
STEPS = (1, 2, 4, 5, 10, 20, 25, 50, 100)
MOST_TICKS = 14
COLUMNS = ("layer", "kind", "alpha", "tier")
Sums = dict[tuple[int | None, str], float]
"""α by layer and kind."""


@record
class LossCell:
    """α of a kind in a layer, None outside the stack; ``band``: the factor up and down that holds
    80 %, None where the frame has none."""

    layer: int | None
    kind: str
    alpha: float
    band: float | None = None


def loss_map_of_table(table: AlphaTable) -> Chart:
    """The chart of a model."""
    cells = [LossCell(r.layer, r.kind, r.alpha, r.high / r.alpha) for r in table.rows]
    return _chart(cells, f"{table.model}: what an error in each matrix costs; {table.tier}")


def loss_map_of_frame(frame: Any) -> Chart:
    """The chart of the frame of ``planner.sensitivity``.

    Raises:
        InputError: another frame, or an α that is no number above 0.
    """
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
    tiers = ", ".join(dict.fromkeys(frame["tier"]))
    return _chart(cells, f"what an error in each matrix costs; {tiers}")


def _chart(cells: Sequence[LossCell], heading: str) -> Chart:
    """Kinds from above as a token meets them, layers from the left."""
    sums: Sums = {}
    for cell in cells:  # tensors of a kind add up
        key = (cell.layer, cell.kind)
        sums[key] = sums.get(key, 0.0) + cell.alpha
    kinds = in_order(cell.kind for cell in cells)
    layers = 1 + max((layer for layer, _ in sums if layer is not None), default=0)
    low, high = min(sums.values()), max(sums.values())
    if low == high:
        low, high = low / 2, high * 2
    width = max(1.0, layers / 24)
    step = next(s for s in STEPS if layers / s <= MOST_TICKS or s == STEPS[-1])
    by_kind = {kind: sum(v for (_, k), v in sums.items() if k == kind) for kind in kinds}
    labels = _labels(by_kind)
    band = _band(cells)
    unit = UNIT.replace(" of", " of\n", 1)
    return Chart(
        heading,
        ChartAxis(
            f"layer\nfigures: {CREDIT}",
            ends=(-1.5 * width, layers + 1.5 * width),
            ticks=tuple((n + 0.5, str(n)) for n in range(0, layers, step)),
        ),
        ChartAxis(
            ends=(len(kinds), 0),
            ticks=tuple((y + 0.5, name) for y, name in enumerate(labels)),
            plain=True,
        ),
        (*_stack(sums, kinds, layers), *_outside(sums, kinds, layers, width)),
        f"α [{UNIT}] summed by kind: "
        + values_in_words(zip(labels, (f"{value:.3g}" for value in by_kind.values()), strict=True))
        + band,
        (8.0 + min(layers, 200) / 60, 1.5 + 0.3 * len(kinds)),
        sides="none",
        scale=ColourScale(f"{unit}\n{band.strip(' .')}", COLOURS, low, high),
    )


def _band(cells: Sequence[LossCell]) -> str:
    """The least and greatest factor of the intervals, in words."""
    bands = [cell.band for cell in cells if cell.band is not None]
    if not bands:
        return ""
    low, high = f"{min(bands):.2g}", f"{max(bands):.2g}"
    return f" 80 % interval ×/÷ {low}" + ("." if low == high else f" to {high}.")


def _labels(by_kind: dict[str, float]) -> list[str]:
    """Kinds with their shares of what was measured."""
    measured = sum(value for kind, value in by_kind.items() if kind not in WEIGH_AS)
    return [
        f"{kind}, derived" if kind in WEIGH_AS else f"{kind} {value / measured:.1%}"
        for kind, value in by_kind.items()
    ]


def _stack(sums: Sums, kinds: Sequence[str], layers: int) -> list[Mark]:
    """The cells of the layers; where a layer has no matrix of a kind, grey."""
    values = [[sums.get((layer, kind)) for layer in range(layers)] for kind in kinds]
    behind = [
        ColouredCell(0, y + 0.02, layers, 0.96, ABSENT, "")
        for y, row in enumerate(values)
        if any(value is not None for value in row)
    ]
    return [*behind, HeatCells(tuple(map(tuple, values)))]


def _outside(sums: Sums, kinds: Sequence[str], layers: int, width: float) -> list[Mark]:
    """Embedding before the stack, head behind it, in cells of ``width``."""
    marks: list[Mark] = []
    for y, kind in enumerate(kinds):
        value = sums.get((None, kind))
        if value is None:
            continue
        last = kind == "head"
        left = layers + 0.4 * width if last else -1.4 * width
        at = layers - 0.1 * width if last else 0.1 * width
        marks += [
            HeatCells(((value,),), left, y, width),
            Words(
                at, y + 0.5, f"{value:.2g} nats", 8, across="right" if last else "left", up="center"
            ),
        ]
    return marks
