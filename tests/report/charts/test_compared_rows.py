"""The charts of a comparison: the rows that decide, what breaks a limit hollow and named."""

from dataclasses import replace

from support.comparisons import compared, row

from planner.planning.what_if.compared import ComparedPair
from planner.planning.what_if.compared_roles import shown_rows
from planner.report.charts.compared import (
    LANGUAGE_FOLDER,
    compared_panels,
    disjoint,
    loss_panels,
    over_loss_limit,
)
from planner.report.charts.dots_svg import panels_svg
from planner.report.phrases import phrases

SAY = phrases("en", LANGUAGE_FOLDER)


def test_panels_have_the_rates_of_the_rows_that_are_shown() -> None:
    found = compared()
    chart = compared_panels(found, SAY)
    assert [panel.title for panel in chart.panels] == [
        f"{pair.model} on {pair.device}" for pair in found.pairs
    ]
    for (_, rows), panel in zip(shown_rows(found), chart.panels, strict=True):
        rates = [one.output_tokens_per_second_per_device for one in rows]
        assert [(dot.value, dot.low, dot.high) for dot in panel.rows] == [
            (rate.value, rate.low, rate.high) for rate in rates if rate is not None
        ]
        assert panel.log
        assert [dot.note for dot in panel.rows] == [
            "recommended",
            "published checkpoint, least loss",
            "fastest, cheapest",
        ]
        assert [dot.mark for dot in panel.rows] == ["recommended", "released", "uniform"]
        assert "tokens/s" in panel.x_title
    alone = compared_panels(compared(("qwen3-32b",)), SAY)
    assert [panel.title for panel in alone.panels] == list(found.devices)
    assert not compared_panels(replace(found, rows=()), SAY).panels


def test_a_row_over_the_limit_on_loss_is_hollow_and_the_limit_is_drawn() -> None:
    found = compared(("qwen3-32b",), ("h100-sxm",))
    bounded = replace(found, pairs=tuple(replace(p, loss_limit=0.005) for p in found.pairs))
    (panel,) = loss_panels(bounded, SAY).panels
    assert panel.limit is not None
    assert (panel.limit.value, panel.limit.text) == (0.005, "limit 0.005")
    marks = {dot.name: (dot.mark, "over the limit on loss" in dot.note) for dot in panel.rows}
    assert marks == {
        "fp8-tensor": ("recommended", False),
        "bf16": ("released", False),
        "nvfp4": ("other", True),
        "Q4_K_M": ("other", True),
    }
    assert "limit 0.005" in panel.alt
    assert panels_svg(loss_panels(bounded, SAY), "losses").count('class="limit"') == 2
    (free,) = loss_panels(found, SAY).panels
    assert free.limit is None
    assert free.rows[2].mark == "uniform"


def test_a_limit_wider_than_the_losses_is_inside_the_chart() -> None:
    found = compared(("qwen3-32b",), ("h100-sxm",))
    wide = replace(found, pairs=tuple(replace(p, loss_limit=1.0) for p in found.pairs))
    svg = panels_svg(loss_panels(wide, SAY), "losses")
    (x,) = {part.split('"')[1] for part in svg.split('class="limit" x1=')[1:2]}
    assert 0 < float(x) < 500


def test_the_recommended_plan_is_never_over_its_limit() -> None:
    pair = ComparedPair("m", "d", (), "", "", None, "", 0.001)
    assert over_loss_limit(row("a", 1, 0.002), pair)
    assert not over_loss_limit(row("a", 1, 0.001), pair)
    assert not over_loss_limit(replace(row("a", 1, 0.002), roles=("recommended",)), pair)


def test_intervals_that_touch_are_not_disjoint() -> None:
    fast, slow = (row("a", n, 0.1).output_tokens_per_second_per_device for n in (300, 100))
    assert fast is not None
    assert slow is not None
    assert disjoint(fast, slow)
    assert not disjoint(slow, replace(fast, low=slow.high))
