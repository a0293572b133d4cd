"""The page is valid HTML, its parts are named for screen readers, and its colours are readable."""

import re
import warnings
from dataclasses import replace
from functools import cache
from itertools import pairwise
from xml.etree import ElementTree

import html5lib
import pytest

import planner
from planner.api.report import report_extras
from planner.planning.plan.picture import MEMORY_FILLS, contrast, text_colour
from planner.planning.plan.record import Plan
from planner.report.phrases import LANGUAGES
from planner.report.render.html import TEMPLATES, page

XHTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
HEADINGS = [f"{XHTML}h{n}" for n in range(1, 7)]


@cache
def plan() -> Plan:
    return planner.plan(
        "qwen2.5-0.5b", "h100-sxm", schemes=["bf16", "fp8-block"], context=1024, devices=1
    )


@cache
def made(lang: str) -> str:
    return page(plan(), lang, report_extras(plan(), requested="plan <x>", version="1"))


def tree(text: str) -> ElementTree.Element:
    """The page's tree; any parse error of the HTML standard is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = html5lib.HTMLParser(strict=True).parse(text)
    assert isinstance(found, ElementTree.Element)
    return found


def hostile() -> Plan:
    evil = "\"'><p></table>\u202e&amp;<!--"
    return replace(
        plan(),
        model=replace(plan().model, id=evil),
        units=tuple(replace(u, reason=evil, unit=evil) for u in plan().units),
        sources=tuple(replace(s, key=evil) for s in plan().sources),
    )


@pytest.mark.sample(1)
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_parses_without_an_error(lang: str) -> None:
    root = tree(made(lang))
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    wanted = {
        name
        for e in root.iter()
        for key in ("aria-labelledby", "aria-describedby")
        for name in e.attrib.get(key, "").split()
    }
    wanted |= {
        e.attrib["href"][1:] for e in root.iter(f"{XHTML}a") if e.attrib["href"].startswith("#")
    }
    assert wanted <= set(ids)


def test_hostile_texts_leave_it_valid() -> None:
    tree(page(hostile(), "en", report_extras(plan())))


def test_nothing_computed_leaves_it_valid_and_says_why() -> None:
    other = replace(plan(), device=replace(plan().device, profile_sha256="0" * 64))
    text = page(other, "en", report_extras(other))
    tree(text)
    assert text.count("has changed since the plan was made") >= 4


def test_landmarks_headings_tables_and_figures_are_named() -> None:
    root = tree(made("en"))
    assert [
        len(list(root.iter(f"{XHTML}{tag}"))) for tag in ("main", "header", "footer", "nav", "h1")
    ] == [1, 1, 1, 1, 1]
    levels = [HEADINGS.index(e.tag) + 1 for e in root.iter() if e.tag in HEADINGS]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    for section in root.iter(f"{XHTML}section"):
        assert {"aria-label", "aria-labelledby"} & set(section.attrib)
    for table in root.iter(f"{XHTML}table"):
        assert table.find(f"{XHTML}caption") is not None
        assert all("scope" in th.attrib for th in table.iter(f"{XHTML}th"))
    drawn = list(root.iter(f"{SVG}svg"))
    assert [d.attrib["class"] for d in drawn] == ["chart dots", "reach", "users", "roofline"]
    for one in drawn:
        assert one.attrib["role"] == "img"
        assert all((one.findtext(f"{SVG}{part}") or "").strip() for part in ("title", "desc"))
    strips = [e for e in root.iter(f"{XHTML}div") if e.attrib.get("class") == "strip"]
    assert len(strips) > 4
    assert all(e.attrib["role"] == "img" and "layers" in e.attrib["aria-label"] for e in strips)


def test_every_scrolling_part_can_be_reached_with_the_keyboard() -> None:
    parts = [e for e in tree(made("en")).iter(f"{XHTML}div") if e.attrib.get("class") == "scroll"]
    assert len(parts) > 8
    assert all(e.attrib["tabindex"] == "0" and e.attrib["aria-label"] for e in parts)


def schemes() -> list[tuple[str, dict[str, str]]]:
    """(name, colours) of the light, dark and printed page."""
    css = (TEMPLATES / "plan.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{([^}]*--paper[^}]*)\}", css)
    assert len(blocks) == 3
    found = [dict(re.findall(r"--(\w+): (#[0-9a-f]+)", block)) for block in blocks]
    for block in found:
        for name, value in block.items():
            if len(value) == 4:
                block[name] = "#" + "".join(c * 2 for c in value[1:])
    return list(zip(("light", "dark", "print"), found, strict=True))


@pytest.mark.parametrize(("name", "colours"), schemes(), ids=[n for n, _ in schemes()])
def test_texts_have_contrast(name: str, colours: dict[str, str]) -> None:
    for ground in ("paper", "faint"):
        for text in ("ink", "soft", "accent", "own", "less"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    assert all(contrast(text_colour(colour), colour) >= 4.5 for colour in MEMORY_FILLS.values())
