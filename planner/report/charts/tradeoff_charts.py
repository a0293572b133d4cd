"""Charts of what is traded for what: rates of users and devices, loss, contexts and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.base.units import GIB
from planner.report.charts.chart import (
    COLOURS,
    INK,
    PLAIN,
    SOFT,
    Chart,
    ChartAxis,
    ColouredCell,
    ColourScale,
    Interval,
    Legend,
    Mark,
    PointMarks,
    Words,
    values_in_words,
)
from planner.report.charts.records import interval_text, number_text

if TYPE_CHECKING:
    from planner.planning.serving.deployment import ServingAnswer
    from planner.planning.what_if.compared import Compared, ComparedPlan
    from planner.planning.what_if.frontier import Frontier
    from planner.planning.what_if.regimes import PhaseMap

KNEE = "#9d1f55"
PLANS = {"recommended": "D", "released": "s", "uniform": "o"}
"""Shapes of rows by their kind."""
REGIMES = {
    "weights": "#9cbce0",
    "kv": "#e9c49b",
    "compute": "#9fd3b5",
    "network": "#d4b3dd",
    "launch": "#cfd4da",
    "convert": "#f0b0b8",
}


def serving_chart(result: ServingAnswer) -> Chart:
    """Output tokens/s of a device against those of a user at every concurrency: the frontier
    joined, the asked concurrency ringed, with the 80 % interval of a user's rate."""
    points = sorted(result.points, key=lambda p: p.output_tokens_per_second_per_user)
    places = {
        p.concurrency: (p.output_tokens_per_second_per_user, p.output_tokens_per_second_per_device)
        for p in points
    }
    front = [p for p in points if p.pareto or len(points) == 1]
    marks: list[Mark] = [
        PointMarks(tuple(places.values()), SOFT),
        PointMarks(tuple(places[p.concurrency] for p in front), PLAIN, line="-", width=1.5),
        *(Words(*places[p.concurrency], f"{p.concurrency:g}", offset=(4, 4)) for p in front),
        Words(
            1, 1, "numbers: requests at once", 8, SOFT, "right", "top", x_of="chart", y_of="chart"
        ),
    ]
    operating_point, point, tpot = "", result.point, result.tpot_seconds
    if point is not None:
        user, device = (
            point.output_tokens_per_second_per_user,
            point.output_tokens_per_second_per_device,
        )
        marks.append(PointMarks(((user, device),), INK, "o", 11, hollow=True))
        if tpot is not None:
            low, high = 1 / tpot.high, 1 / tpot.low
            marks.append(Interval(device, low, high, width=1.2))
            operating_point = (
                f" Asked, {point.concurrency:g} at once: "
                f"{interval_text(1 / tpot.value, low, high)} a user."
            )
    return Chart(
        f"{result.model} on {result.devices} × {result.device}, {result.scheme}, prompt "
        f"{result.isl}, answer {result.osl}",
        ChartAxis("output tokens/s of a user"),
        ChartAxis("output tokens/s of a device"),
        tuple(marks),
        "Output tokens/s of a user and of a device by requests at once: "
        + values_in_words(
            (f"{n:g}", f"{number_text(x)}, {number_text(y)}") for n, (x, y) in places.items()
        )
        + operating_point,
        (6.4, 4.0),
        grid="both",
    )


def frontier_chart(result: Frontier) -> Chart:
    """Rate against loss on every layout, memory of the fullest device as colour; the knee has a
    ring and a name."""
    points = result.points
    places = tuple((p.loss, p.output_tokens_per_second_per_device) for p in points)
    memory = tuple(p.total_bytes_per_device / GIB for p in points)
    marks: list[Mark] = [PointMarks(places, "", size=18**0.5, values=memory)]
    if result.knee is not None:
        x, y = result.knee.loss, result.knee.output_tokens_per_second_per_device
        marks += [
            PointMarks(((x, y),), KNEE, "o", 11, hollow=True),
            Words(x, y, "knee", 8, offset=(8, -12)),
        ]
    return Chart(
        f"{result.model} on {result.device}, context {result.context:,}",
        ChartAxis(f"loss [{result.loss_unit}]"),
        ChartAxis("output tokens/s per device"),
        tuple(marks),
        f"Loss [{result.loss_unit}] and output tokens/s per device: "
        + values_in_words(
            (
                f"{p.loss:.3g}",
                number_text(p.output_tokens_per_second_per_device) + (" (knee)" if p.knee else ""),
            )
            for p in points
        ),
        (6.4, 4.2),
        grid="both",
        scale=ColourScale("memory of the fullest device [GiB]", "viridis"),
    )


def phase_map_chart(result: Frontier, shown: PhaseMap) -> Chart:
    """What a decode step is spent on by context and batch, and the number of the best plan."""
    batches, contexts = list(shown.batches), list(shown.contexts)
    marks: list[Mark] = []
    for c in shown.cells:
        x, y = batches.index(c.batch), contexts.index(c.context)
        colour = REGIMES.get(c.regime, "#ffffff")
        text = str(c.plan + 1) if c.regime else "–"
        marks += [
            ColouredCell(x - 0.5, y - 0.5, 1, 1, colour, ""),
            Words(x, y, text, 9, across="center", up="center"),
        ]
    regimes = dict.fromkeys(c.regime for c in shown.cells if c.regime)
    return Chart(
        f"{result.model} on {result.device}: what the step is spent on; best plan by number",
        ChartAxis(
            "batch [sequences]",
            ends=(-0.5, len(batches) - 0.5),
            ticks=tuple((x, str(batch)) for x, batch in enumerate(batches)),
            plain=True,
        ),
        ChartAxis(
            "context [tokens]",
            ends=(len(contexts) - 0.5, -0.5),
            ticks=tuple((y, f"{context:,}") for y, context in enumerate(contexts)),
            plain=True,
        ),
        tuple(marks),
        "What a step is spent on, and the best plan, by context and batch: "
        + values_in_words(
            (
                f"{c.context:,} × {c.batch}",
                f"{c.regime}, plan {c.plan + 1}" if c.regime else "no room",
            )
            for c in shown.cells
        ),
        (max(5.8, 1.4 + 0.85 * len(batches)), 1.3 + 0.5 * len(contexts)),
        sides="none",
        legend=Legend(
            "upper left", (0, 0), 6, 4.2, fills=tuple((name, REGIMES[name]) for name in regimes)
        ),
    )


def loss_and_rate_chart(result: Compared) -> Chart:
    """Every row's rate against its loss with the intervals of both, a colour for each model and
    device; hollow does not keep the limits on time."""
    rows = [row for row in result.rows if row.feasible]
    pairs = list(dict.fromkeys((row.model, row.device) for row in rows))
    names = {pair: _pair_name(result, pair) for pair in pairs}
    marks: list[Mark] = []
    for n, pair in enumerate(pairs):
        colour = COLOURS[n % len(COLOURS)]
        for row in rows:
            if (row.model, row.device) == pair:
                marks += _plan_marks(row, colour, named=len(pairs) == 1)
        marks.append(PointMarks((), colour, "o", 6, name=names[pair]))
    least = min([row.loss for row in rows if row.loss], default=1.0)
    return Chart(
        "schemes side by side",
        ChartAxis(f"loss [{rows[0].loss_unit.partition(' (')[0]}]", "symlog", least=least),
        ChartAxis("output tokens/s per device", "log", short=True),
        tuple(marks),
        "Output tokens/s per device and loss: "
        + values_in_words(
            (f"{row.name}, {names[row.model, row.device]}", _in_words(row)) for row in rows
        ),
        (7.2, 4.4),
        grid="both",
        legend=Legend(),
    )


def _in_words(row: ComparedPlan) -> str:
    rate = row.output_tokens_per_second_per_device
    assert rate is not None
    return (
        f"{interval_text(rate.value, rate.low, rate.high)}, loss "
        f"{interval_text(row.loss or 0.0, row.loss_low, row.loss_high)}"
    )


def _plan_marks(row: ComparedPlan, colour: str, *, named: bool) -> list[Mark]:
    rate = row.output_tokens_per_second_per_device
    assert rate is not None
    x, y = row.loss or 0.0, rate.value
    marks: list[Mark] = [Interval(x, rate.low, rate.high, colour, 1.1, upright=True, alpha=0.45)]
    if row.loss_low is not None and row.loss_high is not None:
        marks.append(Interval(y, row.loss_low, row.loss_high, colour, 0.8, alpha=0.25))
    own = row.kind == "recommended"
    shape, size = PLANS[row.kind], 8 if own else 6
    marks.append(PointMarks(((x, y),), colour, shape, size, hollow=not row.within_limits))
    if named or own:
        marks.append(Words(x, y, row.name, 7, SOFT, offset=(6, -3)))
    return marks


def _pair_name(result: Compared, pair: tuple[str, str]) -> str:
    """What tells a pair from the others."""
    model, device = pair
    if len(result.models) == 1:
        return device
    return model if len(result.devices) == 1 else f"{model} on {device}"
