"""A report of a plan in pools: its first screen, its table, its drawing, its languages."""

import re
from dataclasses import replace
from html import unescape
from xml.etree import ElementTree

import pytest
from support import small_pools
from support.questions import plan_of

import planner
from planner.api.report import report_extras
from planner.base.units import format_rate, format_seconds, format_three
from planner.planning.plan.deployment import PoolLayout
from planner.planning.plan.record import Plan
from planner.report import words
from planner.report.charts.pools_svg import flow_svg
from planner.report.phrases import LANGUAGES, phrases
from planner.report.plan_terms import devices_name, layout_words
from planner.report.render.embedded import read_page
from planner.report.render.html import page
from planner.report.render.markdown import markdown
from planner.report.render.notebook import fragment
from planner.report.view.pools import against_aggregated, pools_view


def seen(text: str) -> str:
    """What a reader sees, in one line."""
    body = text.partition("<body>")[2].partition('<script type="application/json"')[0]
    return " ".join(
        unescape(
            re.sub(r"<[^>]+>", " ", re.sub(r"<svg.*?</svg>", "", body, flags=re.DOTALL))
        ).split()
    )


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_first_screen_names_both_pools_and_the_rival(lang: str) -> None:
    plan = small_pools.plan()
    pools = small_pools.pools(plan)
    text = page(plan, lang)
    first = seen(text.partition('<section aria-labelledby="pools"')[0])
    below = text.partition('<section aria-labelledby="pools"')[2].partition("</section>")[0]
    one, two, over = pools.prefill, pools.decode, pools.transfer
    for pool in (one, two):
        assert f"{pool.workers} × {layout_words(pool.layout).upper()}" in first
        assert all(scheme in below for scheme in pool.schemes)
    assert pools.kv in below
    assert format_seconds(over.seconds) in below
    assert f"{over.bytes_per_second / 1e9:.3g} GB/s" in below
    assert f"{two.batch}" in first
    assert pools.aggregated is not None
    assert pools.gain is not None
    assert words.three_digits(pools.aggregated.output_tokens_per_second) in first
    for share in (pools.gain.value, pools.gain.low, pools.gain.high):
        assert words.signed_percent(share).replace("\u202f", " ") in first.replace("\u202f", " ")
    perf = plan.performance
    assert perf.usd_per_million_output_tokens is not None
    rates = perf.output_tokens_per_second, perf.output_tokens_per_second_per_device
    for value in (*(format_rate(r.value) for r in rates),):
        assert value in first
    assert format_three(perf.usd_per_million_output_tokens.value) in first
    for time in (perf.tpot_seconds, perf.ttft_seconds):
        assert format_seconds(time.value) in first
    assert format_rate(one.prompt_tokens_per_second) in below


def test_the_pool_that_sets_the_rate_is_marked() -> None:
    plan = small_pools.plan()
    t = phrases("en")
    shown = pools_view(t, plan)
    assert shown is not None
    said = {fact.label: fact.text for fact in shown.facts}
    limit = small_pools.pools(plan).limit
    assert limit == "prefill"
    assert "sets the rate" in said["Prefill"]
    assert "sets the rate" not in said["Decode"]
    other = replace(plan, deployment=replace(small_pools.pools(plan), limit="transfer"))
    moved = pools_view(t, other)
    assert moved is not None
    said = {fact.label: fact.text for fact in moved.facts}
    assert "sets the rate" in said["Transfer"]


def test_the_drawing_has_every_worker_and_device() -> None:
    plan = small_pools.plan()
    pools = small_pools.pools(plan)
    svg = flow_svg(phrases("en"), plan, pools)
    root = ElementTree.fromstring(svg)
    kinds = [node.get("class") for node in root.iter("rect")]
    assert kinds.count("worker") == pools.prefill.workers + pools.decode.workers
    assert kinds.count("device") == plan.device.count
    assert kinds.count("pool sets") == 1
    rails = [
        float(node.get("width", "0")) for node in root.iter("rect") if node.get("class") == "rail"
    ]
    busy = [
        float(node.get("width", "0"))
        for node in root.iter("rect")
        if (node.get("class") or "").startswith("busy")
    ]
    assert [b / a for a, b in zip(rails, busy, strict=True)] == pytest.approx(
        [pools.prefill.utilisation, min(pools.decode.utilisation, 1.0)], abs=1e-3
    )
    inside = [
        (
            float(n.get("x", "0")) + float(n.get("width", "0")),
            float(n.get("y", "0")) + float(n.get("height", "0")),
        )
        for n in root.iter("rect")
    ]
    width, height = map(float, root.get("viewBox", "").split()[2:])
    assert all(x <= width and y <= height for x, y in inside)


def test_many_workers_are_counted_where_there_is_no_room() -> None:
    plan = small_pools.plan()
    pools = small_pools.pools(plan)
    many = replace(pools, prefill=replace(pools.prefill, workers=500, devices_per_worker=64))
    svg = flow_svg(phrases("en"), plan, many)
    assert "500 × 64" in svg
    assert svg.count('class="device"') < 200


def test_the_chain_adds_up_to_the_first_token() -> None:
    plan = small_pools.plan()
    shown = pools_view(phrases("en"), plan)
    assert shown is not None
    assert sum(bar.seconds for bar in shown.chain) == pytest.approx(
        plan.performance.ttft_seconds.value
    )
    ends = [bar.start + bar.share for bar in shown.chain]
    assert [bar.start for bar in shown.chain[1:]] == pytest.approx(ends[:-1])
    assert ends[-1] == pytest.approx(1.0)


def test_formats_stand_apart_where_the_pools_have_their_own() -> None:
    t, mixed = phrases("en"), small_pools.mixed()
    pools, shown = small_pools.pools(mixed), pools_view(t, mixed)
    assert shown is not None
    assert shown.prefill is not None
    told = {(row.matrix, row.prefill, row.decode) for row in shown.formats}
    for unit in pools.prefill.units:
        assert any(matrix == unit.matrix and one == unit.scheme for matrix, one, _ in told)
    kinds = [strip.kind for strip in shown.prefill.strips]
    assert {unit.matrix for unit in pools.prefill.units if unit.layers} <= set(kinds)
    assert shown.prefill.cache_layouts == (pools.kv,)
    same = pools_view(t, small_pools.plan())
    assert same is not None
    assert same.prefill is None
    assert t("pools.alike") in page(small_pools.plan())
    assert t("pools.differ") in page(mixed)


def test_the_chinese_page_leaves_no_sentence_of_pools_in_english() -> None:
    text = seen(page(small_pools.plan(), "zh"))
    told = text[: text.index(phrases("zh")("map.title"))]
    assert re.findall(r"workers that do both|two pools|aggregated|has two precisions", told) == []


def test_a_page_is_made_again_from_itself_and_says_what_it_left_out() -> None:
    plan = small_pools.plan()
    made = report_extras(plan, requested="plan", version="0")
    assert made.computed is not None
    assert made.computed.operators is not None
    assert {o.phase for o in made.computed.operators.points} == {"decode"}
    assert made.computed.room
    assert dict(made.computed.reasons) == dict.fromkeys(
        ("frontier", "sensitivity"), "both pools would change with it"
    )
    text = page(plan, "en", made)
    again, told, lang = read_page(text, "page.html")
    assert page(again, lang, told) == text
    assert "both pools would change with it" in text


def test_other_forms_tell_the_pools() -> None:
    plan = small_pools.plan()
    for lang in LANGUAGES:
        t = phrases(lang)
        text = markdown(plan, lang)
        assert f"## {t('pools.title')}" in text
        assert t("pools.part_transfer") in text
    assert "prefill workers and" in fragment(plan)


def test_prices_of_given_pools_have_no_rival() -> None:
    plan = planner.estimate(plan=small_pools.plan())
    text = page(plan)
    assert phrases("en")("pools.title") in text
    assert "better with a chance" not in text
    assert "keep the limits on no layout" not in text


def test_devices_of_two_kinds_are_both_named() -> None:
    plan = small_pools.plan()
    pools = small_pools.pools(plan)
    other = replace(
        plan, deployment=replace(pools, prefill=replace(pools.prefill, device="a100-sxm"))
    )
    assert devices_name(other) == "4 × h100-sxm + 4 × a100-sxm"
    assert "4 × h100-sxm + 4 × a100-sxm" in page(other)


def test_a_plan_without_pools_has_nothing_of_them() -> None:
    plan: Plan = plan_of("llama-3.1-8b", "h100-sxm", devices=1)
    assert pools_view(phrases("en"), plan) is None
    text = page(plan)
    assert 'id="pools"' not in text
    assert 'class="told"' not in text


def test_workers_of_one_device_are_chinese() -> None:
    """The Chinese page said ``1 × one device``."""
    made, alone = small_pools.plan(), PoolLayout(1, 1, 1, 1)
    pools = small_pools.pools(made)
    pools = replace(pools, prefill=replace(pools.prefill, layout=alone))
    made = replace(made, deployment=pools)
    assert layout_words(pools.prefill.layout) == "one device"
    text = seen(page(made, "zh"))
    assert "one device" not in text
    assert f"{pools.prefill.workers} × 单卡" in text


def test_pools_stand_beside_workers_that_do_both() -> None:
    made = small_pools.plan()
    pools = small_pools.pools(made)
    assert pools.gain is not None
    beside = against_aggregated(phrases("zh"), made)
    assert words.signed_percent(pools.gain.value) in beside
    none = replace(made, deployment=replace(pools, gain=None, aggregated=None))
    assert against_aggregated(phrases("zh"), none) == phrases("zh")("pools.alone")
