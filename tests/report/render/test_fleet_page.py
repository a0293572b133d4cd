"""The page of a fleet: valid, complete in both languages, its figures drawn from one function."""

import re
import warnings
from dataclasses import replace
from html import escape
from string import Formatter
from xml.etree import ElementTree

import html5lib
import pytest
from support.chinese import latin_words
from support.fleets import made

from planner.base.errors import UnknownNameError
from planner.messages.catalogue import LANGUAGES
from planner.messages.message import LINKED, Message, joined, message
from planner.planning.plan.picture import contrast
from planner.report.charts.fleet_svg import SHADES
from planner.report.render.fleet_page import fleet_page, fleet_text
from planner.report.render.html import TEMPLATES
from planner.report.view.fleet import VERB
from planner.report.view.verb_words import verb_phrases
from planner.sizing.fleet.figures import device_bars, limit_shares
from planner.sizing.fleet.fleet_record import Fleet

XHTML = "{http://www.w3.org/1999/xhtml}"
NAMES = {"Models", "by", "hand", "nat"}
"""The title that the user gave, and a unit."""


def tree(text: str) -> ElementTree.Element:
    """The page's tree; any parse error of the HTML standard is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = html5lib.HTMLParser(strict=True).parse(text)
    assert isinstance(found, ElementTree.Element)
    return found


def words(root: ElementTree.Element) -> str:
    body = root.find(f"{XHTML}body")
    assert body is not None
    return " ".join(" ".join(body.itertext()).split())


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("usd", [3.0, None])
def test_the_page_parses_and_names_its_parts(lang: str, usd: float | None) -> None:
    root = tree(fleet_page(made(usd=usd, goal="cost" if usd else "spare"), lang))
    ids = [e.attrib["id"] for e in root.iter() if "id" in e.attrib]
    assert len(ids) == len(set(ids))
    wanted = {name for e in root.iter() for name in e.attrib.get("aria-labelledby", "").split()}
    wanted |= {e.attrib["href"][1:] for e in root.iter(f"{XHTML}a")}
    assert wanted <= set(ids)
    assert not list(root.iter(f"{XHTML}script"))
    assert "{" not in words(root)


def test_it_tells_what_is_assigned() -> None:
    found = made()
    text = words(tree(fleet_page(found)))
    for part in (
        "24 of 35 devices serve 3 models for $72.00 per hour",
        "misses TPOT 40 ms with P 38 %: 35 ms at p95 (28–45.5)",
        "all rates × 1.53",
        "2 × TP2",
        "fp8-channel + bf16",
        "3.24",
        "no replica keeps",
        "replicas by the interval 1–none",
        "25% cached",
    ):
        assert part in text, part


def test_chinese_is_complete() -> None:
    base, other = verb_phrases(VERB, "en"), verb_phrases(VERB, "zh")
    assert set(base.texts) == set(other.texts)

    def fields(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)

    assert {k: fields(v) for k, v in base.texts.items()} == {
        k: fields(v) for k, v in other.texts.items()
    }
    found = made()
    mine = {*NAMES, *(one.name for one in found.models), *(one.model for one in found.models)}
    for shown in (found, replace(found, goal="spare"), made(usd=None), open_to_better(found)):
        assert latin_words(fleet_page(shown, "zh"), mine) == []
        text = escape(fleet_text(shown, "zh", details=True))
        assert latin_words(f"<body>{text}</body>", mine) == []


SERVED = {"level": "TTFT ≤ 1 s", "percentile": "90"}
EXCLUDED = {"m": "deepseek-v3", "d": "l40s"}


@pytest.mark.parametrize(
    "reason",
    [
        message("refusals.too_many_replicas", n="131,072", **SERVED),
        message(
            "refusals.too_many_replicas",
            n="131,072",
            level=joined(["TTFT ≤ 1 s", "TPOT ≤ 20 ms"], LINKED),
            percentile="95",
        ),
        message(
            "refusals.excludes_every_plan",
            x=message("refusals.max_loss", x="fp8-block"),
            **EXCLUDED,
        ),
        message("refusals.excludes_every_plan", x=message("refusals.tpot", x="10 µs"), **EXCLUDED),
        message("refusals.no_layout_holds_request"),
        message("refusals.no_replica_keeps_for_of", c="TPOT 1 s", **SERVED),
    ],
)
def test_reasons_of_refusals_are_chinese(reason: Message) -> None:
    found = replace(made(), refused=(("model-0", "l40s", reason),))
    assert reason in fleet_page(found)
    mine = {*NAMES, *(one.name for one in found.models), *(one.model for one in found.models)}
    assert latin_words(fleet_page(found, "zh"), mine) == []


def open_to_better(found: Fleet) -> Fleet:
    """The same where the assignment is not proved."""
    return replace(found, work=replace(found.work, gap=0.01))


def test_what_is_not_proved_is_not_told_as_proved() -> None:
    found = made()
    half = replace(found, work=replace(found.work, gap=0.02))
    text = words(tree(fleet_page(half)))
    assert "proved" not in text
    assert "a better one by 2.0% is possible" in text
    assert "a better one by 2.0% is possible" in " ".join(str(half).split())
    assert "searched, proved over 17 ways" in " ".join(str(found).split())
    kind = replace(found.devices[0], one_more=replace(found.devices[0].one_more, proved=False))
    open_text = "Not all of it is proved"
    assert open_text in str(replace(found, devices=(kind, *found.devices[1:])))
    assert open_text not in str(found)
    for lang in LANGUAGES:
        said = verb_phrases(VERB, lang)("devices.open")
        assert said in words(tree(fleet_page(replace(found, devices=(kind,)), lang)))
        assert said not in words(tree(fleet_page(found, lang)))


def test_every_text_is_used() -> None:
    code = "".join(
        path.read_text(encoding="utf-8")
        for path in (TEMPLATES / "fleet.html.j2", *TEMPLATES.parent.glob("*/fleet*.py"))
    )
    built = ("head.", "router.", "pools.", "devices.", "models.")
    for key in verb_phrases(VERB, "en").texts:
        section, _, name = key.partition(".")
        assert key in code or (f"{section}." in built and (f'"{name}"' in code or name in WORDS)), (
            key
        )


WORDS = {"cost", "spare", "free", "least-loaded", "round-robin", "random"}
"""Keys that are values of a record."""


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="language 'de'"):
        fleet_page(made(), "de")


def test_hostile_names_leave_it_valid() -> None:
    text = fleet_page(made(models=9)).replace("model-0", "\"'></td><script>")
    assert "<script" in text
    found = made(models=9)
    object.__setattr__(found, "title", "</title><script>alert(1)</script>")
    assert "<script" not in fleet_page(found)


def test_figures_have_the_numbers_of_the_answer() -> None:
    found = made()
    bars = device_bars(found)
    assert [(bar.device, bar.stock, bar.left) for bar in bars] == [
        (one.device, one.stock, one.spare) for one in found.devices
    ]
    assert bars[0].taken == (("model-0", 4), ("model-1", 4), ("model-2", 4))
    shares = limit_shares(found)
    assert len(shares) == 2 * len(found.pools)
    assert (shares[0].what, shares[0].value, shares[0].low, shares[0].high) == (
        "TTFT",
        pytest.approx(0.4),
        pytest.approx(0.32),
        pytest.approx(0.52),
    )
    text = fleet_page(found)
    assert text.count('class="taken m') == 6
    assert text.count('class="dot ttft"') == text.count('class="dot tpot"') == len(found.pools)
    assert "<desc" in text


def test_fills_are_seen_and_carry_text_in_both_schemes() -> None:
    css = (TEMPLATES / "fleet.css").read_text(encoding="utf-8")
    light, dark = (
        dict(re.findall(r"--m(\d): (#[0-9a-f]{6})", block)) for block in css.split("@media")[:2]
    )
    for fills, paper in ((light, "#ffffff"), (dark, "#14171b")):
        assert sorted(fills) == [str(n) for n in range(SHADES)]
        assert all(contrast(fill, paper) >= 4.5 for fill in fills.values())
