"""Charts of errors: of layers under schemes, and of predictions against measurements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from planner.report.charts.chart import (
    PLAIN,
    SOFT,
    Chart,
    ChartAxis,
    Interval,
    Legend,
    Mark,
    PointMarks,
    ShadedBand,
    ValueLine,
    Words,
    named_rows,
    values_in_words,
)

if TYPE_CHECKING:
    from planner.quality.layer_error import LayerNumerics

DEVICES = ("#1f5f9e", "#0f766e", "#9a4a00", "#6d28a8", "#9d1f55", "#4c7a1e", "#1b1f24")
LEFT_OUT, SPAN = "#c3c9d2", "#b9c6d6"
BAND = 0.2
WIDEST = 100.0
"""Errors beyond are drawn at the edge [%]."""
CAUSES = (
    ("weight", "weights", "s", "#1f5f9e"),
    ("activation", "activations", "D", "#0f766e"),
    ("rounding", "both", "o", "#1b1f24"),
)
UNIT_COLOUR, SHADE = "#9a4a00", "#f2f4f7"
FLOOR = 1e-9


def layer_errors_chart(result: LayerNumerics) -> Chart:
    """Relative errors of a layer under each scheme: rounding of weights, inputs and both, and what
    each matrix unit adds, with its standard error."""
    rows = [(layer, unit) for layer in result.layers for unit in (layer.accumulations or (None,))]
    marks, labels, shaded = list[Mark](), [], False
    for y, (layer, unit) in enumerate(rows):
        first = y == 0 or rows[y - 1][0] is not layer
        if first:
            shaded = not shaded if y and rows[y - 1][0].scheme != layer.scheme else shaded
            marks += [
                PointMarks(((getattr(layer, cause), y),), colour, shape, 5)
                for cause, _, shape, colour in CAUSES
                if getattr(layer, cause) > 0
            ]
        if shaded:
            marks.append(ShadedBand(y - 0.5, y + 0.5, SHADE, across=True))
        if unit is not None:
            value, error = unit.relative_error, unit.standard_error
            low, high = max(value - error, FLOOR), max(value + error, FLOOR)
            marks += [
                PointMarks(((max(value, FLOOR), y),), UNIT_COLOUR, "|", 11, rim=2.5),
                Interval(y, low, high, UNIT_COLOUR, 1.2),
            ]
        name = unit.label if unit is not None else "not emulated"
        labels.append(f"{layer.scheme}  ·  {name}" if first else name)
    marks += [
        *(
            PointMarks((), colour, shape, 5, name=f"rounding: {words}")
            for _, words, shape, colour in CAUSES
        ),
        PointMarks((), UNIT_COLOUR, "|", 11, rim=2.5, name="accumulation in the unit"),
    ]
    shape = result.shape
    return Chart(
        f"{result.model} {shape.kind}, K = {shape.inputs}",
        ChartAxis("relative error ‖ΔY‖ / ‖Y‖", "log", (FLOOR / 2, 1)),
        named_rows(labels),
        tuple(marks),
        "Relative errors by scheme: "
        + values_in_words(
            (
                layer.scheme,
                ", ".join(
                    [
                        *(f"{words} {getattr(layer, cause):.3g}" for cause, words, *_ in CAUSES),
                        *(
                            f"{unit.label} {unit.relative_error:.3g} ± {unit.standard_error:.2g}"
                            for unit in layer.accumulations
                        ),
                    ]
                ),
            )
            for layer in result.layers
        ),
        (8.5, 1.6 + 0.22 * len(rows)),
        grid="x",
        legend=Legend("upper left", (0, 0), 2, 4.5, 9),
    )


def validation_errors_chart(outcomes: Iterable[Any]) -> Chart:
    """The signed error [%] of every predicted row that counts, a strip a table and metric; at the
    right the median of their size. ``outcomes``: those of ``planner.validate``."""
    strips: dict[str, list[Any]] = {}
    for o in outcomes:
        if o.predicted is not None and not o.regime.startswith("excluded"):
            strips.setdefault(f"{o.table} · {o.metric}", []).append(o)
    names, said = sorted(strips), []
    marks: list[Mark] = [ShadedBand(-20, 20, "#eef1f4"), ValueLine(0, SOFT, 0.9)]
    for y, name in enumerate(names):
        errors = [o.error_percent for o in strips[name]]
        places = tuple(
            (max(-WIDEST, min(WIDEST, error)), y + 0.5 * ((7 * i) % 11 / 10 - 0.5))
            for i, error in enumerate(errors)
        )
        middle = median(map(abs, errors))
        words = f"{middle:.1f} % of {len(errors)}"
        marks += [
            PointMarks(places, PLAIN, ".", 4, alpha=0.45),
            Words(WIDEST * 1.03, y, words, 8, up="center"),
        ]
        said.append((name, f"median {words} rows"))
    return Chart(
        "error of each row; right: median size and rows; grey: ±20 %",
        ChartAxis("(predicted − measured) / measured [%]", ends=(-WIDEST, WIDEST)),
        ChartAxis(ends=(len(names) - 0.5, -0.5), ticks=tuple(enumerate(names))),
        tuple(marks),
        "Size of the error by table and metric: " + values_in_words(said),
        (8.0, 1.0 + 0.34 * len(names)),
        grid="x",
    )


def predicted_chart(panel: PredictedPanel) -> Chart:
    """Predicted against measured with the 1:1 line, lines at ±20 % and the 80 % intervals."""
    rows = panel.shown
    low = min(min(r.measured, r.predicted) for r in rows) / 1.5
    high = max(max(r.measured, r.predicted) for r in rows) * 1.5
    marks: list[Mark] = _intervals(rows)
    marks.append(PointMarks(((low, low), (high, high)), "#1b1f24", "", line="-", width=0.8))
    marks += [
        PointMarks(((low, low * f), (high, high * f)), "#8d95a1", "", line="--", width=0.6)
        for f in (1 - BAND, 1 + BAND)
    ]
    left_out = tuple((r.measured, r.predicted) for r in rows if r.excluded)
    if left_out:
        marks.append(PointMarks(left_out, LEFT_OUT, ".", 3, name="excluded"))
    for i, device in enumerate(sorted({r.device for r in rows if not r.excluded})):
        here = tuple(
            (r.measured, r.predicted) for r in rows if r.device == device and not r.excluded
        )
        marks.append(PointMarks(here, DEVICES[i % len(DEVICES)], ".", 3, name=device))
    thin = f", 1 in {panel.step} of" if panel.step > 1 else ","
    near = sum(abs(r.predicted / r.measured - 1) <= BAND for r in panel.rows)
    return Chart(
        f"{panel.table}{thin} {len(panel.rows)} rows",
        ChartAxis(f"measured {panel.metric} [{panel.unit}]", "log", (low, high)),
        ChartAxis(f"predicted [{panel.unit}], 80 % interval", "log", (low, high)),
        tuple(marks),
        f"{panel.table}, {panel.metric}: {len(panel.rows):,} rows, {near:,} within ±{BAND:.0%}.",
        (4.2, 3.9),
        legend=Legend("upper left", size=7),
    )


def _intervals(rows: Sequence[PredictedRow]) -> list[Mark]:
    """Intervals as one path, behind everything; no marks where there is none."""
    gap = float("nan")
    places: list[tuple[float, float]] = []
    for row in rows:
        if row.low is not None and row.high is not None:
            places += [(row.measured, row.low), (row.measured, row.high), (gap, gap)]
    return [PointMarks(tuple(places), SPAN, "", line="-", width=0.6)] if places else []


MOST = 1500
"""Points drawn in a panel; of more, one in n is drawn and the title says so."""
UNITS = {
    "latency": "s",
    "tpot": "s",
    "ttft": "s",
    "output_tokens_per_second": "tokens/s",
    "throughput": "tokens/s",
    "memory": "bytes, blocks or tokens",
}


@dataclass(frozen=True, slots=True)
class PredictedRow:
    """One row; ``low`` to ``high`` holds the measured value in 80 % of cases, None where it is not
    told. ``excluded`` rows count in no headline."""

    device: str
    measured: float
    predicted: float
    low: float | None
    high: float | None
    excluded: bool


@dataclass(frozen=True, slots=True)
class PredictedPanel:
    """Rows of one table and metric."""

    table: str
    metric: str
    rows: tuple[PredictedRow, ...]

    @property
    def step(self) -> int:
        """One row in so many is drawn."""
        return -(-len(self.rows) // MOST)

    @property
    def shown(self) -> tuple[PredictedRow, ...]:
        """The rows that are drawn."""
        return self.rows[:: self.step]

    @property
    def unit(self) -> str:
        """The unit of the metric, ``its own unit`` where tables differ."""
        return UNITS.get(self.metric, "its own unit")


def panels(outcomes: Iterable[Any]) -> list[PredictedPanel]:
    """Panels of predicted rows, in order of table and metric. Rows have ``table``, ``metric``,
    ``device``, ``measured``, ``predicted`` (None: no point), ``low``, ``high`` and ``regime``."""
    by_table: dict[tuple[str, str], list[PredictedRow]] = {}
    for o in outcomes:
        if o.predicted is None or o.predicted <= 0 or o.measured <= 0:
            continue
        sure = 0 < o.low < o.high
        by_table.setdefault((o.table, o.metric), []).append(
            PredictedRow(
                o.device,
                o.measured,
                o.predicted,
                o.low if sure else None,
                o.high if sure else None,
                o.regime.startswith("excluded"),
            )
        )
    return [PredictedPanel(*key, tuple(by_table[key])) for key in sorted(by_table)]
