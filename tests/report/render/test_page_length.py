"""A plan's page is short: six sections at most and 1,500 words in sight, all else folded."""

import json
import re
from functools import cache
from html import unescape

import pytest
from support import small_pools
from support.wheels import ROOT

import planner
from planner.api.report import report_extras
from planner.planning.plan.record import Plan
from planner.report.render.embedded import computed_from
from planner.report.render.html import page
from planner.report.view.content import ReportExtras

MOST_SECTIONS, MOST_WORDS = 6, 1500
GOLDEN = ROOT / "tests" / "golden" / "report"


def stored() -> tuple[Plan, ReportExtras]:
    made = computed_from(json.loads((GOLDEN / "computed.json").read_text(encoding="utf-8")))
    return planner.read_plan(GOLDEN / "plan.json"), ReportExtras(made, "plan a b", "1")


def pools() -> tuple[Plan, ReportExtras]:
    plan = small_pools.plan()
    return plan, report_extras(plan, requested="plan a b", version="1")


def many_rows() -> tuple[Plan, ReportExtras]:
    plan = planner.plan("deepseek-v3", "h200-sxm", devices=8, workload="rag")
    return plan, report_extras(plan, requested="plan a b", version="1")


PLANS = {"stored": stored, "pools": pools, "many-rows": many_rows}


@cache
def body(name: str) -> str:
    """The page's markup without data and styles."""
    plan, extras = PLANS[name]()
    text = page(plan, "en", extras)
    found = text[text.index("<body>") :]
    return re.sub(r"<(script|style)\b.*?</\1>", "", found, flags=re.DOTALL)


def in_sight(name: str) -> str:
    """The markup that is not folded away."""
    return re.sub(r"<details\b.*?</details>", "", body(name), flags=re.DOTALL)


def words(markup: str) -> list[str]:
    return unescape(re.sub(r"<[^>]+>", " ", markup)).split()


@pytest.mark.parametrize("name", PLANS)
def test_sections_and_words_in_sight(name: str) -> None:
    shown = in_sight(name)
    assert 4 <= len(re.findall(r"<h2\b", shown)) <= MOST_SECTIONS
    assert len(words(shown)) <= MOST_WORDS


@pytest.mark.parametrize("name", PLANS)
def test_what_is_folded_stands_last_and_has_no_section_of_its_own(name: str) -> None:
    main = body(name).partition("</main>")[0]
    folded = main[main.index("<details") :]
    assert "<h2" not in folded
    assert folded.rstrip().endswith("</details>")
    assert folded.count("<details") == 3
    assert len(words(folded)) > len(words(in_sight(name)))


def test_the_order_is_what_a_reader_looks_for_first() -> None:
    shown = in_sight("many-rows")
    places = [shown.index(f'<h2 id="{name}">') for name in ORDER]
    assert places == sorted(places)
    assert shown.index('class="facts"') < places[0]


ORDER = ("run", "others", "time", "memory", "quality")
