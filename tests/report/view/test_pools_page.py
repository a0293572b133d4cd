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
from planner.report.view.advice import verdict
from planner.report.view.pools import pools_view


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
    first = seen(page(plan, lang).partition('<section aria-labelledby="pools"')[0])
    one, two, over = pools.prefill, pools.decode, pools.transfer
    for pool in (one, two):
        shape = phrases(lang).original(layout_words(pool.layout))
        assert (
            f"{pool.workers} × {shape} "
            f"({pool.workers * pool.devices_per_worker} × {pool.device})" in first
        )
        assert all(scheme in first for scheme in pool.schemes)
    assert pools.kv in first
    assert words.span(over.seconds).replace("\u00a0", " ") in first
    assert f"{over.bytes_per_second / 1e9:.3g} GB/s" in first
    assert f"{two.batch}" in first
    assert pools.aggregated is not None
    assert pools.gain is not None
    assert words.three_digits(pools.aggregated.output_tokens_per_second) in first
    for share in (pools.gain.value, pools.gain.low, pools.gain.high):
        assert words.signed_percent(share).replace("\u202f", " ") in first.replace("\u202f", " ")
    perf = plan.performance
    assert perf.usd_per_million_output_tokens is not None
    for value in (
        perf.output_tokens_per_second.value,
        perf.output_tokens_per_second_per_device.value,
        perf.usd_per_million_output_tokens.value,
    ):
        assert words.three_digits(value) in first
    for value in (perf.tpot_seconds.value, perf.ttft_seconds.value):
        assert " ".join(words.seconds(value)) in first
    assert words.three_digits(one.prompt_tokens_per_second) in first


def test_the_pool_that_sets_the_rate_is_marked() -> None:
    plan = small_pools.plan()
    t = phrases("en")
    shown = pools_view(t, plan)
    assert shown is not None
    said = dict(shown.descriptions)
    limit = small_pools.pools(plan).limit
    assert limit == "prefill"
    assert "sets the rate" in said[t("pools.prefill")]
    assert "sets the rate" not in said[t("pools.decode")]
    other = replace(plan, deployment=replace(small_pools.pools(plan), limit="transfer"))
    said = dict(pools_view(t, other).descriptions)  # type: ignore[union-attr]
    assert "sets the rate" in said[t("pools.between")]


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
    assert "prefill + " in fragment(plan)


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


def test_workers_of_one_device_are_chinese_and_beside_those_that_do_both() -> None:
    """The Chinese page said ``1 × one device``, and its verdict nothing of aggregated workers."""
    made, alone = small_pools.plan(), PoolLayout(1, 1, 1, 1)
    told, said = small_pools.pools(made), made.recommendation
    assert said is not None
    told = replace(told, prefill=replace(told.prefill, layout=alone))
    made = replace(made, deployment=told)
    assert layout_words(told.prefill.layout) == "one device"
    text = seen(page(made, "zh"))
    assert "one device" not in text
    assert text.count(f"{told.prefill.workers} × 单台设备") > 1
    assert told.gain is not None
    lead = verdict(phrases("zh"), made, said)
    assert f"每台设备 {words.signed_percent(told.gain.value)}，更好的概率为" in lead
    none = replace(made, deployment=replace(told, gain=None, aggregated=None))
    assert verdict(phrases("zh"), none, said).endswith(phrases("zh")("pools.alone"))
