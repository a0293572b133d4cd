"""The page of a comparison: what to take first, every row once, valid, complete in Chinese."""

import base64
import hashlib
import re
import warnings
from dataclasses import replace
from string import Formatter
from xml.etree import ElementTree

import html5lib
import pytest
from support.chinese import latin_words
from support.comparisons import PUBLISHED, compared, row

from planner.base.errors import UnknownNameError
from planner.planning.what_if.compared import Compared
from planner.report.charts.compared import LANGUAGE_FOLDER, chart_plans
from planner.report.phrases import LANGUAGES, phrases
from planner.report.render.compared_page import compared_page
from planner.report.render.html import TEMPLATES
from planner.report.terminal.compared import rounded_loss

XHTML = "{http://www.w3.org/1999/xhtml}"


def tree(text: str) -> ElementTree.Element:
    """The page's tree; any parse error of the HTML standard is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = html5lib.HTMLParser(strict=True).parse(text)
    assert isinstance(found, ElementTree.Element)
    return found


def said(found: Compared, lang: str = "en") -> str:
    """What a reader sees."""
    body = tree(compared_page(found, lang)).find(f"{XHTML}body")
    assert body is not None
    for script in body.findall(f"{XHTML}script"):
        body.remove(script)
    return " ".join(" ".join(body.itertext()).split())


def none_runs(found: Compared) -> Compared:
    return replace(
        found,
        rows=tuple(
            replace(
                found.rows[-1], model=one.model, device=one.device, name=one.name, kind=one.kind
            )
            for one in found.rows
        ),
    )


CASES = {
    "two by two": compared(),
    "one pair": compared(("qwen3-32b",), ("h100-sxm",)),
    "no price": compared(usd=None),
    "one model": compared(("qwen3-32b",)),
    "one device": compared(devices=("l40s",)),
    "latency": compared(objective="latency"),
    "nothing runs": none_runs(compared(("qwen3-32b",))),
}


@pytest.mark.sample(5)
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", CASES)
def test_the_page_is_valid_and_the_same_again(name: str, lang: str) -> None:
    text = compared_page(CASES[name], lang)
    assert text == compared_page(CASES[name], lang)
    root = tree(text)
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    wanted = {part for e in root.iter() for part in e.attrib.get("aria-labelledby", "").split()}
    wanted |= {e.attrib["href"][1:] for e in root.iter(f"{XHTML}a")}
    assert wanted <= set(ids)
    assert not re.search(r'(?:src|href)="(?!#)', text)
    assert "{" not in said(CASES[name], lang)


def test_the_policy_allows_the_one_script_and_no_connection() -> None:
    text = compared_page(compared())
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


def test_every_row_is_there_once_and_beaten_ones_are_folded() -> None:
    found = compared()
    root = tree(compared_page(found))
    tables = {e.attrib["id"]: e for e in root.iter(f"{XHTML}table") if "id" in e.attrib}
    names = {
        key: [
            (th.text or "").strip()
            for th in one.iter(f"{XHTML}th")
            if th.attrib.get("scope") == "row"
        ]
        for key, one in tables.items()
    }
    shown = [one for pair in found.pairs for one in chart_plans(found, pair)]
    assert names["first"] == [one.name for one in shown if not one.beaten]
    assert names["beaten"] == [one.name for one in shown if one.beaten] == ["Q4_K_M"] * 4
    details = next(root.iter(f"{XHTML}details"))
    assert "4 more rows" in "".join(details.find(f"{XHTML}summary").itertext())  # type: ignore[union-attr]
    assert tables["beaten"] in list(details.iter())
    numbers = [
        td.attrib["data-s"] for td in tables["first"].iter(f"{XHTML}td") if "data-s" in td.attrib
    ]
    assert all(float(number) >= 0 for number in numbers)
    assert said(found).count("not possible for every unit") == 4


def test_the_verdict_says_which_device_and_how_sure() -> None:
    text = said(compared())
    assert (
        "llama-3.1-70b : Take fp8-tensor on 2 × b200-sxm with vllm 0.21 (KV fp8): the most "
        "output tokens/s a device, and the cheapest." in text
    )
    assert (
        "b200-sxm 1,152 (960–1,382), h100-sxm 480 (400–576) output tokens/s a device. The "
        "intervals do not overlap." in text
    )
    assert (
        "nvfp4 on b200-sxm with vllm 0.21: 2,160 (1,800–2,592) tokens/s a device, at a loss "
        "of 0.027 instead of 0.0032." in text
    )
    near = said(compared(("qwen3-32b",), step=1.1))
    assert "probably the most output tokens/s a device, and probably the cheapest" in near
    assert "The intervals overlap: either may be ahead." in near
    many = said(compared(("qwen3-32b",), ("l40s", "h100-sxm", "b200-sxm"), step=1.3))
    assert "Overlapping with b200-sxm: h100-sxm, which may as well be ahead; no other does." in many
    assert "No interval overlaps that of b200-sxm" in said(
        compared(("qwen3-32b",), ("l40s", "h100-sxm", "b200-sxm"))
    )
    assert "the shortest time a token" in said(compared(objective="latency"))
    assert "It runs on none of these devices" in said(CASES["nothing runs"])


def test_the_cheapest_may_be_another_device() -> None:
    found = compared(("llama-3.1-70b",))
    dear = replace(
        found,
        rows=tuple(
            one
            if one.device == "h100-sxm" or one.usd_per_million_output_tokens is None
            else replace(
                one, usd_per_million_output_tokens=row("", 100, 0.0).usd_per_million_output_tokens
            )
            for one in found.rows
        ),
    )
    assert (
        "the most output tokens/s a device. Or take fp8-tensor on 2 × h100-sxm with vllm 0.21 "
        "(KV fp8): the cheapest." in said(dear)
    )


def test_the_cheapest_is_told_of_the_devices_with_a_price_alone() -> None:
    found = compared(("qwen3-32b",), ("l40s", "h100-sxm", "b200-sxm"))

    def priced(*names: str) -> str:
        return said(
            replace(
                found,
                rows=tuple(
                    one if one.device in names else replace(one, usd_per_million_output_tokens=None)
                    for one in found.rows
                ),
            )
        )

    most = "on 2 × b200-sxm with vllm 0.21 (KV fp8): the most output tokens/s a device"
    assert f"{most}. Rate" in priced("b200-sxm")
    assert f"{most}, and the cheapest of those with a price." in priced("b200-sxm", "l40s")
    assert f"{most}, and the cheapest." in priced(*found.devices)


def test_a_device_without_a_plan_and_one_without_a_price_are_told() -> None:
    found = compared(("qwen3-32b",), usd=None)
    mixed = replace(
        found,
        rows=tuple(
            replace(
                found.rows[-1],
                device=one.device,
                name="recommended",
                kind="recommended",
                reason="too large",
            )
            if one.device == "h100-sxm" and one.kind == "recommended"
            else one
            for one in found.rows
        ),
    )
    text = said(mixed)
    assert "No plan on h100-sxm too large" in text
    assert (
        "no price is known for h100-sxm, b200-sxm, so that no cost is told there: --price "
        "h100-sxm=USD,b200-sxm=USD (a device-hour) gives it" in text
    )
    assert "USD ↕" not in text
    assert "A device-hour costs: h100-sxm 3.00 USD (given), b200-sxm 3.00 USD (given)" in said(
        compared()
    )


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("two by two", ["formats", "device", "tokens/s"]),
        ("one model", ["formats", "device"]),
        ("one device", ["formats", "model"]),
        ("one pair", ["formats", "tokens/s"]),
    ],
)
def test_columns_are_those_that_tell_rows_apart(name: str, heads: list[str]) -> None:
    table = next(e for e in tree(compared_page(CASES[name])).iter(f"{XHTML}table"))
    spans = [e.text for e in table.iter(f"{XHTML}span") if e.attrib.get("class") == "key"]
    assert spans[: len(heads)] == heads
    assert "USD" in spans


def test_losses_lead_to_what_was_measured() -> None:
    text = compared_page(compared())
    assert text.count('href="#m1"') == 4
    assert f'<li id="m1">{PUBLISHED[0].text} <cite' in text
    assert f"{PUBLISHED[0].source}</cite>" in text


@pytest.mark.parametrize("name", CASES)
def test_chinese_pages_have_no_english(name: str) -> None:
    assert latin_words(compared_page(CASES[name], "zh")) == []


def test_both_languages_have_the_same_texts_and_every_one_is_used() -> None:
    def fields(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name is not None}

    base, other = (phrases(lang, LANGUAGE_FOLDER) for lang in LANGUAGES)
    assert {k: fields(v) for k, v in base.texts.items()} == {
        k: fields(v) for k, v in other.texts.items()
    }
    assert set(base.names) == set(other.names)
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in (TEMPLATES / "compare.html.j2", *TEMPLATES.parent.glob("*/compared*.py"))
    )
    made = ("aim.", "column.", "weights.", "claim.", "role.", "verdict.", "controls.")
    assert [key for key in base.texts if key not in code and not key.startswith(made)] == []


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="language 'de'"):
        compared_page(compared(), "de")


def test_hostile_names_are_text() -> None:
    evil = "\"'></td><script>alert(1)</script>\u202e"
    found = compared()
    bad = replace(
        found,
        pairs=tuple(replace(p, model=evil, requests=evil) for p in found.pairs),
        rows=tuple(
            replace(r, model=evil, name=evil, checkpoint=evil, reason=evil) for r in found.rows
        ),
    )
    text = compared_page(bad)
    tree(text)
    assert text.count("<script") == 1
    assert "\u202e" not in text


def test_a_loss_has_three_digits_as_everywhere() -> None:
    assert [rounded_loss(v) for v in (None, 0.0, 0.012345, 0.2671, 0.02)] == [
        "-",
        "0",
        "0.0123",
        "0.267",
        "0.02",
    ]
