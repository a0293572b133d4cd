"""What a comparison shows first: rows of one plan are one, and only what is beaten is folded."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from support.comparisons import compared, row
from support.examples import examples

from planner.planning.what_if.compared import Compared, ComparedPair, ComparedPlan
from planner.report.charts.compared import (
    LANGUAGE_FOLDER,
    beats,
    chart_plans,
    compared_panels,
    disjoint,
)
from planner.report.phrases import phrases

SAY = phrases("en", LANGUAGE_FOLDER)


def test_rows_of_one_plan_are_one_and_what_is_beaten_is_told() -> None:
    found = compared()
    shown = chart_plans(found, found.pairs[0])
    assert [(one.name, one.roles, one.beaten, one.mark) for one in shown] == [
        ("fp8-tensor", ("recommended",), False, "recommended"),
        ("bf16", ("released",), False, "released"),
        ("nvfp4", (), False, "uniform"),
        ("int8-w8a8", (), False, "uniform"),
        ("Q4_K_M", (), True, "uniform"),
        ("Q8_0", (), False, "other"),
    ]


def test_what_is_recommended_as_released_is_one_row_of_both() -> None:
    first = row("recommended", 100, 0.0, kind="recommended", schemes=("bf16",))
    same = replace(first, name="as released", kind="released")
    pair = ComparedPair("llama-3.1-70b", "h100-sxm", ("bf16",), "", "", None, "")
    (one,) = chart_plans(Compared("throughput", (pair,), (first, same)), pair)
    assert one.roles == ("recommended", "released")
    slower = replace(same, users=40)
    assert len(chart_plans(Compared("throughput", (pair,), (first, slower)), pair)) == 2


@given(
    st.lists(
        st.tuples(st.floats(1, 1e4), st.floats(0, 1), st.booleans(), st.booleans()),
        min_size=1,
        max_size=9,
    )
)
@settings(max_examples=examples(40, 1000))
def test_a_beaten_row_is_beaten_by_one_that_is_shown(
    drawn: list[tuple[float, float, bool, bool]],
) -> None:
    plans = [
        row(f"s{n}", rate, loss, within_limits=kept, usd=2.0 if priced else None)
        for n, (rate, loss, kept, priced) in enumerate(drawn)
    ]
    pair = ComparedPair("llama-3.1-70b", "h100-sxm", ("bf16",), "", "", None, "")
    shown = chart_plans(Compared("throughput", (pair,), tuple(plans)), pair)
    first = [one.row for one in shown if not one.beaten]
    assert {one.row.name for one in shown} == {one.name for one in plans}
    for one in shown:
        better = [other for other in first if _better(other, one.row)]
        assert one.beaten == bool(better), one.row.name


def _better(other: ComparedPlan, row: ComparedPlan) -> bool:
    rate, mine = other.output_tokens_per_second_per_device, row.output_tokens_per_second_per_device
    assert rate is not None
    assert mine is not None
    sure = other.within_limits and rate.low > mine.high
    faster = sure if row.within_limits else rate.value > mine.value
    return faster and (other.loss or 0.0) <= (row.loss or 0.0)


def test_cost_that_is_not_cheaper_beyond_its_interval_does_not_beat() -> None:
    fast, slow = row("a", 300, 0.1), row("b", 100, 0.1)
    assert beats(fast, slow)
    assert not beats(slow, fast)
    dear = replace(fast, usd_per_million_output_tokens=slow.usd_per_million_output_tokens)
    assert not beats(dear, slow)
    assert not beats(replace(fast, loss=0.11), slow)
    late = replace(fast, within_limits=False)
    assert not beats(late, slow)
    assert beats(late, replace(slow, within_limits=False))
    assert disjoint(*(one.output_tokens_per_second_per_device for one in (fast, slow)))  # type: ignore[arg-type]


def test_panels_have_the_rates_of_the_rows() -> None:
    found = compared()
    chart = compared_panels(found, SAY)
    assert [panel.title for panel in chart.panels] == [
        f"{pair.model} on {pair.device}" for pair in found.pairs
    ]
    for pair, panel in zip(found.pairs, chart.panels, strict=True):
        rates = [
            one.row.output_tokens_per_second_per_device
            for one in chart_plans(found, pair)
            if not one.beaten
        ]
        assert [(dot.value, dot.low, dot.high) for dot in panel.rows] == [
            (rate.value, rate.low, rate.high) for rate in rates if rate is not None
        ]
        assert panel.log
        assert [dot.note for dot in panel.rows] == ["recommended", "as released", "", "", ""]
        assert panel.alt.count("beyond the limits on time") == 1
        assert "tokens/s" in panel.x_title
    assert all(f"{panel.rows[0].value:,.0f}" in chart.alt for panel in chart.panels)
    alone = compared_panels(found, SAY, ("qwen3-32b",))
    assert [panel.title for panel in alone.panels] == list(found.devices)
    assert alone.panels[0].rows == chart.panels[2].rows
    assert not compared_panels(replace(found, rows=()), SAY).panels
