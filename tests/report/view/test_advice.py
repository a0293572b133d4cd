"""The verdict, the requests, other plans and the command: in one order in every form, in both
languages, whatever names hold."""

import re
from dataclasses import replace
from functools import cache
from html import unescape
from xml.etree import ElementTree

import pytest
from support.questions import plan_of
from support.recommended import LOSSIER, NEXT, PUBLISHED, TEXT, other, recommended

import planner
from planner.planning.inspect.users import UsersPoint
from planner.planning.plan.record import Assumption, EngineInfo, Estimate, Plan
from planner.report import words
from planner.report.charts.users_svg import users_svg
from planner.report.phrases import phrases
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.render.notebook import fragment
from planner.report.view.advice import advice


@cache
def served() -> Plan:
    return recommended(
        planner.estimate("llama-3.1-8b", "h100-sxm", devices=1, engine="vllm", batch=8)
    )


PLAIN = "as released, KV bf16"


def text_of(form: str) -> str:
    if form == "html":
        body = page(served()).partition("<body>")[2].partition('<script type="application/json"')[0]
        return unescape(re.sub(r"<nav.*?</nav>", "", body, flags=re.DOTALL))
    if form == "markdown":
        return re.sub(r"\\([\\`*_\[\]<>|~#])", r"\1", markdown(served()))
    return unescape(fragment(served())) if form == "cell" else str(served())


@pytest.mark.parametrize("form", ["html", "markdown", "cell"])
def test_reports_begin_with_the_verdict(form: str) -> None:
    text = text_of(form)
    wanted = [
        TEXT,
        PUBLISHED.source,
        "8 users",
        *{
            "html": ("vllm serve meta-llama/", NEXT[0].command, PLAIN, LOSSIER.name, "kv-k"),
            "markdown": (
                *(PLAIN, LOSSIER.name, "vllm serve meta-llama/", NEXT[0].command),
                *(NEXT[1].command, "kv-k"),
            ),
            "cell": (
                *(PLAIN, LOSSIER.name, NEXT[0].command, NEXT[1].command),
                *("vllm serve meta-llama/", "kv-k"),
            ),
        }[form],
    ]
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)
    assert "Gain: " not in text
    assert "\ngain: " not in text


def test_the_terminal_has_its_three_lines_before_the_verdict() -> None:
    text = " ".join(text_of("terminal").split())
    wanted = [
        "requests: 7,168 in → 1,024 out; 8 users",
        "TPOT ",
        TEXT,
        "best of 2 formats",
        LOSSIER.name,
        NEXT[0].command,
        "vllm serve meta-llama/",
    ]
    places = [text.index(part) for part in wanted]
    assert places == sorted(places)


def test_a_plan_without_a_recommendation_keeps_its_sentence() -> None:
    plan = replace(served(), recommendation=None)
    said = advice(phrases("en"), plan)
    assert (said.verdict, said.others, said.lossier, said.measure) == ("", [], "", [])
    text = page(plan)
    assert '<p class="answer">It fits 1 × h100-sxm, with room for ' in text
    assert "a given assignment is priced, not chosen" in text
    assert '<table class="others">' not in text
    assert "no other plan was weighed" in text
    assert 'id="run"' in text


@pytest.mark.parametrize("verdict", ["released", "uniform", "mix"])
def test_the_chinese_verdict_is_made_from_the_record(verdict: str) -> None:
    formats = ("released", "uniform", "mix").index(verdict)
    plan = recommended(
        served(), verdict=verdict, formats=formats, needs_new_weights=verdict != "released"
    )
    said = advice(phrases("zh"), plan).verdict
    rate = plan.performance.output_tokens_per_second.value
    assert f"{rate:,.0f}" in said
    assert not re.search(r"(?i)\b(serve|checkpoint|mix|would|weights|faster|tokens)\b", said)
    assert ("需要新的权重" in said.partition("。")[0]) == (verdict != "released")
    assert "更好的概率为 75 %" in said
    ready = recommended(served(), verdict="uniform", formats=1, checkpoint="RedHatAI/Some-FP8")
    assert "RedHatAI/Some-FP8" in advice(phrases("zh"), ready).verdict
    unlikely = recommended(served(), alternatives=(other("x", probability_better=0.4),))
    assert "概率" not in advice(phrases("zh"), unlikely).verdict


ENGLISH = re.compile(
    r"(?i)(?<![\w-])(faster|slower|better|cheaper|dearer|larger|smaller|lossy|"
    r"needs|has|released|uniform|formats?|optimum|same|more|fewer|than|over|"
    r"none|nearly|sure|device|batch)(?![\w-])"
)


@pytest.mark.exhaustive
def test_chinese_has_every_name_and_reason_of_real_plans() -> None:
    t = phrases("zh")
    for objective in ("throughput", "latency", "memory", "quality", "cost"):
        plan = planner.plan(
            "llama-3.1-8b",
            "h100-sxm",
            devices=1,
            context=4096,
            batch=8,
            objective=objective,
            tpot_seconds="none",
        )
        assert plan.recommendation is not None
        texts = [plan.comparison.text]
        for one in plan.recommendation.alternatives:
            texts += [one.name, one.why_not]
        for text in texts:
            assert not ENGLISH.search(t.pieced(text)), t.pieced(text)


def test_defaults_stand_beside_the_requests() -> None:
    t, plan = phrases("en"), served()
    notes = (Assumption("users default", "1", "x"), Assumption("tpot-ms default", "50 ms", "x"))
    plan = replace(
        plan,
        assumptions=notes,
        engine=EngineInfo("vllm", "0.21", ("vllm", "sglang")),
        workload=replace(plan.workload, prefix_hit_rate=0.9, preset="agent"),
    )
    assert advice(t, plan).requests == (
        "Requests: 7,168 tokens in, 1,024 out, 90 % of the prompt cached already (workload "
        "agent); 8 users at once by default. vllm 0.21 was chosen from vllm, sglang. Time per "
        "output token at most 50 ms, by default."
    )
    dropped = replace(plan, assumptions=(Assumption("tpot-ms dropped", "fastest TPOT 60 ms", "x"),))
    assert advice(t, dropped).requests.endswith("so it does not hold: fastest TPOT 60 ms.")
    assert "没有布局能满足" in advice(phrases("zh"), dropped).requests
    theory = replace(plan, engine=EngineInfo("any", None, ()))
    assert "Theory: no engine's rules" in advice(t, theory).requests
    assert advice(t, theory).command == ""
    assert advice(t, theory).notes


def test_other_devices_are_told_and_rates_are_compared_per_device() -> None:
    plan = recommended(
        served(),
        alternatives=(other("as released", 0, devices=4),),
        lossier=replace(LOSSIER, devices=2, output_tokens_per_second=2 * plan_rate(served()) * 1.5),
    )
    said = advice(phrases("en"), plan)
    assert said.others[0].name == "as released on 4 devices"
    assert "on 2 devices" in said.lossier
    assert "+50.0\u202f% a device" in said.lossier
    assert "as released on 4 devices" in str(plan)


def test_one_device_and_a_mix_with_4_bit_are_told_in_both_languages() -> None:
    plan = replace(
        recommended(served(), lossier=replace(LOSSIER, name="mix with 4-bit", devices=1)),
        device=replace(served().device, count=4),
    )
    assert "mix with 4-bit on 1 device:" in advice(phrases("en"), plan).lossier
    chinese = advice(phrases("zh"), plan).lossier
    assert "含 4 位格式的混合（1 台设备）" in chinese
    assert "mix" not in chinese


def test_no_heading_stands_over_an_empty_table() -> None:
    same = recommended(served(), alternatives=(other("x", why_not="the same plan"),))
    assert "why not" not in str(same)
    assert "why not" in str(recommended(served()))


def plan_rate(plan: Plan) -> float:
    return plan.performance.output_tokens_per_second_per_device.value


def test_hostile_names_are_text_everywhere() -> None:
    bad = '<script>alert("x")</script>|`*_\n# y'
    plan = recommended(
        plan_of(),
        text=bad,
        alternatives=(other(bad, schemes=(bad,), kv=bad, why_not=bad),),
        lossier=replace(LOSSIER, name=bad),
        measure_next=(replace(NEXT[0], command=bad),),
    )
    for text in (page(plan), page(plan, "zh"), fragment(plan)):
        body = text.partition('<script type="application/json"')[0]
        assert "<script>" not in body
        assert "&lt;script&gt;" in body
    ElementTree.fromstring(fragment(plan).replace("<br>", "<br/>"))
    for line in markdown(plan).splitlines():
        assert not line.startswith("# y")
        assert "<script>" not in line or line.startswith("    ")


def test_a_page_from_before_the_own_length_was_told_is_drawn() -> None:
    plan = plan_of()
    points = [UsersPoint(1024, 8, 4, 1 << 20), UsersPoint(2048, 4, 2, 2 << 20)]
    drawn = users_svg(phrases("en"), plan, points)
    assert drawn == users_svg(phrases("en"), plan, [points[0], replace(points[1], own=True)])


def test_the_commands_of_a_page_have_the_prefix_hits() -> None:
    plan = plan_of()
    assert "--prefix-hit" not in words.reproduce(plan) + words.frontier_command(plan)
    hit = replace(plan, workload=replace(plan.workload, prefix_hit_rate=0.9))
    assert words.reproduce(hit).endswith(" --prefix-hit 0.9")
    assert words.frontier_command(hit).endswith(" --prefix-hit 0.9")


def test_costs_of_a_token_are_told_with_their_bands() -> None:
    plan = served()
    money, energy = (Estimate(v, v / 2, v * 2, "prior") for v in (6.14, 2.44))
    priced = replace(
        plan,
        performance=replace(
            plan.performance, usd_per_million_output_tokens=money, joules_per_output_token=energy
        ),
    )
    assert (
        "Output tokens: 6.14 USD a million (3.07–12.3, prior); 2.44 J each (1.22–4.88, "
        "prior)." in markdown(priced)
    )
    assert "2.44 J each (1.22–4.88, prior)" in page(priced)
    bare = replace(
        plan,
        performance=replace(
            plan.performance, usd_per_million_output_tokens=None, joules_per_output_token=None
        ),
    )
    assert words.costs(phrases("en"), bare) == ""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_published_recipe_is_told_with_its_source_and_what_it_does_besides(lang: str) -> None:
    drafting = replace(PUBLISHED, speculation="mtp:3")
    slow = replace(PUBLISHED, gain=None, why_not="it is for 16 devices")
    told = [
        advice(phrases(lang), recommended(served(), **more)).published
        for more in (
            {},
            {"verdict": "recipe"},
            {"verdict": "recipe", "recipe": drafting},
            {"recipe": slow},
            {"recipe": None},
        )
    ]
    assert all(f"{PUBLISHED.source}, {PUBLISHED.date}" in text for text in told[:4])
    assert ["tp8 ep8" in text for text in told] == [True, False, False, True, False]
    assert ["mtp:3" in text for text in told] == [False, False, True, False, False]
    assert "16" in told[3]
    assert (slow.why_not in told[3]) == (lang == "en")
    assert told[4] == ""
