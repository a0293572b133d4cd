"""The numbers of figures against the result's own, field by field."""

from dataclasses import replace

import pytest
from support import figure_results as made

from planner.planning.inspect.layout_frontier import FrontierReach
from planner.planning.inspect.users import UsersPoint
from planner.report.charts.error_charts import MOST, panels
from planner.report.charts.plan_figures import (
    premises_figure,
    reach_figure,
    rivals_figure,
    short_tokens,
    users_figure,
)
from planner.report.phrases import phrases
from planner.report.view.figures import rivals

ROOM = (
    UsersPoint(1024, 80, 40, 10),
    UsersPoint(3000, 20, 13, 30, own=True),
    UsersPoint(8192, 6, 0, 90),
)


def test_users_are_those_of_each_cache_where_there_is_room() -> None:
    found = users_figure(made.plan(), ROOM)
    assert found.own == ((1024, 80), (3000, 20), (8192, 6))
    assert found.wide == ((1024, 40), (3000, 13))
    assert found.ticks == (1024, 8192)
    assert (found.context, found.batch) == (3000, made.plan().workload.batch)
    same = tuple(replace(point, wide_users=point.users) for point in ROOM)
    assert users_figure(made.plan(), same).wide == ()
    assert [short_tokens(n) for n in (512, 1024, 3000, 40960)] == ["512", "1Ki", "3,000", "40Ki"]


@pytest.mark.parametrize("late", [False, True])
def test_reach_is_by_rate_or_by_time(late: bool) -> None:
    plan = made.late() if late else made.plan()
    one = FrontierReach(0.01, 0.02, 50.0, 2**30, 4)
    found = reach_figure(plan, [one])
    own = (
        plan.performance.tpot_seconds
        if late
        else plan.performance.output_tokens_per_second_per_device
    )
    assert (found.mine.low, found.mine.value, found.mine.high) == (own.low, own.value, own.high)
    assert (found.mine.loss_low, found.mine.loss, found.mine.loss_high) == (
        plan.quality.low,
        plan.quality.loss,
        plan.quality.high,
    )
    assert [(p.loss, p.value) for p in found.curve] == [(0.01, 0.02 if late else 50.0)]
    line = next(p for p in found.others if p.loss == 0.25)
    assert (line.names, line.value) == (("int4-w4a16",), 0.02 if late else 50.0)
    assert found.loss_unit == "nats"


@pytest.mark.parametrize("late", [False, True])
def test_premises_are_in_falling_order_of_what_they_do(late: bool) -> None:
    plan, swings = made.late() if late else made.plan(), made.computed().sensitivity
    assert swings is not None
    found = premises_figure(plan, swings)
    own = (
        plan.performance.tpot_seconds
        if late
        else plan.performance.output_tokens_per_second_per_device
    )
    assert (found.low, found.high) == (own.low, own.high)
    assert [row.effect for row in found.rows] == sorted(
        (r.effect for r in found.rows), reverse=True
    )
    for row in found.rows:
        ends = (row.swing.low, row.swing.high)
        assert (row.less, row.more) == tuple(
            e.tpot_seconds if late else e.output_tokens_per_second_per_device for e in ends
        )
        if row.swing.premise == "bandwidth":
            assert (row.less < row.more) is not late


@pytest.mark.parametrize(
    ("objective", "compares", "value"),
    [
        ("throughput", "rate", 50.0),
        ("cost", "rate", 50.0),
        ("latency", "late", 0.02),
        ("memory", "memory", 2.0**30),
        ("quality", "loss", 0.25),
    ],
)
def test_rivals_are_compared_by_the_objective(objective: str, compares: str, value: float) -> None:
    plan = replace(made.plan(), objective=objective)
    if plan.quality.loss == 0:  # a release that is served as it is: no band to draw
        lost = replace(plan.quality, loss=0.02, low=0.01, high=0.04)
        plan = replace(plan, quality=lost)
    found = rivals_figure(plan)
    assert found.compares == compares
    line = found.rows[-1]
    assert (line.names, line.value, line.low, line.pale) == (("int4-w4a16",), value, None, True)
    own = found.rows[0]
    assert (own.kind, own.loss, own.pale) == ("plan", plan.quality.loss, False)
    if compares == "memory":
        assert own.low is None
    else:
        assert own.low is not None
        assert own.high is not None
        assert own.low < own.value < own.high
    assert [bar.length for bar in rivals(phrases("en"), plan)] == [
        row.value / found.longest for row in found.rows
    ]


def test_formats_of_the_same_figures_are_one_row() -> None:
    line = made.plan().baselines[-1]
    twice = replace(
        made.plan(),
        baselines=(line, replace(line, name="other"), replace(line, name="none", feasible=False)),
    )
    assert [row.names for row in rivals_figure(twice).rows] == [(), ("int4-w4a16", "other")]


def test_rows_without_an_interval_have_none() -> None:
    outcomes = made.validation().outcomes
    bare = [replace(o, low=0.0, high=0.0) for o in outcomes]
    assert {(row.low, row.high) for panel in panels(bare) for row in panel.rows} == {(None, None)}
    assert [row.high for row in panels(outcomes)[0].rows] == [1.5e-6, 3e-6]
    many = panels(list(outcomes[:1]) * (2 * MOST + 1))[0]
    assert (many.step, len(many.shown)) == (3, len(many.rows[::3]))
