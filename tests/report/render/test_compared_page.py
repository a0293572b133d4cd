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
from planner.report.charts.compared import LANGUAGE_FOLDER, formats_of
from planner.report.compared_terms import rounded_loss
from planner.report.phrases import LANGUAGES, phrases
from planner.report.render.compared_page import compared_page
from planner.report.render.html import TEMPLATES

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


def test_every_row_is_there_once_and_folded() -> None:
    found = compared()
    root = tree(compared_page(found))
    (table,) = (e for e in root.iter(f"{XHTML}table") if e.attrib.get("id") == "every")
    names = [
        (th.text or "").strip()
        for th in table.iter(f"{XHTML}th")
        if th.attrib.get("scope") == "row"
    ]
    able = [one for one in found.rows if one.feasible]
    assert names == [formats_of(one) for one in able]
    details = next(root.iter(f"{XHTML}details"))
    assert f"Every row ({len(able)})" in "".join(details.find(f"{XHTML}summary").itertext())  # type: ignore[union-attr]
    assert table in list(details.iter())
    numbers = [td.attrib["data-s"] for td in table.iter(f"{XHTML}td") if "data-s" in td.attrib]
    assert all(float(number) >= 0 for number in numbers)
    assert said(found).count("not possible for every unit") == 4


def test_twelve_rows_are_drawn_and_listed_first() -> None:
    root = tree(compared_page(compared()))
    table = next(root.iter(f"{XHTML}table"))
    rows = [tr for tr in table.iter(f"{XHTML}tr") if len(tr.findall(f"{XHTML}td")) > 1]
    figures = [tr for tr in rows if (tr.findall(f"{XHTML}td")[0].text or "").strip()]
    assert len(figures) == 12
    marks = [e for e in root.iter() if e.attrib.get("class", "").startswith("row ")]
    assert len(marks) == 2 * 12


def test_limits_are_in_the_charts() -> None:
    found = compared(("qwen3-32b",))
    bounded = replace(found, pairs=tuple(replace(p, loss_limit=0.005) for p in found.pairs))
    text = compared_page(bounded)
    assert text.count('class="limit"') == 2 * len(found.pairs)
    assert 'class="limit"' not in compared_page(found)
    assert "over the limit on loss" in said(bounded)
    assert "Limits: TPOT ≤ 50 ms (default); KL 0.005 nats (h100-sxm, b200-sxm)." in said(bounded)
    assert "any loss" in said(found)


def test_the_verdict_says_which_device_and_how_sure() -> None:
    text = said(compared())
    assert (
        "Verdict llama-3.1-70b on 2 × b200-sxm: serve nvidia/Llama-3.1-70B-Instruct-FP8 "
        "(fp8-tensor), FP8 KV cache, vLLM 0.21; the most output tokens/s a device, the cheapest"
        in text
    )
    assert "1,152 tokens/s a device (960–1,382)" in text
    near = said(compared(("qwen3-32b",), step=1.1))
    assert "probably the most output tokens/s a device, probably the cheapest" in near
    assert "the shortest time a token" in said(compared(objective="latency"))
    assert "no plan on these devices keeps the limits" in said(CASES["nothing runs"])


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
        "the most output tokens/s a device. Or llama-3.1-70b on 2 × h100-sxm: serve "
        "nvidia/Llama-3.1-70B-Instruct-FP8 (fp8-tensor), FP8 KV cache, vLLM 0.21; the cheapest"
        in said(dear)
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

    most = "vLLM 0.21; the most output tokens/s a device"
    assert f"{most}, the cheapest" not in priced("b200-sxm")
    assert f"{most}, the cheapest of those with a price" in priced("b200-sxm", "l40s")
    assert f"{most}, the cheapest" in priced(*found.devices)


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
    assert "no plan: too large" in text
    assert (
        "no price is known for h100-sxm, b200-sxm, so that no cost is told there: --price "
        "h100-sxm=USD,b200-sxm=USD (a device-hour) gives it" in text
    )
    assert "USD ↕" not in text
    assert "Device-hour h100-sxm 3.00 USD (given), b200-sxm 3.00 USD (given)" in said(compared())


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
    tables = tree(compared_page(CASES[name])).iter(f"{XHTML}table")
    table = next(e for e in tables if e.attrib.get("id") == "every")
    spans = [e.text for e in table.iter(f"{XHTML}span") if e.attrib.get("class") == "key"]
    assert spans[: len(heads)] == heads
    assert "USD" in spans


def test_losses_lead_to_what_was_measured() -> None:
    text = compared_page(compared())
    assert text.count('href="#m1"') == 8  # as recommended, and as its format
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
    made = ("column.", "weights.", "claim.", "role.", "take.", "view.", "every.", "controls.")
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
