"""A chart of uniform formats marks what breaks the limits on TPOT, TTFT and loss."""

from dataclasses import replace

import planner
from planner.planning.inspect.layout_frontier import FrontierReach
from planner.planning.plan.record import Assumption, Plan
from planner.report.charts.plan_figures import (
    PlanLimits,
    limits_of,
    reach_figure,
    rivals_figure,
    tpot_limit,
)
from planner.report.charts.reach_svg import reach_svg
from planner.report.phrases import phrases
from planner.report.render.html import page
from tests.support.wheels import ROOT


def limited() -> Plan:
    """A plan with the default limit, of whose baselines one is fast and over it."""
    plan = planner.read_plan(ROOT / "tests" / "golden" / "report" / "plan.json")
    first, second, *rest = (b for b in plan.baselines if b.feasible)
    limit = 1e3 * 2 * max(plan.performance.tpot_seconds.value, second.tpot_seconds)
    return replace(
        plan,
        baselines=(replace(first, tpot_seconds=limit / 1e3 * 1.2), second, *rest[:0]),
        assumptions=(Assumption("tpot-ms default", f"{limit:.6g} ms", "x"),),
    )


def test_the_limit_is_that_of_the_plan() -> None:
    plan = limited()
    told = float(str(plan.assumptions[0].value).split()[0])
    assert tpot_limit(plan) == told / 1e3
    assert tpot_limit(plan, "30") == 0.03
    assert tpot_limit(plan, "none") is None
    assert tpot_limit(replace(plan, assumptions=())) is None


def test_rows_that_break_it_stand_last_and_are_marked() -> None:
    plan = limited()
    rows = rivals_figure(plan, limits_of(plan)).rows
    assert [row.over for row in rows] == [(), (), ("tpot",)]
    assert rows[0].kind == "plan"
    assert not any(row.over for row in rivals_figure(plan).rows)
    text = page(plan, "en")
    assert text.count("over the limit of") == 1
    assert text.count('class="part over"') == 1
    free = tuple(a for a in plan.assumptions if a.key != "tpot-ms default")
    assert 'class="part over"' not in page(replace(plan, assumptions=free), "en")


def test_places_of_the_loss_chart_are_marked() -> None:
    plan = limited()
    limit = tpot_limit(plan)
    assert limit is not None
    curve = [FrontierReach(0.1, limit * share, 100.0, 1, 1) for share in (0.9, 1.1)]
    shown = reach_figure(plan, curve, PlanLimits(limit))
    assert [place.over for place in shown.curve] == [(), ("tpot",)]
    assert [place.over for place in shown.others] == [("tpot",), ()]
    assert not shown.mine.over


def asked(line: str, loss: str) -> Plan:
    """The limited plan, asked with flags, that keeps a limit on loss."""
    plan = limited()
    told = (Assumption("asked", line, "x"), Assumption("max-loss", loss, "x"))
    return replace(plan, assumptions=(*plan.assumptions, *told))


def test_limits_are_those_that_were_asked_for_and_those_that_are_told() -> None:
    plan = asked("tpot-ms=30; ttft-ms=200", "0.02")
    assert limits_of(plan) == PlanLimits(0.03, 0.2, 0.02)
    assert limits_of(plan).names == ("tpot", "ttft", "loss")
    name = plan.baselines[1].name
    assert limits_of(asked("devices=1", f"{name} (9.9)")).loss == plan.baselines[1].loss
    assert limits_of(asked("devices=1", "fp4 (0.03)")).loss == 0.03
    assert limits_of(asked("devices=1", "none")).loss is None


def test_a_late_first_token_and_too_much_loss_are_marked_too() -> None:
    plan = limited()
    second = plan.baselines[1]
    bad = replace(second, ttft_seconds=0.3, loss=0.05)
    plan = replace(plan, baselines=(bad,), assumptions=())
    limits = PlanLimits(None, 0.2, 0.04)
    (*_, row) = rivals_figure(plan, limits).rows
    assert row.over == ("ttft", "loss")
    good = replace(bad, ttft_seconds=0.2, loss=0.04)
    (*_, row) = rivals_figure(replace(plan, baselines=(good,)), limits).rows
    assert row.over == ()
    curve = [FrontierReach(loss, 0.01, 100.0, 1, 1) for loss in (0.03, 0.05)]
    shown = reach_figure(plan, curve, limits)
    assert [place.over for place in shown.curve] == [(), ("loss",)]
    assert [place.over for place in shown.others] == [("ttft", "loss")]
    told = page(asked("ttft-ms=1", "0.0000001"), "en")
    assert "over the limit of 1.00\N{NO-BREAK SPACE}ms to the first token" in told


def test_a_limit_is_a_line_where_the_axis_is_what_it_limits() -> None:
    plan = limited()
    curve = [FrontierReach(loss, 0.01, 100.0, 1, 1) for loss in (0.01, 0.1)]
    assert 'class="limit"' not in reach_svg(phrases("en"), plan, curve, PlanLimits(0.02, 0.2))
    text = reach_svg(phrases("en"), plan, curve, PlanLimits(0.02, 0.2, 0.04))
    assert text.count('class="limit"') == 1
    late = replace(plan, objective="latency")
    text = reach_svg(phrases("en"), late, curve, PlanLimits(0.02, 0.2, 0.04))
    assert text.count('class="limit"') == 2
    assert rivals_figure(late, PlanLimits(0.02)).limit == 0.02
    assert rivals_figure(plan, PlanLimits(0.02)).limit is None
