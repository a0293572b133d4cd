"""The first screen: the figures that count, the cost, other plans with intervals, the command."""

import json
import re
from dataclasses import replace
from functools import cache

import pytest
from support.questions import plan_of
from support.recommended import NEXT, other, recommended
from support.wheels import ROOT

import planner
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Assumption, Estimate, Plan, plain_data
from planner.report import key_figures, words
from planner.report.charts.records import DotPlot
from planner.report.phrases import LANGUAGES, phrases
from planner.report.render.embedded import computed_from
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.view.first_screen import FirstScreen, first_screen, given_flags
from planner.report.view.rival_plans import rivals_view

HALF = GainRange(0.1, -0.05, 0.25)


@cache
def stored() -> Plan:
    """A plan of the planner with a recommendation."""
    return planner.read_plan(ROOT / "tests" / "golden" / "report" / "plan.json")


def shown(plan: Plan, asked: str = "", lang: str = "en") -> FirstScreen:
    return first_screen(phrases(lang), plan, asked)


def chart(plan: Plan, lang: str = "en") -> DotPlot:
    found = rivals_view(phrases(lang), plan)
    assert found is not None
    return found.chart


def above(plan: Plan, lang: str = "en") -> str:
    """The page up to the section on time."""
    return page(plan, lang).partition("<body>")[2].partition('<section aria-labelledby="time"')[0]


@pytest.mark.parametrize(
    ("objective", "names"),
    [
        ("throughput", ("output", "tpot", "loss")),
        ("cost", ("output", "tpot", "loss")),
        ("latency", ("tpot", "output", "loss")),
        ("memory", ("memory", "tpot", "loss")),
        ("quality", ("loss", "output", "tpot")),
    ],
)
def test_the_objective_makes_the_three_that_count(objective: str, names: tuple[str, ...]) -> None:
    t, plan = phrases("en"), replace(stored(), objective=objective)
    first = shown(plan)
    assert [f.label for f in first.figures] == [
        *(t(f"figures.{name}") for name in names),
        t("figures.cost"),
    ]
    assert all(f.interval for f in first.figures)
    every = {f.label for f in key_figures.key_figures(t, plan)} | {t("figures.cost")}
    assert {f.label for f in (*first.figures, *first.rest)} == every


def test_a_limit_on_the_first_token_alone_makes_it_count() -> None:
    free = replace(stored(), assumptions=())
    labels = [f.label for f in shown(free, "plan a b --ttft-ms 900").figures]
    assert labels[1] == "Time to first token"
    assert "limit 900 ms" in shown(free, "plan a b --ttft-ms=900").figures[1].note
    both = shown(free, "plan a b --ttft-ms 900 --tpot-ms 30").figures[1]
    assert both.label == "Time per output token"
    assert both.note.startswith("limit 30 ms")
    default = replace(free, assumptions=(Assumption("tpot-ms default", "50 ms", "x"),))
    held = shown(default, "plan a b --ttft-ms 900").figures[1]
    assert held.label == "Time per output token"
    assert held.note.startswith("limit 50 ms, by default")
    dropped = replace(free, assumptions=(Assumption("tpot-ms dropped", "fastest 60 ms", "x"),))
    assert shown(dropped).figures[1].note.startswith("the default limit is kept by no layout")


def test_what_no_shell_reads_has_no_flags() -> None:
    assert given_flags("plan 'a") == {}
    assert given_flags("plan a --tpot-ms none --exact") == {"--tpot-ms": "none", "--exact": ""}


def test_cost_and_energy_or_how_to_give_a_price() -> None:
    money, energy = Estimate(6.14, 5.0, 7.5, "fitted"), Estimate(2.44, 1.2, 4.9, "prior")
    perf = stored().performance
    priced = replace(
        stored(),
        performance=replace(
            perf, usd_per_million_output_tokens=money, joules_per_output_token=energy
        ),
    )
    cost = shown(priced).figures[3]
    assert (cost.value, cost.interval) == ("6.14", "5.00 – 7.50")
    assert "2.44 J each (1.20–4.90, prior)" in cost.note
    bare = replace(
        priced,
        performance=replace(perf, usd_per_million_output_tokens=None, joules_per_output_token=None),
    )
    text = above(bare)
    for part in ("no price known", "<code>price_usd_per_hour</code>", "energy not estimated"):
        assert part in text


def test_other_plans_stand_on_the_scale_of_the_verdict() -> None:
    plan = stored()
    drawn = chart(plan)
    told = plan.recommendation
    assert told is not None
    own = plan.performance.output_tokens_per_second.value
    assert drawn.x_title == "output tokens/s"
    assert (drawn.rows[0].mark, drawn.rows[0].value) == ("recommended", own)
    assert {row.mark for row in drawn.rows} >= {"recommended", "uniform", "optimum"}
    worth = [own * (1 + one.gain.value) for one in told.alternatives if one.gain is not None]
    for row in drawn.rows[1:]:
        assert min(abs(row.value - known) for known in worth) <= 2e-3 * row.value
        assert row.low is not None
        assert row.high is not None
        assert row.low <= row.value <= row.high
        assert row.text in drawn.alt


def test_rates_are_per_device_where_numbers_of_devices_differ() -> None:
    plan = recommended(
        plan_of(),
        alternatives=(
            other("as released", 0, devices=4, gain=HALF),
            other("uniform int8-w8a8", devices=1, gain=GainRange(-0.2, -0.3, -0.1)),
        ),
    )
    drawn = chart(plan)
    own = plan.performance.output_tokens_per_second_per_device.value
    assert drawn.x_title == "output tokens/s a device"
    released = drawn.rows[1]
    assert (released.mark, released.name) == ("released", "as released, KV bf16 on 4 devices")
    assert released.value == pytest.approx(own * 1.1)
    assert (released.low, released.high) == pytest.approx((own * 0.95, own * 1.25))
    assert drawn.rows[2].name == "uniform int8-w8a8"


@pytest.mark.parametrize(
    ("objective", "title"),
    [
        ("latency", "time per output token, ms"),
        ("memory", "bytes of all devices"),
        ("quality", "loss, nats"),
    ],
)
def test_less_is_better_where_it_is(objective: str, title: str) -> None:
    plan = recommended(
        replace(stored(), objective=objective), alternatives=(other("optimum", 2, gain=HALF),)
    )
    mine, best = chart(plan).rows
    assert title in chart(plan).x_title
    assert best.value == pytest.approx(mine.value * 0.9)
    assert best.low == pytest.approx(mine.value * 0.75)
    assert best.high == pytest.approx(mine.value * 1.05)


def test_the_best_of_each_kind_is_drawn_once_and_a_twin_beside_the_name() -> None:
    others = (
        other("as released", 0, why_not="the same plan"),
        other("uniform int8-w8a8", gain=GainRange(0.02, 0.0, 0.04), probability_better=0.6),
        other("uniform fp8-block", gain=GainRange(0.01, 0.0, 0.02), probability_better=0.6),
        other("2 formats", 2, schemes=("a", "b"), gain=HALF, probability_better=0.7),
        other("3 formats", 3, gain=GainRange(0.2, -0.1, 0.3), probability_better=0.4),
        other("optimum", 4, schemes=("a", "b", "c"), gain=HALF, probability_better=0.7),
    )
    plan = recommended(stored(), alternatives=tuple(replace(one, devices=1) for one in others))
    rows = chart(plan).rows
    assert [row.mark for row in rows] == ["recommended", "uniform", "other", "optimum"]
    assert rows[0].note == "= as released"
    assert rows[0].name.startswith("Recommended: as released, KV ")
    exact = recommended(plan, alternatives=tuple(one for one in others if one.name != "optimum"))
    assert chart(exact).rows[0].name.startswith("This plan: as released, KV ")
    assert [row.name for row in rows[1:]] == [
        "uniform int8-w8a8",
        "2 formats: a, b",
        "exact optimum (3 formats)",
    ]
    assert rows[2].note == "better with a chance of 70 %"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_older_plan_file_says_what_it_lacks(lang: str) -> None:
    t = phrases(lang)
    data = json.loads(json.dumps(stored().to_dict()))
    for one in data["recommendation"]["alternatives"]:
        one["gain"] = None
    old = planner.read_plan(data)
    rows = chart(old, lang).rows
    assert rows[0].low is not None
    assert [row.low for row in rows[1:]] == [None] * (len(rows) - 1)
    rates = {one["output_tokens_per_second"] for one in data["recommendation"]["alternatives"]}
    for row in rows[1:]:
        assert min(abs(row.value - rate) for rate in rates) <= 2e-3 * row.value
    assert t("first.unpaired") in above(old, lang)
    assert t("first.unpaired") not in above(stored(), lang)
    assert t("first.unpaired") in markdown(old, lang)


def test_nothing_weighed_is_said_and_measurements_are_named() -> None:
    bare = replace(stored(), recommendation=None)
    assert rivals_view(phrases("en"), bare) is None
    assert "no other plan was weighed" in above(bare)
    only = other("optimum", why_not="the same plan")
    alone = recommended(stored(), alternatives=(only,))
    assert rivals_view(phrases("en"), alone) is None
    assert phrases("en")("first.only") in above(alone), "the formats were chosen, not given"
    assert NEXT[0].command in above(recommended(stored()))
    assert "No measurement is known" in above(recommended(stored(), measure_next=()))


@pytest.mark.parametrize("lang", LANGUAGES)
def test_an_optimum_that_is_worse_is_explained(lang: str) -> None:
    t, plan = phrases(lang), stored()
    plan = replace(plan, quality=replace(plan.quality, loss=0.002))

    def note(gain: float, loss: float) -> str:
        one = other("optimum", gain=GainRange(gain, gain - 0.1, gain + 0.1), loss=loss)
        found = rivals_view(t, recommended(plan, alternatives=(one,)))
        assert found is not None
        return found.note

    less = 0.5 * plan.quality.loss
    told = t("first.wider", optimum=words.loss(less), loss=words.loss(plan.quality.loss))
    assert told in note(-0.2, less)
    assert told not in note(0.2, less)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_verdict_figures_command_and_chart_stand_above_the_rest_in_order(lang: str) -> None:
    t, plan = phrases(lang), stored()
    text = re.sub(r"\s+", " ", above(plan, lang))
    places = [
        text.index(part)
        for part in (
            'class="verdict"',
            t("figures.output"),
            t("figures.tpot"),
            t("figures.loss"),
            t("figures.cost"),
            f'<h2 id="run">{t("serve.title")}</h2>',
            '<pre class="copy"',
            t("first.measure"),
            f'<h2 id="others">{t("advice.title")}</h2>',
            '<svg class="chart dots"',
            '<table class="others">',
        )
    ]
    assert places == sorted(places)


def test_a_page_from_before_the_origin_of_the_loss_was_kept_is_read() -> None:
    kept = json.loads(
        (ROOT / "tests" / "golden" / "report" / "computed.json").read_text(encoding="utf-8")
    )
    made = computed_from(kept)
    assert made.loss is not None
    assert computed_from(plain_data(made)) == made
    del kept["loss"]
    assert computed_from(kept) == replace(made, loss=None)
