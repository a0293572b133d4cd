"""Drafted tokens, prefixes and weights in host memory in a report, where a plan has them."""

from dataclasses import replace
from functools import cache

import pytest
from support.questions import plan_of

from planner.planning.plan.offload import OffloadInfo, OffloadSeconds
from planner.planning.plan.prefix_cache import (
    CacheWorth,
    OffloadedPrefixes,
    PrefixCache,
    ReuseInfo,
)
from planner.planning.plan.recommendation import GainRange
from planner.planning.plan.record import Plan
from planner.planning.plan.speculation import MEMORY, NEVER, AcceptanceInfo, SpeculationInfo
from planner.report.phrases import LANGUAGES, phrases
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.view.comparisons import sections

DRAFTS = SpeculationInfo(
    "mtp",
    "deepseek-v3",
    2,
    AcceptanceInfo(0.8, 0.7, 0.9, "Technical Report, section 5"),
    2.44,
    2**30,
    2**29,
    "fp8-block",
    "fp8",
    576,
    1e-3,
    2e-2,
    96,
    MEMORY,
    "MTP",
    GainRange(0.4, 0.3, 0.5),
)
PREFIXES = PrefixCache(
    ReuseInfo("agent", "traces, https://example.org/traces", 0.9),
    123_456,
    60.0,
    2.5,
    0.7,
    0.75,
    "host",
    0.01,
    (
        CacheWorth("fp8", 8, 64, 123_456, 0.7, 0.2, 0.03, 1500.0),
        CacheWorth("bf16", 8, 32, 61_728, 0.5, 0.4, 0.02, 900.0),
    ),
    OffloadedPrefixes(
        "host",
        2**36,
        1_000_000,
        True,
        0.05,
        400,
        0.011,
        0.2,
        "PCIe",
        6e10,
        0.12,
        True,
        "",
        "a source",
    ),
)
OFFLOAD = OffloadInfo(
    "epyc-9575f",
    2,
    2**39,
    "experts",
    ("experts-gate-up", "experts-down"),
    tuple(range(3, 13)),
    80,
    2480,
    2**34,
    2**38,
    ("fp8-block",),
    ("ggml-q4_k",),
    0.2,
    "computed",
    "fetched",
    OffloadSeconds(0.01, 0.03, 0.002),
    3.2e10,
    "sglang",
    ("--kt-method", "FP8"),
    "prior",
)


LABELS = {"speculation": "drafting", "prefix_cache": "prefix_cache", "offload": "host_memory"}
"""The labelled line of each in the first answer."""


@cache
def plain() -> Plan:
    return plan_of("llama-3.1-8b", "h100-sxm", devices=1)


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize(
    ("part", "record", "told"),
    [
        ("speculation", DRAFTS, ("2.44", "0.80 (0.70 – 0.90)", "96", "+40.0", "Technical Report")),
        (
            "prefix_cache",
            PREFIXES,
            ("75.0", "90.0", "123,456", "PCIe", "https://example.org/traces"),
        ),
        ("offload", OFFLOAD, ("248", "2 × epyc-9575f", "256.0", "--kt-method FP8", "ggml-q4_k")),
    ],
)
def test_every_form_tells_it_beside_the_verdict_and_in_a_section(
    part: str, record: object, told: tuple[str, ...], lang: str
) -> None:
    plan = replace(plain(), **{part: record})
    (section,) = sections(phrases(lang), plan)
    html, text = page(plan, lang), markdown(plan, lang)
    assert f'<section aria-labelledby="{section.id}">' in html
    answer, _, folded = html.partition("</section>")
    label = phrases(lang)(f"plan.{LABELS[part]}")
    assert f"<dt>{label}</dt>" in answer
    assert f"- **{label}**" in text
    assert f'<h3 id="{section.id}">' in folded.partition('<details id="more-layers">')[2]
    assert f"## {section.title}" in text
    body = html.partition('<script type="application/json"')[0]
    for words in told:
        assert words in body, words
        if not words.startswith("http"):
            assert words.replace("_", "\\_") in text, words


def test_a_plan_without_them_has_no_section() -> None:
    assert sections(phrases("en"), plain()) == []


def test_all_three_have_their_place() -> None:
    plan = replace(plain(), speculation=DRAFTS, prefix_cache=PREFIXES, offload=OFFLOAD)
    assert [one.id for one in sections(phrases("en"), plan)] == ["drafts", "prefixes", "offload"]


def test_the_parts_of_a_step_add_up() -> None:
    (section,) = sections(phrases("en"), replace(plain(), offload=OFFLOAD))
    assert sum(part.share for part in section.parts) == pytest.approx(1.0)
    assert [part.name for part in section.parts] == ["device", "host", "link"]


def test_layers_in_host_memory_are_named() -> None:
    info = replace(OFFLOAD, places="layers", experts_in_host=0, experts_on_device=0)
    (section,) = sections(phrases("en"), replace(plain(), offload=info))
    assert "experts-gate-up, experts-down of layers 3–12" in section.lead


def test_what_does_not_pay_is_said() -> None:
    info = replace(DRAFTS, pays_up_to_batch=0, pays_limit=NEVER, gain=None)
    (section,) = sections(phrases("en"), replace(plain(), speculation=info))
    assert "for no batch here" in section.lead
    assert "gain" not in " ".join(name for name, _ in section.rows)
    tier = PREFIXES.offload
    assert tier is not None
    idle = replace(PREFIXES, offload=replace(tier, loads=False, why="computing is faster"))
    (section,) = sections(phrases("en"), replace(plain(), prefix_cache=idle))
    assert dict(section.rows)["loaded from there"] == "nothing: computing is faster"


def test_one_format_needs_no_table_of_caches() -> None:
    (section,) = sections(
        phrases("en"), replace(plain(), prefix_cache=replace(PREFIXES, by_cache=()))
    )
    assert section.table == []
    assert section.head == []
