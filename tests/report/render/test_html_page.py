"""The page: everything escaped, nothing fetched, the same bytes twice, the plan file inside."""

import json
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser

import pytest

import planner
from planner.formats.kv import KV_LAYOUTS
from planner.formats.schemes import SCHEMES
from planner.planning.plan.picture import (
    MEMORY_FILLS,
    PALETTE,
    contrast,
    format_colour,
    picture,
    text_colour,
)
from planner.planning.plan.record import Plan, SourceRef
from planner.report.render.html import page

VOID = {"meta", "br", "link", "img", "input", "hr"}
HOSTILE = "</script><script>alert('1')</script>\"&\u2028<b>"


@cache
def searched() -> Plan:
    return planner.plan("deepseek-v3", "h100-sxm", context=8192, devices=16)


@cache
def priced() -> Plan:
    return planner.estimate(
        "llama-3.1-8b", "h100-sxm", scheme="fp8-channel", context=4096, devices=1
    )


def hostile() -> Plan:
    plan = searched()
    return replace(
        plan,
        model=replace(plan.model, id=HOSTILE, source=HOSTILE),
        device=replace(plan.device, id=HOSTILE),
        comparison=replace(plan.comparison, text=HOSTILE),
        units=tuple(
            replace(u, unit=HOSTILE, kind=HOSTILE, scheme=HOSTILE, reason=HOSTILE)
            for u in plan.units
        ),
        baselines=tuple(
            replace(b, name=HOSTILE, feasible=False, reason=HOSTILE) for b in plan.baselines
        ),
        assumptions=tuple(replace(a, key=HOSTILE, value=HOSTILE) for a in plan.assumptions),
        sources=(SourceRef(HOSTILE, 'javascript:alert(1) http://x.test/"onclick="y', HOSTILE),),
    )


class Reader(HTMLParser):
    """Tags in balance, attributes, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} repeats an attribute"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open and self.open[-1] == "script" else self.words).append(data)


@pytest.fixture(params=[searched, priced, hostile], ids=["searched", "priced", "hostile"])
def plan(request: pytest.FixtureRequest) -> Plan:
    made: Plan = request.param()
    return made


@pytest.mark.sample(1)
def test_well_formed_and_self_contained(plan: Plan) -> None:
    text = page(plan)
    read = Reader(text)
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert text.endswith("</html>\n")
    assert read.open == []
    assert {tag for tag, _ in read.tags} & {"link", "img", "iframe", "object", "embed"} == set()
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for tag, attributes in read.tags:
        assert "src" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
        if "href" in attributes:
            assert tag == "a"
            assert str(attributes["href"]).startswith(("http://", "https://", "#"))


def test_scripts_are_data_alone_and_the_plan_file_reads_back(plan: Plan) -> None:
    read = Reader(page(plan))
    scripts = [attributes for tag, attributes in read.tags if tag == "script"]
    assert scripts == [{"type": "application/json", "id": name} for name in ("plan", "beside")]
    assert len(read.scripts) == 2
    assert json.loads(read.scripts[0]) == json.loads(json.dumps(plan.to_dict()))


def test_hostile_text_stays_text() -> None:
    read = Reader(page(hostile()))
    assert HOSTILE in "".join(read.words)
    assert sum(tag == "script" for tag, _ in read.tags) == 2
    links = [str(a["href"]) for tag, a in read.tags if tag == "a"]
    assert "http://x.test/" in links
    assert not [link for link in links if "javascript" in link or '"' in link]


def test_the_same_plan_gives_the_same_bytes(plan: Plan) -> None:
    assert page(plan).encode() == page(replace(plan)).encode()


def test_a_plan_read_back_gives_the_same_bytes() -> None:
    again = planner.read_plan(json.loads(json.dumps(searched().to_dict())))
    assert page(searched()).encode() == page(again).encode()


def test_control_characters_are_shown_as_replaced() -> None:
    text = page(replace(priced(), model=replace(priced().model, id="a\x00b\x1b[31m\u202ec")))
    assert not set(text) & {"\x00", "\x1b", "\u202e"}
    assert "a\ufffdb\ufffd[31m\ufffdc" in text
    assert json.loads(Reader(text).scripts[0])["model"]["id"] == "a\x00b\x1b[31m\u202ec"


def test_the_page_says_what_the_terminal_says() -> None:
    plan, words = searched(), " ".join("".join(Reader(page(searched())).words).split())
    assert f"{plan.model.id} on 16 × h100-sxm" in words
    assert plan.comparison.text in words
    for unit in plan.units:
        assert unit.unit in words
        assert unit.reason in words
    for line in plan.baselines:
        assert line.name in words
    for item in plan.assumptions:
        assert item.value in words
    for source in plan.sources:
        assert source.title in words
    assert f"{plan.kv_cache.bytes_per_token:,} bytes a token" in words


def test_a_priced_plan_has_no_baselines_and_says_it_was_not_chosen() -> None:
    text = page(priced())
    assert "Beside uniform formats" not in text
    assert "Priced, not chosen" in text
    assert "priced as given" in text


def test_the_picture_covers_every_layer_of_every_unit_once() -> None:
    plan = searched()
    drawn = picture(plan)
    assert drawn.layers == 61
    cells = {
        (strip.kind, layer, run.scheme)
        for strip in drawn.strips
        for run in strip.runs
        if run.scheme
        for layer in range(run.first, run.last + 1)
    }
    assert cells == {(u.kind, n, u.scheme) for u in plan.units for n in u.layers}
    assert all(sum(run.count for run in strip.runs) == 61 for strip in drawn.strips)
    assert {kind for kind, _ in drawn.ends} >= {"embedding", "head"}


def test_every_format_has_a_colour_and_its_text_is_readable() -> None:
    """A format that has none yet is drawn grey."""
    assert set(PALETTE) <= set(SCHEMES) | set(KV_LAYOUTS)
    assert len(PALETTE) >= 50
    for name in PALETTE:
        assert contrast(text_colour(format_colour(name)), format_colour(name)) >= 4.5, name
    weights = [PALETTE[name] for name in SCHEMES if name in PALETTE]
    assert len(set(weights)) == len(weights)
    caches = [PALETTE[name] for name in KV_LAYOUTS if name in PALETTE]
    assert len(set(caches)) == len(caches) >= 9
    assert all(contrast(colour, "#ffffff") >= 3 for colour in MEMORY_FILLS.values())


def test_contrast_of_black_and_white_is_the_defined_maximum() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#777777") == 1


def test_the_notebook_fragment_is_escaped_and_short() -> None:
    text = hostile()._repr_html_()
    read = Reader(text)
    assert read.open == []
    assert {tag for tag, _ in read.tags} <= {
        "div",
        "p",
        "strong",
        "br",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "span",
        "pre",
    }
    plain = searched()._repr_html_()
    assert all(m.kind in plain and m.scheme in plain for m in searched().modules)
    assert len(plain) < 20_000
