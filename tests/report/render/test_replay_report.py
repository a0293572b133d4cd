"""The page of a replay: valid, the same figures in both languages, charts with axes that hold what
they show."""

import re
import warnings
from collections.abc import Callable
from xml.etree import ElementTree

import html5lib
import pytest
from support.chinese import latin_words
from support.replays import in_pools, in_stages

from planner.base.errors import UnknownNameError
from planner.messages.catalogue import LANGUAGES
from planner.planning.replay.record import ReplayAnswer
from planner.report.charts.chart import Chart, PointMarks, ValueLine, Words
from planner.report.charts.replay_svg import replay_charts
from planner.report.render.replay_page import replay_markdown, replay_page
from planner.report.view.record import Fact, Table, View
from planner.report.view.replay import VERB, replay_view
from planner.report.view.verb_words import verb_phrases

SVG = "{http://www.w3.org/2000/svg}"
XHTML = "{http://www.w3.org/1999/xhtml}"
Made = Callable[[], ReplayAnswer]
BOTH = pytest.mark.parametrize("made", [in_stages, in_pools])


def tree(text: str) -> ElementTree.Element:
    """The page's tree; any parse error of the HTML standard is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = html5lib.HTMLParser(strict=True).parse(text)
    assert isinstance(found, ElementTree.Element)
    return found


def numbers(text: str) -> list[str]:
    """Numbers of a text in its order, without thousands."""
    return re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d{3})", "", text))


def cells(view: View) -> list[tuple[str, ...]]:
    blocks = [block for section in view.sections for block in section.blocks]
    return [row for block in blocks if isinstance(block, Table) for row in block.rows]


def charts(answer: ReplayAnswer, lang: str = "en") -> tuple[Chart, ...]:
    return replay_charts(verb_phrases(VERB, lang), answer)


@BOTH
@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_page_parses_and_fetches_nothing(made: Made, lang: str) -> None:
    text = replay_page(made(), lang)
    root = tree(text)
    assert root.get("lang") == ("zh-Hans" if lang == "zh" else lang)
    figures = root.findall(f".//{SVG}svg")
    assert len(figures) == len(charts(made())) == (5 if made is in_pools else 4)
    assert "<script" not in text
    assert not re.search(r'(?:src|href)="(?!#)', text)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


@BOTH
def test_both_languages_have_the_same_figures(made: Made) -> None:
    english, chinese = (replay_view(made(), lang) for lang in ("en", "zh"))
    assert len(english.facts) == len(chinese.facts)
    for one, other in zip(english.facts[:-1], chinese.facts[:-1], strict=True):
        assert sorted(numbers(one.text)) == sorted(numbers(other.text)), one.label
    assert sorted(numbers(english.title)) == sorted(numbers(chinese.title))
    rows = [[numbers(" ".join(row)) for row in cells(view)] for view in (english, chinese)]
    shown = len(cells(replay_view(made(), "en", hints=False)))
    assert len(rows[0]) == len(rows[1]) == shown
    assert rows[0][:5] == rows[1][:5]


@BOTH
def test_the_page_in_chinese_has_no_english_words(made: Made) -> None:
    body = tree(replay_page(made(), "zh")).find(f"{XHTML}body")
    assert body is not None
    facts = [fact.label for fact in replay_view(made(), "zh").facts]
    assert all(re.search(r"[\u4e00-\u9fff]", label) for label in facts)
    assert latin_words(" ".join(facts)) == []


@BOTH
def test_axes_hold_what_is_drawn_and_begin_at_nothing(made: Made) -> None:
    answer = made()
    last = answer.replay.over_time.seconds[-1]
    for chart in charts(answer):
        assert chart.x.ends[0] == chart.y.ends[0] == 0.0
        assert last <= chart.x.ends[1] < 1.5 * last
        marks = [mark for mark in chart.marks if isinstance(mark, PointMarks)]
        most = max(y for mark in marks for _, y in mark.places)
        assert min(y for mark in marks for _, y in mark.places) >= 0.0
        assert most <= chart.y.ends[1] <= max(2.5 * most, 1.0), chart.title
        if "%" in chart.y.label:
            assert chart.y.ends[1] <= 100.0


def test_a_line_marks_where_a_stage_begins() -> None:
    for chart in charts(in_stages()):
        lines = [mark.at for mark in chart.marks if isinstance(mark, ValueLine)]
        assert lines == [20.0]
    assert not any(isinstance(m, ValueLine) for c in charts(in_pools()) for m in c.marks)


def test_the_queue_is_seen_where_it_grows() -> None:
    found = in_stages().replay
    assert found.saturated
    first, ttft = charts(in_stages())[:2]
    waiting = next(mark for mark in first.marks if isinstance(mark, PointMarks))
    early = [y for x, y in waiting.places if x < 20]
    late = [y for x, y in waiting.places if 30 < x < 40]
    assert max(early) < min(late)
    assert "at most" in ttft.alt
    names = [mark.text for mark in first.marks if isinstance(mark, Words)]
    assert names == ["waiting", "running"]


def test_pools_have_a_line_each() -> None:
    view = replay_view(in_pools(), "en")
    facts = {fact.label: fact for fact in view.facts if isinstance(fact, Fact)}
    assert "Cache" not in facts
    pools = in_pools().replay.pools
    assert pools is not None
    assert f"{pools.prefill.busy:.0%} busy" in facts["Prefill"].text
    assert f"{pools.decode.busy:.0%} busy" in facts["Decode"].text
    assert facts["Prefill"].text.startswith("2 × h100-sxm:")
    assert "two pools" in facts["Setup"].text
    busy = next(chart for chart in charts(in_pools()) if chart.title == "Workers that run passes")
    assert [mark.text for mark in busy.marks if isinstance(mark, Words)] == ["prefill", "decode"]


@BOTH
def test_markdown_has_what_the_page_has(made: Made) -> None:
    text = replay_markdown(made())
    view = replay_view(made(), "en", hints=False)
    assert text.startswith(f"# {view.title}")
    for row in cells(view)[:5]:
        assert " | ".join(row[1:]) in text


def test_a_language_that_is_none_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        replay_page(in_stages(), "xx")
