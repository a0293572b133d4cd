"""Every SVG: one named and described picture, axes with units, the numbers and intervals that the
figure of the same name has with matplotlib."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from types import ModuleType
from xml.etree import ElementTree

import pytest
from support import figure_results as made
from support import fleets, small_pools, sweeps
from support.chart_samples import BARS, DOTS, MAP, PANELS

import planner.plot
from planner.plot.draw import chart_svg, draw
from planner.quality.sensitivity.alpha_table import alpha_table
from planner.report import charts as drawings
from planner.report import words
from planner.report.charts.bars_svg import grouped_bars_svg
from planner.report.charts.chart import Chart
from planner.report.charts.dots_svg import dot_plot_svg, panels_svg
from planner.report.charts.error_charts import layer_errors_chart, panels, predicted_chart
from planner.report.charts.fleet_svg import devices_svg, limits_svg
from planner.report.charts.heat_svg import heat_map_svg
from planner.report.charts.lines_svg import lines_svg
from planner.report.charts.loss_map import loss_map_of_table
from planner.report.charts.plan_figures import reach_figure, short_tokens, users_figure
from planner.report.charts.pools_svg import flow_svg
from planner.report.charts.reach_svg import reach_svg
from planner.report.charts.roofline_svg import roofline_svg
from planner.report.charts.tradeoff_charts import frontier_chart
from planner.report.charts.users_svg import users_svg
from planner.report.phrases import Phrases, phrases
from planner.report.view.fleet import VERB
from planner.report.view.sweep_charts import drawing as lines_of
from planner.report.view.sweep_charts import line_chart
from planner.report.view.sweep_words import sweep_phrases
from planner.report.view.verb_words import verb_phrases

SVG = "{http://www.w3.org/2000/svg}"
UNIT = re.compile(r"\[[^\]]+\]|tokens/s|FLOP|tokens?\b|users|devices|limit|USD")
"""What names an axis has to hold: a unit, or what is counted, or what a share is of."""


def english() -> Phrases:
    return phrases("en")


@cache
def drawn() -> dict[str, str]:
    """A picture of every function by its name."""
    plan, counted, t = made.plan(), made.computed(), english()
    assert counted.operators is not None
    say = verb_phrases(VERB, "en")
    return {
        "bars_svg.grouped_bars_svg": grouped_bars_svg(BARS, "a"),
        "dots_svg.dot_plot_svg": dot_plot_svg(DOTS, "b"),
        "dots_svg.panels_svg": panels_svg(PANELS, "c"),
        "heat_svg.heat_map_svg": heat_map_svg(MAP, "d"),
        "fleet_svg.devices_svg": devices_svg(say, fleets.made()),
        "fleet_svg.limits_svg": limits_svg(say, fleets.made()),
        "reach_svg.reach_svg": reach_svg(t, plan, counted.frontier or ()),
        "roofline_svg.roofline_svg": roofline_svg(t, counted.operators),
        "lines_svg.lines_svg": _lines(),
        "users_svg.users_svg": users_svg(t, plan, counted.room or ()),
        "draw.chart_svg": chart_svg(
            *map(predicted_chart, panels(made.validation().outcomes)),
            title="Predicted against measured",
        ),
    } | {f"draw.chart_svg of {kind}": chart_svg(chart) for kind, chart in charts().items()}


def charts() -> dict[str, Chart]:
    """Charts that commands write as files."""
    return {
        "loss map": loss_map_of_table(alpha_table(planner.load_model("gpt2"))),
        "numerics": layer_errors_chart(made.numerics()),
        "frontier": frontier_chart(made.frontier()),
    }


def _lines() -> str:
    columns = sweeps.contexts()
    plan = lines_of(columns)
    assert plan is not None
    return lines_svg(line_chart(sweep_phrases("en"), columns, plan), "lines")


LATER = {"pools_svg.flow_svg"}
"""Of pools, which have to be planned: `make exhaustive`."""


def tree(text: str) -> ElementTree.Element:
    text = text[text.index("<svg") :]
    if "xmlns=" not in text[: text.index(">")]:
        text = text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return ElementTree.fromstring(text)


def of(root: ElementTree.Element, tag: str, kind: str) -> list[ElementTree.Element]:
    return [e for e in root.iter(SVG + tag) if kind in e.get("class", "").split()]


def modules(package: ModuleType) -> list[ModuleType]:
    return [
        importlib.import_module(f"{package.__name__}.{m.name}")
        for m in pkgutil.iter_modules(package.__path__)
    ]


def makers() -> dict[str, Callable[..., str]]:
    """Every public function that makes an SVG, by module and name."""
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": found
        for package in (drawings, planner.plot)
        for module in modules(package)
        for name, found in vars(module).items()
        if re.fullmatch(r"([a-z]\w*_)?svg", name)
        and name != "as_svg"
        and getattr(found, "__module__", "") == module.__name__
    }


def test_every_drawing_is_looked_at() -> None:
    assert set(makers()) == {name.partition(" of ")[0] for name in drawn()} | LATER


def named(root: ElementTree.Element) -> None:
    title, desc = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert desc is not None
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {desc.get('id')}"
    assert title.text
    assert len(desc.text or "") > len(title.text)


def test_every_drawing_is_a_named_and_described_picture() -> None:
    for name, text in drawn().items():
        try:
            named(tree(text))
        except AssertionError as error:
            raise AssertionError(name) from error
    ids = [
        e.get("id")
        for text in drawn().values()
        for e in tree(text).iter()
        if (e.get("id") or "").endswith(("-title", "-desc"))
    ]
    assert len(ids) == len(set(ids))


@pytest.mark.exhaustive
def test_the_flow_of_pools_is_a_named_and_described_picture() -> None:
    plan = small_pools.plan()
    named(tree(flow_svg(english(), plan, small_pools.pools(plan))))


@pytest.mark.parametrize(
    "name",
    [
        "fleet_svg.devices_svg",
        "fleet_svg.limits_svg",
        "reach_svg.reach_svg",
        "roofline_svg.roofline_svg",
        "users_svg.users_svg",
    ],
)
def test_axes_are_named_with_their_units(name: str) -> None:
    root = tree(drawn()[name])
    rows = {bar.device for bar in fleets.made().devices} | {m.name for m in fleets.made().models}
    names = [e.text or "" for e in of(root, "text", "name") if e.text not in rows]
    axes = [text for text in names if UNIT.search(text)]
    assert len(axes) >= (1 if name.startswith("fleet") else 2), names


def pixels(root: ElementTree.Element, along: str) -> Callable[[float], float]:
    """Where a value of the linear axis upwards lies, by two of its numbers."""
    ticks = [
        (float(e.get("y", "")) - 4, float((e.text or "").replace(",", "")))
        for e in of(root, "text", "tick")
        if e.get("text-anchor") == along
    ]
    (y0, v0), (y1, v1) = ticks[0], ticks[-1]
    return lambda value: y0 + (value - v0) / (v1 - v0) * (y1 - y0)


def test_the_interval_of_a_plan_is_drawn_on_its_reach() -> None:
    curve = made.computed().frontier or ()
    plan = replace(
        made.plan(), quality=replace(made.plan().quality, loss=0.02, low=0.01, high=0.04)
    )
    root = tree(reach_svg(english(), plan, curve))
    found = reach_figure(plan, curve)
    mine, y = found.mine, pixels(root, "end")
    up, across = of(root, "line", "span")
    assert float(up.get("y1", "")) == pytest.approx(y(mine.low or 0.0), abs=0.6)
    assert float(up.get("y2", "")) == pytest.approx(y(mine.high or 0.0), abs=0.6)
    assert float(up.get("y2", "")) < float(up.get("y1", "")), "more is higher"
    assert float(across.get("x1", "")) < float(up.get("x1", "")) < float(across.get("x2", ""))
    assert float(across.get("y1", "")) == pytest.approx(y(mine.value), abs=0.6)
    assert f"[{found.loss_unit}]" in "".join(root.itertext())


def test_a_mark_tells_the_numbers_of_the_figure() -> None:
    text = "".join(tree(drawn()["reach_svg.reach_svg"]).itertext())
    for place in reach_figure(made.plan(), made.computed().frontier or ()).places:
        assert f"{words.three_digits(place.value)}, loss {words.loss(place.loss)}" in text
    text = "".join(tree(drawn()["users_svg.users_svg"]).itertext())
    shown = users_figure(made.plan(), made.computed().room or ())
    for context, count in (*shown.own, *shown.wide):
        assert f"{short_tokens(context)}: {count:,}" in text


def test_rows_of_a_validation_have_their_intervals() -> None:
    panel = panels(made.validation().outcomes)[0]
    axes = draw(predicted_chart(panel))
    points = [
        (float(x), float(y))
        for x, y in zip(axes.lines[0].get_xdata(), axes.lines[0].get_ydata(), strict=True)
        if x == x
    ]
    assert points == [(row.measured, end) for row in panel.rows for end in (row.low, row.high)]
    assert axes.get_xlabel() == "measured latency [s]"
    assert axes.get_ylabel() == "predicted [s], 80 % interval"
