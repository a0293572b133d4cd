"""A chart of uniform formats keeps the limit on TPOT that the plan keeps."""

from dataclasses import replace

import planner
from planner.planning.inspect.layout_frontier import FrontierReach
from planner.planning.plan.record import Assumption, Plan
from planner.report.charts.plan_figures import reach_figure, rivals_figure, tpot_limit
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
    rows = rivals_figure(plan, tpot_limit(plan)).rows
    assert [row.over for row in rows] == [False, False, True]
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
    shown = reach_figure(plan, curve, limit)
    assert [place.over for place in shown.curve] == [False, True]
    assert [place.over for place in shown.others] == [True, False]
    assert not shown.mine.over
