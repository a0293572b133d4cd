"""Every public figure: axes with units, the numbers and intervals of its result, and words for who
cannot see it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.patches import Rectangle
from support import comparisons, fleets, sweeps
from support import figure_results as made

import planner
from planner import plot
from planner.base.units import GIB
from planner.memory.answer import PARTS
from planner.planning.inspect.waterfall import waterfall
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Estimate
from planner.plot.axes import alt_of
from planner.report.charts.plan_figures import reach_figure, rivals_figure, users_figure
from planner.report.charts.records import number_text
from planner.sweeping.sweep import frame

SVG = "{http://www.w3.org/2000/svg}"
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?")
UNIT = re.compile(r"\[[^\]]+\]|tokens/s")
BARE = {"devices", "users that fit, all replicas", "layer", "relative error ‖ΔY‖ / ‖Y‖"}
"""Counts, places and shares of one: what has no unit."""
Values = list[float]
Intervals = list[tuple[float, float]]


@dataclass(frozen=True)
class Drawn:
    """A figure, what it has to show: coordinates, intervals, and numbers in its words."""

    axes: Axes
    values: Values
    intervals: Intervals
    told: Values


def ends(found: Estimate, size: float = 1.0) -> tuple[float, float]:
    return found.low / size, found.high / size


def uniform(late: bool = False) -> Drawn:
    plan, size = (made.late(), 1e-3) if late else (made.plan(), 1.0)
    rows = rivals_figure(plan).rows
    perf = plan.performance
    own = perf.tpot_seconds if late else perf.output_tokens_per_second_per_device
    return Drawn(
        plot.uniform(plan),
        [row.value / size for row in rows],
        [ends(own, size)],
        [own.value / size, own.low / size, own.high / size, 20.0 if late else 50.0, 0.25],
    )


def step() -> Drawn:
    shown = waterfall(made.plan(), "decode")
    tpot = made.plan().performance.tpot_seconds
    total = sum(bar.seconds for bar in (*shown.bars, shown.rest))
    assert total == pytest.approx(tpot.value)
    return Drawn(
        plot.time(made.plan()),
        [
            1e3 * (bar.start + bar.share) * max(shown.sum_seconds, shown.end_seconds)
            for bar in shown.bars
        ],
        [ends(tpot, 1e-3)],
        [],
    )


def priced(patch: pytest.MonkeyPatch) -> None:
    """Prices come from the stored counts."""
    found, inspect = made.computed(), "planner.planning.inspect"
    patch.setattr(f"{inspect}.users.users_that_fit", lambda _: found.room)
    patch.setattr(f"{inspect}.sensitivity.sensitivity", lambda _: found.sensitivity)
    patch.setattr(f"{inspect}.roofline.operators", lambda *_: found.operators)
    patch.setattr(f"{inspect}.layout_frontier.own_frontier", lambda _: found.frontier)
    patch.setattr("planner.plot.functions._repriced", lambda plan, hardware_dir: _Asked())


class _Asked:
    question = None


def frontier_of_a_plan() -> Drawn:
    plan = made.plan()
    found = reach_figure(plan, made.computed().frontier or ())
    rate, quality = plan.performance.output_tokens_per_second_per_device, plan.quality
    return Drawn(
        plot.frontier(plan),
        [v for p in found.places for v in (p.loss, p.value)],
        # What is served as released loses nothing, and has no interval of it.
        [ends(rate), *([(quality.low, quality.high)] if quality.loss else [])],
        [rate.value, rate.low, rate.high, quality.low, quality.high, 50.0, 0.25],
    )


def users() -> Drawn:
    found = users_figure(made.plan(), made.computed().room or ())
    points = [float(v) for point in (*found.own, *found.wide) for v in point]
    return Drawn(
        plot.users(made.plan()),
        [*points, found.batch, found.context],
        [],
        [float(count) for _, count in (*found.own, *found.wide)],
    )


def premises() -> Drawn:
    swings, rate = (
        made.computed().sensitivity,
        made.plan().performance.output_tokens_per_second_per_device,
    )
    assert swings is not None
    values = [
        end.output_tokens_per_second_per_device for s in swings.swings for end in (s.low, s.high)
    ]
    return Drawn(
        plot.sensitivity(made.plan()),
        [*values, rate.low, rate.high],
        [],
        [rate.value, rate.low, rate.high, *values],
    )


def roofline() -> Drawn:
    found = made.computed().operators
    assert found is not None
    values = [v for o in found.points for v in (o.intensity, o.flop_per_s / 1e12)]
    return Drawn(plot.roofline(made.plan()), values, [], values)


def compare() -> Drawn:
    found = comparisons.compared()
    rows = [r for r in found.rows if r.feasible]
    rates = [r.output_tokens_per_second_per_device for r in rows]
    assert None not in rates
    losses = [(r.loss_low, r.loss_high) for r in rows]
    told = [v for rate in rates if rate for v in (rate.value, rate.low, rate.high)]
    return Drawn(
        plot.compare(found, by="loss"),
        [v for rate in rates if rate for v in [rate.value]],
        [*(ends(rate) for rate in rates if rate), *losses],
        [*told, *(v for pair in losses for v in pair)],
    )


def compared() -> Drawn:
    """The recommended and the released rows, which no row beats."""
    found = comparisons.compared()
    rates = [
        r.output_tokens_per_second_per_device
        for r in found.rows
        if r.feasible and r.kind in ("recommended", "released")
    ]
    return Drawn(
        plot.compare(found),
        [rate.value for rate in rates if rate],
        [ends(rate) for rate in rates if rate],
        [v for rate in rates if rate for v in (rate.value, rate.low, rate.high)],
    )


def alternatives() -> Drawn:
    """The golden plan, with gains by hand: what both share has cancelled."""
    plan = made.weighed()
    said = plan.recommendation
    assert said is not None
    rate = plan.performance.output_tokens_per_second.value
    gain = GainRange(0.5, 0.25, 1.0)
    return Drawn(
        plot.alternatives(plan),
        [rate, 1.5 * rate],
        [(1.25 * rate, 2 * rate)],
        [rate, 1.5 * rate, (1 + gain.low) * rate, (1 + gain.high) * rate],
    )


def sweep() -> Drawn:
    """Cells have texts, no coordinates: the numbers are told, and stand in the cells."""
    rows = sweeps.grid()["output_tokens_per_second_per_device"]
    axes = plot.sweep(frame(sweeps.grid()))
    shown = {text.get_text() for text in axes.texts}
    assert {number_text(value) for value in rows if value is not None} <= shown
    there = [value for value in rows if value is not None]
    return Drawn(axes, [], [], [min(there), max(there)])


def swept_bars() -> Drawn:
    columns = sweeps.grid()
    values, lows, highs = (
        [v for v in columns[f"usd_per_million_output_tokens{end}"] if v is not None]
        for end in ("", "_low", "_high")
    )
    return Drawn(
        plot.sweep(frame(columns), measure="usd", by="bars"),
        values,
        list(zip(lows, highs, strict=True)),
        [min(values), max(values)],
    )


def serving() -> Drawn:
    found = made.served()
    tpot = found.tpot_seconds
    assert tpot is not None
    values = [
        v
        for p in found.points
        for v in (p.output_tokens_per_second_per_user, p.output_tokens_per_second_per_device)
    ]
    return Drawn(
        plot.serving(found),
        values,
        [(1 / tpot.high, 1 / tpot.low)],
        [*values, 1 / tpot.high, 1 / tpot.low],
    )


def frontier() -> Drawn:
    values = [
        v for p in made.frontier().points for v in (p.loss, p.output_tokens_per_second_per_device)
    ]
    return Drawn(plot.frontier(made.frontier()), values, [], values)


def layer_errors() -> Drawn:
    values = [0.021, 0.019, 0.0285, 3e-4]
    return Drawn(plot.layer_errors(made.numerics()), values, [(2.4e-4, 3.6e-4)], [*values, 6e-5])


def fleet() -> Drawn:
    found = fleets.made()
    return Drawn(
        plot.fleet(found),
        [float(d.stock) for d in found.devices],
        [],
        [float(p.devices) for p in found.pools] + [float(d.spare) for d in found.devices],
    )


def alphas() -> Drawn:
    frame = planner.sensitivity("gpt2")
    head = float(frame[frame["kind"] == "head"]["alpha"].sum())
    factor = float(f"{(frame['high'] / frame['alpha']).max():.2g}")
    return Drawn(plot.sensitivity(frame), [], [], [head, factor])


def memory() -> Drawn:
    found = made.plan().memory_per_device
    return Drawn(
        plot.memory(made.plan()),
        [found.weights_bytes / GIB],
        [],
        [float(f"{found.weights_bytes / GIB:.1f}"), float(f"{found.usable_bytes / GIB:.1f}")],
    )


def stages() -> Drawn:
    found = planner.memory_use("smollm2-135m", "l40s", pp=2)
    weights = [getattr(stage, PARTS["weights"]) / GIB for stage in found.parts.stages]
    return Drawn(plot.memory(found), weights, [], weights)


def shares() -> Drawn:
    found = planner.experts("qwen3-30b-a3b", batch=4)
    return Drawn(plot.residency(found), [100.0], [], [])


CASES: dict[str, list[Callable[[], Drawn]]] = {
    "alternatives": [alternatives],
    "compare": [compare, compared],
    "fleet": [fleet],
    "sweep": [sweep, swept_bars],
    "formats": [lambda: Drawn(plot.formats(made.plan()), [], [], [])],
    "frontier": [frontier, frontier_of_a_plan],
    "layer_errors": [layer_errors],
    "memory": [memory, stages],
    "residency": [shares],
    "roofline": [roofline],
    "phase_map": [lambda: Drawn(plot.phase_map(made.frontier()), [], [], [])],
    "sensitivity": [alphas, premises],
    "serving": [serving],
    "tensor_bytes": [lambda: Drawn(plot.tensor_bytes(planner.inventory("gpt2")), [], [], [])],
    "time": [step],
    "uniform": [uniform, lambda: uniform(late=True)],
    "users": [users],
    "validation_errors": [
        lambda: Drawn(plot.validation_errors(made.validation()), [10.0], [], [10.0])
    ],
}
EACH = [(name, n) for name, cases in CASES.items() for n in range(len(cases))]


def coordinates(axes: Axes) -> Iterator[float]:
    for one in axes.lines:
        yield from np.ravel(np.asarray(one.get_xdata(), float))
        yield from np.ravel(np.asarray(one.get_ydata(), float))
    for patch in axes.patches:
        if isinstance(patch, Rectangle):
            yield from (patch.get_x(), patch.get_x() + patch.get_width())
    for group in axes.collections:
        if isinstance(group, PathCollection):
            yield from np.ravel(np.asarray(group.get_offsets(), float))


def segments(axes: Axes) -> Iterator[tuple[float, float]]:
    """Straight lines along an axis: where each begins and ends on it."""
    for group in axes.collections:
        if isinstance(group, LineCollection):
            for (x0, y0), (x1, y1) in group.get_segments():
                yield (x0, x1) if y0 == y1 else (y0, y1)
    for one in axes.lines:
        across = np.asarray(one.get_xdata(), float)
        if len(across) == 2:
            yield across[0], across[1]


def check_axis(axes: Axes, which: str) -> None:
    """A name with a unit, or ticks that are names."""
    label = getattr(axes, f"get_{which}label")()
    ticks = [text.get_text() for text in getattr(axes, f"get_{which}ticklabels")()]
    if label:
        assert UNIT.search(label) or label.split("\n")[0] in BARE, label
    else:
        assert not any(re.fullmatch(r"[\d.,−-]+", text) for text in ticks), ticks


@pytest.mark.parametrize(("name", "number"), EACH)
def test_a_figure_is_read_without_its_maker(
    name: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    priced(monkeypatch)
    found = CASES[name][number]()
    axes = found.axes
    assert axes.get_title(loc="left")
    for which in "xy":
        check_axis(axes, which)
    shown = np.array([v for v in coordinates(axes) if np.isfinite(v)])
    for value in found.values:
        assert np.isclose(shown, value, rtol=1e-9, atol=1e-12).any(), value
    lines = list(segments(axes))
    for low, high in found.intervals:
        assert low < high
        assert any(np.allclose(line, (low, high), rtol=1e-9) for line in lines), (low, high)
    words = alt_of(axes)
    assert re.search(r"\d", words)
    numbers = np.array([float(text.replace(",", "")) for text in NUMBER.findall(words)])
    for value in found.told:
        assert np.isclose(numbers, value, rtol=5e-3).any(), value


@pytest.mark.sample(1)
@pytest.mark.parametrize("name", CASES)
def test_a_notebook_shows_a_named_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    priced(monkeypatch)
    axes = CASES[name][0]().axes
    root = ElementTree.fromstring(axes._repr_svg_())  # type: ignore[attr-defined]
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.text == axes.get_title(loc="left")
    assert desc.text == alt_of(axes)


def test_every_public_figure_is_looked_at() -> None:
    assert set(CASES) == set(plot.__all__)
